"""The networks of a hierarchy: shapes, cropping, who sees what."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skdeepcluster.networks import Discriminator, HierarchicalDecoder, HierarchicalEncoder, Levels


@pytest.mark.parametrize(
    ("side", "n_cells"), [(8, 2), (16, 3), (28, 4), (32, 4), (33, 5), (64, 5), (4, 1), (2, 1)]
)
def test_images_have_as_many_cells_as_lead_to_two_pixels(side, n_cells):
    """Equation 3.7: log2 of the padded side, minus one."""
    levels = Levels((3, side, side))
    assert levels.n_cells == n_cells
    assert levels.shapes[-1][1:] == (2, 2)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 7), (1, 1, 5), (2, 16, 16), (6,), (1,)])
@pytest.mark.parametrize("n_groups", [1, 2, None])
def test_rows_come_back_in_their_shape(shape, n_groups):
    levels = Levels(shape)
    n_groups = min(n_groups or levels.n_cells, levels.n_cells)
    encoder = HierarchicalEncoder(levels, 10, n_groups)
    decoder = HierarchicalDecoder(levels, 5, n_groups)
    parameters, maps = encoder(torch.rand(3, *shape))
    assert parameters.shape == (3, 10)
    seen = []

    def choose(group, features, prior):
        seen.append(group)
        assert features.shape[1:] == levels.of_group(group)
        assert encoder.map_of(group, maps).shape == features.shape
        assert prior.shape == (3, 10)
        return torch.zeros(3, 5)

    assert decoder(torch.rand(3, 5), choose).shape == (3, *shape)
    assert seen == list(range(1, n_groups))


def test_padding_is_even_and_cropping_undoes_it():
    levels = Levels((1, 5, 7))
    pad = HierarchicalEncoder(levels, 2, 1).pad
    crop = HierarchicalDecoder(levels, 1, 1).crop
    image = torch.rand(2, 1, 5, 7)
    padded = pad(image)
    assert padded.shape == (2, 1, 8, 8)
    assert padded[:, :, 1:6, :7].equal(image) and padded.sum().isclose(image.sum())
    assert crop(padded).equal(image)


def test_sizes_are_the_users():
    assert Levels((784,), (300, 100)).shapes == [(784,), (300,), (100,)]
    assert Levels((1, 9, 7), (4, 8)).shapes == [(1, 16, 16), (4, 8, 8), (8, 4, 4)]
    assert Levels((1, 2, 2), (4, 8, 8)).shapes[-1] == (8, 1, 1)  # more cells, more padding
    with pytest.raises(ValueError, match="positive"):
        Levels((784,), (300, 0))


def test_a_network_of_ones_own_gives_the_first_group_alone():
    levels, own = Levels((6,), (5, 4, 3)), nn.Linear(6, 8)
    rows = torch.rand(2, 6)
    parameters, maps = HierarchicalEncoder(levels, 8, 3, own)(rows)
    assert parameters.equal(own(rows))
    assert [len(each[0]) for each in maps] == [5, 4]  # what the further groups need
    assert not HierarchicalEncoder(levels, 8, 1, own)(rows)[1]
    decoder = HierarchicalDecoder(levels, 4, 1, nn.Linear(4, 6))
    assert decoder(torch.rand(2, 4), choose=None).shape == (2, 6)


def test_priors_start_standard_normal_and_pull_at_nothing():
    levels = Levels((6,), (5, 4))
    decoder = HierarchicalDecoder(levels, 3, 2)
    z_0, kept = torch.rand(4, 3, requires_grad=True), []

    def choose(group, features, prior):
        kept.append(prior)
        return torch.zeros(4, 3)

    decoder(z_0, choose)
    assert not kept[0].any()
    kept[0].sum().backward()
    assert z_0.grad is None
    moved = {name.split(".")[0] for name, p in decoder.named_parameters() if p.grad is not None}
    assert moved == {"priors"}


@pytest.mark.parametrize("map_shape", [None, (4, 3, 3)])
def test_a_discriminator_has_slope_at_most_one(map_shape):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = Discriminator(5, map_shape)
        features = None if map_shape is None else torch.randn(200, *map_shape)
        for _ in range(50):  # of the power iteration
            judge(torch.randn(200, 5), features)
        one, other = 10 * torch.randn(2, 200, 5)
        slope = (judge(one, features) - judge(other, features)).abs() / (one - other).norm(dim=1)
    assert 0 < slope.max() < 1.01


def test_a_discriminator_of_a_later_group_sees_the_earlier_ones():
    judge, z = Discriminator(5, (4,)).eval(), torch.rand(2, 5)
    one, other = judge(z, torch.zeros(2, 4)), judge(z, torch.ones(2, 4))
    assert one.shape == (2,)
    assert not torch.isclose(one, other).any()


def test_a_discriminator_judges_rows_apart():
    """No batch norm: it would standardise real and fake codes apart."""
    judge, z = Discriminator(5).train(), torch.rand(6, 5)
    judge.eval()
    torch.testing.assert_close(judge(z)[:2], judge(z[:2]))
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in judge.modules())
