"""What is drawn follows the stated law, and only the stated generator moves."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Normal

from skdeepcluster.priors import DiscreteContinuousPrior


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_shapes_and_types():
    prior = DiscreteContinuousPrior(3, 5)
    z, labels = prior.sample(7, generator=seeded())
    assert z.shape == (7, prior.dim) == (7, 8)
    assert labels.shape == (7,)
    assert z.dtype == torch.float32 and labels.dtype == torch.int64


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_continuous_part_is_gaussian(sigma):
    prior = DiscreteContinuousPrior(3, 4, sigma=sigma)
    z_n, _ = prior.split(prior.sample(5000, generator=seeded())[0])
    quantiles = Normal(0.0, sigma).cdf(z_n.flatten())
    assert stats.kstest(quantiles.numpy(), "uniform").pvalue > 0.01
    covariance = torch.cov(z_n.T) / sigma**2
    torch.testing.assert_close(covariance, torch.eye(4), rtol=0, atol=0.1)


def test_discrete_part_is_uniform_and_independent_of_the_continuous():
    prior = DiscreteContinuousPrior(4, 2)
    z, labels = prior.sample(8000, generator=seeded())
    z_n, z_c = prior.split(z)
    assert z_c.argmax(1).equal(labels)
    assert z_c.unique().tolist() == [0.0, 1.0] and (z_c.sum(1) == 1).all()
    assert stats.chisquare(torch.bincount(labels).numpy()).pvalue > 0.01
    means = torch.stack([z_n[labels == label].mean(0) for label in range(4)])
    assert means.abs().max() < 4 * prior.sigma / 2000**0.5


def test_components_do_not_overlap_at_the_default():
    """The thesis: every z_n lies in (-0.6, 0.6) with high probability."""
    prior = DiscreteContinuousPrior(10, 10)
    z_n, _ = prior.split(prior.sample(10_000, generator=seeded())[0])
    assert z_n.abs().max() < 0.6


@pytest.mark.parametrize(
    "labels", [1, np.int64(1), torch.tensor(1)], ids=["int", "numpy", "tensor"]
)
def test_one_component(labels):
    z, drawn = DiscreteContinuousPrior(3, 2).sample(4, labels, generator=seeded())
    assert drawn.tolist() == [1, 1, 1, 1]
    assert z[:, 2:].tolist() == [[0.0, 1.0, 0.0]] * 4


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor], ids=["list", "numpy", "tensor"])
def test_a_component_for_every_code(kind):
    z, drawn = DiscreteContinuousPrior(3, 2).sample(4, kind([2, 0, 1, 2]), generator=seeded())
    assert drawn.tolist() == z[:, 2:].argmax(1).tolist() == [2, 0, 1, 2]


def test_given_components_keep_the_noise_random():
    z, _ = DiscreteContinuousPrior(3, 2).sample(500, labels=0, generator=seeded())
    assert z[:, 0].unique().numel() > 450


def test_a_generator_decides_everything_and_leaves_the_global_one_alone():
    prior = DiscreteContinuousPrior(5, 3)
    before = torch.get_rng_state()
    first, second, other = (prior.sample(20, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.get_rng_state().equal(before)
    assert first[0].equal(second[0]) and first[1].equal(second[1])
    assert not first[0].equal(other[0]) and not first[1].equal(other[1])


def test_without_a_generator_the_global_one_decides():
    prior = DiscreteContinuousPrior(5, 3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = prior.sample(20)
        following = prior.sample(20)
        torch.manual_seed(3)
        again = prior.sample(20)
    assert first[0].equal(again[0]) and first[1].equal(again[1])
    assert not first[0].equal(following[0])


def test_split_undoes_the_concatenation():
    prior = DiscreteContinuousPrior(4, 6)
    z = torch.randn(5, prior.dim)
    z_n, z_c = prior.split(z)
    assert z_n.shape == (5, 6) and z_c.shape == (5, 4)
    assert torch.cat([z_n, z_c], 1).equal(z)


def test_draws_where_it_is_asked_to():
    z, labels = DiscreteContinuousPrior(3, 2).sample(4, device="meta")
    assert z.device.type == labels.device.type == "meta"


def test_one_component_and_no_codes():
    z, labels = DiscreteContinuousPrior(1, 2).sample(0)
    assert z.shape == (0, 3) and labels.shape == (0,)


def test_is_a_value():
    prior = DiscreteContinuousPrior(3, 2, sigma=0.2)
    assert pickle.loads(pickle.dumps(prior)) == prior
    with pytest.raises(FrozenInstanceError):
        prior.sigma = 1.0


@pytest.mark.parametrize("labels", [3, -1, [0, 1, 3]], ids=str)
def test_unknown_component(labels):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2, got"):
        DiscreteContinuousPrior(3, 2).sample(3, labels)


@pytest.mark.parametrize("parameters", [(0, 2), (3, 0), (3, 2, 0.0), (3, 2, -1.0)], ids=str)
def test_parameters_out_of_range(parameters):
    with pytest.raises(ValueError, match="at least 1 and sigma positive, got n_clusters="):
        DiscreteContinuousPrior(*parameters)
