"""A guard against rows that come in other units than those of the fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdeepcluster.engine.notices import notice

__all__ = ["Extent", "check_units"]

Extent = tuple[NDArray[np.float64], NDArray[np.float64]]  # least and largest value of each column
TIMES = 50  # between 1, which is usual, and 255, which pixels differ by between their two units


def check_units(fitted: Extent, given: Extent) -> None:
    """Warn of rows that look like those of the fit in another unit.

    Pixels in 0..255 and in 0..1 are the common case: all is finite, and labels mean nothing.

    Parameters
    ----------
    fitted, given : pair of ndarray of shape (n_features,)
        The least and the largest value of every column, of the fit's rows and of those given now.

    Warns
    -----
    UserWarning
        If every column is smaller by a factor of 50 than it was, or half of them are larger by it.
    """
    before, now = _magnitude(fitted), _magnitude(given)
    known = before > 0
    before, now = before[known], now[known]
    if not known.any() or not now.any():
        return
    if (now * TIMES < before).all():
        _warn("smaller", float(before.max() / now.max()), fitted, given)
    elif (now > TIMES * before).mean() >= 0.5:
        _warn("larger", float(now.max() / before.max()), fitted, given)


def _magnitude(extent: Extent) -> NDArray[np.float64]:
    low, high = extent
    return np.maximum(np.abs(low), np.abs(high))


def _warn(kind: str, times: float, fitted: Extent, given: Extent) -> None:
    notice(
        f"X lies in {given[0].min():.4g}..{given[1].max():.4g}, and the rows of the fit in "
        f"{fitted[0].min():.4g}..{fitted[1].max():.4g}: about {times:.3g} times {kind}. Give rows "
        "in the units of the fit: pixels in 0..255, for example, if they were so then.",
        UserWarning,
    )
