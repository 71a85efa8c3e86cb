"""Tiles of few sizes, in which all inference runs.

A matrix product of another shape may differ in its last bit, enough to flip a tie. From a handful
of rows on, kernels treat each row alike whatever their number, so that its result is its own,
whatever rows are beside it; a single row takes another kernel, and so never goes alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST", "TILE", "tiles"]

TILE = 256  # rows of a full tile, enough for thousands
LEAST = 8  # rows of a last tile at least


def tiles(n_rows: int) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Yield stretches of rows, each with its row numbers, padded to a size by the last row.

    Parameters
    ----------
    n_rows : int
        Number of rows.

    Yields
    ------
    stretch : slice
        The rows that the tile is about; as many of its first results count.
    index : ndarray of shape (size,)
        Row numbers: 256 of them, and in the last tile the least power of two from 8 on that holds
        what is left.

    Examples
    --------
    >>> [(stretch.stop, len(index)) for stretch, index in tiles(260)]
    [(256, 256), (260, 8)]
    """
    for begin in range(0, n_rows, TILE):
        stop = min(begin + TILE, n_rows)
        size = max(LEAST, 1 << (stop - begin - 1).bit_length())
        yield slice(begin, stop), np.arange(begin, begin + size).clip(max=n_rows - 1)
