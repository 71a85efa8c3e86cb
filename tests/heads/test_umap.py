"""Heads after UMAP: new codes find their place, and the process stays as it was."""

import pickle
import sys
import warnings

import numba
import numpy as np
import pytest
import scipy.sparse.linalg
import umap
from head_laws import N_CLUSTERS, assert_laws, fitted, globals_untouched
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from skdeepcluster.heads import make_head, umap_coordinates


@pytest.fixture(scope="module")
def on_umap(blobs):
    """Two heads after UMAP, fitted once for the whole module."""
    with globals_untouched(), warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing to complain of in an ordinary fit
        return {
            name: make_head(name, k, manifold="umap", random_state=0).fit(blobs[0])
            for name, k in [("gmm", N_CLUSTERS), ("hdbscan", "auto")]
        }


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


def test_equal_rows_leave_nothing_to_chance():
    """Their graph has few different eigenvalues, and scipy's search for more starts at random."""
    codes = np.repeat(np.random.RandomState(0).normal(size=(3, 10)), 45, axis=0)
    params = {"n_neighbors": 7, "n_epochs": 5}
    one, other = (umap_coordinates(codes, 10, 0, params) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert scipy.sparse.linalg.eigsh is eigsh


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


def test_codes_that_umap_cannot_connect_go_to_their_nearest_neighbors(on_umap, blobs):
    codes = np.vstack([blobs[0], [[1e3, *blobs[0][0, 1:]]]])
    params = {"disconnection_distance": 50.0}
    with pytest.warns(UserWarning, match="disconnected"):
        head = fitted("kmeans", codes, N_CLUSTERS, manifold="umap", manifold_params=params)
    np.testing.assert_array_equal(head.labels_, head.predict(codes))
    assert adjusted_rand_score(blobs[1], head.labels_[:-1]) > 0.98


def test_umap_of_huge_codes(on_umap, blobs):
    head = fitted("kmeans", 1e30 * blobs[0], N_CLUSTERS, manifold="umap")
    assert adjusted_rand_score(blobs[1], head.labels_) > 0.98


def test_umap_settings(fake_umap, blobs):
    fitted("kmeans", blobs[0], manifold="umap")
    settings = dict(fake_umap.settings)
    assert isinstance(settings.pop("random_state"), int)
    assert settings == {"n_components": 4, "n_neighbors": 20, "min_dist": 0.0, "n_jobs": 1}
    fitted("hdbscan", blobs[0], "auto", manifold="umap", manifold_params={"min_dist": 0.5})
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
