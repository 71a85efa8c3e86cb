"""MoEDCClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback
from torch import nn

from skdeepcluster import MoEDCClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.engine.callbacks import HoldIdle
from skdeepcluster.engine.schedule import one_cycle
from skdeepcluster.estimators import moedc
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.models.experts import (
    ManagedAutoencoder,
    principal_width,
)

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "min_cluster_size": 0.2,
    "manifold_params": {"n_epochs": 50},
    "pretrain_epochs": 20,
    "init_epochs": 10,
    "max_epochs": 10,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def told(blobs, monkeypatch):
    """The clusters of the blobs as those that are found, for tests of what follows."""
    labels = blobs[1].astype(np.intp)
    monkeypatch.setattr(
        MoEDCClustering,
        "_find_clusters",
        lambda self, codes, run: {"labels": torch.from_numpy(labels)},
    )
    return labels


def test_the_width_is_that_of_the_scaled_rows(blobs, told):
    """One column in other units would otherwise be all the variance there is."""
    none = {**SMALL, "latent_dim": "auto", "pretrain_epochs": 0, "init_epochs": 0, "max_epochs": 0}
    X = blobs[0] * np.array([1e4, 1, 1, 1, 1, 1])
    model = MoEDCClustering(**none, explained_variance=0.99).fit(X)
    scaled = (X - X.mean(0)) / X.std(0)
    assert model.latent_dim_ == principal_width(scaled, 0.99, 50, seed=0) > 1
    assert model.transform(X).shape == (150, model.latent_dim_ + model.module_.n_experts)
    assert MoEDCClustering(**none, max_latent_dim=1).fit(X).latent_dim_ == 1


def test_principal_components_take_no_more_memory_than_allowed(blobs, told, monkeypatch):
    seen = []
    monkeypatch.setattr(moedc, "PCA_ENTRIES", 600)
    monkeypatch.setattr(moedc, "principal_width", lambda rows, *args: seen.append(rows) or 2)
    none = {**SMALL, "latent_dim": "auto", "pretrain_epochs": 0, "init_epochs": 0, "max_epochs": 0}
    for X in (blobs[0], sparse.csr_array(blobs[0])):
        MoEDCClustering(**none, scaling=None).fit(X)
    dense, from_sparse = seen
    assert dense.shape == (100, 6)
    np.testing.assert_array_equal(dense, from_sparse)
    assert len(np.unique(dense, axis=0)) == 100
    assert all((row == blobs[0]).all(1).any() for row in dense)


# -- the stages ---------------------------------------------------------------------------------


def test_stages_have_their_lengths(blobs, told):
    lengths = {"pretrain_epochs": 1, "init_epochs": 2, "max_epochs": 3}
    model = MoEDCClustering(**{**SMALL, **lengths}).fit(blobs[0])
    found = [(r["stage"], r["phase"]) for r in model.history_]
    expected = [("vae", "pretraining"), *[("manager", "without noise")] * 2]
    assert found == [*expected, *[("experts", "experts")] * 3]


def test_nothing_is_kept_that_is_not_used(blobs, told):
    module = MoEDCClustering(**{**SMALL, "max_epochs": 0}).fit(blobs[0]).module_
    shapes = sorted(tuple(p.shape) for p in module.parameters())
    encoder, manager = [(32, 6), (32,), (4, 32), (4,)], [(100, 2), (100,), (3, 100), (3,)]
    decoders = [(3, 32, 2), (3, 32), (3, 6, 32), (3, 6), (3, 1, 6)]  # and variances
    assert shapes == sorted([*encoder, *manager, *decoders])


def test_noise_teaches_the_manager_nothing(blobs, told, monkeypatch):
    seen, terms = [], ManagedAutoencoder.terms

    def spy(self, batch, *args):
        seen.append(batch["X"])
        return terms(self, batch, *args)

    monkeypatch.setattr(ManagedAutoencoder, "terms", spy)
    told[:20] = -1
    model = MoEDCClustering(**SMALL, scaling=None).fit(blobs[0])
    np.testing.assert_array_equal(model.noise_, np.arange(150) < 20)
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9  # noise is labelled as well
    rows = torch.cat(seen).numpy()
    assert len(rows) == SMALL["init_epochs"] * 130
    met = (blobs[0][:, None] == rows).all(2).any(1)
    np.testing.assert_array_equal(met, ~model.noise_)


def test_rows_of_no_weight_are_no_noise(blobs, told, monkeypatch):
    weight = (np.arange(150) % 3 > 0).astype(float)
    labels = np.where(np.arange(100) < 10, -1, told[weight > 0])
    monkeypatch.setattr(
        MoEDCClustering,
        "_find_clusters",
        lambda self, codes, run: {"labels": torch.from_numpy(labels)},
    )
    model = MoEDCClustering(**SMALL).fit(blobs[0], sample_weight=weight)
    np.testing.assert_array_equal(model.noise_, (np.arange(150) < 15) & (weight > 0))


def test_all_noise_is_one_cluster(blobs):
    with pytest.warns(ConvergenceWarning, match="found no cluster"):
        model = MoEDCClustering(**{**SMALL, "min_cluster_size": 0.95}).fit(blobs[0])
    assert model.n_clusters_ == 1
    assert not model.noise_.any()
    assert (model.predict_proba(blobs[0]) == 1).all()
    assert np.isfinite(model.sample(5, cluster=0, random_state=0)[0]).all()


def test_hdbscan_says_how_far_out_rows_are(blobs):
    """Its view of the training rows stays, though their codes move on."""
    X = np.vstack([blobs[0], [[40.0] * 6, [-40.0] * 6]]).astype(np.float32)
    weight = np.ones(len(X))
    weight[:10] = 0
    model = MoEDCClustering(**{**SMALL, "manifold_params": None}, manifold=None)
    assert hasattr(model, "outlier_scores")
    model.fit(X, sample_weight=weight)
    assert ((model.probabilities_ == 0) == model.noise_)[10:].all()
    assert model.outlier_scores_[-2:].min() > np.median(model.outlier_scores_[:-2])
    np.testing.assert_array_equal(model.outlier_scores(X), model.outlier_scores_)
    np.testing.assert_allclose(
        model.outlier_scores(X[20:21] + 1e-6), model.outlier_scores_[20:21], atol=1e-3
    )
    model.set_params(head="gmm", n_clusters=3, min_cluster_size=0.02).fit(X)
    assert not hasattr(model, "outlier_scores") and not hasattr(model, "probabilities_")
    assert not hasattr(MoEDCClustering(init=[0, 1]), "outlier_scores")


@pytest.mark.parametrize("n_clusters", [1, 3, 5])
def test_a_number_of_clusters_is_honoured(blobs, n_clusters):
    model = MoEDCClustering(n_clusters, **{**SMALL, "head": "gmm", "min_cluster_size": 0.02}).fit(
        blobs[0]
    )
    assert model.module_.n_experts == n_clusters
    assert not model.noise_.any()
    if n_clusters == 3:
        assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_an_untrained_manager_knows_the_clusters(blobs, told):
    """So that Ctrl-C before its training leaves labels of use."""
    model = MoEDCClustering(**{**SMALL, "init_epochs": 0, "max_epochs": 0}).fit(blobs[0])
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_experts_leave_codes_and_labels_alone_and_explain_more(blobs, told):
    def encoder(shape, n_outputs):
        layers = nn.Linear(*shape, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, n_outputs)
        return nn.Sequential(*layers)

    before, after = (
        MoEDCClustering(**{**SMALL, "max_epochs": epochs}, encoder=encoder).fit(blobs[0])
        for epochs in (0, 20)
    )
    np.testing.assert_array_equal(before.transform(blobs[0]), after.transform(blobs[0]))
    np.testing.assert_array_equal(before.predict_proba(blobs[0]), after.predict_proba(blobs[0]))
    assert after.score(blobs[0]) > before.score(blobs[0])


def test_a_cluster_is_sampled_by_its_expert(blobs, told):
    model = MoEDCClustering(**SMALL).fit(blobs[0])
    codes = model._sample_codes(np.repeat([0, 2], 50), np.random.RandomState(0))
    np.testing.assert_allclose(codes[:, 2:], np.repeat([[1, 0, 0], [0, 0, 1]], 50, 0), atol=1e-9)


def test_a_decoder_that_cannot_be_grouped_is_refused_at_once(blobs):
    def decoder(n_inputs, shape):
        return nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(), nn.Linear(8, shape[0]))

    model = MoEDCClustering(**SMALL, decoder=decoder)
    with pytest.raises(ValueError, match=r"Dropout.*cannot be grouped"):
        model.fit(blobs[0])
    assert model.history_ == []


def test_too_few_rows_to_look_for_clusters():
    with pytest.raises(ValueError, match="UMAP takes at least 3 rows"):
        MoEDCClustering(**SMALL).fit(np.eye(2))


def test_a_fit_outlives_its_parameters(blobs, told):
    model = MoEDCClustering(**{**SMALL, "max_epochs": 1}).fit(blobs[0])
    rows, score = model.sample(5, random_state=0)[0], model.score(blobs[0])
    model.set_params(n_clusters=7, latent_dim=4)
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], rows)
    assert model.score(blobs[0]) == score


def test_digits():
    """The number of clusters is found, near ten; the manager knows them; chance is below .2."""
    X, y = load_small_digits(return_X_y=True)
    model = MoEDCClustering(
        hidden_layer_sizes=(128, 64),
        batch_size=100,
        lr=2e-3,
        pretrain_epochs=25,
        init_epochs=10,
        max_epochs=5,
        device="cpu",
        random_state=0,
    ).fit(X)
    assert 6 <= model.n_clusters_ <= 16
    assert clustering_accuracy(y, model.labels_) > 0.5
    assert 5 <= model.latent_dim_ <= 30
    experts = [r["reconstruction"] for r in model.history_ if r["stage"] == "experts"]
    assert experts[-1] < experts[0]


def test_training_follows_its_schedule(blobs, told):
    model = MoEDCClustering(**{**SMALL, "latent_weight": 0.3})
    phases = phases_of(model, blobs[0])
    assert list(phases) == ["pretraining", "without noise", "experts"]
    assert all(list(each.lr.values()) == [one_cycle] for each in phases.values())
    for record in model.history_:
        weights = {"reconstruction": 1.0, "latent": 0.3, "routing": 1.0}
        assert_loss_is(record, **{name: w for name, w in weights.items() if name in record})


def test_experts_without_rows_are_held(blobs, told):
    seen = []

    class Seeing(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.extend(type(callback) for _, callback in net.callbacks_)

    MoEDCClustering(**{**SMALL, "callbacks": [Seeing()]}).fit(blobs[0])
    assert HoldIdle in seen


def test_any_head_may_find_the_clusters(blobs):
    settings = {**SMALL, "head": "kmeans", "min_cluster_size": 0.02, "manifold": None}
    del settings["manifold_params"]
    model = MoEDCClustering(4, **settings, head_params={"n_init": 2}).fit(blobs[0])
    assert model.n_clusters_ == 4
    with pytest.warns(UserWarning, match="n_clusters=4 has no effect"):
        MoEDCClustering(4, **{**SMALL, "pretrain_epochs": 1}).fit(blobs[0])
