"""The report on clusters: what each column says, and for whom it works."""

import numpy as np
import pandas as pd
import pytest
import torch
from registry import ESTIMATORS, ONE_OF_EACH, stages
from scipy import sparse
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import DBSCAN, KMeans
from sklearn.exceptions import NotFittedError
from sklearn.metrics import silhouette_samples
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepcluster import AutoencoderClustering
from skdeepcluster.inspection import cluster_report
from skdeepcluster.model_selection import ConsensusClustering

COLUMNS = ["size", "share", "cohesion", "closest", "features", "nearest", "farthest"]


class Given(ClusterMixin, BaseEstimator):
    """A clusterer whose labels are what they are."""

    def __init__(self, labels=None):
        self.labels = labels

    def fit(self, X):
        self.labels_ = np.asarray(self.labels)
        return self


def report_of(labels, X, **options):
    return cluster_report(Given(labels).fit(X), X, **options)


@pytest.fixture(scope="module")
def network(blobs):
    return AutoencoderClustering(
        3, latent_dim=2, hidden_layer_sizes=(8,), max_epochs=5, random_state=0
    ).fit(blobs[0])


def cohens_d(column, inside):
    one, other = column[inside], column[~inside]
    squares = (len(one) - 1) * one.var(ddof=1) + (len(other) - 1) * other.var(ddof=1)
    return (one.mean() - other.mean()) / np.sqrt(squares / (len(column) - 2))


@pytest.mark.parametrize("with_noise", [False, True])
def test_effect_sizes_are_cohens_d_of_the_largest_columns(with_noise):
    X = np.random.default_rng(0).normal(size=(60, 5)) * [1, 2, 3, 4, 5] + 7
    labels = np.arange(60) % 3 - with_noise
    X[:, 3] += 4 * labels
    report = report_of(labels, X, n_features=5)
    for label, found in report.features.items():
        expected = [cohens_d(column, labels == label) for column in X.T]
        order = np.argsort(-np.abs(expected))
        assert [name for name, _ in found] == [f"x{column}" for column in order]
        np.testing.assert_allclose([d for _, d in found], np.take(expected, order), atol=0.00501)


def test_constant_columns_set_nothing_apart_unless_they_differ():
    two = np.repeat([0, 1], [7, 33])
    X = np.column_stack([np.full(40, 0.1), np.where(two, 0.3, 0.1), np.where(two, 0.1, 0.3)])
    assert X[:7, 0].mean() != X[7:, 0].mean()  # by rounding
    report = report_of(two, X)
    assert report.features[0] == [("x1", -np.inf), ("x2", np.inf)]
    assert report.features[1] == [("x1", np.inf), ("x2", -np.inf)]


def test_figures_of_an_estimator_of_ours_are_those_of_its_codes(network, blobs):
    X, _ = blobs
    report = cluster_report(network, X, n_rows=4)
    codes, labels = network.transform(X), network.labels_
    assert list(report.columns) == COLUMNS and report.index.name == "cluster"
    assert report.index.tolist() == [0, 1, 2]
    assert report["size"].tolist() == np.bincount(labels).tolist()
    np.testing.assert_allclose(report.share, np.bincount(labels) / len(X))
    silhouettes = silhouette_samples(codes, labels)
    centers = network.code_centers_
    for k, row in report.iterrows():
        np.testing.assert_allclose(row.cohesion, silhouettes[labels == k].mean(), rtol=1e-4)
        others = np.linalg.norm(centers - centers[k], axis=1)
        others[k] = np.inf
        assert row.closest == others.argmin()
        away = np.linalg.norm(codes - centers[k], axis=1)
        away[labels != k] = np.nan
        order = np.argsort(away)[: np.sum(labels == k)]
        assert row.nearest == order[:4].tolist() and row.farthest == order[::-1][:4].tolist()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_estimator_can_be_reported_on(name, blobs):
    model = clone(ESTIMATORS[name])
    model.set_params(**stages(model, 1)).fit(blobs[0])
    report = cluster_report(model, blobs[0])
    assert report["size"].sum() == len(blobs[0])
    clusters = report[report.index >= 0]
    assert clusters.index.tolist() == list(range(model.n_clusters_))
    if model.n_clusters_ > 1:
        assert clusters.cohesion.between(-1, 1).all()
        assert all(other != k and other in clusters.index for k, other in clusters.closest.items())


def test_codes_of_other_clusterers_are_the_rows(blobs):
    X, _ = blobs
    model = KMeans(3, n_init=1, random_state=0).fit(X)
    report = cluster_report(model, X, n_rows=1)
    for k, row in report.iterrows():
        away = np.linalg.norm(X - model.cluster_centers_[k], axis=1)
        away[model.labels_ != k] = np.nan
        assert row.nearest == [np.nanargmin(away)] and row.farthest == [np.nanargmax(away)]


def test_noise_has_neither_cohesion_nor_centre(blobs):
    X, _ = blobs
    model = DBSCAN(eps=1.0).fit(X)
    report = cluster_report(model, X)
    assert report.loc[-1, "size"] == np.sum(model.labels_ == -1) > 0
    assert np.isnan(report.cohesion[-1]) and report.closest[-1] is None
    assert report.nearest[-1] == report.farthest[-1] == []
    kept = model.labels_ >= 0
    without = report_of(model.labels_[kept], X[kept])
    pd.testing.assert_series_equal(report.cohesion[report.index >= 0], without.cohesion)


def test_one_cluster_is_described_as_far_as_it_can_be():
    report = report_of([0, 0, 0], [[1.0], [2.0], [4.0]], n_rows=1)
    assert report.loc[0, ["size", "share", "closest"]].tolist() == [3, 1.0, None]
    assert np.isnan(report.cohesion[0]) and report.features[0] == []
    assert (report.nearest[0], report.farthest[0]) == ([1], [2])


def test_clusters_of_single_rows_have_no_cohesion_to_speak_of():
    report = report_of([0, 1, 2], [[1.0], [2.0], [4.0]])
    assert report.cohesion.tolist() == [0, 0, 0] and report.closest.tolist() == [1, 0, 1]


def test_a_sample_has_rows_of_every_cluster_and_is_seeded(network, blobs):
    X = np.tile(blobs[0], (4, 1)) + np.random.default_rng(0).normal(size=(600, 1))
    one, same, other = (
        cluster_report(network, X, max_samples=60, random_state=seed).cohesion for seed in (0, 0, 1)
    )
    pd.testing.assert_series_equal(one, same)
    assert not one.equals(other)
    np.testing.assert_allclose(one, cluster_report(network, X).cohesion, atol=0.2)
    assert cluster_report(network, X, max_samples=1).cohesion.all()  # not 0, as of single rows


@pytest.mark.parametrize(
    "make", [sparse.csr_matrix, pd.DataFrame, torch.from_numpy], ids=["sparse", "frame", "tensor"]
)
def test_rows_of_any_kind_give_one_report(network, blobs, make):
    names = [f"c{column}" for column in range(6)]
    expected = cluster_report(network, blobs[0], names)
    found = cluster_report(network, make(blobs[0]), names)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)


def test_sparse_rows_are_codes_of_other_clusterers(blobs):
    model = KMeans(3, n_init=1, random_state=0).fit(blobs[0])
    expected = cluster_report(model, blobs[0])
    pd.testing.assert_frame_equal(
        cluster_report(model, sparse.csr_matrix(blobs[0])), expected, rtol=1e-4
    )


def test_a_pipeline_names_the_columns_of_its_user(blobs):
    frame = pd.DataFrame(blobs[0], columns=list("abcdef"))
    pipeline = make_pipeline(StandardScaler(), clone(ESTIMATORS["autoencoder"])).fit(frame)
    report = cluster_report(pipeline, frame)
    scaled = pipeline[:-1].transform(frame)
    pd.testing.assert_frame_equal(report, cluster_report(pipeline[-1], scaled, list("abcdef")))


def test_agreement_of_a_consensus_is_part_of_the_report(blobs):
    model = ConsensusClustering(KMeans(4, n_init=1), random_state=0).fit(blobs[0])
    report = cluster_report(model, blobs[0])
    assert report.agreement.tolist() == model.cluster_agreement_.tolist()


def test_what_cannot_be_reported_on_is_refused(network, blobs):
    with pytest.raises(ValueError, match="2 names for 6 columns"):
        cluster_report(network, blobs[0], ["a", "b"])
    with pytest.raises(ValueError, match=r"labels of 2 rows; X has 150. Pass the rows"):
        cluster_report(Given([0, 1]).fit(None), blobs[0])
    with pytest.raises(TypeError, match="StandardScaler has neither `predict` nor `labels_`"):
        cluster_report(StandardScaler().fit(blobs[0]), blobs[0])
    with pytest.raises(NotFittedError):
        cluster_report(KMeans(2), blobs[0])
