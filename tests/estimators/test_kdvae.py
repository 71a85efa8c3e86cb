"""KDVAEClustering and KDAEClustering: what is their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skdeepcluster import (
    KDAEClustering,
    KDVAEClustering,
)
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (16,),
    "batch_size": 32,
    "lr": 1e-2,
    "init_epochs": 5,
    "max_epochs": 5,
    "init": "kmeans",
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_dead_networks_are_started_anew(blobs):
    """All rows start in one cluster, so two networks win nothing; in the end each has a blob."""
    settings = {**SMALL, "init": np.zeros(150, dtype=int), "max_epochs": 30}
    with pytest.warns(ConvergenceWarning, match="2 networks won no rows and were started anew"):
        model = KDVAEClustering(3, **settings).fit(blobs[0])
    winners = [r for r in model.history_ if r["phase"] == "winners"]
    assert winners[0]["reseeded"] == 2
    assert not any(r["reseeded"] for r in winners[1:])
    assert model.n_clusters_ == 3
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_networks_without_members_win_no_new_rows():
    """Of 20 untrained networks few explain any of 40 rows best, and others some of 500 more."""
    X, _ = make_blobs(540, n_features=6, centers=3, random_state=0)
    settings = {**SMALL, "init": "kmeans", "init_epochs": 0, "max_epochs": 0}
    with pytest.warns(ConvergenceWarning, match="of 20 clusters have members"):
        model = KDVAEClustering(20, **settings).fit(X[:40])
    winner = model.transform(X[40:])[:, -20:].argmax(1)
    live = model._clusters.live
    np.testing.assert_array_equal(live[model.predict(X[40:])], winner)
    np.testing.assert_array_equal(live, np.unique(model.transform(X[:40])[:, -20:].argmax(1)))


def test_outliers_of_little_weight_take_no_network(blobs):
    far = np.random.RandomState(0).uniform(-60, 60, (40, 6)).astype(np.float32)
    rows, weight = np.vstack([blobs[0], far]), np.repeat([1, 1e-6], [150, 40])
    settings = {**SMALL, "init": np.zeros(190, dtype=int), "max_epochs": 30}
    with pytest.warns(ConvergenceWarning, match="started anew"):
        model = KDVAEClustering(3, **settings).fit(rows, sample_weight=weight)
    assert adjusted_rand_score(blobs[1], model.labels_[:150]) > 0.9


def test_the_first_k_means_heeds_weights():
    """The two heavy rows are the two clusters, however many light ones lie elsewhere."""
    rows = np.repeat([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0]], [1, 1, 30], axis=0)
    weight = np.repeat([1e6, 1e6, 1.0], [1, 1, 30])
    settings = {**SMALL, "init_epochs": 0, "max_epochs": 0, "scaling": None}
    held = []
    model = KDVAEClustering(2, **settings)
    first = model._first_labels
    model._first_labels = lambda table: held.append(first(table)) or held[0]
    model.fit(rows, sample_weight=weight)
    assert held[0][0] != held[0][1]


def test_clusters_without_members_are_never_drawn():
    """What is the second cluster after one died is another network."""
    X, _ = make_blobs(540, n_features=6, centers=3, random_state=0)
    settings = {**SMALL, "init": "kmeans", "init_epochs": 0, "max_epochs": 0}
    with pytest.warns(ConvergenceWarning, match="clusters have members"):
        model = KDVAEClustering(20, **settings).fit(X[:40])
    last = model.n_clusters_ - 1
    codes = model._sample_codes(np.array([0, last]), np.random.RandomState(0))
    live = model._clusters.live.tolist()
    assert codes[:, 2:].argmax(1).tolist() == [live[0], live[-1]]
    assert live[-1] != last


def test_networks_are_small_unless_they_are_told_otherwise():
    X, _ = make_blobs(30, n_features=6, centers=3, random_state=0)
    none = {"init_epochs": 0, "max_epochs": 0, "init": "kmeans"}
    shapes = [p.shape for p in KDVAEClustering(3, **none).fit(X).module_.encoder.parameters()]
    assert shapes[::2] == [(3, 500, 6), (3, 100, 500), (3, 20, 100)]


def test_phases_have_their_lengths(blobs):
    epochs = {"pretrain_epochs": 1, "vade_epochs": 2, "init_epochs": 3, "max_epochs": 4}
    model = KDVAEClustering(3, **{**SMALL, **epochs, "init": "vade"}).fit(blobs[0])
    found = [(r["stage"], r["phase"]) for r in model.history_]
    assert found == (
        [("vade", "pretraining")]
        + [("vade", "elbo")] * 2
        + [("networks", "first clusters")] * 3
        + [("networks", "winners")] * 4
    )
    assert not hasattr(model.module_, "prior")  # nothing of VaDE is kept


def test_a_code_names_its_network(blobs):
    model = KDVAEClustering(3, **SMALL).fit(blobs[0])
    codes = model.transform(blobs[0])
    assert codes.shape == (150, 5)
    np.testing.assert_array_equal(codes[:, 2:].argmax(1), model.labels_)
    errors = np.square(model.inverse_transform(codes) - blobs[0]).mean()
    other = np.hstack([codes[:, :2], np.roll(codes[:, 2:], 1, axis=1)])
    assert errors < np.square(model.inverse_transform(other) - blobs[0]).mean() / 10


def test_the_score_is_the_bound_of_the_mixture(blobs):
    model = KDVAEClustering(3, **SMALL).fit(blobs[0])
    with torch.no_grad():
        bounds = model.module_.bounds({"X": torch.from_numpy(blobs[0])})
    expected = bounds.logsumexp(1) - math.log(3)
    np.testing.assert_allclose(model.score_samples(blobs[0]), expected, rtol=1e-4)


def test_kdvae_samples_from_its_prior_and_kdae_from_its_codes(blobs):
    labels = np.full(4000, 1)
    variational = KDVAEClustering(3, **SMALL).fit(blobs[0])
    codes = variational._sample_codes(labels, np.random.RandomState(0))
    np.testing.assert_allclose(codes[:, :2].mean(0), 0, atol=0.1)
    np.testing.assert_allclose(codes[:, :2].std(0), 1, atol=0.1)
    assert (codes[:, 2:] == [0, 1, 0]).all()
    plain = KDAEClustering(3, **SMALL).fit(blobs[0])
    members = plain.transform(blobs[0])[plain.labels_ == 1]
    drawn = plain._sample_codes(labels, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(0), members.mean(0), atol=0.1)
    assert plain.module_.encoder[-1].bias.shape == (3, 2)


def test_networks_of_ones_own(blobs):
    def encoder(shape, n_outputs):
        return nn.Sequential(nn.Linear(*shape, 9), nn.Tanh(), nn.Linear(9, n_outputs))

    model = KDVAEClustering(3, **SMALL, encoder=encoder).fit(blobs[0])
    assert model.module_.encoder[0].weight.shape == (3, 9, 6)
    with pytest.raises(ValueError, match=r"Dropout.*cannot be grouped"):
        bad = lambda shape, n: nn.Sequential(nn.Linear(*shape, n), nn.Dropout())  # noqa: E731
        KDVAEClustering(3, **SMALL, encoder=bad).fit(blobs[0])


def test_a_fit_outlives_its_parameters(blobs):
    model = KDVAEClustering(3, **{**SMALL, "max_epochs": 1}).fit(blobs[0])
    rows, score = model.sample(5, random_state=0)[0], model.score(blobs[0])
    model.set_params(n_clusters=7, latent_dim=4)
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], rows)
    assert model.score(blobs[0]) == score


def test_digits():
    """From one start, the networks raise the bound and keep more than chance, which is .2."""
    X, y = load_small_digits(return_X_y=True)
    settings = {**SMALL, "latent_dim": 10, "hidden_layer_sizes": (64, 32), "lr": 2e-3}
    settings |= {"batch_size": 100, "init_epochs": 10, "max_epochs": 10}
    model = KDVAEClustering(10, **settings).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.7
    held = [r["train_loss"] for r in model.history_ if r["phase"] == "first clusters"]
    won = [r["train_loss"] for r in model.history_ if r["phase"] == "winners"]
    assert held[-1] < held[0] - 10
    assert won[-1] < won[0] < held[-1]
