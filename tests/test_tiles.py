"""Tiles of few sizes."""

import numpy as np
import pytest
import torch

from skdeepcluster._tiles import TILE, tiles
from skdeepcluster.networks import make_decoder, make_encoder

SIZES = (8, 16, 32, 64, 128, 256)


@pytest.mark.parametrize("n_rows", [1, 8, 9, 64, 65, 100, TILE - 1, TILE, TILE + 1, 3 * TILE])
def test_tiles_cover_all_rows_once_and_are_of_few_sizes(n_rows):
    found = np.full(n_rows, -1)
    for stretch, index in tiles(n_rows):
        n_valid = stretch.stop - stretch.start
        assert len(index) in SIZES
        assert len(index) < 2 * n_valid or len(index) == 8
        assert (index[n_valid:] == n_rows - 1).all()
        found[stretch] = index[:n_valid]
    np.testing.assert_array_equal(found, np.arange(n_rows))


def test_one_row_costs_a_small_tile():
    assert [len(index) for _, index in tiles(1)] == [8]


@pytest.mark.parametrize("shape", [(5,), (784,), (1, 16, 16), (3, 32, 32)])
def test_networks_treat_a_row_alike_in_tiles_of_every_size(shape):
    """To the last digits on any processor, and bit for bit on those whose kernels do."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = make_encoder(shape, 10, "auto").eval()
        decoder = make_decoder(10, shape, "auto").eval()
        rows = torch.rand(TILE, *shape)
    with torch.no_grad():
        whole = decoder(encoder(rows))
        for size in SIZES[:-1]:
            parts = torch.cat([decoder(encoder(part)) for part in rows.split(size)])
            torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
