"""Clusters that die, rows that belong to none, and too few rows."""

import numpy as np
import pytest
from head_laws import N_CLUSTERS, assert_laws, fitted, name_of
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import DBSCAN, AgglomerativeClustering, Birch, MeanShift
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepcluster.heads import HEADS, fit_labels, make_head


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
    head = fitted(clusterer, [[2.1], [2.3], [8.5], [8.7]], "auto")
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
    head = fitted("hdbscan", codes, "auto")
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
        head = fitted("hdbscan", new_codes, "auto", head_params={"min_cluster_size": 200})
    assert head.n_clusters_ == 0
    assert head.cluster_centers_.shape == (0, 3)
    np.testing.assert_array_equal(head.predict(new_codes[:5]), -1)


def test_one_cluster_found(blobs):
    with pytest.warns(ConvergenceWarning, match="one cluster"):
        head = fitted(DBSCAN(eps=100), blobs[0], "auto")
    np.testing.assert_array_equal(head.labels_, 0)


def test_coinciding_codes_share_a_label():
    class Stubborn(ClusterMixin, BaseEstimator):
        def fit(self, X, y=None):
            self.labels_ = np.array([0, 1, 2, 2, -1])
            return self

    head = fitted(Stubborn(), [[0.0], [0.0], [5.0], [6.0], [6.0]], "auto")
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


def test_a_start_keeps_the_noise_that_a_prediction_forgets(blobs):
    far = np.random.RandomState(0).uniform(30, 90, (20, blobs[0].shape[1]))
    rows = np.vstack([blobs[0], far])
    clusterer = MeanShift(bandwidth=4, cluster_all=False, min_bin_freq=5, bin_seeding=True)
    labels = fit_labels(clusterer, rows)
    assert (labels[-20:] == -1).all()
    np.testing.assert_array_equal(labels, clone(clusterer).fit(rows).labels_)


def test_a_pipeline_may_end_in_a_clusterer_that_only_labels(blobs, new_codes):
    head = fitted(make_pipeline(StandardScaler(), AgglomerativeClustering()), blobs[0])
    assert head.n_clusters_ == N_CLUSTERS
    assert_laws(head, blobs[0], new_codes)


def test_noise_goes_to_the_nearest_cluster():
    rng = np.random.RandomState(0)
    codes = np.r_[rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 20, [[8, 8], [13, 13]]]
    far = np.array([[-30.0, -30], [60, 60], [7, 7], [14, 14]])
    kept = fitted(DBSCAN(eps=2), codes)
    assert list(kept.labels_[-2:]) == [-1, -1]
    assert -1 in kept.predict(far)
    filled = fitted(DBSCAN(eps=2), codes, noise="nearest")
    np.testing.assert_array_equal(filled.labels_[-2:], [0, 1])
    np.testing.assert_array_equal(filled.predict(far), [0, 1, 0, 1])
    inside = kept.labels_ >= 0
    np.testing.assert_array_equal(filled.labels_[inside], kept.labels_[inside])
    np.testing.assert_array_equal(filled.predict(far[1:2]), filled.predict(far)[1:2])
    assert filled.n_clusters_ == kept.n_clusters_ == 2


def test_where_all_is_noise_it_stays():
    codes = np.random.RandomState(0).uniform(size=(30, 2))
    with pytest.warns(ConvergenceWarning, match="no cluster"):
        head = fitted(DBSCAN(eps=1e-9), codes, noise="nearest")
    assert set(head.labels_) == {-1} and head.n_clusters_ == 0


def test_what_becomes_of_noise_is_a_known_word():
    with pytest.raises(ValueError, match="noise='drop' is unknown"):
        make_head("hdbscan", noise="drop")
