"""DCANClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import nn

from skdeepcluster import DCANClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.models.code_mixture import (
    SETTLING_STEPS,
)
from skdeepcluster.models.pulls import (
    EuclideanPull,
)

LOSSES = ["adversarial", "euclidean", "kl"]
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


def test_training_starts_dead_components_anew(blobs):
    """Of three components and a buffer of two codes, one explains less than half a code."""
    with pytest.warns(ConvergenceWarning, match="were started anew"):
        DCANClustering(3, buffer_size=2, **SMALL).fit(blobs[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mixture_moves_at_its_interval(blobs, loss, monkeypatch):
    steps = []
    em_step = EuclideanPull.em_step
    monkeypatch.setattr(
        "skdeepcluster.models.code_mixture.CodeMixture.em_step",
        lambda model: steps.append(1) or em_step(model),
    )
    DCANClustering(3, clustering_loss=loss, batches_per_em_step=2, **SMALL).fit(blobs[0])
    assert len(steps) == 13 + SETTLING_STEPS  # every other one of 5 epochs of 5 batches


# -- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_codes_contract(loss):
    """The share of the codes' variance that lies within clusters falls; .15 is where it starts."""
    X, _ = make_blobs(300, n_features=6, centers=3, cluster_std=3, random_state=3)
    settings = {**SMALL, "clustering_loss": loss, "reconstruction_weight": 1, "max_epochs": 20}
    model = DCANClustering(3, standardize_codes=True, **settings).fit(X)
    start = next(r for r in model.history_ if r["phase"] == "clustering")["within_variance"]
    codes = model.transform(X)
    within = (codes - model.code_centers_[model.labels_]).var() / codes.var(0).mean()
    assert within < start / 2


def test_neither_player_wins(blobs):
    """Were the discriminator always right, or no better than chance, nothing could be learnt."""
    model = DCANClustering(3, **{**SMALL, "max_epochs": 30}).fit(blobs[0])
    accuracy = [r["critic_accuracy"] for r in model.history_ if r["phase"] == "clustering"]
    assert 0.52 < np.mean(accuracy[20:]) < 0.95


def test_the_game_alone_standardises_codes_unless_asked_to(blobs):
    def standardises(loss, **params):
        model = DCANClustering(3, clustering_loss=loss, **params, **SMALL).fit(blobs[0])
        return isinstance(model.module_.standardize, nn.BatchNorm1d)

    assert [standardises(loss) for loss in LOSSES] == [True, False, False]
    assert standardises("euclidean", standardize_codes=True)
    assert not standardises("adversarial", standardize_codes=False)


def test_only_the_game_has_a_discriminator(blobs):
    for loss in ("euclidean", "kl"):
        model = DCANClustering(3, clustering_loss=loss, **SMALL).fit(blobs[0])
        assert not hasattr(model.module_, "critic")
        assert not any("critic_loss" in record for record in model.history_)


def test_the_discriminator_learns_at_its_own_rate(blobs):
    def critic_after(**params):
        settings = {**SMALL, "max_epochs": 1, **params}
        return DCANClustering(3, **settings).fit(blobs[0]).module_.critic[0].weight

    assert not torch.equal(critic_after(), critic_after(critic_lr=1e-4))


def test_a_critic_of_ones_own_sees_codes_and_components(blobs):
    def critic(shape):
        shapes.append(shape)
        return nn.Sequential(nn.Linear(*shape, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))

    shapes = []
    model = DCANClustering(3, critic=critic, **SMALL).fit(blobs[0])
    assert shapes == [(2 + 3,)]
    assert _widths(model.module_.critic) == [5, 1]


def test_the_discriminator_may_have_more_updates(blobs):
    def losses(**params):
        settings = {**SMALL, "max_epochs": 1, **params}
        return DCANClustering(3, **settings).fit(blobs[0]).history_[-1]["critic_loss"]

    assert losses() == losses(n_critic=1) != losses(n_critic=3)


def test_networks_have_the_sizes_asked_for(blobs):
    settings = {**SMALL, "critic_hidden_layer_sizes": (7, 5)}
    model = DCANClustering(3, conditional=False, **settings).fit(blobs[0]).module_
    assert _widths(model.encoder) == [32, 2]
    assert _widths(model.critic) == [7, 5, 1]
    assert model.critic[0].in_features == 2
    conditional = DCANClustering(3, **settings).fit(blobs[0]).module_
    assert conditional.critic[0].in_features == 2 + 3
    kl = DCANClustering(3, clustering_loss="kl", **SMALL).fit(blobs[0]).module_
    assert _widths(kl.encoder) == [32, 4]


def _widths(network: nn.Sequential) -> list[int]:
    return [layer.out_features for layer in network if isinstance(layer, nn.Linear)]


# -- the fitted estimator -------------------------------------------------------------------------


def test_the_paper_to_the_letter_has_no_decoder(blobs):
    settings = {**SMALL, "pretrain_epochs": 0, "reconstruction_weight": 0}
    model = DCANClustering(3, sample_scale=1, conditional=False, **settings).fit(blobs[0])
    assert model.module_.decoder is None
    assert {record["phase"] for record in model.history_} == {"clustering"}
    assert all("reconstruction" not in record for record in model.history_)
    for maker in ("sample", "inverse_transform", "score", "score_samples"):
        assert not hasattr(model, maker)
    np.testing.assert_array_equal(model.predict(blobs[0]), model.labels_)


def test_without_its_weight_the_decoder_stays_where_pretraining_left_it(blobs):
    settings = {**SMALL, "reconstruction_weight": 0}
    before = DCANClustering(3, **{**settings, "max_epochs": 0}).fit(blobs[0]).module_.decoder
    after = DCANClustering(3, **settings).fit(blobs[0]).module_.decoder
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_are_those_of_the_mixture(blobs, loss):
    model = DCANClustering(3, clustering_loss=loss, **SMALL).fit(blobs[0])
    prior = model.module_.prior
    reference = GaussianMixture(3, covariance_type="diag")
    reference.weights_ = prior.log_weights().exp().double().numpy()
    reference.means_ = prior.means.double().numpy()
    reference.precisions_cholesky_ = (-prior.log_variances.double() / 2).exp().numpy()
    expected = reference.predict_proba(model.transform(blobs[0]).astype(float))
    np.testing.assert_allclose(model.predict_proba(blobs[0]), expected, atol=1e-4)
    np.testing.assert_array_equal(model.code_centers_, prior.means)


def test_samples_come_from_the_component(blobs):
    model = DCANClustering(3, **SMALL).fit(blobs[0])
    codes = model._sample_codes(np.full(4000, 1), np.random.RandomState(0))
    prior = model.module_.prior
    deviation = (prior.log_variances[1] / 2).exp().numpy()
    np.testing.assert_allclose(codes.mean(0), prior.means[1], atol=0.1 * deviation.max())
    np.testing.assert_allclose(codes.std(0), deviation, rtol=0.1)


def test_dead_components_are_dropped(blobs):
    with pytest.warns(UserWarning, match="have members"):
        model = DCANClustering(60, **SMALL).fit(blobs[0])
    assert model.n_clusters_ < 60
    assert model.code_centers_.shape == (model.n_clusters_, 2)
    rows, labels = model.sample(20, cluster=model.n_clusters_ - 1, random_state=0)
    assert rows.shape == (20, 6) and (labels == model.n_clusters_ - 1).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_digits(loss):
    """Well above chance, which is below .2."""
    X, y = load_small_digits(return_X_y=True)
    settings = {**SMALL, "hidden_layer_sizes": (128,), "latent_dim": 10, "lr": 2e-3}
    model = DCANClustering(10, clustering_loss=loss, **settings).fit(X[:900])
    assert clustering_accuracy(y[:900], model.labels_) > 0.4


# -- what it trains by ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_weighted_sum_of_the_terms(blobs, loss):
    settings = {**SMALL, "max_epochs": 2, "reconstruction_weight": 7.0}
    model = DCANClustering(3, clustering_loss=loss, **settings)
    phases = phases_of(model, blobs[0])
    assert list(phases) == ["pretraining", "clustering", "settling"]
    groups = [turn.player for turn in phases["clustering"].turns]
    assert groups == ["critic", "model"][loss != "adversarial" :]
    for record in model.history_[SMALL["pretrain_epochs"] :]:
        assert_loss_is(record, "model_loss", clustering=1.0, reconstruction=7.0)


def test_weights_in_the_mixture_stand_for_repeated_rows(blobs):
    """From its start by k-means to its settling, with encoders that do not move."""
    weight = np.where(blobs[1] == 0, 3, 1)
    settings = {**SMALL, "pretrain_epochs": 0, "max_epochs": 0, "standardize_codes": False}
    settings |= {"scaling": None}
    weighted = DCANClustering(3, **settings).fit(blobs[0], sample_weight=weight)
    repeated = DCANClustering(3, **settings).fit(np.repeat(blobs[0], weight, axis=0))
    for model in (weighted, repeated):
        model.order = model.code_centers_[:, 0].argsort()
    for name in ("means", "log_variances"):
        one, other = (getattr(m.module_.prior, name)[m.order] for m in (weighted, repeated))
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)
    shares = weighted.module_.prior.log_weights().exp()[weighted.order]
    torch.testing.assert_close(
        shares, repeated.module_.prior.log_weights().exp()[repeated.order], rtol=1e-2, atol=1e-3
    )
    assert weighted.module_.recent_weight.unique().numel() == 2


def test_the_mixture_settles_on_codes_as_prediction_sees_them(blobs):
    model = DCANClustering(3, **SMALL, buffer_size=200).fit(blobs[0])
    recent, codes = model.module_.recent.numpy(), model.transform(blobs[0])
    np.testing.assert_allclose(np.sort(recent, axis=0), np.sort(codes, axis=0), atol=1e-5)


def test_a_fit_outlives_its_parameters(blobs):
    model = DCANClustering(
        3, **{**SMALL, "max_epochs": 1, "pretrain_epochs": 0}, reconstruction_weight=0.0
    ).fit(blobs[0])
    assert not hasattr(model, "sample")
    assert not hasattr(model.set_params(reconstruction_weight=1.0), "sample")
    with pytest.raises(ValueError, match=r"decoder=.* would have no effect"):
        model.set_params(reconstruction_weight=0.0, decoder=nn.Identity).fit(blobs[0])
