"""What the players of HRWAE-GAN pay, and whom it moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hierarchies import BRIEF, QUIET, REGULARIZERS, THREE, batch_of, gradients, model_of, rows_of
from skorch.callbacks import Callback
from torch import nn
from torch.distributions import Normal, kl_divergence

from skdeepcluster import HRWAEGANClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.models.hierarchy import (
    Gaussian,
    Latent,
    _discrepancy,
    _mismatch,
    _surprise,
)


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_every_term_is_named_and_off_at_zero_weight(blobs):
    names = {"reconstruction", "noise", "matching", "prior", "noise_share", "refresh_seconds"}
    names |= {f"{term}_{i}" for term in ("regularization", "discrimination") for i in range(2)}
    settings = {**BRIEF, "max_epochs": 4, "epochs_per_refresh": 2}
    recorded = set().union(*HRWAEGANClustering(**settings).fit(blobs[0]).history_)
    assert names <= recorded
    off = {"regularization_weight": 0.0, "matching_weight": 0.0, "max_epochs": 4}
    history = HRWAEGANClustering(**QUIET | off).fit(blobs[0]).history_
    for record in history:
        expected = record["reconstruction"] + record["prior"]  # the prior cells stand apart
        assert record["autoencoder_loss"] == pytest.approx(expected, rel=1e-4)
    assert not {"noise", "noise_share", "refresh_seconds"} & set().union(*history)


def test_noise_weighs_more_in_the_reconstruction_alone():
    """Equation 3.11 with beta = .15 is a weight of 1.15."""
    noise = torch.tensor([0.0, 1.0, 1.0, 0.0])
    terms = model_of()(batch_of(rows_of(4), noise=noise), "autoencoding")
    torch.testing.assert_close(terms["noise"], noise * terms["reconstruction"])
    weights = HRWAEGANClustering(outlier_weight=0.15)._cycle(0).weights
    assert weights["noise"] == 0.15 and "reconstruction" not in weights


def test_reconstruction_is_a_cross_entropy_of_black_and_white_images_alone(blobs):
    X, _ = load_small_digits(return_X_y=True)
    model = HRWAEGANClustering(**BRIEF).fit(X[:200]).module_
    output, rows = torch.randn(5, 64), torch.from_numpy(X[:5])
    expected = nn.functional.binary_cross_entropy_with_logits(output, rows, reduction="none")
    torch.testing.assert_close(model._error(output, rows), expected.mean(1))
    model = HRWAEGANClustering(**BRIEF).fit(blobs[0]).module_
    output, rows = torch.randn(2, 5, 6)
    torch.testing.assert_close(model._error(output, rows), (output - rows).square().mean(1))


def test_the_prior_term_moves_the_prior_cells_alone():
    model = model_of(**THREE)
    moved = gradients(model, model(batch_of(rows_of(8)), "autoencoding")["prior"])
    assert moved and all(name.startswith("decoder.priors") for name in moved)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_what_regularizes_leaves_the_prior_cells_alone(regularizer):
    model, batch = model_of(regularizer=regularizer, n_groups=2), batch_of(rows_of(8))
    for index in range(2):
        moved = gradients(model, model(batch, "autoencoding")[f"regularization_{index}"])
        assert any(name.startswith("encoder") for name in moved)
        assert not any(name.startswith("decoder.priors") for name in moved)


def test_discriminators_learn_from_detached_codes():
    model = model_of(**THREE)
    batch = batch_of(rows_of(8))
    terms = model(batch, "discrimination")
    assert list(terms) == ["discrimination_0", "discrimination_1", "discrimination_2"]
    moved = gradients(model, sum(terms.values()))
    assert moved and all(name.startswith("discriminators") for name in moved)


class Witness(nn.Module):
    """A discriminator that remembers what it was shown, and judges by the first coordinate."""

    def forward(self, z, features=None):
        self.z, self.features = z, features
        return z[:, 0]


@pytest.mark.parametrize("regularizer", ["relativistic", "standard"])
def test_real_and_fake_codes_come_with_the_same_map(regularizer):
    """D_l is conditional for l >= 1, and equations 3.3 to 3.6 hold group by group."""
    model = model_of(regularizer=regularizer, n_groups=2)
    model.discriminators = nn.ModuleList([Witness(), Witness()])
    batch = batch_of(rows_of(8))
    for loss, prefix in (("discrimination", "discrimination"), ("autoencoding", "regularization")):
        terms = model(batch, loss)
        first, second = model.discriminators
        assert first.features is None
        assert second.features[:8].equal(second.features[8:])
        assert not second.features.requires_grad
        for index, judge in enumerate((first, second)):
            real, fake = judge.z[:8, 0], judge.z[8:, 0]
            if regularizer == "relativistic":
                expected = -torch.sigmoid(real - fake).log()
                if loss == "autoencoding":
                    expected = -torch.sigmoid(fake - real).log()
            elif loss == "autoencoding":
                expected = -torch.sigmoid(fake).log()
            else:
                expected = -torch.sigmoid(real).log() - (1 - torch.sigmoid(fake)).log()
            torch.testing.assert_close(terms[f"{prefix}_{index}"], expected)


def test_layer_matching_compares_the_maps_that_the_combiners_see():
    """Equation 3.10."""
    model = model_of(**THREE).eval()
    seen = []
    for combiner in model.encoder.combiners:
        combiner.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    matching = model(batch_of(rows_of(8)), "autoencoding")["matching"]
    halves = [maps.chunk(2, dim=1) for maps in seen]
    expected = sum(1 - nn.functional.cosine_similarity(*pair) for pair in halves)
    torch.testing.assert_close(matching, expected)
    moved = gradients(model, matching)
    assert any(name.startswith("decoder.cells") for name in moved)
    detached = [name for name in moved if name.startswith("encoder.combiners.1")]
    assert not detached  # z_2 enters below the last comparison


def test_the_decoder_imitates_the_encoder_and_not_the_other_way_round():
    nought, features, seen = torch.zeros(2, 2), torch.randn(2, 3), torch.randn(2, 3)
    features.requires_grad_(), seen.requires_grad_()
    posterior = Gaussian(nought, nought)
    _mismatch(Latent(nought, posterior, posterior, features, seen)).sum().backward()
    assert features.grad.any() and seen.grad is None


# -- closed forms ---------------------------------------------------------------------------------


def told(group):
    """Return a posterior, a prior and a code of a group, all different."""
    generator = torch.Generator().manual_seed(group)
    parameters = torch.randn(5, 9, 2, generator=generator)
    posterior, prior = Gaussian(*parameters[:2]), Gaussian(*parameters[2:4])
    return Latent(parameters[4], posterior, prior)


def by_torch(gaussian):
    return Normal(gaussian.mean, (gaussian.log_variance / 2).exp())


def test_the_divergence_is_from_the_posterior_to_the_prior_per_dimension():
    model, latents = model_of(regularizer="kl"), [told(0), told(1)]
    for index, latent in enumerate(latents):
        expected = kl_divergence(by_torch(latent.posterior), by_torch(latent.prior)).mean(1)
        torch.testing.assert_close(model._regularization(index, latents), expected)


def test_the_prior_term_is_the_surprise_per_dimension():
    latent = told(0)
    expected = -by_torch(latent.prior).log_prob(latent.z).mean(1)
    torch.testing.assert_close(_surprise(latent), expected)


def test_codes_like_their_prior_have_no_discrepancy():
    """Wherever the prior is; and a code that copies an earlier group is told by its company."""
    earlier, noise = torch.randn(2, 400, 2)
    prior = Gaussian(torch.full((400, 2), 7.0), torch.full((400, 2), 3.0))
    alike = Latent(7 + np.exp(1.5) * noise, prior, prior)
    copied = Latent(7 + np.exp(1.5) * earlier, prior, prior)
    assert abs(_discrepancy(alike, [earlier]).item()) < 0.02
    assert abs(_discrepancy(copied, []).item()) < 0.02
    assert _discrepancy(copied, [earlier]).item() > 0.1


def test_a_group_that_is_not_given_is_drawn_from_its_prior():
    class Asking(nn.Module):
        def forward(self, z, choose):
            return choose(1, None, torch.tensor([[5.0, 6.0, 2.0, -2.0]]))

    model = model_of(n_groups=2)
    model.decoder, model.is_binary = Asking(), False
    found = model._descend({}, torch.ones(1, 2, 2))
    prior = Gaussian.of(torch.tensor([[5.0, 6.0, 2.0, -2.0]]))
    torch.testing.assert_close(found, prior.mean + (prior.log_variance / 2).exp())


def test_the_discriminators_learn_at_their_own_rate(blobs):
    rates = []

    class Rates(Callback):
        def on_train_begin(self, net, **kwargs):
            rates.append([net.optimizer_of(g).defaults["lr"] for g in ("autoencoder", "critic")])

    HRWAEGANClustering(**BRIEF, critic_lr=0.25, callbacks=[Rates()]).fit(blobs[0])
    assert rates == [[1e-2, 0.25]]
