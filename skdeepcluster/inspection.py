"""What a fitted clusterer found, in a table.

:func:`cluster_report` takes any fitted clusterer, of this package or of scikit-learn. pandas is
imported when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_random_state
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import check_is_fitted

from skdeepcluster.validation import as_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from pandas import DataFrame

__all__ = ["cluster_report"]

NOISE = -1
ROUNDING = 1e-10  # of a column's largest mean; a difference or a spread below it is none


def cluster_report(
    model: Any,
    X: ArrayLike,
    feature_names: Sequence[str] | None = None,
    *,
    n_features: int = 3,
    n_rows: int = 3,
    max_samples: int = 2000,
    random_state: Any = 0,
) -> DataFrame:
    r"""Describe the clusters of some rows: how large, how compact, and what sets them apart.

    Codes are what `transform` of an estimator of this package gives. For any other clusterer they
    are the rows themselves. The centre of a cluster is that of `code_centers_`, or the mean of the
    cluster's rows. Of a pipeline the last step is described, on what the others make of `X`; the
    columns that are compared are those of `X`.

    Parameters
    ----------
    model : object
        A fitted clusterer with `predict`; or with `labels_` alone, and then `X` must be the rows
        it was fitted on.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to describe, in the form that the model was fitted on; not only those of the fit. All
        columns are numbers.
    feature_names : sequence of str, default=None
        Names of the columns; by default those of the data frame, or ``x0``, ``x1``, ...
    n_features : int, default=3
        Number of columns that are named for every cluster.
    n_rows : int, default=3
        Number of nearest and of farthest rows.
    max_samples : int, default=2000
        Number of rows that `cohesion` is computed on, in equal parts from every cluster, at least
        two of each. The time it takes grows with the square.
    random_state : int, RandomState or None, default=0
        Draws these rows.

    Returns
    -------
    report : pandas.DataFrame
        One row per cluster that has members in `X`, and one for noise (label -1) if there is any.
        The columns are:

        size
            Number of rows.
        share
            The same as a share of all rows.
        cohesion
            Mean silhouette of the codes [1]_, in -1..1: near 1, rows are much nearer to the rows
            of their own cluster than to those of any other; near 0, the cluster is no denser than
            its surroundings. Noise takes no part.
        closest
            The other cluster whose centre is nearest, among codes.
        features
            The columns that set the cluster apart from all other rows, as pairs of a name and an
            effect size to two digits, the largest first.
        nearest, farthest
            Positions in `X` of the cluster's rows nearest to its centre, nearest first, and
            farthest from it, farthest first.
        agreement
            `cluster_agreement_`, where the model has it: see
            :class:`skdeepcluster.model_selection.ConsensusClustering`.

        What does not exist is NaN, None or empty: `cohesion` and `closest` of a single cluster, or
        the centre of noise.

    Raises
    ------
    ValueError
        If there is not one name for each column, or one label for each row.
    TypeError
        If the model has neither `predict` nor `labels_`.

    Notes
    -----
    The effect size of a column is Cohen's d [2]_, the difference of means in pooled standard
    deviations,

    .. math:: d = \frac{\bar x_1 - \bar x_2}{s}, \qquad
              s^2 = \frac{(n_1 - 1) s_1^2 + (n_2 - 1) s_2^2}{n_1 + n_2 - 2}

    between the rows of the cluster (1) and all others (2), noise among them. It is positive where
    the cluster lies higher, and infinite where both sides are constant and differ.

    A clusterer that was fitted on these columns makes its clusters differ in them. Effect sizes
    describe a cluster; they do not show that it is real.

    References
    ----------
    .. [1] Rousseeuw, P. J. "Silhouettes: a graphical aid to the interpretation and validation of
       cluster analysis", Journal of Computational and Applied Mathematics 20, 1987.
    .. [2] Cohen, J. "Statistical Power Analysis for the Behavioral Sciences", Academic Press 1988,
       chapter 2.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepcluster.inspection import cluster_report
    >>> X = [[0, 5], [1, 5], [2, 6], [9, 5], [11, 6]]
    >>> model = KMeans(2, random_state=0).fit(X)
    >>> report = cluster_report(model, X, ["length", "width"], n_features=1, n_rows=1)
    >>> report.sort_values("size")[["size", "share", "features"]].to_numpy().tolist()
    [[2, 0.4, [('length', 7.79)]], [3, 0.6, [('length', -7.79)]]]
    """
    import pandas as pd

    rows = check_array(as_rows(X)[0], accept_sparse="csr")
    clusterer, inputs = _last_step(model, X)
    labels, codes, centers = _clustered(clusterer, inputs)
    names = _names(X, rows.shape[1], feature_names)
    clusters, counts = np.unique(labels, return_counts=True)
    cohesion = _cohesion(codes, labels, max_samples, check_random_state(random_state))
    ordered = [_by_distance(codes, labels, centers, label) for label in clusters.tolist()]
    columns = {
        "size": counts,
        "share": counts / len(labels),
        "cohesion": [cohesion.get(label, np.nan) for label in clusters.tolist()],
        "closest": pd.Series(_closest(clusters, centers), dtype=object),
        "features": _named(_effect_sizes(rows, labels), names, n_features),
        "nearest": [members[:n_rows].tolist() for members in ordered],
        "farthest": [members[::-1][:n_rows].tolist() for members in ordered],
    }
    if hasattr(clusterer, "cluster_agreement_"):
        agreement = dict(enumerate(clusterer.cluster_agreement_.tolist()))
        columns["agreement"] = [agreement.get(label, np.nan) for label in clusters.tolist()]
    return pd.DataFrame(columns).set_index(pd.Index(clusters, name="cluster"))


def _last_step(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the clusterer at the end of a pipeline, and the rows that it is given."""
    check_is_fitted(model)
    if not isinstance(model, Pipeline):
        return model, X
    return _last_step(model[-1], model[:-1].transform(X) if len(model) > 1 else X)


def _clustered(model: Any, X: Any) -> tuple[NDArray[Any], Any, dict[Any, NDArray[Any]]]:
    """Return labels and codes of rows, and the centres of the clusters among them."""
    rows = check_array(as_rows(X)[0], accept_sparse="csr")
    labels = _labels(model, X, rows.shape[0])
    present = [label for label in np.unique(labels).tolist() if label != NOISE]
    if hasattr(model, "code_centers_"):
        codes = np.asarray(model.transform(X))
        return labels, codes, {label: model.code_centers_[label] for label in present}
    means = [rows[np.flatnonzero(labels == label)].mean(axis=0) for label in present]
    return labels, rows, dict(zip(present, map(np.ravel, map(np.asarray, means)), strict=True))


def _labels(model: Any, X: Any, n_rows: int) -> NDArray[Any]:
    """Return the labels of rows; without `predict`, those of the fit."""
    if hasattr(model, "predict"):
        return np.asarray(model.predict(X))
    if not hasattr(model, "labels_"):
        raise TypeError(
            f"{type(model).__name__} has neither `predict` nor `labels_`. Use a fitted clusterer."
        )
    if len(model.labels_) != n_rows:
        raise ValueError(
            f"{type(model).__name__} has no `predict`, and labels of {len(model.labels_)} rows; X "
            f"has {n_rows}. Pass the rows it was fitted on."
        )
    return np.asarray(model.labels_)


def _names(X: Any, n_columns: int, given: Sequence[str] | None) -> list[str]:
    """Return the names of the columns: the user's, the data frame's, or numbers."""
    if given is None:
        given = getattr(X, "columns", [f"x{column}" for column in range(n_columns)])
    names = [str(name) for name in given]
    if len(names) != n_columns:
        raise ValueError(
            f"feature_names has {len(names)} names for {n_columns} columns; expected one for each."
        )
    return names


def _cohesion(
    codes: Any, labels: NDArray[Any], max_samples: int, random: np.random.RandomState
) -> dict[Any, float]:
    """Return the mean silhouette of every cluster, on equal parts of a sample."""
    clusters = [label for label in np.unique(labels).tolist() if label != NOISE]
    if len(clusters) < 2:
        return {}
    each = max(2, max_samples // len(clusters))
    members = [random.permutation(np.flatnonzero(labels == k))[:each] for k in clusters]
    drawn = np.concatenate(members)
    if len(drawn) == len(clusters):  # the silhouette of a row that is a cluster of its own is 0
        return dict.fromkeys(clusters, 0.0)
    values = silhouette_samples(codes[drawn], labels[drawn])
    return {k: float(values[labels[drawn] == k].mean()) for k in clusters}


def _closest(clusters: NDArray[Any], centers: dict[Any, NDArray[Any]]) -> list[Any]:
    """Return for every cluster the other one whose centre is nearest, None if there is none."""
    if len(centers) < 2:
        return [None] * len(clusters)
    known = list(centers)
    apart = cdist(list(centers.values()), list(centers.values()))
    np.fill_diagonal(apart, np.inf)
    closest = dict(zip(known, (known[index] for index in apart.argmin(axis=1)), strict=True))
    return [closest.get(label) for label in clusters.tolist()]


def _by_distance(
    codes: Any, labels: NDArray[Any], centers: dict[Any, NDArray[Any]], label: Any
) -> NDArray[np.intp]:
    """Return the rows of a label, the nearest to its centre first; none if it has no centre."""
    if label not in centers:
        return np.empty(0, dtype=np.intp)
    members = np.flatnonzero(labels == label)
    away = euclidean_distances(codes[members], centers[label][None]).ravel()
    return members[np.argsort(away, kind="stable")]


def _effect_sizes(rows: Any, labels: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Return Cohen's d of every column, for the rows of each label against all others."""
    clusters, counts = np.unique(labels, return_counts=True)
    moments = [_mean_and_variance(rows[np.flatnonzero(labels == k)]) for k in clusters]
    means, variances = (np.stack(each) for each in zip(*moments, strict=True))
    within = counts[:, None] * variances  # sums of squares about the mean of each label
    return [_cohens_d(k, counts, means, within) for k in range(len(clusters))]


def _mean_and_variance(rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = rows.astype(np.float64)
    if sparse.issparse(rows):
        mean, variance = mean_variance_axis(rows, axis=0)
        return mean, variance
    return rows.mean(axis=0), rows.var(axis=0)


def _cohens_d(
    cluster: int, counts: NDArray[Any], means: NDArray[Any], within: NDArray[Any]
) -> NDArray[np.float64]:
    """Return d of one label against the others, whose sums of squares are merged."""
    others = np.arange(len(counts)) != cluster
    if not others.any():
        return np.zeros(means.shape[1])
    mean = np.average(means[others], axis=0, weights=counts[others])
    between = counts[others] @ (means[others] - mean) ** 2
    squares = within[cluster] + within[others].sum(axis=0) + between
    spread = np.sqrt(squares / max(counts.sum() - 2, 1))
    difference = means[cluster] - mean
    least = ROUNDING * np.abs(means).max(axis=0)
    difference = np.where(np.abs(difference) <= least, 0.0, difference)
    spread = np.where(spread <= least, 0.0, spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / spread)


def _named(
    effects: list[NDArray[np.float64]], names: list[str], n_features: int
) -> list[list[tuple[str, float]]]:
    """Return the columns of the largest effects with these, without any that have none."""
    orders = [np.argsort(-np.abs(effect), kind="stable")[:n_features] for effect in effects]
    return [
        [(names[column], round(float(effect[column]), 2)) for column in order if effect[column]]
        for effect, order in zip(effects, orders, strict=True)
    ]
