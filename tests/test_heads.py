"""Heads: one rule for training codes and new ones, whatever the clusterer."""

import pickle
import random
import sys
import warnings
from contextlib import contextmanager

import numba
import numpy as np
import pytest
import torch
import umap
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import (
    DBSCAN,
    AgglomerativeClustering,
    Birch,
    BisectingKMeans,
    KMeans,
    MeanShift,
    SpectralClustering,
)
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.preprocessing import normalize

from skdeepcluster.heads import HEADS, SphericalKMeans, _head, make_head

N_CLUSTERS = 4
INSTANCES = [
    AgglomerativeClustering(linkage="average"),
    Birch(),
    BisectingKMeans(),
    DBSCAN(eps=2.0),
    GaussianMixture(covariance_type="diag"),
    KMeans(),
    MeanShift(bandwidth=3.0),
    SpectralClustering(gamma=0.05),
]
PROBABILISTIC = {"gmm", "GaussianMixture"}


def name_of(head):
    return head if isinstance(head, str) else type(head).__name__


every_head = pytest.mark.parametrize("head", [*HEADS, *INSTANCES], ids=name_of)


def as_codes(centers, n_rows=160, std=1.0, seed=0):
    return make_blobs(n_rows, centers=centers, cluster_std=std, random_state=seed)


@pytest.fixture(scope="module")
def blobs():
    """Four clusters in three dimensions, far enough apart for every head."""
    return as_codes(12 * np.vstack([np.eye(3), -np.ones(3)]))


@pytest.fixture(scope="module")
def new_codes():
    """Codes between and around the clusters: 300 rows, more than one tile."""
    return np.random.default_rng(1).normal(scale=10, size=(300, 3))


@pytest.fixture(scope="module")
def on_umap(blobs):
    """Two heads after UMAP, fitted once for the whole module."""
    with globals_untouched(), warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing to complain of in an ordinary fit
        return {
            name: make_head(name, k, manifold="umap", random_state=0).fit(blobs[0])
            for name, k in [("gmm", N_CLUSTERS), ("hdbscan", None)]
        }


class FakeUMAP:
    """Keep the settings, and return the codes' first column doubled, as coordinates."""

    settings: dict

    def __init__(self, **settings):
        FakeUMAP.settings = settings

    def fit_transform(self, codes):
        return 2 * codes[:, :1]


@pytest.fixture
def fake_umap(monkeypatch):
    monkeypatch.setattr(umap, "UMAP", FakeUMAP)
    return FakeUMAP


def fitted(head, codes, n_clusters=N_CLUSTERS, **params):
    return make_head(head, n_clusters, random_state=0, **params).fit(codes)


@contextmanager
def globals_untouched():
    """Global generators and the number of threads are afterwards as they were before."""

    def states():
        _, key, *position = np.random.get_state()  # noqa: NPY002
        generators = [key.tolist(), position, random.getstate(), torch.get_rng_state().tolist()]
        return [*generators, torch.get_num_threads()]

    before = states()
    yield
    assert states() == before


def in_tiles(function, codes, size):
    """Apply a function to tiles of one size, the last one padded with its last row."""
    parts = []
    for begin in range(0, len(codes), size):
        rows = np.minimum(np.arange(begin, begin + size), len(codes) - 1)
        parts.append(function(codes[rows])[: len(codes) - begin])
    return np.concatenate(parts)


def assert_laws(head, codes, new_codes):
    """Labels are predictions, consecutive, and nobody's neighbours matter."""
    np.testing.assert_array_equal(head.labels_, head.predict(codes))
    np.testing.assert_array_equal(
        np.unique(head.labels_[head.labels_ >= 0]), range(head.n_clusters_)
    )
    assert head.cluster_centers_.shape == (head.n_clusters_, codes.shape[1])
    assert_row_independent(head.predict, codes)
    assert_row_independent(head.predict, new_codes)
    if hasattr(head, "predict_proba"):
        shares = head.predict_proba(new_codes)
        assert shares.shape == (len(new_codes), head.n_clusters_)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(shares.argmax(axis=1), head.predict(new_codes))
        assert_row_independent(head.predict_proba, new_codes)


def assert_row_independent(function, codes):
    expected = function(codes)
    order = np.random.default_rng(0).permutation(len(codes))
    np.testing.assert_array_equal(function(codes[order]), expected[order])
    np.testing.assert_array_equal(function(codes[::3]), expected[::3])
    np.testing.assert_array_equal(function(codes[7:8]), expected[7:8])
    for size in (32, 256):
        np.testing.assert_array_equal(in_tiles(function, codes, size), expected)


# -- laws -----------------------------------------------------------------------------------------


@every_head
def test_laws(head, blobs, new_codes):
    assert_laws(fitted(head, blobs[0]), blobs[0], new_codes)


@every_head
def test_clusters_are_found(head, blobs):
    codes, classes = blobs
    assert adjusted_rand_score(classes, fitted(head, codes).labels_) > 0.98


@every_head
def test_probabilities_only_where_honest(head, blobs):
    unfitted = make_head(head, N_CLUSTERS, random_state=0)
    expected = name_of(head) in PROBABILISTIC
    assert hasattr(unfitted, "predict_proba") == expected
    assert hasattr(unfitted.fit(blobs[0]), "predict_proba") == expected


@every_head
@pytest.mark.filterwarnings("ignore:DBSCAN found no cluster")
def test_seed_settles_the_result_and_globals_stay(head, new_codes):
    with globals_untouched():
        first, second = fitted(head, new_codes), fitted(head, new_codes)
    np.testing.assert_array_equal(first.labels_, second.labels_)
    np.testing.assert_array_equal(first.cluster_centers_, second.cluster_centers_)


@every_head
def test_pickle(head, blobs, new_codes):
    model = fitted(head, blobs[0])
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(new_codes), model.predict(new_codes))
    np.testing.assert_array_equal(copy.labels_, model.labels_)


@every_head
def test_float32_codes_have_the_same_labels(head, blobs):
    codes = blobs[0].astype(np.float32)
    model = fitted(head, codes)
    np.testing.assert_array_equal(model.labels_, fitted(head, codes.astype(float)).labels_)
    np.testing.assert_array_equal(model.labels_, model.predict(codes.astype(float)))


def test_no_random_state_draws_from_numpy(new_codes):
    def labels(seed):
        np.random.seed(seed)  # noqa: NPY002
        return make_head("kmeans", 7).fit(new_codes).labels_

    np.testing.assert_array_equal(labels(3), labels(3))
    assert not np.array_equal(labels(3), labels(4))


# -- UMAP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["gmm", "hdbscan"])
def test_umap_laws(on_umap, head, blobs, new_codes):
    assert_laws(on_umap[head], blobs[0], new_codes)
    assert adjusted_rand_score(blobs[1], on_umap[head].labels_) > 0.98


def test_umap_centers_are_in_code_space(on_umap, blobs):
    head = on_umap["gmm"]
    means = [blobs[0][head.labels_ == label].mean(axis=0) for label in range(N_CLUSTERS)]
    np.testing.assert_allclose(head.cluster_centers_, means)


def test_umap_and_hdbscan_are_not_needed_to_load(on_umap, blobs, new_codes, monkeypatch):
    saved = {name: pickle.dumps(head) for name, head in on_umap.items()}
    for name in list(sys.modules):
        if name.partition(".")[0] in {"umap", "hdbscan", "numba", "pynndescent"}:
            monkeypatch.setitem(sys.modules, name, None)
    for name, head in on_umap.items():
        loaded = pickle.loads(saved[name])
        np.testing.assert_array_equal(loaded.predict(new_codes), head.predict(new_codes))


@pytest.mark.filterwarnings("ignore:custom distance metric does not return gradient")
def test_umap_is_seeded_and_leaves_no_trace(on_umap, new_codes):
    # A callable metric makes UMAP draw from numpy's global generator.
    params = {"metric": umap.distances.euclidean, "n_epochs": 20, "n_components": 2}
    with globals_untouched():
        first, second = (
            fitted("kmeans", new_codes, manifold="umap", manifold_params=params) for _ in range(2)
        )
    np.testing.assert_array_equal(first.labels_, second.labels_)


@pytest.mark.parametrize("n_rows", [3, 5, 6, 7])
def test_umap_on_a_handful_of_rows(on_umap, blobs, n_rows):
    codes = blobs[0][:n_rows]
    head = fitted("kmeans", codes, 2, manifold="umap", manifold_params={"n_components": 4})
    np.testing.assert_array_equal(head.labels_, head.predict(codes))
    assert head.n_clusters_ == 2


def test_umap_on_two_rows():
    with pytest.raises(ValueError, match="at least 3 rows and got 2"):
        fitted("kmeans", np.eye(2), 1, manifold="umap")


def test_umap_on_collapsed_codes(on_umap):
    codes = np.ones((30, 3))
    with pytest.warns(ConvergenceWarning, match="Only 1 of 4"):
        head = fitted("gmm", codes, manifold="umap")
    np.testing.assert_array_equal(head.labels_, np.zeros(30))
    np.testing.assert_allclose(head.cluster_centers_, [[1, 1, 1]])


def test_umap_settings(fake_umap, blobs):
    fitted("kmeans", blobs[0], manifold="umap")
    settings = dict(fake_umap.settings)
    assert isinstance(settings.pop("random_state"), int)
    assert settings == {"n_components": 4, "n_neighbors": 20, "min_dist": 0.0, "n_jobs": 1}
    fitted("hdbscan", blobs[0], None, manifold="umap", manifold_params={"min_dist": 0.5})
    assert fake_umap.settings["n_components"] == 10
    assert fake_umap.settings["min_dist"] == 0.5
    fitted("kmeans", blobs[0][:5], manifold="umap")
    assert fake_umap.settings["n_neighbors"] == 4
    assert fake_umap.settings["init"] == "random"


def test_new_codes_go_to_the_weighted_mean_of_their_neighbors(fake_umap):
    # Coordinates are 0, 8 and 40. A code at 1 is at distances 1, 3 and 19 of the three:
    # (0 / 1 + 8 / 3 + 40 / 19) / (1 / 1 + 1 / 3 + 1 / 19) = 3.44
    codes = np.array([[0.0], [4.0], [20.0]])
    head = fitted(KMeans(3, init=[[0.0], [8.0], [40.0]], n_init=1), codes, manifold="umap")
    place = head._place(np.array([[1.0], [4.0]]))
    np.testing.assert_allclose(place, [[(8 / 3 + 40 / 19) / (1 + 1 / 3 + 1 / 19)], [8]])
    np.testing.assert_array_equal(head.labels_, [0, 1, 2])


def test_training_codes_far_from_the_origin_find_themselves(fake_umap):
    # Their squares swallow their differences, where a distance is computed from products.
    codes = 1e7 + np.arange(40.0).reshape(20, 2) / 100
    head = fitted("agglomerative", codes, 20, manifold="umap")
    np.testing.assert_array_equal(head._place(codes), 2 * codes[:, :1])
    assert sorted(head.labels_) == list(range(20))
    assert sorted(fitted("agglomerative", codes, 20).labels_) == list(range(20))


def test_a_failing_umap_leaves_no_trace(on_umap, fake_umap, blobs, monkeypatch):
    def fail(self, codes):
        numba.set_num_threads(1)
        raise RuntimeError("umap failed")

    monkeypatch.setattr(fake_umap, "fit_transform", fail)
    threads = numba.get_num_threads()
    with globals_untouched(), pytest.raises(RuntimeError, match="umap failed"):
        fitted("kmeans", blobs[0], manifold="umap")
    assert numba.get_num_threads() == threads


# -- clusters that die, noise ---------------------------------------------------------------------


@pytest.mark.parametrize("head", [name for name in HEADS if name != "hdbscan"])
def test_dead_clusters_are_dropped(head, new_codes):
    codes = np.repeat([[0.0, 9, 0], [9, 0, 0], [0, 0, 9]], 20, axis=0)
    with pytest.warns(ConvergenceWarning, match="Only 3 of 5 clusters") as caught:
        model = fitted(head, codes, 5)
    assert len(caught) == 1
    assert model.n_clusters_ == 3
    assert adjusted_rand_score(np.repeat([0, 1, 2], 20), model.labels_) == 1
    assert_laws(model, codes, new_codes)


class Cells(ClusterMixin, BaseEstimator):
    """The integer part of the first column is the label: a new row may open a new cell."""

    def fit(self, X, y=None):
        self.labels_ = self.predict(X)
        return self

    def predict(self, X):
        return X[:, 0].astype(int)


class SoftCells(Cells):
    """Ten cells, of which the row's own takes everything."""

    def predict_proba(self, X):
        return np.eye(10)[self.predict(X)]


@pytest.mark.parametrize("clusterer", [Cells(), SoftCells()], ids=name_of)
def test_a_cluster_without_training_rows_is_never_predicted(clusterer):
    head = fitted(clusterer, [[2.1], [2.3], [8.5], [8.7]], None)
    np.testing.assert_array_equal(head.labels_, [0, 0, 1, 1])
    np.testing.assert_array_equal(head.predict([[2.9], [4.0], [7.0], [8.0]]), [0, 0, 1, 1])
    np.testing.assert_allclose(head.cluster_centers_, [[2.2], [8.6]])


def test_probabilities_follow_the_clusters_kept(blobs, new_codes):
    mixture = BayesianGaussianMixture(n_components=12, random_state=0, max_iter=500)
    with pytest.warns(ConvergenceWarning, match="of 12 clusters"):
        head = fitted(mixture, blobs[0])
    assert head.n_clusters_ < 12
    assert_laws(head, blobs[0], new_codes)


def test_noise(blobs):
    codes = np.vstack([blobs[0], [[60.0, 60, 60]], [[-60.0, 60, -60]]])
    head = fitted("hdbscan", codes, None)
    assert head.n_clusters_ == N_CLUSTERS
    np.testing.assert_array_equal(head.labels_[-2:], -1)
    np.testing.assert_array_equal(head.predict(codes[-2:] + 1e-3), -1)
    assert head.predict(head.cluster_centers_).tolist() == [0, 1, 2, 3]


def test_noise_that_predict_does_not_know_is_kept():
    codes = np.concatenate([np.linspace(0, 1, 20), np.linspace(10, 11, 20), [50]])[:, None]
    head = fitted(
        MeanShift(bandwidth=2, cluster_all=False, min_bin_freq=2, bin_seeding=True), codes
    )
    assert head.n_clusters_ == 2
    assert head.labels_[-1] == head.predict([[50.1]])[0] == -1


def test_nothing_but_noise(new_codes):
    with pytest.warns(ConvergenceWarning, match="no cluster.*min_cluster_size"):
        head = fitted("hdbscan", new_codes, None, head_params={"min_cluster_size": 200})
    assert head.n_clusters_ == 0
    assert head.cluster_centers_.shape == (0, 3)
    np.testing.assert_array_equal(head.predict(new_codes[:5]), -1)


def test_one_cluster_found(blobs):
    with pytest.warns(ConvergenceWarning, match="one cluster"):
        head = fitted(DBSCAN(eps=100), blobs[0], None)
    np.testing.assert_array_equal(head.labels_, 0)


def test_coinciding_codes_share_a_label():
    class Stubborn(ClusterMixin, BaseEstimator):
        def fit(self, X, y=None):
            self.labels_ = np.array([0, 1, 2, 2, -1])
            return self

    head = fitted(Stubborn(), [[0.0], [0.0], [5.0], [6.0], [6.0]], None)
    np.testing.assert_array_equal(head.labels_, [0, 0, 1, 1, 1])
    assert head.n_clusters_ == 2


@pytest.mark.parametrize("head", [*HEADS, Birch()], ids=name_of)
def test_one_cluster_asked(head, blobs):
    codes = blobs[0][:40]
    model = fitted(head, codes, 1)
    np.testing.assert_array_equal(model.labels_, model.predict(codes))
    if head != "hdbscan":
        np.testing.assert_array_equal(model.labels_, 0)


@pytest.mark.parametrize("head", [name for name in HEADS if name != "hdbscan"])
def test_as_many_clusters_as_rows(head, blobs):
    codes = blobs[0][:6]
    assert sorted(fitted(head, codes, 6).labels_) == list(range(6))
    with pytest.raises(ValueError, match="6"):
        fitted(head, codes, 7)


# -- parameters -----------------------------------------------------------------------------------


def test_an_instance_is_cloned_and_its_defaults_filled_in(blobs):
    instance = KMeans(n_init=3)
    assert fitted(instance, blobs[0], 6).n_clusters_ == 6
    assert (instance.n_clusters, instance.random_state) == (8, None)
    assert not hasattr(instance, "labels_")


def test_what_an_instance_sets_is_kept(blobs):
    assert fitted(KMeans(3), blobs[0], 6).n_clusters_ == 3
    assert fitted(KMeans(), blobs[0], None).n_clusters_ == 8
    by_distance = AgglomerativeClustering(n_clusters=None, distance_threshold=60.0)
    assert fitted(by_distance, blobs[0], 9).n_clusters_ == N_CLUSTERS


def test_head_params_override(blobs):
    head = fitted("hdbscan", blobs[0], None, head_params={"min_cluster_size": 30})
    assert head.n_clusters_ == N_CLUSTERS
    with pytest.raises(ValueError, match="Invalid parameter"):
        fitted("kmeans", blobs[0], head_params={"n_inits": 3})


def test_many_rows_are_subsampled(blobs, new_codes, monkeypatch):
    few = HEADS["agglomerative"]._replace(max_rows=50)
    monkeypatch.setitem(_head.HEADS, "agglomerative", few)
    head = fitted("agglomerative", blobs[0])
    assert_laws(head, blobs[0], new_codes)
    assert adjusted_rand_score(blobs[1], head.labels_) == 1
    assert len(pickle.dumps(head)) < len(pickle.dumps(fitted("hdbscan", blobs[0])))


@pytest.mark.parametrize("manifold", [None, "umap"])
def test_weights_move_the_centers(fake_umap, manifold):
    codes = np.array([[0.0, 0], [1, 0], [20, 0], [22, 0]])
    weights = np.array([3.0, 1, 1, 1])
    centers = make_head("kmeans", 2, manifold=manifold, random_state=0).fit(codes, weights)
    expected = [[0.25, 0], [21, 0]]
    np.testing.assert_allclose(np.sort(centers.cluster_centers_, axis=0), expected)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"kmeans.*spherical.*gmm.*hdbscan.*agglomerative"):
        make_head("k-means", 3)
    with pytest.raises(ValueError, match="choose 'umap' or None"):
        make_head("kmeans", 3, manifold="tsne")


@pytest.mark.parametrize("head", [name for name in HEADS if name != "hdbscan"])
def test_number_of_clusters_needed(head):
    with pytest.raises(ValueError, match="needs n_clusters"):
        make_head(head)


def test_not_a_clusterer(blobs):
    class Mute(BaseEstimator):
        def fit(self, X, y=None):
            return self

    with pytest.raises(TypeError, match="neither a predict method nor labels_"):
        fitted(Mute(), blobs[0])


# -- spherical k-means ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rays():
    """Four directions, at lengths from .1 to 100."""
    codes, directions = as_codes(12 * np.vstack([np.eye(3), -np.ones(3)]))
    lengths = 10.0 ** np.random.default_rng(0).uniform(-2, 1, len(codes))
    return codes * lengths[:, None], directions


def test_spherical_ignores_lengths(rays):
    codes, directions = rays
    model = SphericalKMeans(4, random_state=0).fit(codes)
    assert adjusted_rand_score(directions, model.labels_) == 1
    assert adjusted_rand_score(directions, KMeans(4, random_state=0).fit_predict(codes)) < 0.5
    np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1)


def test_spherical_is_a_fixed_point(new_codes):
    model = SphericalKMeans(5, random_state=0).fit(new_codes)
    units = normalize(new_codes)
    cosines = units @ model.cluster_centers_.T
    np.testing.assert_array_equal(model.labels_, cosines.argmax(axis=1))
    assert model.inertia_ == pytest.approx((1 - cosines.max(axis=1)).sum())
    sums = [units[model.labels_ == label].sum(axis=0) for label in range(5)]
    np.testing.assert_allclose(model.cluster_centers_, normalize(sums), atol=1e-12)


def test_spherical_restarts_do_not_hurt(new_codes):
    inertia = [
        SphericalKMeans(8, n_init=n, random_state=0).fit(new_codes).inertia_ for n in (1, 10)
    ]
    assert inertia[1] < inertia[0]


def test_spherical_weights_are_repetitions():
    codes = np.array([[1.0, 0], [1, 1], [-1, 0], [-1, -2]])
    weights = np.array([3, 1, 1, 2])
    weighted = SphericalKMeans(2, random_state=0).fit(codes, sample_weight=weights)
    repeated = SphericalKMeans(2, random_state=0).fit(np.repeat(codes, weights, axis=0))
    assert weighted.inertia_ == pytest.approx(repeated.inertia_)
    by_side = [np.sort(model.cluster_centers_, axis=0) for model in (weighted, repeated)]
    np.testing.assert_allclose(*by_side)


def test_spherical_reseeds_an_empty_cluster(rays, monkeypatch):
    start = np.eye(3)[[0, 0, 0, 0]]  # three of four centres start without rows
    monkeypatch.setattr(
        "skdeepcluster.heads._spherical.kmeans_plusplus", lambda *args, **kwargs: (start, None)
    )
    model = SphericalKMeans(4, n_init=1, random_state=0).fit(rays[0])
    assert len(np.unique(model.labels_)) == 4


def test_spherical_takes_zero_rows():
    codes = np.array([[0.0, 0], [1, 0], [2, 0], [0, 3]])
    model = SphericalKMeans(2, random_state=0).fit(codes)
    assert np.isfinite(model.cluster_centers_).all()
    assert model.labels_[1] == model.labels_[2] != model.labels_[3]
