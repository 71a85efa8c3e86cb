"""VaDEClustering: what is its own."""

from __future__ import annotations

from math import exp, log, pi

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence

from skdeepcluster import VaDEClustering
from skdeepcluster.datasets import load_digits
from skdeepcluster.engine.schedule import Progress
from skdeepcluster.estimators._variational import LEAST_VARIANCE, Observation
from skdeepcluster.estimators.vade import VaDE, _step_decay
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.scaling import Scaling

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "pretrain_epochs": 10,
    "max_epochs": 5,
    "device": "cpu",
    "random_state": 0,
}


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
    mean, log_variance = model.posterior({"X": rows})
    terms = model._terms(rows, mean, log_variance, mean)
    assert terms["reconstruction"].item() == pytest.approx(0.5 * log(2 * pi))
    assert terms["latent"].item() == pytest.approx(sum(np.multiply(gamma, divergence)))
    component = gamma[0] * log(gamma[0] / 0.25) + gamma[1] * log(gamma[1] / 0.75)
    assert terms["component"].item() == pytest.approx(component)
    assert model.elbo({"X": rows}).item() == pytest.approx(-sum(t.item() for t in terms.values()))
    memberships = model.log_memberships({"X": rows}).softmax(1)[0]
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


def test_bounded_rows_are_bernoulli_and_others_gaussian(blobs):
    X, _ = load_digits(return_X_y=True)
    bernoulli = VaDEClustering(3, **{**SMALL, "max_epochs": 1}).fit(X[:200])
    assert bernoulli.module_.observation.log_variance is None
    rows, _ = bernoulli.sample(50, random_state=0)
    assert rows.min() >= 0 and rows.max() <= 1
    assert (bernoulli.score_samples(X) < 0).all()
    gaussian = VaDEClustering(3, **SMALL).fit(blobs[0])
    assert gaussian.module_.observation.log_variance.shape == (6,)
    assert (gaussian.module_.observation.log_variance < 0).all()  # learnt: residuals are small


def test_the_mixture_starts_where_the_codes_are(blobs):
    model = VaDEClustering(3, **{**SMALL, "max_epochs": 0}).fit(blobs[0])
    codes, prior = model.transform(blobs[0]), model.module_.prior
    for label in range(3):
        members = codes[model.labels_ == label]
        np.testing.assert_allclose(model.cluster_centers_[label], members.mean(0), atol=1e-2)
    _, log_variance = model.module_.posterior({"X": torch.zeros(1, 6)})
    assert (log_variance < prior.log_variances.amin(0)).all()
    assert (log_variance > prior.log_variances.amin(0) - 0.2).all()


def test_training_raises_the_bound(blobs):
    scores = [
        VaDEClustering(3, **{**SMALL, "max_epochs": epochs}).fit(blobs[0]).score(blobs[0])
        for epochs in (0, 20)
    ]
    assert scores[1] > scores[0] + 1


def test_the_learning_rate_falls_by_steps():
    factors = [_step_decay(Progress(epoch, 0, 0.0)) for epoch in (0, 9, 10, 25, 1000)]
    assert factors == pytest.approx([1, 1, 0.9, 0.81, 0.1])


def test_the_bound_is_trained_at_a_falling_rate(blobs):
    rates = []

    class Rate(Callback):
        def on_epoch_end(self, net, **kwargs):
            optimizer = net.optimizer_of("model")
            rates.append((net.phase_.name, optimizer.param_groups[0]["lr"], optimizer.defaults))

    settings = {**SMALL, "pretrain_epochs": 1, "max_epochs": 21}
    VaDEClustering(3, **settings, callbacks=[Rate()]).fit(blobs[0])
    found = [rate for phase, rate, _ in rates if phase == "elbo"]
    assert found == pytest.approx([1e-2] * 10 + [9e-3] * 10 + [8.1e-3])
    assert rates[-1][2]["eps"] == 1e-4


def test_weights_count_in_a_start_from_labels(blobs):
    settings = {**SMALL, "max_epochs": 0, "init": blobs[1]}
    weight = np.where(blobs[1] == 0, 10.0, 1.0)
    model = VaDEClustering(3, **settings).fit(blobs[0], sample_weight=weight)
    shares = model.module_.prior.log_weights().exp().tolist()
    assert shares == pytest.approx([10 / 12, 1 / 12, 1 / 12])


def test_clusters_are_sampled_from_their_components(blobs):
    model = VaDEClustering(3, **SMALL).fit(blobs[0])
    prior = model.module_.prior
    codes = model._sample_codes(np.full(4000, 1), np.random.RandomState(0))
    np.testing.assert_allclose(codes.mean(0), prior.means[1].detach(), atol=0.1)
    np.testing.assert_allclose(codes.var(0), prior.log_variances[1].exp().detach(), rtol=0.1)


def test_prediction_draws_nothing(blobs):
    model = VaDEClustering(3, **SMALL).fit(blobs[0])
    torch.testing.assert_close(model.score_samples(blobs[0]), model.score_samples(blobs[0]))
    joint = model.module_.prior.log_joint(torch.from_numpy(model.transform(blobs[0])))
    np.testing.assert_allclose(model.predict_proba(blobs[0]), joint.softmax(1).detach(), atol=1e-6)


def test_a_fit_outlives_its_parameters(blobs):
    model = VaDEClustering(3, **{**SMALL, "max_epochs": 1}).fit(blobs[0])
    rows, score = model.sample(5, random_state=0)[0], model.score(blobs[0])
    model.set_params(n_clusters=7, latent_dim=4)
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], rows)
    assert model.score(blobs[0]) == score


def test_digits():
    """Well above chance, which is below .2, and the bound rises from where the mixture starts."""
    X, y = load_digits(return_X_y=True)
    settings = {**SMALL, "latent_dim": 10, "hidden_layer_sizes": (256, 128), "lr": 2e-3}
    settings |= {"batch_size": 100, "pretrain_epochs": 20, "max_epochs": 15}
    model = VaDEClustering(10, **settings).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.6
    bounds = [r["train_loss"] for r in model.history_ if r["phase"] == "elbo"]
    assert bounds[-1] < bounds[0] - 2


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_codes_that_are_all_alike_are_one_cluster(noise):
    """Far from 0, where rounding would swallow what is left of their variance."""
    rows = 5 + noise * np.random.RandomState(0).standard_normal((60, 4))
    for seed in range(5):
        model = VaDEClustering(
            3,
            hidden_layer_sizes=(8,),
            latent_dim=3,
            pretrain_epochs=2,
            max_epochs=1,
            scaling=None,
            device="cpu",
            random_state=seed,
        )
        assert -1e4 < model.fit(rows).score(rows) < 100


def test_what_lies_beyond_the_unit_interval_counts_as_a_gaussian_error():
    observation = Observation((2,), True)
    rows = torch.tensor([[1.0, 0.5], [2.0, 0.5], [-1.0, 1.2]])
    found = observation.log_likelihood(torch.zeros(3, 2), rows)
    bernoulli = 2 * np.log(0.5)  # whatever a row in [0, 1] is, as the logits are 0
    np.testing.assert_allclose(found, bernoulli - np.array([0, 1, 1.04]) / 0.02, rtol=1e-6)
