"""What a fitted clusterer found, in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples
from sklearn.utils import check_array, check_random_state

from skdeepcluster._validation import as_rows

from ._clusters import NOISE, by_distance, clustered, column_names
from ._effects import effect_sizes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from pandas import DataFrame

__all__ = ["cluster_report"]


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
    Effect sizes are Cohen's d of the cluster against all other rows, noise among them: see
    :func:`effect_sizes`.

    A clusterer that was fitted on these columns makes its clusters differ in them. Effect sizes
    describe a cluster; they do not show that it is real.

    References
    ----------
    .. [1] Rousseeuw, P. J. "Silhouettes: a graphical aid to the interpretation and validation of
       cluster analysis", Journal of Computational and Applied Mathematics 20, 1987.

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
    clusterer, labels, codes, centers = clustered(model, X)
    names = column_names(X, rows.shape[1], feature_names)
    clusters, counts = np.unique(labels, return_counts=True)
    cohesion = _cohesion(codes, labels, max_samples, check_random_state(random_state))
    ordered = [by_distance(codes, labels, centers, label) for label in clusters.tolist()]
    columns = {
        "size": counts,
        "share": counts / len(labels),
        "cohesion": [cohesion.get(label, np.nan) for label in clusters.tolist()],
        "closest": pd.Series(_closest(clusters, centers), dtype=object),
        "features": _named(effect_sizes(rows, labels), names, n_features),
        "nearest": [members[:n_rows].tolist() for members in ordered],
        "farthest": [members[::-1][:n_rows].tolist() for members in ordered],
    }
    if hasattr(clusterer, "cluster_agreement_"):
        agreement = dict(enumerate(clusterer.cluster_agreement_.tolist()))
        columns["agreement"] = [agreement.get(label, np.nan) for label in clusters.tolist()]
    return pd.DataFrame(columns).set_index(pd.Index(clusters, name="cluster"))


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


def _named(
    effects: NDArray[np.float64], names: list[str], n_features: int
) -> list[list[tuple[str, float]]]:
    """Return the columns of the largest effects with these, without any that have none."""
    orders = [np.argsort(-np.abs(effect), kind="stable")[:n_features] for effect in effects]
    return [
        [(names[column], round(float(effect[column]), 2)) for column in order if effect[column]]
        for effect, order in zip(effects, orders, strict=True)
    ]
