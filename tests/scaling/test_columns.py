"""What the columns of a table hold, and what models make of it."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder

import skdeepcluster
from skdeepcluster import AutoencoderClustering, KDVAEClustering, VaDEClustering
from skdeepcluster.scaling import _columns, extremes, fit_scaling
from skdeepcluster.scaling._columns import find_categories, find_segments

N_ROWS = 120


def one_hot(n_categories, rng):
    drawn = np.arange(N_ROWS) % n_categories
    return OneHotEncoder(sparse_output=False).fit_transform(rng.permutation(drawn)[:, None])


@pytest.fixture(scope="module")
def mixed():
    """Numbers, a flag, two blocks side by side, a number, a flag before a block."""
    rng = np.random.default_rng(0)
    flags = rng.integers(2, size=(N_ROWS, 2)).astype(float)
    blocks = [one_hot(k, rng) for k in (3, 4, 2)]
    numbers = rng.normal(size=(N_ROWS, 3))
    parts = [numbers[:, :2], flags[:, :1], *blocks[:2], numbers[:, 2:], flags[:, 1:], blocks[2]]
    return np.concatenate(parts, 1)


SEGMENTS = (
    ("numeric", 2),
    ("flag", 1),
    ("category", 3),
    ("category", 4),
    ("numeric", 1),
    ("flag", 1),
    ("category", 2),
)


def are_valid(rows):
    """Tell whether flags are 0 or 1, and every block has one 1."""
    blocks = [rows[:, 3:6], rows[:, 6:10], rows[:, 12:14]]
    values = np.concatenate([rows[:, [2, 11]], *blocks], 1)
    return np.isin(values, [0, 1]).all() and all((b.sum(1) == 1).all() for b in blocks)


# -- what is found --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [2**23, 8 * 14 * 7])
def test_auto_finds_flags_and_categories(mixed, chunk, monkeypatch):
    monkeypatch.setattr(_columns, "CHUNK", chunk)
    assert fit_scaling(mixed, "auto", (14,)).segments == SEGMENTS


def test_blocks_in_another_unit_are_blocks(mixed):
    values = mixed.copy()
    values[:, 3:6] = np.where(mixed[:, 3:6] == 1, 3.5, -2)
    scaling = fit_scaling(values, "auto", (14,))
    assert scaling.segments == SEGMENTS
    shares = torch.zeros(1, 14)
    shares[0, 4], shares[0, 10] = 0.4, 0.4
    assert scaling.inverse(shares)[0, 3:6].tolist() == pytest.approx([-2, 3.5, -2])
    assert scaling.inverse(shares)[0, 10] != scaling.inverse(0 * shares)[0, 10]


@pytest.mark.parametrize("mode", ["minmax", "standard", None])
def test_what_the_user_scales_is_numbers(mixed, mode):
    assert fit_scaling(mixed, mode, (14,)).segments == ()


def test_a_row_without_a_category_makes_flags_of_a_block(mixed):
    rows = mixed.copy()
    rows[5, 3:6] = 0
    widths = fit_scaling(rows, "auto", (14,)).segments
    assert widths[1:3] == (("flag", 4), ("category", 4))


def test_a_row_of_weight_zero_does_not_break_a_block(mixed):
    rows, weight = mixed.copy(), np.ones(N_ROWS)
    rows[5, 3:6], weight[5] = 0, 0
    assert fit_scaling(rows, "auto", (14,), weight).segments == SEGMENTS


def test_rows_in_the_unit_interval_have_categories_if_there_is_a_block(mixed):
    low, high = extremes(mixed)
    unit = (mixed - low) / (high - low)
    assert fit_scaling(unit, "auto", (14,)).segments == SEGMENTS
    without = np.delete(unit, [3, 4, 5, 6, 7, 8, 9, 12, 13], axis=1)
    assert find_categories(without, *extremes(without), None) == ()


def test_pixels_that_are_black_or_white_are_no_flags():
    digits = skdeepcluster.datasets.load_small_digits().data
    assert fit_scaling((digits > 0.5).astype(np.float32), "auto", (64,)).segments == ()


def test_neighbours_only_make_a_block():
    block = np.eye(3)[np.arange(6) % 3]
    apart = np.insert(block, 1, np.arange(6), axis=1)
    binary = np.array([True, False, True, True])
    found = find_segments(apart, binary, apart.max(0))
    assert found == (("flag", 1), ("numeric", 1), ("flag", 2))


# -- what is decoded ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AutoencoderClustering, VaDEClustering, KDVAEClustering])
@pytest.mark.parametrize("is_unit", [False, True])
def test_generated_rows_have_categories_that_exist(mixed, kind, is_unit, tmp_path):
    low, high = extremes(mixed)
    rows = (mixed - low) / (high - low) if is_unit else mixed
    params = {"n_clusters": 2, "latent_dim": 2, "hidden_layer_sizes": (8,), "random_state": 0}
    model = kind(**params, batch_size=16, max_epochs=3).fit(rows)
    drawn = model.sample(50, random_state=0)[0]
    assert are_valid(drawn)
    assert are_valid(model.reconstruct(rows))
    model.save(tmp_path / "model")
    again = skdeepcluster.load(tmp_path / "model")
    assert np.array_equal(again.sample(50, random_state=0)[0], drawn)
    assert np.allclose(again.score_samples(rows), model.score_samples(rows))
