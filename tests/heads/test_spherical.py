"""Spherical k-means."""

import numpy as np
import pytest
from head_laws import as_codes
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepcluster.heads import SphericalKMeans, spherical_step


@pytest.fixture(scope="module")
def rays():
    """Four directions, at lengths from .1 to 100."""
    codes, directions = as_codes(12 * np.vstack([np.eye(3), -np.ones(3)]))
    lengths = 10.0 ** np.random.default_rng(0).uniform(-2, 1, len(codes))
    return codes * lengths[:, None], directions


def other_draws(estimator):
    """KMeans fails them too: k-means++ draws others among repeated rows."""
    kinds = ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{kind}_data": "k-means++" for kind in kinds}


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@parametrize_with_checks([SphericalKMeans(n_init=3)], expected_failed_checks=other_draws)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_rows_are_rows(rays, kind):
    codes = np.where(np.abs(rays[0]) < 0.1, 0, rays[0])
    dense, found = (SphericalKMeans(4, random_state=0).fit(X) for X in (codes, kind(codes)))
    np.testing.assert_array_equal(found.labels_, dense.labels_)
    np.testing.assert_allclose(found.transform(kind(codes)), dense.transform(codes), atol=1e-12)
    assert found.score(kind(codes)) == pytest.approx(-dense.inertia_)


def test_rows_without_weight_are_predicted_alone(rays):
    codes, directions = rays
    weight = (directions != 2).astype(float)
    model = SphericalKMeans(3, random_state=0).fit(codes, sample_weight=weight)
    assert adjusted_rand_score(directions[weight > 0], model.labels_[weight > 0]) == 1
    assert model.score(codes, sample_weight=weight) == pytest.approx(-model.inertia_)


def test_too_few_directions_are_told():
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\).*n_clusters \(3\)"):
        SphericalKMeans(3, random_state=0).fit([[1.0, 0], [2, 0], [0, 1], [0, 3]])


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


def test_a_restart_does_not_rob_a_cluster_of_its_last_row():
    """The row that is farthest from its centre is all that the second cluster has."""
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    centers = np.array([[1.0, 0.0], [0.8, 0.6], [-(0.5**0.5), -(0.5**0.5)]])
    labels, moved, empty = spherical_step(rows, centers, np.ones(3))
    np.testing.assert_array_equal(labels, [0, 0, 1])
    np.testing.assert_array_equal(empty, [2])
    np.testing.assert_allclose(moved, [[1, 0], [0, 1], [1, 0]])
