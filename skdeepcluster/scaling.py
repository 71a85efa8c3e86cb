"""From the user's units to the networks' and back: an affine map that is part of the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from torch import Tensor, nn

__all__ = ["Scaling", "chunks", "extremes", "fit_scaling"]

CHUNK = 2**23  # bytes, as float64, of the rows looked at together: whatever their width, few
LARGEST, SMALLEST = 1e37, 1e-37  # within which differences and their inverses fit in float32
# What another scaler maps to [0, 1] ends there but for rounding, which must not decide how rows are
# modelled. This share of their spread is half of a grey level of 256, and more than float16 loses.
SLACK = 2**-9
LARGEST_UNSCALED = 1e15  # whose squares, and sums of them, fit as well
ULPS = 4  # of its largest magnitude: a column that varies by no more is a constant and its rounding
# Components are orthogonal but for what the solver leaves, a randomised one more than rounding.
# Columns that were merely observed are hardly ever so close to it, all pairs of them.
ORTHOGONAL = 0.01
NEGLIGIBLE = 1e-5  # beside the largest component: what is left when rows have fewer dimensions
WIDEST = 2000  # columns whose products are compared: they take 32 MB
Mode = Literal["auto", "minmax", "standard"]


class Scaling(nn.Module):
    """Map rows x to (x - offset) * factor, in the shape that the networks take.

    Parameters
    ----------
    shape : tuple of int
        Shape of one input of the networks: (n_features,) or (channels, height, width).
    offset, factor : float or ndarray of shape (n_features,), default=0 and 1
        The map.
    bounded : bool, default=False
        Whether scaled data lies in [0, 1], so that a sigmoid can reproduce it.

    Examples
    --------
    >>> scaling = Scaling((2,), offset=10.0, factor=0.5)
    >>> scaling(torch.tensor([[10, 12]], dtype=torch.uint8))
    tensor([[0., 1.]])
    >>> scaling.inverse(torch.tensor([[0.0, 1.0]]))
    tensor([[10., 12.]], dtype=torch.float64)
    """

    offset: Tensor
    rest: Tensor
    factor: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        offset: float | NDArray[Any] = 0.0,
        factor: float | NDArray[Any] = 1.0,
        bounded: bool = False,
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.bounded = bounded
        self.is_identity = not np.any(offset) and bool(np.all(np.asarray(factor) == 1))
        exact = torch.as_tensor(offset, dtype=torch.float64)
        # Buffers are float32, for devices that know nothing wider; what the offset loses by that
        # is kept beside it. A time stamp of 1.7e9 would otherwise be off by more than a minute.
        self.register_buffer("offset", exact.float())
        self.register_buffer("rest", (exact - exact.float().double()).float())
        self.register_buffer("factor", torch.as_tensor(factor, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Scale rows of any real type, shape (n, n_features), to float32 of shape (n, *shape)."""
        if not self.is_identity:
            x = (_floating(x) - self.offset).float()
            x = torch.addcmul(-self.rest * self.factor, x, self.factor)
        return x.float().reshape(-1, *self.shape)

    def inverse(self, y: Tensor) -> Tensor:
        """Return rows in the user's units, shape (n, n_features), in float64 on the CPU.

        What lies beyond [0, 1], where that is all there is, counts as its edge: an image has no
        pixel that is darker than black.
        """
        flat = y.detach().cpu().double().reshape(len(y), -1)
        if self.bounded:
            flat = flat.clamp(0, 1)
        offset = self.offset.cpu().double() + self.rest.cpu().double()
        return flat / self.factor.cpu().double() + offset

    def check(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        """Refuse rows that are too large for float32 once they are scaled.

        Parameters
        ----------
        low, high : ndarray of shape (n_features,)
            The least and the largest value of every column, in the user's units.

        Raises
        ------
        ValueError
            With the column.
        """
        offset, factor = (t.cpu().double().numpy() for t in (self.offset, self.factor))
        _check_magnitude(low, high)
        _check_magnitude((low - offset) * factor, (high - offset) * factor)


def fit_scaling(
    X: NDArray[Any] | sparse.csr_array,
    mode: Mode | None,
    shape: tuple[int, ...],
    sample_weight: NDArray[Any] | None = None,
    extent: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> Scaling:
    """Choose the scaling of a data set.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data, of any real type.
    mode : {"auto", "minmax", "standard"} or None
        "auto": data in [0, 1], up to rounding, is left alone, uint8 is divided by 255 and sparse
        data by its largest magnitude. Of other dense data a column of two values becomes 0 and 1,
        as one of a one-hot block is, and any other is standardised; principal components, which are
        orthogonal columns of falling variance, have one factor in common. "minmax" maps every
        column to [0, 1]; "standard" gives it mean 0 and variance 1; a column that is constant, up
        to rounding, keeps its unit. None leaves the data alone.
        Images have one offset and factor per channel instead of per column.
    shape : tuple of int
        Shape of one input of the networks.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of rows in means and variances. Rows of weight 0 are left out altogether.
    extent : pair of ndarray of shape (n_features,), default=None
        What :func:`extremes` says of these rows, for those who have asked it; None asks it.

    Returns
    -------
    scaling : Scaling
        The map and its inverse.

    Raises
    ------
    ValueError
        If values are too large for float32.

    Examples
    --------
    >>> fit_scaling(np.array([[0, 255]], dtype=np.uint8), "auto", (2,)).bounded
    True
    """
    low, high = extremes(X, sample_weight) if extent is None else extent
    _check_magnitude(low, high)
    if mode is None:
        _check_squares(low, high)
    least, most = float(low.min()), float(high.max())
    slack = SLACK * (most - least)
    positive, bounded = least >= -slack, least >= -slack and most <= 1 + slack
    if mode is None or (mode == "auto" and bounded):
        return Scaling(shape, bounded=bounded)
    if mode == "auto" and X.dtype == np.uint8:
        return Scaling(shape, factor=1 / 255, bounded=True)
    if mode == "auto" and sparse.issparse(X):
        return Scaling(shape, factor=_inverse(max(-least, most)), bounded=positive)
    low, high = low.reshape(shape[0], -1).min(1), high.reshape(shape[0], -1).max(1)
    offset, spread = low, high - low
    if mode != "minmax":
        offset, spread = _moments(X, shape, sample_weight)
    if mode == "auto" and len(shape) == 1:
        if _are_components(X, offset, spread, sample_weight):
            return Scaling(shape, offset, _inverse(np.sqrt(np.mean(spread**2))))
        binary = _have_two_values(X, low, high, sample_weight)
        offset, spread = np.where(binary, [low, high - low], [offset, spread])
    varies = high - low > ULPS * _resolution(X.dtype) * np.maximum(-low, high)
    repeats = int(np.prod(shape[1:]))
    factor = _inverse(np.where(varies, spread, 0.0))
    return Scaling(shape, np.repeat(offset, repeats), np.repeat(factor, repeats), mode == "minmax")


def _check_magnitude(low: Any, high: Any) -> None:
    """Refuse columns that float32 cannot hold."""
    value, column = _largest(low, high)
    if value > LARGEST:
        raise ValueError(
            f"X has values as large as {value:.1g} in column {column}, too large for networks, "
            f"which calculate in float32; expected at most {LARGEST:.0g}. Use another unit, or "
            "leave such rows out."
        )


def _check_squares(low: Any, high: Any) -> None:
    """Refuse columns that float32 cannot calculate with as they are."""
    value, column = _largest(low, high)
    if value > LARGEST_UNSCALED:
        raise ValueError(
            f"X has values as large as {value:.1g} in column {column}, whose squares are too large "
            f"for float32; scaling=None takes at most {LARGEST_UNSCALED:.0g}. Use another scaling, "
            "or another unit."
        )


def _largest(low: Any, high: Any) -> tuple[float, int]:
    """Return the largest magnitude, and its column."""
    magnitude = np.maximum(-low, high)
    column = int(magnitude.argmax())
    return float(magnitude[column]), column


def _inverse(spread: Any) -> Any:
    """Return 1 / spread, and 1 where nothing spreads."""
    return 1 / np.where(spread > SMALLEST, spread, 1)


def _resolution(dtype: Any) -> float:
    """Return how finely a type tells values apart, relative to them."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0


def _moments(
    X: Any, shape: tuple[int, ...], sample_weight: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and standard deviation, per column, or per channel of images."""
    scaler = StandardScaler(with_mean=not sparse.issparse(X))  # or it would refuse sparse rows
    for chunk, weight in chunks(X, sample_weight):
        scaler.partial_fit(chunk.astype(np.float64), sample_weight=weight)
    mean, variance = scaler.mean_.reshape(shape[0], -1), scaler.var_.reshape(shape[0], -1)
    return mean.mean(1), np.sqrt(variance.mean(1) + mean.var(1))


def _have_two_values(
    X: NDArray[Any], low: NDArray[Any], high: NDArray[Any], sample_weight: NDArray[Any] | None
) -> NDArray[np.bool_]:
    """Tell which columns hold nothing but their smallest and their largest value."""
    two = low < high
    for chunk, _ in chunks(X, sample_weight):
        part = chunk[:, two]
        two[two] = ((part == low[two]) | (part == high[two])).all(axis=0)
    return two


def _are_components(
    X: NDArray[Any],
    mean: NDArray[Any],
    deviation: NDArray[Any],
    sample_weight: NDArray[Any] | None,
) -> bool:
    """Tell whether columns are principal components: orthogonal, and of falling size."""
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


def _floating(x: Tensor) -> Tensor:
    """Cast integers to a float type that holds them."""
    if x.is_floating_point():
        return x
    wide = x.dtype.itemsize > 2 and x.device.type != "mps"
    return x.to(torch.float64 if wide else torch.float32)
