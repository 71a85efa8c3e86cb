"""Clusters that training starts from: how they are placed, and how far training goes from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.priors import responsibilities_of

__all__ = [
    "agreement",
    "current_labels",
    "label_centers",
    "note_start",
    "warn_of_departure",
]

Labels = NDArray[np.integer[Any]]

LEAST_AGREEMENT = 0.5  # with the start, below which somebody should look at both


def note_start(
    trainer: Training,
    table: Table,
    place: Callable[..., Any],
    n_clusters: int,
    labels: Labels | None = None,
) -> None:
    """Place the first clusters, and note them in a column of the table.

    Parameters
    ----------
    trainer : Training
        Of a model that tells clusters.
    table : Table
        The rows; they get a column ``start``.
    place : callable
        ``place(trainer, table)`` starts the model's clusters.
    n_clusters : int
        Their number.
    labels : ndarray of int of shape (n_rows,), default=None
        The labels that it starts from, -1 for none. None is what the model then says itself.
    """
    place(trainer, table)
    if labels is None:
        table.columns["start"] = current_labels(trainer, table, n_clusters)
    else:
        table.columns["start"] = torch.from_numpy(labels.astype(np.int64)).to(table.device)


def current_labels(trainer: Training, table: Table, n_clusters: int) -> Tensor:
    """Return the cluster of every row as the model sees it now."""
    model, all_live = trainer.model, torch.arange(n_clusters, device=table.device)

    def best(batch: Batch) -> Tensor:
        scores: Tensor = model.observe(batch, all_live)[1]
        return scores.argmax(1)

    return trainer.apply(best, table)


def label_centers(
    codes: Tensor, labels: Labels, n_clusters: int, weight: Tensor | None = None
) -> Tensor:
    """Return the mean code of every label; one without rows gets the code farthest from the others.

    Parameters
    ----------
    codes : Tensor of shape (n, latent_dim)
        Codes.
    labels : ndarray of int of shape (n,)
        Labels below `n_clusters`; -1 leaves a row out.
    n_clusters : int
        Number of centres.
    weight : Tensor of shape (n,), default=None
        Weights of the rows.

    Returns
    -------
    centers : Tensor of shape (n_clusters, latent_dim)
        The centres.
    """
    label = torch.from_numpy(labels.astype(np.int64)).to(codes.device)
    members = responsibilities_of(label, n_clusters, weight)
    counts = members.sum(0)
    centers = members.T @ codes / counts[:, None]
    placed = counts > 0
    for empty in (~placed).nonzero().flatten():
        apart = torch.cdist(codes, centers[placed]).amin(1)
        centers[empty], placed[empty] = codes[apart.argmax()], True
    return centers


def agreement(start: Labels, labels: Labels) -> float:
    """Return the adjusted Rand index of labels with those of a start, over rows that it labels."""
    known = start >= 0
    return float(adjusted_rand_score(start[known], labels[known]))


def warn_of_departure(start: Labels, labels: Labels) -> None:
    """Warn if little is left of the clusters that training started from.

    Without the truth nobody knows whether that is a gain, so it is told whichever it is.

    Parameters
    ----------
    start : ndarray of int of shape (n,)
        Labels of the start; -1 is none.
    labels : ndarray of int of shape (n,)
        Labels now.

    Warns
    -----
    ConvergenceWarning
        If their adjusted Rand index is below a half.
    """
    found = agreement(start, labels)
    if found >= LEAST_AGREEMENT:
        return
    known = start >= 0
    common = contingency_matrix(start[known], labels[known])
    own, now = linear_sum_assignment(-common)
    kept = int((2 * common[own, now] > common.sum(1)[own]).sum())
    notice(
        "The clusters are no longer those that training started from: their adjusted Rand index is "
        f"{found:.2f}, and {len(common) - kept} of {len(common)} clusters of the start have no "
        "cluster of their own any more that holds most of their rows. Which are the better ones no "
        "figure tells without the truth: compare labels_ with start_labels_, and see "
        "start_agreement in history_ for where they parted.",
    )
