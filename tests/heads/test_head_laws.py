"""Every head labels training codes and new ones by one rule."""

import pickle

import numpy as np
import pytest
from head_laws import N_CLUSTERS, assert_laws, fitted, globals_untouched, name_of
from sklearn.cluster import (
    DBSCAN,
    AgglomerativeClustering,
    Birch,
    BisectingKMeans,
    KMeans,
    MeanShift,
    SpectralClustering,
)
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skdeepcluster.heads import HEADS, make_head

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


every_head = pytest.mark.parametrize("head", [*HEADS, *INSTANCES], ids=name_of)


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
        np.random.seed(seed)
        return make_head("kmeans", 7).fit(new_codes).labels_

    np.testing.assert_array_equal(labels(3), labels(3))
    assert not np.array_equal(labels(3), labels(4))
