"""Rules that label rows after a clusterer has been fitted: its own, or that of nearest rows.

Both predict labels that are consecutive from 0, each held by at least one training row, and a
row's label does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import normalize
from sklearn.utils import check_array
from sklearn.utils.extmath import weighted_mode

from skdeepcluster._isolation import restored_threads
from skdeepcluster._tiles import tiles

from ._clusterers import last_step, learned_labels, predicts
from ._manifold import N_NEIGHBORS
from ._spherical import Array, Labels, SphericalKMeans, mean_by_label


def make_rule(clusterer: Any, rows: Array, weights: Array) -> OwnRule | NeighborRule:
    """Choose how a fitted clusterer labels rows.

    Parameters
    ----------
    clusterer : estimator
        Fitted on `rows`. It speaks for itself if it has memberships, or predicts all that it found.
    rows : ndarray of shape (n_samples, n_features)
        Training rows.
    weights : ndarray of shape (n_samples,)
        Their weights, for the centres.

    Returns
    -------
    OwnRule or NeighborRule
        The rule.

    Raises
    ------
    TypeError
        If the clusterer has neither `predict` nor `labels_`.
    """
    if hasattr(clusterer, "predict_proba") or predicts(clusterer):
        return OwnRule(clusterer, rows, weights)
    labels = np.asarray(learned_labels(clusterer))
    last = last_step(clusterer)[1]
    told = (getattr(last, name, None) for name in ("outlier_scores_", "probabilities_"))
    return NeighborRule(rows, labels, *told)


class OwnRule:
    """The clusterer's own prediction, narrowed to the clusters that hold training rows.

    Parameters
    ----------
    clusterer : estimator
        Fitted, with `predict` and maybe `predict_proba`. Where its kind is known, the arrays that
        it predicts by are kept in its place.
    rows : ndarray of shape (n_samples, n_features)
        Training rows.
    weights : ndarray of shape (n_samples,)
        Their weights.

    Attributes
    ----------
    centers : ndarray of shape (n_clusters, n_features)
        The clusterer's own centres, or the weighted means of the clusters' rows.
    """

    def __init__(self, clusterer: Any, rows: Array, weights: Array) -> None:
        self.clusterer = plain(clusterer)
        with restored_threads():
            raw = _tiled(self._raw_labels, rows)
        self.alive, labels = np.unique(raw, return_inverse=True)
        own = getattr(clusterer, "cluster_centers_", getattr(clusterer, "means_", None))
        if own is None:
            self.centers = mean_by_label(rows, labels, weights, len(self.alive))
        else:
            self.centers = own[self.alive]

    def predict(self, rows: Array) -> Labels:
        """Return the cluster with the largest membership."""
        return self.predict_proba(rows).argmax(axis=1)

    def predict_proba(self, rows: Array) -> Array:
        """Return memberships that sum to 1; without a `predict_proba` of the clusterer 0 or 1."""
        own_steps = isinstance(self.clusterer, Pipeline)  # UMAP may be one of them
        with restored_threads() if own_steps else nullcontext():
            return _tiled(self._memberships, rows)

    def reorder(self, order: NDArray[np.intp]) -> None:
        """Renumber the clusters by their place in an order."""
        self.alive, self.centers = self.alive[order], self.centers[order]

    def _raw_labels(self, tile: Array) -> Labels:
        if hasattr(self.clusterer, "predict_proba"):
            return self.clusterer.predict_proba(tile).argmax(axis=1)
        return self.clusterer.predict(tile)

    def _memberships(self, tile: Array) -> Array:
        if hasattr(self.clusterer, "predict_proba"):
            shares = self.clusterer.predict_proba(tile)[:, self.alive]
        else:
            shares = (self.clusterer.predict(tile)[:, None] == self.alive).astype(float)
        lost = shares.sum(axis=1) == 0  # all was a dead cluster's
        if lost.any():
            nearest = pairwise_distances_argmin(tile, self.centers)
            shares[lost, nearest[lost]] = 1
        return shares / shares.sum(axis=1, keepdims=True)


def plain(clusterer: Any) -> Any:
    """Return what a fitted clusterer predicts by, as arrays alone, or itself if it is not known."""
    kind = type(clusterer)
    # A Bayesian mixture shares the method, and calculates in another way what it calls.
    is_mixture = isinstance(clusterer, GaussianMixture)
    if is_mixture and kind.predict_proba is GaussianMixture.predict_proba:
        learned = clusterer.weights_, clusterer.means_, clusterer.precisions_cholesky_
        return PlainMixture(*learned, clusterer.covariance_type)
    if getattr(kind, "predict", None) in (KMeans.predict, SphericalKMeans.predict):
        return NearestCenter(clusterer.cluster_centers_, isinstance(clusterer, SphericalKMeans))
    return clusterer


@dataclass(frozen=True)
class NearestCenter:
    """How k-means labels rows, and spherical k-means, to which only directions count.

    Parameters
    ----------
    centers : ndarray of shape (n_clusters, n_features)
        The centres.
    spherical : bool
        Whether they are directions.
    """

    centers: Array
    spherical: bool

    def predict(self, rows: Array) -> Labels:
        """Return the nearest centre."""
        if self.spherical:
            return (normalize(rows) @ self.centers.T).argmax(axis=1)
        return pairwise_distances_argmin(rows, self.centers)


@dataclass(frozen=True)
class PlainMixture:
    """How a Gaussian mixture tells memberships.

    Parameters
    ----------
    weights, means, precisions_cholesky : ndarray
        As in scikit-learn's `GaussianMixture`.
    covariance_type : str
        Likewise.
    """

    weights: Array
    means: Array
    precisions_cholesky: Array
    covariance_type: str

    def predict_proba(self, rows: Array) -> Array:
        """Return the responsibilities of the components."""
        mixture = GaussianMixture(len(self.weights), covariance_type=self.covariance_type)
        mixture.weights_, mixture.means_ = self.weights, self.means
        mixture.precisions_cholesky_ = self.precisions_cholesky
        return mixture.predict_proba(rows)


class Judgement(NamedTuple):
    """What the nearest training rows say of rows; None where they do not know."""

    labels: Labels
    outlier_scores: Array | None
    strengths: Array | None

    @classmethod
    def joined(cls, parts: Sequence[Judgement]) -> Judgement:
        """Return what was said of stretches of rows as one."""
        columns = zip(*parts, strict=True)
        told: list[Any] = [None if c[0] is None else np.concatenate(c) for c in columns]
        return cls(*told)


class NeighborRule:
    """The label of the nearest training rows, for clusterers that only label what they have seen.

    The nearest rows vote, weighted by the inverse of the distance, noise like any cluster. A
    training row gets its own label; of training rows that coincide, the first speaks for all. The
    rule keeps rows, labels and scores, and searches them by a tree that it grows when first asked.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Training rows.
    labels : ndarray of shape (n_samples,)
        Their labels, integers; negative ones are noise.
    scores : ndarray of shape (n_samples,), default=None
        How far out each of them lies, if the clusterer says so; NaN, as of a row among copies of
        itself, is nowhere near.
    strengths : ndarray of shape (n_samples,), default=None
        How surely each of them belongs to its cluster, likewise.
    """

    scores: Array | None = None  # files may lack them
    strengths: Array | None = None

    def __init__(
        self,
        rows: Array,
        labels: NDArray[Any],
        scores: NDArray[Any] | None = None,
        strengths: NDArray[Any] | None = None,
    ) -> None:
        self.rows, first = np.unique(rows, axis=0, return_index=True)
        self.labels = _consecutive(labels[first])
        self.scores = None if scores is None else np.nan_to_num(scores[first])
        self.strengths = None if strengths is None else np.nan_to_num(strengths[first])

    @cached_property
    def _search(self) -> NearestNeighbors:
        n_neighbors = min(N_NEIGHBORS, len(self.rows))
        return NearestNeighbors(n_neighbors=n_neighbors, algorithm="kd_tree").fit(self.rows)

    def judge(self, rows: Array) -> Judgement:
        """Return all that the nearest training rows say, from one search."""
        distances, nearest = self._search.kneighbors(rows)
        nearness = _nearness(distances)
        labels = weighted_mode(self.labels[nearest], nearness, axis=1)[0].ravel().astype(np.intp)
        scores, strengths = (
            None if known is None else np.average(known[nearest], axis=1, weights=nearness)
            for known in (self.scores, self.strengths)
        )
        return Judgement(labels, scores, strengths)

    def predict(self, rows: Array) -> Labels:
        """Return the label that the nearest training rows vote for."""
        return self.judge(rows).labels

    def in_clusters(self, rows: Array, labels: Labels) -> Labels:
        """Return labels, those of noise as the nearest training rows in clusters vote."""
        noise = labels < 0
        if not noise.any() or self._inside is None:
            return labels
        labels = labels.copy()
        labels[noise] = self._inside.predict(rows[noise])
        return labels

    @cached_property
    def _inside(self) -> NeighborRule | None:
        """The rule of the training rows that are in a cluster."""
        inside = self.labels >= 0
        return NeighborRule(self.rows[inside], self.labels[inside]) if inside.any() else None

    def reorder(self, order: NDArray[np.intp]) -> None:
        """Renumber the clusters by their place in an order."""
        self.labels = renumbered(self.labels, order)
        vars(self).pop("_inside", None)

    def __getstate__(self) -> dict[str, Any]:
        """Keep the arrays, and no tree."""
        return {name: vars(self).get(name) for name in ("rows", "labels", "scores", "strengths")}


def _nearness(distances: Array) -> Array:
    """Return the inverse of distances; of a row at distance 0, those at 0 alone count."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = 1 / distances
    touching = np.isinf(inverse)
    return np.where(touching.any(axis=1, keepdims=True), touching, inverse)


def renumbered(labels: NDArray[Any], order: NDArray[np.intp]) -> Labels:
    """Return labels by their place in an order; negative ones stay noise."""
    place = np.append(order.argsort(), -1)  # the last is what -1 is an index of
    return place[np.maximum(labels, -1)]


def _consecutive(labels: NDArray[Any]) -> Labels:
    """Renumber the clusters from 0, and noise -1."""
    noise = labels < 0
    numbers = np.unique(labels[~noise], return_inverse=True)[1]
    result = np.full(len(labels), -1)
    result[~noise] = numbers
    return result


def _tiled(function: Callable[[Array], NDArray[Any]], rows: Array) -> NDArray[Any]:
    """Apply a function to rows, tile by tile."""
    parts = [
        function(rows[index])[: stretch.stop - stretch.start] for stretch, index in tiles(len(rows))
    ]
    return np.concatenate(parts)


def as_codes(codes: ArrayLike, min_rows: int = 1) -> Array:
    """Validate codes; calculated with in float64, so that a code has one result in any type."""
    return check_array(codes, dtype=[np.float64, np.float32], ensure_min_samples=min_rows)
