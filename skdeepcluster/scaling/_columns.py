"""What the columns of rows hold: their range, two values, categories, principal components."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import gen_batches

__all__ = [
    "CATEGORY",
    "FLAG",
    "NUMERIC",
    "SLACK",
    "Segments",
    "are_components",
    "chunks",
    "extremes",
    "find_categories",
    "find_segments",
    "have_two_values",
]

Segments = tuple[tuple[str, int], ...]  # (kind, number of columns), from the first column on
NUMERIC, FLAG, CATEGORY = "numeric", "flag", "category"
CHUNK = 2**23  # bytes, as float64, of the rows looked at together: whatever their width, few
# What another scaler maps to [0, 1] ends there but for rounding, which must not decide how rows are
# modelled. This share of their spread is half of a grey level of 256, and more than float16 loses.
SLACK = 2**-9
# Components are orthogonal but for what the solver leaves, a randomised one more than rounding.
# Columns that were merely observed are hardly ever so close to it, all pairs of them.
ORTHOGONAL = 0.01
NEGLIGIBLE = 1e-5  # beside the largest component: what is left when rows have fewer dimensions
WIDEST = 2000  # columns whose products are compared: they take 32 MB


def chunks(X: Any, sample_weight: NDArray[Any] | None) -> Iterator[tuple[Any, Any]]:
    """Yield the rows that have a weight, some at a time, and their weights.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n, n_features)
        Rows; a memory map is read a chunk at a time.
    sample_weight : ndarray of shape (n,) or None
        Their weights; None yields all rows.

    Yields
    ------
    rows : {ndarray, CSR matrix}
        As many as take `CHUNK` bytes in float64.
    weight : ndarray or None
        Their weights.
    """
    per_row = 12 * X.nnz / X.shape[0] if sparse.issparse(X) else 8 * X.shape[1]
    for rows in gen_batches(X.shape[0], max(1, int(CHUNK / max(per_row, 1)))):
        if sample_weight is None:
            yield X[rows], None
        elif (positive := sample_weight[rows] > 0).any():
            kept = slice(None) if positive.all() else positive
            yield X[rows][kept], sample_weight[rows][kept]


def extremes(
    X: Any, sample_weight: NDArray[Any] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the largest value of every column.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n, n_features)
        Rows, read some at a time.
    sample_weight : ndarray of shape (n,), default=None
        Weights; rows of weight 0 are left out.

    Returns
    -------
    low, high : ndarray of shape (n_features,)
        The values.
    """
    low, high = np.full((2, X.shape[1]), [[np.inf], [-np.inf]])
    for chunk, _ in chunks(X, sample_weight):
        least, most = chunk.min(axis=0), chunk.max(axis=0)
        if sparse.issparse(X):
            least, most = least.toarray().ravel(), most.toarray().ravel()
        np.minimum(low, least, out=low)
        np.maximum(high, most, out=high)
    return low, high


def have_two_values(
    X: NDArray[Any], low: NDArray[Any], high: NDArray[Any], sample_weight: NDArray[Any] | None
) -> NDArray[np.bool_]:
    """Tell which columns hold nothing but their smallest and their largest value.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Rows.
    low, high : ndarray of shape (n_features,)
        Those values. A column for which they are equal is left out.
    sample_weight : ndarray of shape (n,) or None
        Weights; rows of weight 0 are left out.

    Returns
    -------
    binary : ndarray of bool of shape (n_features,)
        The columns.
    """
    two = low < high
    for chunk, _ in chunks(X, sample_weight):
        part = chunk[:, two]
        two[two] = ((part == low[two]) | (part == high[two])).all(axis=0)
    return two


def are_components(
    X: NDArray[Any],
    mean: NDArray[Any],
    deviation: NDArray[Any],
    sample_weight: NDArray[Any] | None,
) -> bool:
    """Tell whether columns are principal components: orthogonal, and of falling size.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Rows.
    mean, deviation : ndarray of shape (n_features,)
        Of the columns.
    sample_weight : ndarray of shape (n,) or None
        Weights of the rows.

    Returns
    -------
    answer : bool
        Whether they are.
    """
    size = np.hypot(mean, deviation)
    size = size[: (size > NEGLIGIBLE * size.max()).sum()]
    if not 2 <= len(size) <= WIDEST or (np.diff(size) > SLACK * size[:-1]).any():
        return False
    products, total = np.zeros((len(size), len(size))), 0.0
    for chunk, weight in chunks(X, sample_weight):
        rows = chunk[:, : len(size)] / size
        weight = np.ones(len(rows)) if weight is None else weight
        products += (rows * weight[:, None]).T @ rows
        total += weight.sum()
    np.fill_diagonal(products, 0)
    return bool(np.abs(products).max() <= ORTHOGONAL * total)


def find_categories(
    X: Any,
    low: NDArray[Any],
    high: NDArray[Any],
    sample_weight: NDArray[Any] | None,
) -> Segments:
    """Return the segments of rows in [0, 1], if there is a one-hot block among the columns.

    Without one they may be the pixels of an image, some of which happen to be black or white.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Rows.
    low, high : ndarray of shape (n_features,)
        The least and the largest value of every column.
    sample_weight : ndarray of shape (n,) or None
        Weights; rows of weight 0 are left out.

    Returns
    -------
    segments : tuple of (str, int)
        As `find_segments` returns them, or ().
    """
    low, high = np.where((low == 0) & (high == 1), [low, high], 0.0)
    binary = have_two_values(X, low, high, sample_weight)
    segments = find_segments(X, binary, high, sample_weight)
    return segments if CATEGORY in dict(segments) else ()


def find_segments(
    X: NDArray[Any],
    binary: NDArray[np.bool_],
    high: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
) -> Segments:
    """Return what columns hold, given those of two values.

    Neighbours make a one-hot block if exactly one of them is up in every row: no two together, and
    their numbers of rows add up to all.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Rows.
    binary : ndarray of bool of shape (n_features,)
        The columns of two values.
    high : ndarray of shape (n_features,)
        The larger of them.
    sample_weight : ndarray of shape (n,) or None
        Weights; rows of weight 0 are left out.

    Returns
    -------
    segments : tuple of (str, int)
        Kind and number of columns, from the first one on; () if all are numbers.

    Examples
    --------
    >>> rows = np.array([[0.5, 1, 0, 0], [2.5, 0, 1, 0], [0.1, 0, 0, 1]])
    >>> find_segments(rows, np.array([False, True, True, True]), rows.max(0))
    (('numeric', 1), ('category', 3))
    """
    columns = np.flatnonzero(binary)
    if not 1 <= len(columns) <= WIDEST:
        return ()
    together, n_rows = np.zeros((len(columns), len(columns))), 0
    for chunk, _ in chunks(X, sample_weight):
        up = (chunk[:, columns] == high[columns]).astype(np.float32)
        together += up.T @ up
        n_rows += len(up)
    widths = np.zeros(len(binary), dtype=int)  # of the block that begins at a column
    place = 0
    while place < len(columns):
        width = _block_width(columns[place:], together[place:, place:], n_rows)
        widths[columns[place]] = width
        place += width
    return _joined(widths)


def _block_width(columns: NDArray[np.intp], together: NDArray[Any], n_rows: int) -> int:
    """Return how many columns from the first one on are a one-hot block; 1 if they are none."""
    total = together[0, 0]
    for width in range(1, len(columns)):
        if columns[width] != columns[0] + width or together[:width, width].any():
            break
        total += together[width, width]
        if total == n_rows:
            return width + 1
    return 1


def _joined(widths: NDArray[np.int_]) -> Segments:
    """Return segments, those of flags and of numbers as long as they go."""
    found: list[tuple[str, int]] = []
    column = 0
    while column < len(widths):
        width = max(1, int(widths[column]))
        kind = (NUMERIC, FLAG, CATEGORY)[min(int(widths[column]), 2)]
        if kind != CATEGORY and found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + 1)
        else:
            found.append((kind, width))
        column += width
    return tuple(found)
