"""The clusterers of the heads: how each is made, sized, fitted and warned about."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin, clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skdeepcluster._isolation import restored_threads

from ._mixture import SteadyGaussianMixture
from ._spherical import Array, SphericalKMeans

MIN_SAMPLES = 10  # neighbours by which HDBSCAN measures a density


class HeadKind(NamedTuple):
    """How to make an unfitted clusterer, and what to know of it before."""

    build: Callable[[Array, Any, int], Any]  # rows, n_clusters, seed
    has_proba: bool = False
    finds_n_clusters: bool = False
    scores_outliers: bool = False
    takes_min_cluster_size: bool = False  # that of the estimator whose head it is
    finds_noise: bool = False
    max_rows: int | None = None  # more rows than this: fitted on a random subsample


def _kmeans(rows: Array, n_clusters: int, seed: int) -> KMeans:
    return KMeans(n_clusters, n_init=10, random_state=seed)


def _spherical(rows: Array, n_clusters: int, seed: int) -> SphericalKMeans:
    return SphericalKMeans(n_clusters, n_init=10, random_state=seed)


def mixture(rows: Array, n_clusters: int, seed: int) -> SteadyGaussianMixture:
    """Return a mixture with full covariances."""
    return SteadyGaussianMixture(n_clusters, random_state=seed)


def _hdbscan(rows: Array, n_clusters: int | None, seed: int) -> Any:
    from hdbscan import HDBSCAN

    # By default it measures a density by as many neighbours as the smallest cluster has, and its
    # time and memory grow with the square of the rows.
    size = max(5, len(rows) // 50)
    return HDBSCAN(size, min_samples=min(MIN_SAMPLES, size), core_dist_n_jobs=1)


def _agglomerative(rows: Array, n_clusters: int, seed: int) -> AgglomerativeClustering:
    return AgglomerativeClustering(n_clusters)


# Time bounds the rows of HDBSCAN; memory those of agglomerative clustering, whose distances take
# .6 GB at 10 000 rows.
HEADS = {
    "kmeans": HeadKind(_kmeans),
    "spherical": HeadKind(_spherical),
    "gmm": HeadKind(mixture, has_proba=True),
    "hdbscan": HeadKind(
        _hdbscan,
        finds_n_clusters=True,
        scores_outliers=True,
        finds_noise=True,
        takes_min_cluster_size=True,
        max_rows=100_000,
    ),
    "agglomerative": HeadKind(_agglomerative, max_rows=10_000),
}


def describe_head(head: str | ClusterMixin) -> HeadKind:
    """Return what is known of a head before it is fitted.

    Parameters
    ----------
    head : str or clusterer
        A key of `HEADS`, or a clusterer.

    Returns
    -------
    kind : HeadKind
        How to make it, whether it has memberships (`has_proba`), finds the number of clusters or
        has one of its own (`finds_n_clusters`), tells how far out a row is (`scores_outliers`),
        may call rows noise (`finds_noise`), takes the `min_cluster_size` of the estimator, and how
        many rows it sees at most (`max_rows`). Of a name that does not exist nothing is known.

    Examples
    --------
    >>> describe_head("gmm").has_proba, describe_head("hdbscan").finds_n_clusters
    (True, True)
    """
    if isinstance(head, str):
        return HEADS.get(head, HeadKind(_agglomerative))
    last = last_step(head)[1]
    return HeadKind(
        lambda rows, n_clusters, seed: filled_in(head, n_clusters, seed),
        has_proba=hasattr(head, "predict_proba"),
        finds_n_clusters=_open_size(last) is None,
        scores_outliers=hasattr(type(last), "outlier_scores_"),  # a property of HDBSCAN's
        finds_noise=not hasattr(head, "predict_proba"),
    )


def check_params(head: str | ClusterMixin, params: Mapping[str, Any], name: str) -> None:
    """Refuse parameters that a head's clusterer does not take, while there is nothing to lose.

    Raises
    ------
    ValueError
        If a parameter does not exist, or scikit-learn knows that its value is none.
    """
    clusterer = HEADS[head].build(np.eye(2), 2, 0) if isinstance(head, str) else clone(head)
    try:
        clusterer.set_params(**sized(params, 2))
        if hasattr(clusterer, "_parameter_constraints"):  # scikit-learn's own have them
            clusterer._validate_params()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} does not fit the clusterer: {error}") from error


def fit_labels(
    clusterer: ClusterMixin,
    rows: Any,
    n_clusters: int | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    seed: int = 0,
) -> NDArray[Any]:
    """Fit a clone of a clusterer, and return what it says of the rows themselves.

    Parameters
    ----------
    clusterer : clusterer
        A scikit-learn clusterer or mixture, or a pipeline that ends in one. The clone's
        `n_clusters` (or `n_components`) is set if it has the value that is its default, and any
        `random_state` that is None. A `FrozenEstimator` is fitted already, and only predicts.
    rows : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows.
    n_clusters : int, default=None
        Number of clusters; None leaves it to the clusterer.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, for clusterers that take them.
    seed : int, default=0
        Seed.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The clone's prediction, or its `labels_` if it cannot predict, or not its noise.

    Raises
    ------
    TypeError
        If the clone has neither.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import AgglomerativeClustering
    >>> fit_labels(AgglomerativeClustering(), np.array([[0.0], [1], [8], [9]]), 2)
    array([1, 1, 0, 0])
    """
    weights = np.ones(rows.shape[0]) if sample_weight is None else np.asarray(sample_weight, float)
    if isinstance(clusterer, FrozenEstimator):
        with warnings.catch_warnings(), restored_threads():
            # Rows come as arrays, whatever the user has.
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            return np.asarray(clusterer.predict(rows))
    fitted = fit_clusterer(filled_in(clusterer, n_clusters, seed), rows, weights)
    with restored_threads():
        return np.asarray(fitted.predict(rows) if predicts(fitted) else learned_labels(fitted))


def fit_clusterer(clusterer: Any, rows: Array, weights: Array | None) -> Any:
    """Fit a clusterer, with weights if it takes them; of clusters that stay empty others tell."""
    weighted = has_fit_parameter(clusterer, "sample_weight")
    # Squares of huge rows overflow in some; what comes of it is checked like any other result.
    with np.errstate(over="ignore"), warnings.catch_warnings(), restored_threads():
        # k-means tells of its empty clusters, at each run; the head does so once.
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        return clusterer.fit(rows, **({"sample_weight": weights} if weighted else {}))


def sized(params: Mapping[str, Any], n_rows: int) -> dict[str, Any]:
    """Return parameters of a clusterer, a share of the rows as the number that it is."""
    share = params.get("min_cluster_size")
    if not isinstance(share, float):
        return dict(params)
    size = int(round(share * n_rows, 9))  # .29 * 100 < 29
    return {**params, "min_cluster_size": max(5, size)}


def of_share(params: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Return parameters of a clusterer that sees a share of the rows, and so of each cluster."""
    size = params.get("min_cluster_size")
    if share == 1 or not isinstance(size, Integral):
        return dict(params)
    return {**params, "min_cluster_size": max(2, round(share * int(size)))}


def drawn_rows(n_rows: int, max_rows: int | None, seed: int) -> NDArray[np.intp]:
    """Return the numbers of rows to look at, in order: all, or a random sample.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    max_rows : int or None
        The size of the sample; None takes all.
    seed : int
        Seed.

    Returns
    -------
    rows : ndarray of int
        Rising.

    Examples
    --------
    >>> drawn_rows(4, None, 0), len(drawn_rows(4, 2, 0))
    (array([0, 1, 2, 3]), 2)
    """
    if max_rows is None or n_rows <= max_rows:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, max_rows, replace=False))


def count_clusters(rows: Array, params: Mapping[str, Any]) -> int:
    """Return the number of clusters that HDBSCAN finds; one, with a warning, if it finds none."""
    counter = _hdbscan(rows, None, 0).set_params(**sized(params, len(rows)))
    fit_clusterer(counter, rows, np.ones(len(rows)))
    found = int(counter.labels_.max()) + 1
    warn_of_few_clusters(counter, found)
    return max(found, 1)


def predicts(clusterer: Any) -> bool:
    """Tell whether a fitted clusterer predicts all that it found.

    Not so where a `predict` stands beside labels of noise, as in ``MeanShift(cluster_all=False)``:
    it does not know the noise.

    Raises
    ------
    TypeError
        If it has neither `predict` nor `labels_`.
    """
    labels = learned_labels(clusterer)
    if labels is None and not hasattr(clusterer, "predict"):
        raise TypeError(
            f"{type(clusterer).__name__} does not cluster: after fit it has neither a predict "
            "method nor labels_. Pass a scikit-learn clusterer or mixture."
        )
    return hasattr(clusterer, "predict") and (labels is None or np.min(labels) >= 0)


def learned_labels(clusterer: Any) -> NDArray[Any] | None:
    """Return the labels of the rows that a clusterer was fitted on, if it keeps them."""
    return getattr(last_step(clusterer)[1], "labels_", None)


def filled_in(instance: ClusterMixin, n_clusters: int | None, seed: int) -> ClusterMixin:
    """Clone a clusterer and set what its owner left at the defaults."""
    clusterer = clone(instance)
    left = {
        name: seed
        for name, value in clusterer.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    prefix, last = last_step(clusterer)
    size = _open_size(last)
    if n_clusters is not None and size is not None:
        left[prefix + size] = n_clusters
    return clusterer.set_params(**left)


def _open_size(clusterer: Any) -> str | None:
    """Return the name of a clusterer's number of clusters, if its owner left it open."""
    params, defaults = (
        clusterer.get_params(deep=False),
        inspect.signature(type(clusterer)).parameters,
    )
    size = "n_clusters" if "n_clusters" in params else "n_components"
    is_open = size in params and params[size] == defaults[size].default
    return size if is_open else None


def last_step(clusterer: Any) -> tuple[str, Any]:
    """Return what does the clustering, and the prefix of its parameters."""
    prefix = ""
    while isinstance(clusterer, Pipeline):
        name, clusterer = clusterer.steps[-1]
        prefix += f"{name}__"
    return prefix, clusterer


def warn_of_few_clusters(clusterer: Any, found: int) -> None:
    """Warn if clusters died, or if a clusterer that finds their number found none or one."""
    params = clusterer.get_params(deep=False)
    expected = params.get("n_clusters", params.get("n_components"))
    if found >= (2 if expected is None else expected):
        return
    if expected is None:
        what = "one cluster" if found else "no cluster: all rows are noise (-1)"
        message = (
            f"{type(clusterer).__name__} found {what}. Change what sets its scale (for HDBSCAN "
            "lower min_cluster_size), or choose a head that takes n_clusters."
        )
    else:
        message = (
            f"Only {found} of {expected} clusters hold rows; the empty ones are dropped. Ask for "
            "fewer clusters, or see whether the codes have collapsed onto each other."
        )
    warnings.warn(message, ConvergenceWarning, stacklevel=3)
