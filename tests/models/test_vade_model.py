"""The model of VaDE."""

from __future__ import annotations

from math import exp, log, pi

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence

from skdeepcluster.engine.schedule import Progress
from skdeepcluster.models.vade import VaDE, _step_decay
from skdeepcluster.models.variational import LEAST_VARIANCE, Observation
from skdeepcluster.scaling import Scaling


@pytest.fixture
def model() -> VaDE:
    """One-dimensional codes that are the rows; components N(0, 1) and N(2, 4), weights 1/4, 3/4."""
    model = VaDE(Scaling((1,)), _MeanAndZero(), nn.Identity(), 2, 1)
    weights, means = torch.tensor([0.25, 0.75]), torch.tensor([[0.0], [2.0]])
    model.prior.place(weights, means, torch.tensor([[1.0], [4.0]]))
    model.observation.log_variance.data.fill_(log(1 - LEAST_VARIANCE))  # a variance of 1
    model.log_variance_bias.data.fill_(log(0.25))
    return model


class _MeanAndZero(nn.Module):
    """An encoder whose mean is the row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, torch.zeros_like(x)], 1)


def test_the_terms_worked_out_by_hand(model):
    """The row is 1, its posterior N(1, 1/4), and everything is evaluated at the mean."""
    joint = [
        0.25 * exp(-1 / 2) / (2 * pi) ** 0.5,  # one standard deviation from 0
        0.75 * exp(-1 / 8) / (8 * pi) ** 0.5,  # half of one from 2
    ]
    gamma = [density / sum(joint) for density in joint]
    divergence = [
        0.5 * (log(1 / 0.25) + 0.25 + 1 - 1),
        0.5 * (log(4 / 0.25) + 0.25 / 4 + 1 / 4 - 1),
    ]
    rows = torch.ones(1, 1)
    mean, log_variance = model.posterior(rows)
    terms = model._terms(rows, mean, log_variance, mean)
    assert terms["reconstruction"].item() == pytest.approx(0.5 * log(2 * pi))
    assert terms["latent"].item() == pytest.approx(sum(np.multiply(gamma, divergence)))
    component = gamma[0] * log(gamma[0] / 0.25) + gamma[1] * log(gamma[1] / 0.75)
    assert terms["component"].item() == pytest.approx(component)
    assert model.elbo({"X": rows}).item() == pytest.approx(-sum(t.item() for t in terms.values()))
    memberships = model.observe({"X": rows}, torch.arange(2))[1].softmax(1)[0]
    assert memberships.tolist() == pytest.approx(gamma)


def test_training_draws_the_code_and_takes_gamma_from_it(model):
    rows = torch.tensor([[1.0], [-1.0], [4.0]])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        terms = model.negative_elbo({"X": rows})
        torch.manual_seed(0)
        z = rows + 0.5 * torch.randn(3, 1)
    gamma = Categorical(logits=model.prior.log_joint(z))
    torch.testing.assert_close(terms["reconstruction"], -Normal(z, 1.0).log_prob(rows)[:, 0])
    components = Normal(model.prior.means[:, 0], (model.prior.log_variances[:, 0] / 2).exp())
    latent = (gamma.probs * kl_divergence(Normal(rows, 0.5), components)).sum(1)
    torch.testing.assert_close(terms["latent"], latent)
    prior = Categorical(logits=model.prior.logits)
    torch.testing.assert_close(terms["component"], kl_divergence(gamma, prior))


def test_the_bound_lies_below_the_likelihood(model):
    """Averaged over posteriors, the bound cannot pass log p(x), here known by adding variances."""
    rows = torch.tensor([[1.0]]).expand(20_000, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bound = -sum(term.mean() for term in model.negative_elbo({"X": rows}).values()).item()
    likelihood = 0.25 * exp(-1 / 4) / (4 * pi) ** 0.5 + 0.75 * exp(-1 / 10) / (10 * pi) ** 0.5
    assert bound < log(likelihood)
    assert bound > log(likelihood) - 0.5


def test_certain_memberships_have_finite_gradients(model):
    """A gamma that underflows has no logarithm of its own."""
    terms = model.negative_elbo({"X": torch.tensor([[500.0]])})
    sum(term.sum() for term in terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("bias", [-1e3, 1e3])
def test_posteriors_do_not_become_points_or_planes(model, bias):
    model.log_variance_bias.data.fill_(bias)
    terms = model.negative_elbo({"X": torch.tensor([[1.0]])})
    sum(term.sum() for term in terms.values()).backward()
    assert all(torch.isfinite(term).all() for term in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_learning_rate_falls_by_steps():
    factors = [_step_decay(Progress(epoch, 0, 0.0)) for epoch in (0, 9, 10, 25, 1000)]
    assert factors == pytest.approx([1, 1, 0.9, 0.81, 0.1])


def test_what_lies_beyond_the_unit_interval_counts_as_a_gaussian_error():
    observation = Observation((2,), True)
    rows = torch.tensor([[1.0, 0.5], [2.0, 0.5], [-1.0, 1.2]])
    found = observation.log_likelihood(torch.zeros(3, 2), rows)
    bernoulli = 2 * np.log(0.5)  # whatever a row in [0, 1] is, as the logits are 0
    np.testing.assert_allclose(found, bernoulli - np.array([0, 1, 1.04]) / 0.02, rtol=1e-6)
