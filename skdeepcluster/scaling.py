"""From the user's units to the networks' and back: an affine map that is part of the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import gen_batches
from torch import Tensor, nn

__all__ = ["Scaling", "fit_scaling"]

CHUNK = 4096  # rows looked at together, so that a memory map is never read whole
LARGEST, SMALLEST = 1e37, 1e-37  # within which differences and their inverses fit in float32
LARGEST_UNSCALED = 1e17  # whose squares, summed over a million columns, fit as well
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


def fit_scaling(
    X: NDArray[Any] | sparse.csr_array,
    mode: Mode | None,
    shape: tuple[int, ...],
    sample_weight: NDArray[Any] | None = None,
) -> Scaling:
    """Choose the scaling of a data set.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data, of any real type.
    mode : {"auto", "minmax", "standard"} or None
        "auto": data in [0, 1] is left alone, uint8 is divided by 255, other dense data is
        standardised and sparse data divided by its largest magnitude. "minmax" maps every column
        to [0, 1]; "standard" gives it mean 0 and variance 1. None leaves the data alone.
        Images have one offset and factor per channel instead of per column.
    shape : tuple of int
        Shape of one input of the networks.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of rows in means and variances.

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
    low, high = _extremes(X)
    if max(-low, high) > LARGEST:
        raise ValueError(
            f"X has values as large as {max(-low, high):.1g}, too large for networks, which "
            f"calculate in float32; expected at most {LARGEST:.0g}. Use another unit."
        )
    if mode is None and max(-low, high) > LARGEST_UNSCALED:
        raise ValueError(
            f"X has values as large as {max(-low, high):.1g}, whose squares are too large for "
            f"float32; scaling=None takes at most {LARGEST_UNSCALED:.0g}. Use another scaling, or "
            "another unit."
        )
    if mode is None or (mode == "auto" and low >= 0 and high <= 1):
        return Scaling(shape, bounded=low >= 0 and high <= 1)
    if mode == "auto" and X.dtype == np.uint8:
        return Scaling(shape, factor=1 / 255, bounded=True)
    if mode == "auto" and sparse.issparse(X):
        return Scaling(shape, factor=1 / max(-low, high), bounded=low >= 0)
    return _columnwise(X, "standard" if mode == "auto" else mode, shape, sample_weight)


def _columnwise(
    X: Any, mode: Mode, shape: tuple[int, ...], sample_weight: NDArray[Any] | None
) -> Scaling:
    """Fit scikit-learn's scaler in chunks: per column, or per channel of images."""
    n_columns, repeats = shape[0], int(np.prod(shape[1:]))
    scaler = MinMaxScaler() if mode == "minmax" else StandardScaler()
    for rows in gen_batches(X.shape[0], CHUNK):
        chunk = _dense(X[rows]).reshape(-1, n_columns, repeats).swapaxes(1, 2)
        weight = None if sample_weight is None else np.repeat(sample_weight[rows], repeats)
        options = {} if mode == "minmax" else {"sample_weight": weight}
        scaler.partial_fit(chunk.reshape(-1, n_columns).astype(np.float64), **options)
    if mode == "minmax":  # scale_ would take a range below 1e-15 for rounding, whatever the unit
        offset, spread = scaler.data_min_, scaler.data_range_
    else:
        offset, spread = scaler.mean_, scaler.scale_
    factor = 1 / np.where(spread > SMALLEST, spread, 1)
    return Scaling(shape, np.repeat(offset, repeats), np.repeat(factor, repeats), mode == "minmax")


def _extremes(X: Any) -> tuple[float, float]:
    """Return the smallest and the largest value."""
    if sparse.issparse(X):
        return float(X.min()), float(X.max())
    chunks: Iterable[Any] = [X[rows] for rows in gen_batches(len(X), CHUNK)]
    extremes = [(chunk.min(), chunk.max()) for chunk in chunks]
    return float(min(low for low, _ in extremes)), float(max(high for _, high in extremes))


def _dense(X: Any) -> NDArray[Any]:
    return X.toarray() if sparse.issparse(X) else X


def _floating(x: Tensor) -> Tensor:
    """Cast integers to a float type that holds them."""
    if x.is_floating_point():
        return x
    wide = x.dtype in (torch.int32, torch.int64) and x.device.type != "mps"
    return x.to(torch.float64 if wide else torch.float32)
