"""From the user's units to the networks' and back: an affine map that is part of the model."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

from ._columns import (
    CATEGORY,
    FLAG,
    SLACK,
    Segments,
    are_components,
    chunks,
    extremes,
    find_categories,
    find_segments,
    have_two_values,
)

__all__ = ["Mode", "Scaling", "fit_scaling"]

LARGEST, SMALLEST = 1e37, 1e-37  # within which differences and their inverses fit in float32
LARGEST_UNSCALED = 1e15  # whose squares, and sums of them, fit as well
ULPS = 4  # of its largest magnitude: a column that varies by no more is a constant and its rounding
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
    segments : tuple of (str, int), default=()
        What columns hold, from the first one on, and how many do. "numeric": numbers; "flag": 0 or
        1, scaled; "category": one 1 among zeros. () if all are numbers.

    Examples
    --------
    >>> scaling = Scaling((2,), offset=10.0, factor=0.5)
    >>> scaling(torch.tensor([[10, 12]], dtype=torch.uint8))
    tensor([[0., 1.]])
    >>> scaling.inverse(torch.tensor([[0.0, 1.0]]))
    tensor([[10., 12.]], dtype=torch.float64)
    """

    segments: Segments = ()  # also of a file that was written before there were any
    offset: Tensor
    rest: Tensor
    factor: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        offset: float | NDArray[Any] = 0.0,
        factor: float | NDArray[Any] = 1.0,
        bounded: bool = False,
        segments: Segments = (),
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.bounded = bounded
        self.segments = segments
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
        pixel that is darker than black. A category is the one with the largest value, and a flag is
        up from one half on.
        """
        flat = y.detach().cpu().double().reshape(len(y), -1)
        if self.bounded:
            flat = flat.clamp(0, 1)
        if self.segments:
            kinds, widths = zip(*self.segments, strict=True)
            parts = zip(kinds, flat.split(widths, 1), strict=True)
            flat = torch.cat([_valid(kind, part) for kind, part in parts], 1)
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
        orthogonal columns of falling variance, have one factor in common. Such columns, and the
        one-hot blocks of data in [0, 1], are known as flags and categories. "minmax" maps every
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
    if mode is None:
        return Scaling(shape, bounded=bounded)
    is_table = mode == "auto" and len(shape) == 1 and not sparse.issparse(X)
    if mode == "auto" and bounded:
        found = find_categories(X, low, high, sample_weight) if is_table else ()
        return Scaling(shape, bounded=True, segments=found)
    if mode == "auto" and X.dtype == np.uint8:
        return Scaling(shape, factor=1 / 255, bounded=True)
    if mode == "auto" and sparse.issparse(X):
        return Scaling(shape, factor=_inverse(max(-least, most)), bounded=positive)
    low, high = low.reshape(shape[0], -1).min(1), high.reshape(shape[0], -1).max(1)
    offset, spread = low, high - low
    if mode != "minmax":
        offset, spread = _moments(X, shape, sample_weight)
    segments: Segments = ()
    if is_table:
        binary = have_two_values(X, low, high, sample_weight)
        # The columns of a one-hot block are orthogonal too, and often of falling size.
        if not binary.any() and are_components(X, offset, spread, sample_weight):
            return Scaling(shape, offset, _inverse(np.sqrt(np.mean(spread**2))))
        offset, spread = np.where(binary, [low, high - low], [offset, spread])
        segments = find_segments(X, binary, high, sample_weight)
    varies = high - low > ULPS * _resolution(X.dtype) * np.maximum(-low, high)
    repeats = int(np.prod(shape[1:]))
    factor = _inverse(np.where(varies, spread, 0.0))
    offset, factor = np.repeat(offset, repeats), np.repeat(factor, repeats)
    return Scaling(shape, offset, factor, mode == "minmax", segments)


def _valid(kind: str, values: Tensor) -> Tensor:
    """Return the values that columns of a kind can have, for those that a network gives them."""
    if kind == FLAG:
        return (values >= 0.5).to(values.dtype)
    if kind == CATEGORY:
        return F.one_hot(values.argmax(1), values.shape[1]).to(values.dtype)
    return values


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


def _floating(x: Tensor) -> Tensor:
    """Cast integers to a float type that holds them."""
    if x.is_floating_point():
        return x
    wide = x.dtype.itemsize > 2 and x.device.type != "mps"
    return x.to(torch.float64 if wide else torch.float32)
