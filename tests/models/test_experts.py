"""The autoencoder, the manager and the experts of MoEDC."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.experts import (
    ManagedAutoencoder,
    MixtureOfExperts,
    VariationalAutoencoder,
    principal_width,
    start_manager,
)
from skdeepcluster.networks import make_decoder, make_encoder, make_mlp
from skdeepcluster.scaling import Scaling


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def managed(k=3, width=6, latent_dim=2, bounded=True):
    encoder = make_encoder((width,), 2 * latent_dim, (8,))
    decoder = make_decoder(latent_dim, (width,), (8,))
    vae = VariationalAutoencoder(Scaling((width,), bounded=bounded), encoder, decoder)
    return ManagedAutoencoder(vae, make_mlp([latent_dim, 5, k]), k)


def experts(**options):
    """Experts who no longer agree."""
    model = MixtureOfExperts(managed(**options))
    for parameter in model.players()["experts"].parameters:
        parameter.data += 0.5 * torch.randn_like(parameter)
    return model.eval()


def likelihood(model, output, rows, expert=None):
    """Log p(x | z) by torch's distributions, from the output of one decoder."""
    if model.observation.log_variance is None:
        return Bernoulli(logits=output).log_prob(rows).sum(1)
    log_variance = model.observation.log_variance
    variance = 0.01 + (log_variance if expert is None else log_variance[expert, 0]).exp()
    return Normal(output, variance.sqrt()).log_prob(rows).sum(1)


def posterior(model, rows):
    mean, log_variance = model.encoder(rows).chunk(2, 1)
    return Normal(mean, (log_variance / 2).exp())


def alone(model, expert, z):
    """The output of one expert, layer by layer."""
    first, _, last = model.decoder
    hidden = (z @ first.weight[expert].T + first.bias[expert]).relu()
    return hidden @ last.weight[expert].T + last.bias[expert]


# -- the Z-finder -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spectrum():
    """Rows whose principal components have exactly 8, 4, 2, 1 and 1 sixteenths of the variance."""
    rng = np.random.RandomState(0)
    scores = rng.normal(size=(40, 5))
    scores, _ = np.linalg.qr(scores - scores.mean(0))
    axes, _ = np.linalg.qr(rng.normal(size=(7, 7)))
    return scores * np.sqrt([8, 4, 2, 1, 1]) @ axes[:5]


@pytest.mark.parametrize(
    ("share", "width"), [(0.1, 1), (0.49, 1), (0.51, 2), (0.74, 2), (0.8, 3), (0.9, 4), (0.99, 5)]
)
def test_the_width_explains_the_share_and_no_less_does(spectrum, share, width):
    assert principal_width(spectrum, share, 50, seed=0) == width


def test_components_that_hold_only_rounding_are_not_counted():
    rng = np.random.default_rng(0)
    for _ in range(20):  # of three columns that are given four times over
        rows = np.tile(rng.normal(size=(100, 3)), 4).astype(np.float32)
        assert principal_width(rows, 1.0, 50, seed=0) == 3


def test_the_width_has_its_bounds(spectrum):
    assert principal_width(spectrum, 0.99, 2, seed=0) == 2
    assert principal_width(spectrum, 1.0, 50, seed=0) <= 7
    assert principal_width(np.ones((9, 4)), 0.9, 50, seed=0) == 1


# -- the losses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bounded", [True, False])
def test_the_manager_joins_the_bound(bounded):
    """Each term by torch's distributions, at the noise that was drawn."""
    model, rows, label = managed(bounded=bounded), torch.rand(9, 6).round(), torch.arange(9) % 3
    torch.manual_seed(1)
    terms = model.negative_elbo({"X": rows, "label": label})
    torch.manual_seed(1)
    q = posterior(model, rows)
    z = q.mean + q.stddev * torch.randn(9, 2)
    found = likelihood(model, model.decoder(z), rows)
    torch.testing.assert_close(terms["reconstruction"], -found)
    torch.testing.assert_close(terms["latent"], kl_divergence(q, Normal(0.0, 1.0)).sum(1))
    routing = Categorical(logits=model.manager(z)).log_prob(label)
    torch.testing.assert_close(terms["routing"], -routing)
    assert len(terms) == 3


def test_experts_start_as_the_autoencoder():
    for bounded in (True, False):
        before = managed(bounded=bounded)
        if not bounded:
            before.observation.log_variance.data.normal_()
        model, rows = MixtureOfExperts(before), torch.rand(4, 6)
        z = before.codes({"X": rows})
        expected = before.observation.log_likelihood(before.decoder(z), rows)
        found = model.observation.log_likelihood(model._outputs(z), rows)
        torch.testing.assert_close(found, expected.expand(3, 4))


@pytest.mark.parametrize("bounded", [True, False])
def test_an_expert_learns_from_the_rows_that_the_manager_sends(bounded):
    model, rows = experts(bounded=bounded), torch.rand(9, 6).round()
    route = model.manager(posterior(model, rows).mean).argmax(1)
    last = model.manager[-1]
    last.bias.data[1] = -1e3  # nobody goes to expert 1
    route = model.manager(posterior(model, rows).mean).argmax(1)
    torch.manual_seed(1)
    found = model.routed({"X": rows})["reconstruction"]
    torch.manual_seed(1)
    q = posterior(model, rows)
    z = q.mean + q.stddev * torch.randn(9, 2)
    each = torch.stack([likelihood(model, alone(model, i, z), rows, i) for i in range(3)])
    torch.testing.assert_close(found, -each[route, torch.arange(9)])
    assert model.idle.tolist() == [i not in route for i in range(3)]
    found.sum().backward()
    assert all(p.grad is None for p in [*model.encoder.parameters(), *model.manager.parameters()])
    for parameter in model.players()["experts"].parameters:
        moved = parameter.grad.flatten(1).any(1)
        assert moved.tolist() == [i in route for i in range(3)]


@pytest.mark.parametrize("bounded", [True, False])
def test_the_score_is_the_bound_of_the_mixture(bounded):
    model, rows = experts(bounded=bounded), torch.rand(9, 6).round()
    q = posterior(model, rows)
    shares = model.manager(q.mean).softmax(1)
    each = [likelihood(model, alone(model, i, q.mean), rows, i).exp() for i in range(3)]
    expected = (shares * torch.stack(each, 1)).sum(1).log()
    expected = expected - kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(model.elbo({"X": rows}), expected, rtol=1e-4, atol=1e-4)


def test_a_code_names_the_expert_that_decodes_it():
    model, rows = experts(), torch.rand(9, 6)
    codes = model.codes({"X": rows})
    mean, route = (
        posterior(model, rows).mean,
        model.observe({"X": rows}, torch.arange(3))[1].argmax(1),
    )
    torch.testing.assert_close(codes[:, :2], mean)
    assert torch.equal(codes[:, 2:].argmax(1), route)
    decoded = model.decode(codes)
    for i, expert in enumerate(route):
        torch.testing.assert_close(decoded[i], alone(model, expert, mean)[i].sigmoid())


def test_the_manager_starts_as_the_nearest_mean_of_weighted_features(blobs):
    """Its logits are log-densities of round Gaussians, up to a constant per row."""
    rows, labels = blobs[0][:60], blobs[1][:60].astype(np.intp)
    weight = torch.from_numpy(np.where(np.arange(60) % 2, 3.0, 1.0)).float()
    model = managed(bounded=False)
    trainer = Trainer(model, optimizer=torch.optim.Adam).initialize()
    start_manager(trainer, Table(rows, weight=weight), labels)
    with torch.no_grad():
        features = model.features({"X": torch.from_numpy(rows)})
        logits = model.manager[-1](features)
    label = torch.from_numpy(labels)
    share = torch.nn.functional.one_hot(label, 3).float() * weight[:, None]
    means = share.T @ features / share.sum(0)[:, None]
    spread = (features - means[label]).square().mean()
    expected = -(features[:, None] - means).square().sum(2) / (2 * spread)
    found = logits.log_softmax(1)
    torch.testing.assert_close(found, expected.log_softmax(1), rtol=1e-4, atol=1e-3)
