"""Tiles of one size."""

import numpy as np
import pytest

from skdeepcluster.tiles import TILE, tiles


@pytest.mark.parametrize("n_rows", [1, TILE - 1, TILE, TILE + 1, 3 * TILE])
def test_tiles_cover_all_rows_once_and_are_of_one_size(n_rows):
    found = np.full(n_rows, -1)
    for stretch, index in tiles(n_rows):
        n_valid = stretch.stop - stretch.start
        assert len(index) == TILE
        assert (index[n_valid:] == n_rows - 1).all()
        found[stretch] = index[:n_valid]
    np.testing.assert_array_equal(found, np.arange(n_rows))
