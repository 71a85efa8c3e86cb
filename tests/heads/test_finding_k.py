"""The number of clusters that HDBSCAN finds for another head, and how far out rows lie."""

import numpy as np
import pytest
from hdbscan import HDBSCAN
from head_laws import N_CLUSTERS, assert_laws, assert_row_independent, fitted
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepcluster.heads import NeighborRule, make_head


@pytest.mark.parametrize("head", ["gmm", "agglomerative", "kmeans", KMeans()], ids=str)
def test_a_head_takes_the_number_that_hdbscan_finds(head, blobs, new_codes):
    model = fitted(head, blobs[0], "auto")
    assert model.n_clusters_ == N_CLUSTERS
    assert_laws(model, blobs[0], new_codes)


def test_the_count_has_parameters_of_its_own(blobs):
    with pytest.warns(ConvergenceWarning, match="HDBSCAN found no cluster"):
        model = fitted("gmm", blobs[0], "auto", count_params={"min_cluster_size": 150})
    assert model.n_clusters_ == 1  # a usable result


def test_umap_comes_before_the_count(fake_umap, blobs):
    model = fitted("gmm", blobs[0], "auto", manifold="umap")
    assert fake_umap.settings["n_components"] == 10
    assert model.n_clusters_ >= 1


def test_outliers_are_told_from_members(blobs):
    codes = np.vstack([blobs[0], [[60.0, 60, 60]], [[-60.0, 60, -60]]])
    head = fitted("hdbscan", codes, "auto")
    scores = head.outlier_scores(codes)
    assert scores.shape == (len(codes),)
    assert scores.min() >= 0 and scores.max() <= 1
    assert scores[-2:].min() > np.quantile(scores[:-2], 0.95)
    assert_row_independent(head.outlier_scores, codes)
    np.testing.assert_allclose(head.outlier_scores(codes[-1:] + 1e-9), scores[-1:], atol=1e-6)


def test_strengths_are_those_of_hdbscan_and_0_for_noise(blobs):
    codes = np.vstack([blobs[0], [[60.0, 60, 60]], [[-60.0, 60, -60]]])
    head = fitted("hdbscan", codes, "auto")
    strengths = head.strengths(codes)
    assert ((strengths == 0) == (head.labels_ == -1)).all()
    assert strengths[head.labels_ >= 0].max() == 1
    assert len(np.unique(strengths)) > len(codes) / 2  # none of them a vote
    assert_row_independent(head.strengths, codes)


@pytest.mark.parametrize("instance", [HDBSCAN(10), make_pipeline(StandardScaler(), HDBSCAN(10))])
def test_an_hdbscan_of_ones_own_tells_outliers_too(instance, blobs):
    assert hasattr(make_head(instance), "outlier_scores")
    head = fitted(instance, blobs[0], "auto")
    assert head.outlier_scores(blobs[0]).shape == head.strengths(blobs[0]).shape == (len(blobs[0]),)


def test_everything_is_told_by_one_search(blobs, monkeypatch):
    head = fitted("hdbscan", blobs[0], "auto")
    judged = head.judge(blobs[0])
    np.testing.assert_array_equal(judged.labels, head.labels_)
    np.testing.assert_array_equal(judged.outlier_scores, head.outlier_scores(blobs[0]))
    np.testing.assert_array_equal(judged.strengths, head.strengths(blobs[0]))
    searches = []
    find = NearestNeighbors.kneighbors
    monkeypatch.setattr(
        NearestNeighbors, "kneighbors", lambda self, rows: searches.append(1) or find(self, rows)
    )
    head.judge(blobs[0])
    assert len(searches) == 1


def test_rows_that_all_but_touch_have_finite_scores():
    rows = np.array([[0.0], [1e-320], [1.0], [2.0]])
    rule = NeighborRule(rows, np.array([0, 0, 1, 1]), np.array([0.2, 0.4, 0.6, 0.8]))
    judged = rule.judge(np.array([[2e-320], [1.0]]))
    np.testing.assert_allclose(judged.outlier_scores, [0.3, 0.6])
    np.testing.assert_array_equal(judged.labels, [0, 1])


def test_copies_of_one_row_are_no_outliers():
    codes = np.repeat([[0.0, 0], [9, 9]], 30, axis=0)
    scores = fitted("hdbscan", codes, "auto").outlier_scores(codes)
    assert np.isfinite(scores).all()


def test_other_heads_know_no_outliers(blobs):
    assert not hasattr(make_head("gmm", 3), "outlier_scores")
    assert not hasattr(fitted("kmeans", blobs[0]), "outlier_scores")
    assert not hasattr(fitted("kmeans", blobs[0]), "strengths")
