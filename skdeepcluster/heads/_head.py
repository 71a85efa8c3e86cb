"""The head of a deep-clustering method: it turns codes into labels, and new codes as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.base import ClusterMixin
from sklearn.utils import check_consistent_length, check_random_state, gen_batches
from sklearn.utils.metaestimators import available_if

from ._clusterers import (
    HEADS,
    check_params,
    count_clusters,
    describe_head,
    drawn_rows,
    fit_clusterer,
    of_share,
    sized,
    warn_of_few_clusters,
)
from ._manifold import check_umap, fit_umap
from ._rules import Judgement, NeighborRule, OwnRule, as_codes, make_rule, renumbered
from ._spherical import Array, Labels, mean_by_label

STRETCH = 2**16  # codes that are labelled together: a multiple of a tile


def make_head(
    head: str | ClusterMixin,
    n_clusters: int | Literal["auto"] = "auto",
    *,
    manifold: str | None = None,
    manifold_params: Mapping[str, Any] | None = None,
    head_params: Mapping[str, Any] | None = None,
    count_params: Mapping[str, Any] | None = None,
    noise: str = "keep",
    max_samples: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> ClusteringHead:
    """Make the object that turns codes into labels.

    Parameters
    ----------
    head : {"kmeans", "spherical", "gmm", "hdbscan", "agglomerative"} or clusterer
        What clusters the codes.

        - "kmeans": the best of 10 runs.
        - "spherical": `SphericalKMeans`, for codes of which only the direction counts.
        - "gmm": `SteadyGaussianMixture` with full covariances, the best of 48 runs.
        - "hdbscan": HDBSCAN with clusters of at least max(5, n_samples // 50) rows, and
          `min_samples` of as many but at most 10. It finds their number, and marks noise -1. Of
          more than 100 000 rows it sees a random sample.
        - "agglomerative": Ward's method. Of more than 10 000 rows it sees a random sample.
        - A scikit-learn clusterer or mixture, or a pipeline that ends in one, is cloned. The
          clone's `n_clusters` (or `n_components`) is set if it has its default value, and any
          `random_state` that is None.
    n_clusters : int or "auto", default="auto"
        Number of clusters. "auto" finds it by density: it is the number that HDBSCAN finds among
        the same rows, at least one. Heads that find it themselves, or instances that have a number
        of their own, do not look at it.
    manifold : {"umap"}, default=None
        "umap" clusters UMAP coordinates of the codes, in as many dimensions as the clusters that
        the head is to look for; in 10 where it finds their number.
    manifold_params : mapping, default=None
        UMAP's parameters that override ``n_neighbors=20, min_dist=0``, the dimension and the seed.
    head_params : mapping, default=None
        Parameters of the clusterer that override its settings above. A `min_cluster_size` that is a
        float is a share of the rows that the clusterer sees, but at least 5 of them.
    count_params : mapping, default=None
        Parameters of HDBSCAN that override its settings above where it counts the clusters of
        ``n_clusters="auto"``.
    noise : {"keep", "nearest"}, default="keep"
        What becomes of noise: "keep" labels it -1; "nearest" gives it to the clusters of the
        nearest training rows that are in one.
    max_samples : int, default=None
        Codes, drawn at random, that UMAP and the clusterer see at most. An integer
        `min_cluster_size` then counts for its share.
    random_state : int, RandomState instance or None, default=None
        Seeds everything random. None draws from numpy's global generator.

    Returns
    -------
    ClusteringHead
        The head, to be fitted.

    Raises
    ------
    ValueError
        If `head`, `manifold` or one of their parameters is unknown, or `n_clusters` is neither a
        positive integer nor "auto".

    Examples
    --------
    >>> from sklearn.cluster import MeanShift
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster.heads import make_head
    >>> codes, _ = make_blobs(60, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> head = make_head("gmm", 3, random_state=0).fit(codes)
    >>> head.predict_proba(codes).shape
    (60, 3)
    >>> make_head(MeanShift()).fit(codes).n_clusters_
    3
    """
    if isinstance(head, str) and head not in HEADS:
        raise ValueError(
            f"head={head!r} is unknown; choose one of {list(HEADS)} or pass a clusterer."
        )
    asked: Any = n_clusters
    if asked != "auto" and not (isinstance(asked, Integral) and int(asked) > 0):
        raise ValueError(f'n_clusters={n_clusters!r} must be a positive integer, or "auto".')
    if manifold not in (None, "umap"):
        raise ValueError(f"manifold={manifold!r} is unknown; choose 'umap' or None.")
    umap_params = None if manifold is None else dict(manifold_params or {})
    params = dict(head_params or {}), dict(count_params or {})
    check_params(head, params[0], "head_params")
    if n_clusters == "auto":
        check_params("hdbscan", params[1], "count_params")
    if umap_params:
        check_umap(umap_params)
    if noise not in ("keep", "nearest"):
        raise ValueError(f"noise={noise!r} is unknown; choose 'keep' or 'nearest'.")
    return ClusteringHead(head, n_clusters, umap_params, *params, random_state, noise, max_samples)


def _scores_outliers(self: ClusteringHead) -> bool:
    """Tell whether the clusterer says how far a row is out."""
    return describe_head(self.head).scores_outliers


def _has_proba(self: ClusteringHead) -> bool:
    """Tell whether memberships exist, before as well as after fit."""
    return describe_head(self.head).has_proba


class ClusteringHead:
    """Cluster codes, and label new codes by the same rule; `make_head` makes one.

    After fit it keeps the rule, with the arrays that the rule needs, and no UMAP or HDBSCAN
    object. A row's label does not depend on the rows beside it.

    Parameters
    ----------
    head : str or clusterer
        A key of `HEADS`, or a clusterer that will be cloned.
    n_clusters : int or "auto"
        Number of clusters.
    umap_params : dict or None
        Parameters of UMAP; None clusters the codes themselves.
    head_params : dict
        Parameters of the clusterer.
    count_params : dict
        Parameters of the HDBSCAN that counts clusters.
    random_state : int, RandomState instance or None
        Seed.
    noise : {"keep", "nearest"}, default="keep"
        What becomes of noise.
    max_samples : int, default=None
        Of more codes, a random sample of so many is clustered.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        `predict` of the training codes: consecutive from 0, noise -1.
    n_clusters_ : int
        Number of clusters that hold training codes.
    cluster_centers_ : ndarray of shape (n_clusters_, latent_dim)
        In code space: the clusterer's own centres (k-means, unit vectors of spherical k-means,
        means of a mixture) if it worked there and has some; else the weighted means of the
        member codes.
    """

    noise, max_samples = "keep", None  # of heads that were saved before they had them

    def __init__(
        self,
        head: str | ClusterMixin,
        n_clusters: int | Literal["auto"],
        umap_params: dict[str, Any] | None,
        head_params: dict[str, Any],
        count_params: dict[str, Any],
        random_state: int | np.random.RandomState | None,
        noise: str = "keep",
        max_samples: int | None = None,
    ) -> None:
        self.head = head
        self.n_clusters = n_clusters
        self.umap_params = umap_params
        self.head_params = head_params
        self.count_params = count_params
        self.random_state = random_state
        self.noise = noise
        self.max_samples = max_samples

    def fit(self, codes: ArrayLike, sample_weight: ArrayLike | None = None) -> ClusteringHead:
        """Cluster codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            Codes; computed with in float64, some at a time.
        sample_weight : array-like of shape (n_samples,), default=None
            Positive weights, used by k-means, by clusterers that take them and by the centres.

        Returns
        -------
        ClusteringHead
            The fitted head.

        Raises
        ------
        ValueError
            If there are too few rows for the clusterer or for UMAP.
        TypeError
            If the clusterer has neither `predict` nor `labels_`.

        Warns
        -----
        ConvergenceWarning
            If fewer clusters than `n_clusters` hold codes, or if a head that finds the number
            finds none or one.
        """
        codes = as_codes(codes, min_rows=2)
        weights = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, float)
        check_consistent_length(codes, weights)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._placement = None
        some = drawn_rows(len(codes), self.max_samples, seed)
        if self.umap_params is not None:
            seen = codes[some].astype(np.float64)
            self._placement = fit_umap(seen, self._width(), seed, self.umap_params)
        some = some[drawn_rows(len(some), describe_head(self.head).max_rows, seed)]
        rows = self._place(codes[some].astype(np.float64))
        clusterer = self._make_clusterer(rows, seed, share=len(some) / len(codes))
        fit_clusterer(clusterer, rows, weights[some])
        self._rule: Any = make_rule(clusterer, rows, weights[some])
        self.labels_ = self.predict(codes)
        self.n_clusters_ = int(self.labels_.max()) + 1
        self.cluster_centers_ = self._centers(codes, weights)
        warn_of_few_clusters(clusterer, self.n_clusters_)
        return self

    def predict(self, codes: ArrayLike) -> Labels:
        """Label codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels in `0..n_clusters_ - 1`; -1 is noise.
        """
        return np.concatenate(self._by_stretches(self._label, codes))

    def _label(self, rows: Array) -> Labels:
        return self._housed(rows, self._rule.predict(rows))

    def _housed(self, rows: Array, labels: Labels) -> Labels:
        """Return labels, with clusters in the place of noise if it is not to be kept."""
        if self.noise == "nearest" and isinstance(self._rule, NeighborRule):
            return self._rule.in_clusters(rows, labels)
        return labels

    @available_if(_has_proba)
    def predict_proba(self, codes: ArrayLike) -> Array:
        """Return the memberships of codes, where the clusterer has them.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters_)
            Rows sum to 1; the largest is at `predict`.
        """
        return np.concatenate(self._by_stretches(self._rule.predict_proba, codes))

    @available_if(_scores_outliers)
    def outlier_scores(self, codes: ArrayLike) -> Array:
        """Return how far codes lie outside of the clusters; with "hdbscan" alone.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples,)
            Strengths in [0, 1], HDBSCAN's own for the codes that it saw and those of the nearest
            such codes for others; higher is farther out.
        """
        return self.judge(codes).outlier_scores

    @available_if(_scores_outliers)
    def strengths(self, codes: ArrayLike) -> Array:
        """Return how surely codes belong to their cluster; with "hdbscan" alone.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples,)
            HDBSCAN's `probabilities_`, in [0, 1] and 0 for noise, for the codes that it saw, and
            those of the nearest such codes for others.
        """
        return self.judge(codes).strengths

    @available_if(_scores_outliers)
    def judge(self, codes: ArrayLike) -> Judgement:
        """Return labels, outlier scores and strengths of codes at once; with "hdbscan" alone.

        Parameters
        ----------
        codes : array-like of shape (n_samples, latent_dim)
            Codes, which are placed once.

        Returns
        -------
        Judgement
            What `predict`, `outlier_scores` and `strengths` return.
        """
        return Judgement.joined(self._by_stretches(self._judged, codes))

    def _judged(self, rows: Array) -> Judgement:
        judged: Judgement = self._rule.judge(rows)
        return judged._replace(labels=self._housed(rows, judged.labels))

    def follow(self, before: Labels) -> ClusteringHead:
        """Give clusters the numbers that most of their training codes had before.

        Parameters
        ----------
        before : ndarray of shape (n_samples,)
            Labels of the training codes; negative ones are noise.

        Returns
        -------
        ClusteringHead
            The same, its clusters matched one to one; those without a match come last.
        """
        known = (before >= 0) & (self.labels_ >= 0)
        common = np.zeros((self.n_clusters_, int(before.max(initial=-1)) + 1))
        np.add.at(common, (self.labels_[known], before[known]), 1)
        own, numbers = linear_sum_assignment(-common)
        place = np.full(self.n_clusters_, np.inf)
        place[own] = numbers
        order = place.argsort(kind="stable")
        self._rule.reorder(order)
        self.cluster_centers_ = self.cluster_centers_[order]
        self.labels_ = renumbered(self.labels_, order)
        return self

    def _width(self) -> int:
        """Return the dimensions of the embedding."""
        known = isinstance(self.n_clusters, Integral)
        return int(self.n_clusters) if known and not self._finds_n_clusters() else 10

    def _finds_n_clusters(self) -> bool:
        return describe_head(self.head).finds_n_clusters

    def _place(self, codes: Array) -> Array:
        """Return the coordinates in which the clusterer works."""
        return codes if self._placement is None else self._placement.predict(codes)

    def _by_stretches(self, rule: Callable[[Array], Any], codes: ArrayLike) -> list[Any]:
        """Apply a rule to codes, of which there is never more than a stretch in float64."""
        codes = as_codes(codes)
        stretches = gen_batches(len(codes), STRETCH)
        return [rule(self._place(codes[some].astype(np.float64))) for some in stretches]

    def _make_clusterer(self, rows: Array, seed: int, share: float) -> Any:
        """Return the clusterer, not yet fitted, for a share of the rows."""
        n_clusters: Any = None if self._finds_n_clusters() else self.n_clusters
        if n_clusters == "auto":
            n_clusters = count_clusters(rows, of_share(self.count_params, share))
        clusterer = describe_head(self.head).build(rows, n_clusters, seed)
        return clusterer.set_params(**sized(of_share(self.head_params, share), len(rows)))

    def _centers(self, codes: Array, weights: Array) -> Array:
        """Return the clusters' centres in code space."""
        if self._placement is None and isinstance(self._rule, OwnRule):
            return self._rule.centers
        return mean_by_label(codes, self.labels_, weights, self.n_clusters_)
