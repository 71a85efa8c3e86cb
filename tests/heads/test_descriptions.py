"""What is known of a head before it is fitted, and what a fitted one keeps."""

import pickle

import numpy as np
import pytest
from head_laws import fitted
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans, MeanShift
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepcluster import AutoencoderClustering
from skdeepcluster.heads import HEADS, describe_head, make_head

PLAIN = (np.ndarray, int, float, str, bool, type(None))


@pytest.mark.parametrize("head", HEADS)
def test_a_description_is_true(head, blobs):
    kind = describe_head(head)
    codes = blobs[0]
    found = make_head(head, 3, random_state=0).fit(codes)
    assert hasattr(found, "predict_proba") == kind.has_proba
    assert hasattr(found, "outlier_scores") == kind.scores_outliers
    assert found.n_clusters_ == (4 if kind.finds_n_clusters else 3)  # of four blobs


@pytest.mark.parametrize(
    ("clusterer", "has_proba", "finds"),
    [
        (KMeans(), False, False),
        (GaussianMixture(), True, False),
        (DBSCAN(), False, True),
        (MeanShift(), False, True),
        (KMeans(3), False, True),  # has its own
        (AgglomerativeClustering(None, distance_threshold=1.0), False, True),
        (make_pipeline(StandardScaler(), GaussianMixture()), True, False),
    ],
    ids=str,
)
def test_a_clusterer_describes_itself(clusterer, has_proba, finds):
    kind = describe_head(clusterer)
    assert (kind.has_proba, kind.finds_n_clusters) == (has_proba, finds)
    assert hasattr(AutoencoderClustering(head=clusterer), "predict_proba") == has_proba


def test_a_new_head_with_memberships_shows_them_before_it_is_fitted(monkeypatch):
    monkeypatch.setitem(HEADS, "soft", HEADS["gmm"])
    assert hasattr(AutoencoderClustering(head="soft"), "predict_proba")
    assert not hasattr(AutoencoderClustering(head="no such head"), "predict_proba")


@pytest.mark.parametrize("head", HEADS)
def test_a_rule_is_made_of_arrays(head, blobs):
    def assert_plain(value):
        if not isinstance(value, PLAIN):
            assert type(value).__module__.startswith("skdeepcluster"), type(value)
            state = value.__getstate__() if hasattr(value, "__getstate__") else vars(value)
            for inner in state.values():
                assert_plain(inner)

    assert_plain(fitted(head, blobs[0], 3)._rule)


@pytest.mark.parametrize("head", HEADS)
def test_a_rule_without_its_trees_grows_them_again(head, blobs):
    found = fitted(head, blobs[0], 3)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict(blobs[0]), found.labels_)


def test_plain_rules_say_what_their_clusterers_would(blobs):
    codes = blobs[0].astype(float)
    mixture = GaussianMixture(3, random_state=0).fit(codes)
    head = fitted(GaussianMixture(3, random_state=0), codes, 3)
    np.testing.assert_array_equal(head.predict_proba(codes), mixture.predict_proba(codes))
    kmeans = KMeans(3, n_init=2, random_state=0).fit(codes)
    head = fitted(KMeans(3, n_init=2, random_state=0), codes, 3)
    np.testing.assert_array_equal(head.predict(codes), kmeans.predict(codes))
