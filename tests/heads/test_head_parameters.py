"""What a head takes, and what it refuses."""

import pickle
import warnings

import numpy as np
import pytest
from head_laws import N_CLUSTERS, assert_laws, fitted
from sklearn.base import BaseEstimator
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import check_random_state

from skdeepcluster.heads import HEADS, _head, drawn_rows, make_head
from skdeepcluster.heads._clusterers import sized


def test_an_instance_is_cloned_and_its_defaults_filled_in(blobs):
    instance = KMeans(n_init=3)
    assert fitted(instance, blobs[0], 6).n_clusters_ == 6
    assert (instance.n_clusters, instance.random_state) == (8, None)
    assert not hasattr(instance, "labels_")


def test_what_an_instance_sets_is_kept(blobs):
    assert fitted(KMeans(3), blobs[0], 6).n_clusters_ == 3
    assert fitted(KMeans(), blobs[0], "auto").n_clusters_ == N_CLUSTERS
    by_distance = AgglomerativeClustering(n_clusters=None, distance_threshold=60.0)
    assert fitted(by_distance, blobs[0], 9).n_clusters_ == N_CLUSTERS


def test_head_params_override(blobs):
    head = fitted("hdbscan", blobs[0], "auto", head_params={"min_cluster_size": 30})
    assert head.n_clusters_ == N_CLUSTERS
    with pytest.raises(ValueError, match="Invalid parameter"):
        fitted("kmeans", blobs[0], head_params={"n_inits": 3})


def test_the_smallest_cluster_may_be_a_share_of_the_rows(blobs):
    for size, expected in ((0.1, N_CLUSTERS), (0.6, 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            head = fitted("hdbscan", blobs[0], "auto", head_params={"min_cluster_size": size})
        assert head.n_clusters_ == expected
    same = fitted("hdbscan", blobs[0], "auto", head_params={"min_cluster_size": len(blobs[0]) // 5})
    share = fitted("hdbscan", blobs[0], "auto", head_params={"min_cluster_size": 0.2})
    np.testing.assert_array_equal(share.labels_, same.labels_)


def test_many_rows_are_subsampled(blobs, new_codes, monkeypatch):
    few = HEADS["agglomerative"]._replace(max_rows=50)
    monkeypatch.setitem(HEADS, "agglomerative", few)
    head = fitted("agglomerative", blobs[0])
    assert_laws(head, blobs[0], new_codes)
    assert adjusted_rand_score(blobs[1], head.labels_) == 1
    assert len(pickle.dumps(head)) < len(pickle.dumps(fitted("hdbscan", blobs[0])))


@pytest.mark.parametrize("manifold", [None, "umap"])
@pytest.mark.parametrize("head", ["kmeans", "gmm", "hdbscan"])
def test_a_sample_is_clustered_and_the_rest_follows(blobs, new_codes, fake_umap, head, manifold):
    params = {} if manifold is None else {"manifold": manifold}
    sample = fitted(head, blobs[0], max_samples=60, **params)
    assert_laws(sample, blobs[0], new_codes)
    rows = drawn_rows(len(blobs[0]), 60, seed=check_random_state(0).randint(2**31 - 1))
    alone = fitted(head, blobs[0][rows], **params)
    np.testing.assert_array_equal(sample.predict(new_codes), alone.predict(new_codes))
    all_rows = fitted(head, blobs[0], max_samples=len(blobs[0]), **params)
    np.testing.assert_array_equal(all_rows.labels_, fitted(head, blobs[0], **params).labels_)


def test_a_number_of_rows_counts_for_its_share_of_a_sample(blobs):
    size = len(blobs[0]) // 5
    few = fitted(
        "hdbscan", blobs[0], "auto", max_samples=60, head_params={"min_cluster_size": size}
    )
    share = fitted(
        "hdbscan", blobs[0], "auto", max_samples=60, head_params={"min_cluster_size": 0.2}
    )
    np.testing.assert_array_equal(few.labels_, share.labels_)


def test_codes_are_labelled_a_stretch_at_a_time(blobs, monkeypatch):
    whole = fitted("gmm", blobs[0])
    seen = []
    monkeypatch.setattr(_head, "STRETCH", 32)
    rule = whole._rule.predict_proba
    monkeypatch.setattr(whole._rule, "predict_proba", lambda r: (seen.append(len(r)), rule(r))[1])
    np.testing.assert_array_equal(whole.predict(blobs[0]), whole.labels_)
    assert max(seen) == 32 and sum(seen) == len(blobs[0])


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


@pytest.mark.parametrize("n_clusters", [None, 0, "3"])
def test_a_number_of_clusters_is_a_number_or_auto(n_clusters):
    with pytest.raises(ValueError, match=f'n_clusters={n_clusters!r}.*"auto"'):
        make_head("kmeans", n_clusters)


def test_not_a_clusterer(blobs):
    class Mute(BaseEstimator):
        def fit(self, X, y=None):
            return self

    with pytest.raises(TypeError, match="neither a predict method nor labels_"):
        fitted(Mute(), blobs[0])


def test_a_share_of_the_rows_is_not_rounded_down_by_its_last_bit():
    assert sized({"min_cluster_size": 0.29}, 100) == {"min_cluster_size": 29}  # .29 * 100 < 29


def test_hdbscan_measures_a_density_by_few_neighbours_however_many_rows_there_are():
    """As many as the smallest cluster has would make the time grow with the square of the rows."""
    for n_rows, size, neighbors in ((100, 5, 5), (400, 8, 8), (5000, 100, 10), (50_000, 1000, 10)):
        clusterer = HEADS["hdbscan"].build(np.zeros((n_rows, 2)), None, 0)
        assert (clusterer.min_cluster_size, clusterer.min_samples) == (size, neighbors)
