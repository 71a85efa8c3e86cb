"""Spherical k-means: clusters of directions."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, issparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


class SphericalKMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    r"""K-means on the unit sphere.

    Maximises :math:`\sum_i w_i \cos(x_i, c_{l_i})` over the labels :math:`l` and the unit vectors
    :math:`c`, by alternating the argmax of the cosine with the normalised sum of the members. A
    cluster left without rows restarts at the row that is worst represented. Of `n_init` runs,
    each from a k-means++ start, the best is kept.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    n_init : int, default=10
        Number of runs.
    max_iter : int, default=100
        Largest number of iterations of one run.
    random_state : int, RandomState or None, default=None
        Seeds the starts.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Unit vectors.
    labels_ : ndarray of shape (n_samples,)
        `predict` of the training rows.
    inertia_ : float
        Weighted sum over the rows of one minus the cosine to the nearest centre.
    n_iter_ : int
        Iterations of the best run.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    Warns
    -----
    ConvergenceWarning
        If some clusters are the nearest to no row.

    See Also
    --------
    sklearn.cluster.KMeans : Clusters of positions.

    References
    ----------
    .. [1] I. S. Dhillon and D. S. Modha, "Concept Decompositions for Large Sparse Text Data Using
           Clustering", Machine Learning 42, 2001, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.heads import SphericalKMeans
    >>> rows = np.array([[1.0, 0.1], [30.0, 1.0], [0.0, 0.2], [1.0, 50.0]])
    >>> model = SphericalKMeans(n_clusters=2, random_state=0)
    >>> labels = model.fit_predict(rows)
    >>> bool(labels[0] == labels[1] != labels[2] == labels[3])
    True
    >>> model.transform(rows).min(axis=1).round(2)  # a direction says nothing of a length
    array([0., 0., 0., 0.])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the directions that represent the rows best.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; only their directions count. An all-zero row has none and moves no centre.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None weighs them alike.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        rows = self._units(X, reset=True)
        weights = _check_sample_weight(
            sample_weight, rows, dtype=np.float64, ensure_non_negative=True
        )
        seen = weights > 0
        rng = check_random_state(self.random_state)
        runs = [self._run(rows[seen], weights[seen], rng) for _ in range(self.n_init)]
        self.inertia_, centers, self.n_iter_ = min(runs, key=lambda run: run[0])
        self.cluster_centers_ = centers.astype(rows.dtype, copy=False)
        self.labels_ = _nearest(rows, self.cluster_centers_)
        if (found := len(np.unique(self.labels_))) < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({found}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly several rows have the same direction.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X: ArrayLike) -> Labels:
        """Give each row the cluster with the largest cosine.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Labels from 0 to n_clusters - 1.
        """
        check_is_fitted(self)
        return _nearest(self._units(X, reset=False), self.cluster_centers_)

    def transform(self, X: ArrayLike) -> Array:
        """Return the cosine distance of each row from every centre.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            One minus the cosine.
        """
        check_is_fitted(self)
        return 1 - self._units(X, reset=False) @ self.cluster_centers_.T

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return minus the weighted sum of the distances from the nearest centres.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Of the training rows, ``-inertia_``.
        """
        distances = self.transform(X).min(axis=1)
        weights = _check_sample_weight(sample_weight, distances, dtype=np.float64)
        return -float(weights @ distances)

    def _units(self, X: ArrayLike, reset: bool) -> Any:
        """Return valid rows at unit length."""
        dtypes = [np.float64, np.float32]
        return normalize(validate_data(self, X, reset=reset, accept_sparse="csr", dtype=dtypes))

    def _run(
        self, rows: Any, weights: Array, rng: np.random.RandomState
    ) -> tuple[float, Array, int]:
        """Alternate assignments and centres until no row changes its cluster."""
        centers, _ = kmeans_plusplus(rows, self.n_clusters, sample_weight=weights, random_state=rng)
        centers = centers.toarray() if issparse(centers) else centers
        labels, n_iter = np.full(rows.shape[0], -1), 0
        while n_iter < self.max_iter:
            n_iter += 1
            found, moved, _ = spherical_step(rows, centers, weights)
            previous, labels = labels, found
            if np.array_equal(labels, previous):
                break
            centers = moved
        return float(weights @ (1 - (rows @ centers.T).max(axis=1))), centers, n_iter

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _nearest(rows: Any, centers: Array) -> Labels:
    """Return the number of the centre with the largest cosine."""
    return (rows @ centers.T).argmax(axis=1)


def spherical_step(rows: Any, centers: Array, weights: Array) -> tuple[Labels, Array, Labels]:
    """Assign every row to a centre, then move the centres to the directions of their members.

    Parameters
    ----------
    rows : {ndarray, CSR matrix} of shape (n_samples, n_features)
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


def sum_by_label(rows: Any, labels: Labels, weights: Array, n_clusters: int) -> Array:
    """Sum the weighted rows of every label; rows of label -1 are left out.

    Parameters
    ----------
    rows : {ndarray, CSR matrix} of shape (n_samples, n_features)
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
    place = labels[kept], kept
    membership = coo_array((weights[kept], place), shape=(n_clusters, rows.shape[0])).tocsr()
    sums = membership @ rows.astype(np.float64, copy=False)
    return sums.toarray() if issparse(sums) else np.asarray(sums)


def mean_by_label(rows: Any, labels: Labels, weights: Array, n_clusters: int) -> Array:
    """Average the weighted rows of every label.

    Parameters
    ----------
    rows, labels, weights, n_clusters
        As in :func:`sum_by_label`.

    Returns
    -------
    ndarray of shape (n_clusters, n_features)
        The means; zero where a label has no weight.
    """
    return sum_by_label(rows, labels, share_of_label(labels, weights), n_clusters)


def share_of_label(labels: Labels, weights: Array) -> Array:
    """Return the share that every row has of the weight of its label; 0 for label -1."""
    counted, place = weights * (labels >= 0), labels.clip(0)
    totals = np.bincount(place, counted)
    return counted / np.where(totals > 0, totals, 1)[place]
