"""How many clusters: the rule, the nulls, and data with and without clusters."""

import re

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepcluster import AutoencoderClustering
from skdeepcluster.model_selection import StabilityCurve, stability_curve
from skdeepcluster.model_selection._stability import NULLS

FEW = {"n_pairs": 5, "n_nulls": 5, "n_null_pairs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def four_blobs():
    """Blobs that lie equally far from one another, so that no two of them are closer kin."""
    return make_blobs(200, centers=5 * np.eye(4, 5), cluster_std=0.7, random_state=0)[0]


def curve_of(agreement, *nulls):
    agreement = np.array(agreement, dtype=float)[:, None]
    named = {str(number): np.array(null, dtype=float) for number, null in enumerate(nulls)}
    return StabilityCurve(np.arange(2, 2 + len(agreement)), agreement, named)


def test_the_largest_excess_over_the_null_that_agrees_most_wins():
    low, high = np.full((3, 20), 0.1), np.tile([[0.9], [0.3], [0.6]], 20)
    curve = curve_of([1.0, 0.8, 0.9], low, high)
    np.testing.assert_allclose(curve.excess, [0.1, 0.5, 0.3])
    assert curve.best_n_clusters == 3
    assert curve_of([1.0, 0.8, 0.9], low).best_n_clusters == 2


def test_a_curve_is_shown_by_its_findings_alone():
    assert repr(curve_of([1.0], np.full((1, 20), 0.1))) == (
        "StabilityCurve(n_clusters=array([2]), excess=array([0.9]), "
        "significant=array([ True]), best_n_clusters=2)"
    )


def test_what_the_nulls_reach_is_not_significant():
    null = np.zeros((2, 20))
    null[:, 0] = 0.9  # one of twenty is 5 %
    assert curve_of([0.8, 0.8], null).significant.tolist() == [True, True]
    null[0, 1] = 0.8  # two are 10 %
    curve = curve_of([0.8, 0.7], null)
    assert curve.significant.tolist() == [False, True] and curve.best_n_clusters == 3
    curve = curve_of([0.54, 0.1], np.full((2, 20), 0.5))  # never reached, and yet no more
    assert not curve.significant.any() and curve.best_n_clusters is None


def test_blobs_are_counted(four_blobs):
    options = {**FEW, "n_nulls": 10, "n_null_pairs": 4}
    curve = stability_curve(KMeans(n_init=2), four_blobs, n_clusters=[3, 4, 5], **options)
    assert curve.best_n_clusters == 4
    assert curve.agreement.shape == (3, 5)
    shapes = {null: values.shape for null, values in curve.null_agreement.items()}
    assert shapes == {"columns": (3, 10), "gaussian": (3, 10)}


CLOUDS = {
    "round": lambda random: random.normal(size=(200, 4)),
    "uniform": lambda random: random.uniform(size=(200, 4)),
    "long": lambda random: (
        random.normal(size=(200, 3)) * [10, 1, 1] @ np.linalg.qr(np.ones((3, 3)))[0]
    ),
    "skewed": lambda random: np.exp(0.7 * random.normal(size=(200, 4))),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_one_cloud_is_no_clusters(cloud):
    X = CLOUDS[cloud](np.random.RandomState(3))
    options = {**FEW, "n_nulls": 10}
    assert (
        stability_curve(KMeans(n_init=1), X, n_clusters=[2, 3, 4], **options).best_n_clusters
        is None
    )


def test_each_null_alone_takes_a_cloud_for_clusters():
    """Why there are two: one keeps the columns, the other what ties them."""
    random = np.random.RandomState(0)
    tied = random.normal(size=(200, 1)) + 0.3 * random.normal(size=(200, 6))
    options = {"n_clusters": [2], **FEW}
    alone = stability_curve(KMeans(n_init=2), tied, nulls=["columns"], **options)
    assert alone.best_n_clusters == 2
    assert stability_curve(KMeans(n_init=2), tied, **options).best_n_clusters is None


def test_nulls_keep_what_they_say():
    random = np.random.RandomState(0)
    rows = np.exp(random.normal(size=(5000, 3))) @ np.array([[1, 0, 0], [0.9, 0.5, 0], [0, 0, 2]])
    shuffled, gaussian = (NULLS[null](rows, random) for null in ("columns", "gaussian"))
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(rows, axis=0))
    assert np.abs(np.corrcoef(shuffled.T) - np.eye(3)).max() < 0.1
    assert np.corrcoef(rows.T)[0, 1] > 0.5
    np.testing.assert_allclose(np.cov(gaussian.T), np.cov(rows.T), atol=0.1 * np.cov(rows.T).max())
    np.testing.assert_allclose(gaussian.mean(axis=0), rows.mean(axis=0), atol=0.2)
    counts = random.randint(250, 256, size=(50, 2)).astype(np.uint8)
    assert NULLS["gaussian"](counts, random).dtype == np.uint8


def test_one_seed_gives_one_result_side_by_side(four_blobs):
    options = {**FEW, "n_clusters": [3, 4], "n_pairs": 3, "n_nulls": 2}
    one = stability_curve(KMeans(n_init=1), four_blobs, **options)
    with parallel_config(backend="threading"):
        same = stability_curve(KMeans(n_init=1), four_blobs, n_jobs=2, **options)
    np.testing.assert_array_equal(one.agreement, same.agreement)
    np.testing.assert_array_equal(one.null_agreement["gaussian"], same.null_agreement["gaussian"])


def test_other_names_of_the_number_and_clusterers_without_seed_or_predict(four_blobs):
    options = {**FEW, "n_clusters": [3, 4]}
    mixture = stability_curve(
        GaussianMixture(n_init=3), four_blobs, param_name="n_components", **options
    )
    pipeline = make_pipeline(StandardScaler(), AgglomerativeClustering())
    name = "agglomerativeclustering__n_clusters"
    linked = stability_curve(pipeline, four_blobs, param_name=name, **options)
    for curve in (mixture, linked):
        np.testing.assert_allclose(curve.agreement[1], 1)  # of the number that there are


def test_an_embedding_is_fitted_once_on_each_data_set(four_blobs):
    class Counted(PCA):
        fits = []  # noqa: RUF012 - shared by the clones

        def fit_transform(self, X, y=None):
            self.fits.append(len(X))
            return super().fit_transform(X)

    options = {**FEW, "n_clusters": [3, 4], "n_nulls": 2}
    curve = stability_curve(KMeans(n_init=1), four_blobs, embedding=Counted(3), **options)
    assert Counted.fits == [200] * 5  # the rows, and two data sets of either null
    np.testing.assert_allclose(curve.agreement[1], 1)


def test_a_network_and_images_go_in(images_of_two_kinds):
    model = AutoencoderClustering(latent_dim=2, hidden_layer_sizes=(8,), max_epochs=1)
    options = {"n_clusters": [2], "n_pairs": 1, "n_nulls": 1, "n_null_pairs": 1, "random_state": 0}
    assert stability_curve(model, images_of_two_kinds, **options).agreement.shape == (1, 1)
    curve = stability_curve(KMeans(n_init=1), images_of_two_kinds, embedding=model, **options)
    assert curve.agreement.shape == (1, 1)


@pytest.fixture
def images_of_two_kinds():
    return np.random.default_rng(0).integers(256, size=(30, 4, 4), dtype=np.uint8)


class Kept(ClusterMixin, BaseEstimator):
    """Puts rows where their first column says, in two parts."""

    def __init__(self, n_clusters=2):
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        self.labels_ = (X[:, 0] > 0).astype(int)
        return self


def test_agreement_is_on_the_shared_rows_alone():
    X = np.random.default_rng(0).normal(size=(40, 2))
    curve = stability_curve(Kept(), X, n_clusters=[2], **FEW)
    assert (curve.agreement == 1).all()


def test_what_cannot_work_is_refused(four_blobs):
    for numbers in ([1, 2], [2.7, 3], 3, []):
        with pytest.raises(ValueError, match=rf"integers from 2 on; got {re.escape(str(numbers))}"):
            stability_curve(KMeans(), four_blobs, n_clusters=numbers)
    for share in (1.5, 0, -0.5, np.nan):
        with pytest.raises(ValueError, match=rf"subsample={share} must be a share"):
            stability_curve(KMeans(), four_blobs, subsample=share)
    with pytest.raises(ValueError, match=r"one or more of columns, gaussian; got \('rows',\)"):
        stability_curve(KMeans(), four_blobs, nulls=["rows"])
    with pytest.raises(ValueError, match="n_null_pairs must be at least 1"):
        stability_curve(KMeans(), four_blobs, n_pairs=0)
    with pytest.raises(ValueError, match="has 7 rows, too few for 10 clusters"):
        stability_curve(KMeans(), four_blobs[:10])


def test_a_clusterer_that_counts_by_itself_is_refused(four_blobs):
    model = DBSCAN(eps=2.0)
    with pytest.raises(ValueError, match=r"min_samples=2 gave 4 clusters.*param_name"):
        stability_curve(model, four_blobs, n_clusters=[2], param_name="min_samples", **FEW)
