"""What is drawn follows the stated law, and only the stated generator moves."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from skdeepcluster.priors import (
    DiscreteContinuousPrior,
    GaussianMixturePrior,
    SeparatedGaussiansPrior,
)


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


def test_memberships_mix_the_centers():
    prior = DiscreteContinuousPrior(3, 2)
    assert prior.center(torch.tensor([[0.5, 0.25, 0.25]])).tolist() == [[0, 0, 0.5, 0.25, 0.25]]


# -- separated Gaussians --------------------------------------------------------------------------


@pytest.mark.parametrize("n_clusters", [1, 2, 10, 100])
@pytest.mark.parametrize("latent_dim", [1, 10])
@pytest.mark.parametrize("sigma", [0.1, 3.0])
def test_means_are_nine_sigma_apart(n_clusters, latent_dim, sigma):
    prior = SeparatedGaussiansPrior(n_clusters, latent_dim, sigma)
    means = prior.center(torch.eye(n_clusters))
    assert means.shape == (n_clusters, prior.dim)
    apart = torch.nn.functional.pdist(means)
    torch.testing.assert_close(apart, torch.full_like(apart, 9 * sigma))


def test_components_are_round_gaussians():
    prior = SeparatedGaussiansPrior(3, 2, sigma=0.5)
    z, labels = prior.sample(6000, generator=seeded())
    assert z.shape == (6000, 5)
    noise = (z - prior.center(torch.eye(3))[labels]) / prior.sigma
    for label in range(3):
        quantiles = Normal(0.0, 1.0).cdf(noise[labels == label].flatten())
        assert stats.kstest(quantiles.numpy(), "uniform").pvalue > 0.01
    torch.testing.assert_close(torch.cov(noise.T), torch.eye(5), rtol=0, atol=0.1)
    assert stats.chisquare(torch.bincount(labels).numpy()).pvalue > 0.01


# -- mixture of Gaussians -------------------------------------------------------------------------


@pytest.fixture
def mixture():
    """Three unequal components in four dimensions, and the same in torch's words."""
    generator = seeded(4)
    prior = GaussianMixturePrior(3, 4).double()
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.double)
    means = 3 * torch.randn(3, 4, generator=generator, dtype=torch.double)
    variances = 0.1 + 4 * torch.rand(3, 4, generator=generator, dtype=torch.double)
    prior.place(weights, means, variances)
    components = Independent(Normal(means, variances.sqrt()), 1)
    return prior, MixtureSameFamily(Categorical(weights), components)


def test_the_density_of_a_mixture_is_exact(mixture):
    prior, reference = mixture
    z = 5 * torch.randn(50, 4, generator=seeded(), dtype=torch.double)
    torch.testing.assert_close(prior.log_joint(z).logsumexp(1), reference.log_prob(z))
    by_component = reference.component_distribution.log_prob(z[:, None])
    joint = by_component + reference.mixture_distribution.logits
    torch.testing.assert_close(prior.log_joint(z), joint)
    torch.testing.assert_close(prior.log_joint(z).softmax(1), joint.softmax(1))


def test_responsibilities_of_far_codes_stay_finite(mixture):
    far = mixture[0].float().log_joint(torch.full((1, 4), 1e6))
    assert far.softmax(1).sum().item() == pytest.approx(1)


def test_the_density_of_a_mixture_has_its_derivatives(mixture):
    prior, _ = mixture
    z = torch.randn(5, 4, generator=seeded(), dtype=torch.double, requires_grad=True)

    def density(z, *parameters):
        named = dict(zip(("logits", "means", "log_variances"), parameters, strict=True))
        return torch.func.functional_call(
            _Joint(prior), {f"prior.{n}": p for n, p in named.items()}, z
        )

    assert torch.autograd.gradcheck(density, (z, *prior.parameters()))


class _Joint(torch.nn.Module):
    """A door to log_joint."""

    def __init__(self, prior):
        super().__init__()
        self.prior = prior

    def forward(self, z):
        return self.prior.log_joint(z)


def test_draws_of_a_mixture_follow_it(mixture):
    prior, reference = mixture
    z, labels = prior.sample(6000, generator=seeded())
    expected = reference.mixture_distribution.probs * 6000
    assert stats.chisquare(torch.bincount(labels).numpy(), expected.numpy()).pvalue > 0.01
    for label in range(3):
        parts = Normal(prior.means[label], (prior.log_variances[label] / 2).exp())
        quantiles = parts.cdf(z[labels == label]).flatten()
        assert stats.kstest(quantiles.detach().numpy(), "uniform").pvalue > 0.01
    assert not z.requires_grad


def test_draws_of_a_component(mixture):
    z, labels = mixture[0].sample(5, labels=[2, 0, 2, 1, 1], generator=seeded())
    again, _ = mixture[0].sample(5, labels=labels, generator=seeded())
    assert labels.tolist() == [2, 0, 2, 1, 1] and z.equal(again)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2, got"):
        mixture[0].sample(2, labels=3)


def test_an_empty_component_is_finite():
    prior = GaussianMixturePrior(2, 1)
    prior.place(torch.tensor([1.0, 0.0]), torch.zeros(2, 1), torch.ones(2, 1))
    assert torch.isfinite(prior.logits).all()
    assert prior.log_joint(torch.zeros(1, 1)).softmax(1)[0].tolist() == pytest.approx([1, 0])


@pytest.mark.parametrize("parameters", [(0, 2), (3, 0)], ids=str)
def test_a_mixture_of_nothing(parameters):
    with pytest.raises(ValueError, match="at least 1, got n_clusters="):
        GaussianMixturePrior(*parameters)


def test_steps_of_em_raise_the_likelihood_to_where_scikit_learns_mixture_ends(mixture):
    z, _ = mixture[0].sample(2000, generator=seeded())
    start = z[:3] + 0.5
    prior = GaussianMixturePrior(3, 4).double()
    prior.place(torch.full((3,), 1 / 3).double(), start, torch.ones(3, 4).double())
    likelihood = []
    for _ in range(300):
        joint = prior.log_joint(z)
        likelihood.append(joint.logsumexp(1).mean().item())
        prior.maximize(z, joint.softmax(1), 1e-6)
    assert np.diff(likelihood).min() > -1e-9
    reference = GaussianMixture(
        3, covariance_type="diag", means_init=start, tol=1e-9, max_iter=1000, reg_covar=0
    ).fit(z)
    assert likelihood[-1] == pytest.approx(reference.score(z), abs=1e-3)


def test_the_m_step_takes_moments(mixture):
    """Whole rows may be weighted, variances are bounded below, an empty component stays."""
    z = torch.tensor([[1e4], [1e4 + 2], [1e4 + 6], [1e4 + 6]])
    r = torch.tensor([[1.0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 2, 0]])
    prior = GaussianMixturePrior(3, 1)
    prior.maximize(z, r, 0.01)
    torch.testing.assert_close(prior.log_weights().exp(), torch.tensor([0.5, 0.5, 0]))
    torch.testing.assert_close(prior.means, torch.tensor([[1e4 + 1.5], [1e4 + 6], [0]]))
    variances = torch.tensor([[0.25 * 1.5**2 + 0.75 * 0.5**2], [0.01], [1]])
    torch.testing.assert_close(prior.log_variances.exp(), variances)


def test_halves_of_a_component_lie_on_both_sides_of_it(mixture):
    prior, _ = mixture
    weights, mean = prior.log_weights().exp(), prior.means[1].clone()
    axis = prior.log_variances[1].argmax()
    deviation = (prior.log_variances[1, axis] / 2).exp()
    prior.split(1, 2)
    torch.testing.assert_close(prior.log_weights().exp()[1:], weights[[1, 1]] / 2 / 0.7)
    torch.testing.assert_close(prior.means[[1, 2]].mean(0), mean)
    torch.testing.assert_close(prior.means[2, axis] - prior.means[1, axis], 2 * deviation)
    torch.testing.assert_close(prior.log_variances[1], prior.log_variances[2])
