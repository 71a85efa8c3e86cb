"""Tiles of one size, in which all inference runs.

A matrix product of another shape may differ in its last bit, enough to flip a tie. With one shape a
row's result is its own, whatever rows are beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["TILE", "tiles"]

TILE = 256  # rows: few enough for one, enough for thousands


def tiles(n_rows: int, size: int = TILE) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Yield stretches of rows, each with its row numbers padded to one size by the last row.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    size : int, default=256
        Number of rows in every tile.

    Yields
    ------
    stretch : slice
        The rows that the tile is about; as many of its first results count.
    index : ndarray of shape (size,)
        Row numbers.

    Examples
    --------
    >>> [(stretch.stop, index.tolist()) for stretch, index in tiles(5, size=3)]
    [(3, [0, 1, 2]), (5, [3, 4, 4])]
    """
    for begin in range(0, n_rows, size):
        index = np.arange(begin, begin + size).clip(max=n_rows - 1)
        yield slice(begin, min(begin + size, n_rows)), index
