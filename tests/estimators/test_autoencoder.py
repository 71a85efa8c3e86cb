"""AutoencoderClustering: what is its own."""

from __future__ import annotations

import re

import numpy as np
import pytest
from interruption import NoTraining
from registry import ESTIMATORS, stages
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import KMeans, MeanShift
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skdeepcluster import AutoencoderClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "max_epochs": 20,
    "device": "cpu",
    "random_state": 0,
}


@pytest.mark.parametrize(
    "head", ["kmeans", "spherical", "gmm", "agglomerative", MeanShift(bandwidth=1)]
)
def test_heads(blobs, head):
    model = AutoencoderClustering(3, head=head, **SMALL).fit(blobs[0])
    np.testing.assert_array_equal(model.labels_, model.predict(blobs[0]))
    assert hasattr(model, "predict_proba") == (head == "gmm")
    if head != "spherical":  # directions alone do not tell these blobs apart
        assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_hdbscan_finds_the_number_of_clusters(blobs):
    X = np.vstack([blobs[0], [[99.0] * 6]]).astype(np.float32)
    params = {"min_cluster_size": 20}
    model = AutoencoderClustering("auto", head="hdbscan", **params, **SMALL).fit(X)
    assert model.n_clusters_ == 3
    assert model.labels_.min() == -1
    assert model.code_centers_.shape == (3, 2)
    assert set(model.sample(30, random_state=0)[1]) == {0, 1, 2}  # never noise
    np.testing.assert_array_equal(model.labels_, model.predict(X))


def test_all_noise_is_a_usable_result():
    X = np.random.RandomState(0).uniform(size=(30, 3))
    params = {"min_cluster_size": 29}
    with pytest.warns(UserWarning, match="all rows are noise"):
        model = AutoencoderClustering("auto", head="hdbscan", **params, **SMALL).fit(X)
    assert model.n_clusters_ == 0
    assert (model.predict(X) == -1).all()
    with pytest.raises(ValueError, match="nothing to sample"):
        model.sample(3)


@pytest.mark.parametrize("head", ["kmeans", "gmm", KMeans()], ids=str)
def test_auto_finds_the_number_of_clusters_for_any_head(blobs, head):
    model = AutoencoderClustering("auto", head=head, min_cluster_size=0.2, **SMALL).fit(blobs[0])
    assert model.n_clusters_ == 3


@pytest.mark.parametrize("head", ["hdbscan", KMeans(3)], ids=str)
def test_a_number_that_the_head_does_not_look_at_is_told(blobs, head):
    settings = {**SMALL, "head": head, "min_cluster_size": 0.2} if head == "hdbscan" else {**SMALL}
    free = AutoencoderClustering("auto", **settings | {"head": head}).fit(blobs[0])
    with pytest.warns(UserWarning, match="n_clusters=7 has no effect.*Use n_clusters='auto'"):
        told = AutoencoderClustering(7, **settings | {"head": head}).fit(blobs[0])
    np.testing.assert_array_equal(free.labels_, told.labels_)


def test_fewer_rows_than_a_number_that_nobody_looks_at(blobs):
    with pytest.warns(UserWarning, match="n_clusters=100 has no effect"):
        AutoencoderClustering(100, head="hdbscan", **SMALL).fit(blobs[0][:90])


def test_the_width_of_umap_does_not_hang_on_a_number_that_nobody_looks_at(blobs):
    for n_clusters, head, width in ((7, "hdbscan", 10), (7, "gmm", 7), ("auto", "gmm", 10)):
        head = AutoencoderClustering(n_clusters, head=head, manifold="umap")._make_head(0)
        assert head._width() == width


def test_the_smallest_cluster_has_one_parameter(blobs):
    params = {"head": "hdbscan", "head_params": {"min_cluster_size": 20}}
    with pytest.raises(ValueError, match=r"head_params cannot set 'min_cluster_size' \(got 20\)"):
        AutoencoderClustering("auto", **params, callbacks=[NoTraining()], **SMALL).fit(blobs[0])


def test_umap_keeps_the_laws(blobs):
    model = AutoencoderClustering(3, manifold="umap", head="gmm", **SMALL).fit(blobs[0])
    assert adjusted_rand_score(blobs[1], model.labels_) == 1
    np.testing.assert_array_equal(model.labels_, model.predict(blobs[0]))
    assert model.transform(blobs[0]).shape == (150, 2)  # codes, not UMAP's coordinates
    one, other = model.predict_proba(blobs[0]), model.predict_proba(blobs[0][5:6])
    np.testing.assert_array_equal(one[5:6], other)
    again = clone(model).fit(blobs[0])
    np.testing.assert_array_equal(again.labels_, model.labels_)


def test_weights_equal_repeated_rows(blobs):
    """In full batches, weights of 0, 1 and 2 act as leaving out and repeating rows."""
    X, weight = blobs[0], np.arange(len(blobs[0])) % 3
    full = AutoencoderClustering(3, **{**SMALL, "batch_size": 1000})
    weighted = clone(full).fit(X, sample_weight=weight)
    repeated = clone(full).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        weighted.history_[-1]["train_loss"], repeated.history_[-1]["train_loss"], rtol=1e-4
    )
    plain = clone(full).fit(X)
    assert not np.allclose(plain.transform(X), weighted.transform(X), rtol=1e-2, atol=1e-2)


def test_networks_of_ones_own(blobs):
    def encoder(shape, n_outputs):
        return nn.Sequential(nn.Linear(*shape, 16), nn.Tanh(), nn.Linear(16, n_outputs))

    model = AutoencoderClustering(3, encoder=encoder, **SMALL).fit(blobs[0])
    assert isinstance(model.module_.encoder[1], nn.Tanh)
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_reconstructions_come_back_in_the_users_units():
    X, _ = load_small_digits(return_X_y=True)
    pixels = (X * 255).astype(np.uint8)
    settings = {**SMALL, "hidden_layer_sizes": (128,), "latent_dim": 10, "lr": 1e-3}
    model = AutoencoderClustering(10, **settings).fit(pixels[:600])
    rows = model.inverse_transform(model.transform(pixels[:600]))
    error = np.mean((rows - pixels[:600]) ** 2)
    assert error < 0.5 * np.mean((pixels[:600] - pixels[:600].mean(0)) ** 2)


@pytest.mark.parametrize("head", ["kmeans", "gmm"])
def test_digits(head):
    """Codes of ten numbers keep what tells digits apart; chance is below .2."""
    X, y = load_small_digits(return_X_y=True)
    settings = {**SMALL, "hidden_layer_sizes": (256, 128), "latent_dim": 10, "lr": 1e-3}
    model = AutoencoderClustering(10, head=head, **settings).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.6


def test_a_fit_outlives_its_head(blobs):
    model = AutoencoderClustering(3, head="gmm", max_epochs=1, device="cpu").fit(blobs[0])
    proba = model.predict_proba(blobs[0])
    np.testing.assert_array_equal(model.set_params(head="kmeans").predict_proba(blobs[0]), proba)
    model.fit(blobs[0])
    assert not hasattr(model, "predict_proba")


def test_networks_that_are_frozen_altogether_are_refused(blobs):
    def frozen(n_inputs, n_outputs):
        return nn.Linear(n_inputs, n_outputs).requires_grad_(False)

    model = AutoencoderClustering(
        3,
        latent_dim=2,
        encoder=lambda shape, n_outputs: frozen(6, 2),
        decoder=lambda n_inputs, shape: frozen(2, 6),
        device="cpu",
    )
    with pytest.raises(ValueError, match="every parameter of 'model' is frozen"):
        model.fit(blobs[0])


class Fails(ClusterMixin, BaseEstimator):
    """A clusterer that cannot cluster."""

    def fit(self, X, y=None):
        raise RuntimeError("it cannot")


def test_trained_networks_outlive_a_head_that_fails(blobs, tmp_path):
    """The head comes after the training: another one, of other parameters, takes the networks."""
    model = AutoencoderClustering("auto", head=Fails(), checkpoint=tmp_path / "fit.pt", **SMALL)
    with pytest.raises(RuntimeError, match="it cannot"):
        model.fit(blobs[0])
    other = {"head": "gmm", "n_clusters": 3, "head_params": {"tol": 1e-4}}
    continued = clone(model).set_params(**other, callbacks=[NoTraining()]).fit(blobs[0])
    whole = clone(model).set_params(**other, checkpoint=None).fit(blobs[0])
    np.testing.assert_array_equal(continued.predict_proba(blobs[0]), whole.predict_proba(blobs[0]))


@pytest.mark.parametrize("name", ["dec", "dcn", "dcan", "discriminative"])
def test_other_methods_start_from_its_networks(name, blobs):
    other = ESTIMATORS[name]
    width = {"latent_dim": other.latent_dim, "hidden_layer_sizes": (16,)}
    first = AutoencoderClustering(3, **width, max_epochs=5, random_state=0).fit(blobs[0])
    codes = first.transform(blobs[0])
    own = {
        "encoder": lambda shape, n_outputs: first.module_.encoder,
        "decoder": lambda n_inputs, shape: first.module_.decoder,
    }
    untrained = clone(other).set_params(**own, **stages(other, 0)).fit(blobs[0])
    np.testing.assert_allclose(untrained.transform(blobs[0]), codes, atol=1e-4)
    trained = {**stages(other, 0), "max_epochs": 2}
    model = clone(other).set_params(**own, **trained).fit(blobs[0])
    assert np.abs(model.transform(blobs[0]) - codes).max() > 1e-3
    np.testing.assert_array_equal(first.transform(blobs[0]), codes)


def test_hdbscan_tells_outliers_among_all_rows(blobs):
    settings = {"latent_dim": 2, "hidden_layer_sizes": (16,), "max_epochs": 5, "random_state": 0}
    model = AutoencoderClustering("auto", head="hdbscan", **settings).fit(blobs[0])
    np.testing.assert_array_equal(model.outlier_scores(blobs[0]), model.outlier_scores_)
    nearest = model.outlier_scores(blobs[0][4:5] + 1e-6)
    np.testing.assert_allclose(nearest, model.outlier_scores_[4:5], atol=1e-3)
    assert model.probabilities_.shape == (len(blobs[0]),)
    assert ((model.probabilities_ == 0) == (model.labels_ == -1)).all()
    assert not hasattr(AutoencoderClustering(3), "outlier_scores")
    model.set_params(head="kmeans", n_clusters=3).fit(blobs[0])
    assert not hasattr(model, "outlier_scores_") and not hasattr(model, "outlier_scores")
    assert not hasattr(model, "probabilities_")


@pytest.mark.parametrize(("verbose", "stream"), [(1, "err"), (2, "out")])
def test_progress_tells_what_is_under_way_and_what_it_took(verbose, stream, capsys):
    X, _ = make_blobs(60, centers=3, random_state=0)
    settings = {"max_epochs": 1, "device": "cpu", "random_state": 0, "verbose": verbose}
    AutoencoderClustering(3, latent_dim=2, **settings).fit(X)
    told = getattr(capsys.readouterr(), stream)
    assert "autoencoder: 1 epoch on cpu" in told
    assert "clusters ..." in told
    assert re.search(r"fitted in [\d.]+ s: autoencoder [\d.]+ s, clusters [\d.]+ s", told)
