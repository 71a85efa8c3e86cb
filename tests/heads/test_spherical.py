"""Spherical k-means."""

import numpy as np
import pytest
from head_laws import as_codes
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from skdeepcluster.heads import SphericalKMeans, spherical_step


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


def test_a_restart_does_not_rob_a_cluster_of_its_last_row():
    """The row that is farthest from its centre is all that the second cluster has."""
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    centers = np.array([[1.0, 0.0], [0.8, 0.6], [-(0.5**0.5), -(0.5**0.5)]])
    labels, moved, empty = spherical_step(rows, centers, np.ones(3))
    np.testing.assert_array_equal(labels, [0, 0, 1])
    np.testing.assert_array_equal(empty, [2])
    np.testing.assert_allclose(moved, [[1, 0], [0, 1], [1, 0]])
