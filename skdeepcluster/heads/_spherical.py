"""Spherical k-means: clusters of directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import kmeans_plusplus
from sklearn.preprocessing import normalize
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


class SphericalKMeans(ClusterMixin, BaseEstimator):
    r"""K-means on the unit sphere.

    Maximises :math:`\sum_i w_i \cos(x_i, c_{l_i})` over the labels :math:`l` and the unit vectors
    :math:`c`, by alternating the argmax of the cosine with the normalised sum of the members. A
    cluster left without rows restarts at the row that is worst represented. Of `n_init` runs,
    each from a k-means++ start, the best is kept.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, at least 1.
    n_init : int, default=10
        Number of runs, at least 1.
    max_iter : int, default=100
        Largest number of iterations of one run, at least 1.
    random_state : int, RandomState instance or None, default=None
        Seeds the starts.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Unit vectors.
    labels_ : ndarray of shape (n_samples,)
        `predict` of the training rows.
    inertia_ : float
        Weighted sum over the rows of one minus the cosine to the nearest centre.

    References
    ----------
    .. [1] I. S. Dhillon and D. S. Modha, "Concept Decompositions for Large Sparse Text Data Using
           Clustering", Machine Learning 42, 2001, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.heads import SphericalKMeans
    >>> rows = np.array([[1.0, 0.1], [30.0, 1.0], [0.0, 0.2], [1.0, 50.0]])
    >>> labels = SphericalKMeans(n_clusters=2, random_state=0).fit_predict(rows)
    >>> bool(labels[0] == labels[1] != labels[2] == labels[3])
    True
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_init: int = 10,
        max_iter: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> SphericalKMeans:
        """Find the directions that represent the rows best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; only their directions count. An all-zero row has none and moves no centre.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None weighs them alike.

        Returns
        -------
        SphericalKMeans
            The fitted object.
        """
        rows = normalize(check_array(X, dtype=np.float64))
        weights = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, float)
        rng = check_random_state(self.random_state)
        runs = [self._run(rows, weights, rng) for _ in range(self.n_init)]
        self.inertia_, self.cluster_centers_ = min(runs, key=lambda run: run[0])
        self.labels_ = self.predict(rows)
        return self

    def predict(self, X: ArrayLike) -> Labels:
        """Give each row the cluster with the largest cosine.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from 0 to n_clusters - 1.
        """
        check_is_fitted(self)
        rows = normalize(check_array(X, dtype=np.float64))
        return (rows @ self.cluster_centers_.T).argmax(axis=1)

    def _run(self, rows: Array, weights: Array, rng: np.random.RandomState) -> tuple[float, Array]:
        """Alternate assignments and centres until no row changes its cluster."""
        centers, _ = kmeans_plusplus(rows, self.n_clusters, sample_weight=weights, random_state=rng)
        labels = np.full(len(rows), -1)
        for _ in range(self.max_iter):
            found, moved, _ = spherical_step(rows, centers, weights)
            previous, labels = labels, found
            if np.array_equal(labels, previous):
                break
            centers = moved
        return float(weights @ (1 - (rows @ centers.T).max(axis=1))), centers


def spherical_step(rows: Array, centers: Array, weights: Array) -> tuple[Labels, Array, Labels]:
    """Assign every row to a centre, then move the centres to the directions of their members.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Unit vectors.
    centers : ndarray of shape (n_clusters, n_features)
        Unit vectors.
    weights : ndarray of shape (n_samples,)
        Weights of the rows.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The centre with the largest cosine.
    centers : ndarray of shape (n_clusters, n_features)
        Normalised sums of the members. A cluster without any restarts at the row that is farthest
        from its own centre, of those that are not the last of their cluster.
    empty : ndarray of int
        The clusters that did.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> labels, centers, empty = spherical_step(rows, np.eye(2), np.ones(3))
    >>> labels
    array([0, 1, 1])
    >>> centers[0], empty
    (array([1., 0.]), array([], dtype=int64))
    """
    cosines = rows @ centers.T
    labels = cosines.argmax(axis=1)
    empty = np.setdiff1d(np.arange(len(centers)), labels)
    members = _restarted(labels, cosines.max(axis=1), empty)
    return labels, normalize(sum_by_label(rows, members, weights, len(centers))), empty


def _restarted(labels: Labels, closeness: Array, empty: Labels) -> Labels:
    """Give each empty cluster a row that is far from its centre and leaves others behind."""
    members, counts, waiting = labels.copy(), np.bincount(labels), list(empty)
    for row in closeness.argsort(kind="stable"):
        if not waiting:
            break
        if counts[labels[row]] > 1:
            counts[labels[row]] -= 1
            members[row] = waiting.pop(0)
    return members


def sum_by_label(rows: Array, labels: Labels, weights: Array, n_clusters: int) -> Array:
    """Sum the weighted rows of every label; rows of label -1 are left out.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Rows.
    labels : ndarray of shape (n_samples,)
        Labels from -1 to n_clusters - 1.
    weights : ndarray of shape (n_samples,)
        Weights of the rows.
    n_clusters : int
        Number of sums.

    Returns
    -------
    ndarray of shape (n_clusters, n_features)
        The sums; zero where a label has no row.
    """
    (kept,) = np.nonzero(labels >= 0)
    membership = coo_array((weights[kept], (labels[kept], kept)), shape=(n_clusters, len(rows)))
    return np.asarray(membership @ rows)
