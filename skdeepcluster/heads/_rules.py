"""Rules that label rows after a clusterer has been fitted: its own, or that of nearest rows.

Both predict labels that are consecutive from 0, each held by at least one training row, and a
row's label does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline

from skdeepcluster.isolation import restored_threads

from ._clusterers import learned_labels, predicts
from ._manifold import N_NEIGHBORS
from ._spherical import Array, Labels, sum_by_label

TILE = 256  # rows given to a clusterer's own predict at once


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
    return NeighborRule(rows, labels, getattr(clusterer, "outlier_scores_", None))


class OwnRule:
    """The clusterer's own prediction, narrowed to the clusters that hold training rows.

    Parameters
    ----------
    clusterer : estimator
        Fitted, with `predict` and maybe `predict_proba`.
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
        self.clusterer = clusterer
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


class NeighborRule:
    """The label of the nearest training rows, for clusterers that only label what they have seen.

    The nearest rows vote, weighted by the inverse of the distance, noise like any cluster. A
    training row gets its own label; of training rows that coincide, the first speaks for all.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Training rows.
    labels : ndarray of shape (n_samples,)
        Their labels, integers; negative ones are noise.
    scores : ndarray of shape (n_samples,), default=None
        How far out each of them lies, if the clusterer says so; NaN, as of a row among copies of
        itself, is nowhere near.
    """

    def __init__(
        self, rows: Array, labels: NDArray[Any], scores: NDArray[Any] | None = None
    ) -> None:
        distinct, first = np.unique(rows, axis=0, return_index=True)
        settings = {"weights": "distance", "algorithm": "kd_tree"}
        n_neighbors = min(N_NEIGHBORS, len(distinct))
        self._vote = KNeighborsClassifier(n_neighbors, **settings).fit(
            distinct, _consecutive(labels[first])
        )
        if scores is not None:
            mean = KNeighborsRegressor(n_neighbors, **settings)
            self._scores = mean.fit(distinct, np.nan_to_num(scores[first]))

    def predict(self, rows: Array) -> Labels:
        """Return the label that the nearest training rows vote for."""
        return self._vote.predict(rows)

    def outlier_scores(self, rows: Array) -> Array:
        """Return the mean score of the nearest training rows."""
        return self._scores.predict(rows)


def mean_by_label(rows: Array, labels: Labels, weights: Array, n_clusters: int) -> Array:
    """Average the weighted rows of every label.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Rows.
    labels : ndarray of shape (n_samples,)
        Labels from -1, left out, to n_clusters - 1, none of them without a row.
    weights : ndarray of shape (n_samples,)
        Positive weights of the rows.
    n_clusters : int
        Number of means.

    Returns
    -------
    ndarray of shape (n_clusters, n_features)
        The means.
    """
    sums = sum_by_label(np.column_stack([rows, np.ones(len(rows))]), labels, weights, n_clusters)
    return sums[:, :-1] / sums[:, -1:]


def _consecutive(labels: NDArray[Any]) -> Labels:
    """Renumber the clusters from 0, and noise -1."""
    noise = labels < 0
    numbers = np.unique(labels[~noise], return_inverse=True)[1]
    result = np.full(len(labels), -1)
    result[~noise] = numbers
    return result


def _tiled(function: Callable[[Array], NDArray[Any]], rows: Array) -> NDArray[Any]:
    """Apply a function to tiles of one fixed shape, the last one padded.

    A matrix product of another shape may differ in its last bit, enough to flip a tie.
    """
    padded = np.resize(rows, (-(-len(rows) // TILE) * TILE, rows.shape[1]))
    tiles = padded.reshape(-1, TILE, rows.shape[1])
    return np.concatenate([function(tile) for tile in tiles])[: len(rows)]
