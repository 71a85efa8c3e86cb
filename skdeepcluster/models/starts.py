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
    "as_column",
    "current_labels",
    "label_centers",
    "note_start",
    "warn_of_departure",
]

Labels = NDArray[np.integer[Any]]

MOST_MOVED = 0.05  # of the rows, from given clusters, before somebody should look at both
MOST_MOVED_FROM_OWN = 0.25  # from those that a method has found itself


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
        table.columns["start"] = as_column(labels, table)


def as_column(labels: Labels, table: Table) -> Tensor:
    """Return labels as a column of a table."""
    return torch.from_numpy(labels.astype(np.int64)).to(table.device)


def current_labels(trainer: Training, table: Table, n_clusters: int) -> Tensor:
    """Return the cluster of every row as the model sees it now."""
    model, all_live = trainer.model, torch.arange(n_clusters, device=table.device)

    def best(batch: Batch) -> Tensor:
        scores: Tensor = model.observe(batch, all_live)[1]
        return scores.argmax(1)

    return trainer.apply(best, table)


def label_centers(
    codes: Tensor, labels: Tensor, n_clusters: int, weight: Tensor | None = None
) -> Tensor:
    """Return the mean code of every label; one without rows gets the code farthest from the others.

    Parameters
    ----------
    codes : Tensor of shape (n, latent_dim)
        Codes.
    labels : Tensor of int of shape (n,)
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
    members = responsibilities_of(labels, n_clusters, weight)
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


def warn_of_departure(start: Labels, labels: Labels, is_given: bool) -> None:
    """Warn if many rows have left the clusters that training started from.

    With clusters matched one to one, the accuracy differs from that of the start by no more than
    the share of rows outside of the match of their cluster, whatever the truth is. So without a
    warning little can have been lost. Whether what has moved is a gain, cannot be known.

    Parameters
    ----------
    start : ndarray of int of shape (n,)
        Labels of the start; -1 is none.
    labels : ndarray of int of shape (n,)
        Labels now.
    is_given : bool
        Whether the start comes from elsewhere. A method is free to go farther from its own.

    Warns
    -----
    ConvergenceWarning
        If more than a twentieth of the rows have left clusters that were given, or a quarter those
        of the method's own start.
    """
    known = start >= 0
    numbers, common = np.unique(start[known]), contingency_matrix(start[known], labels[known])
    own, now = linear_sum_assignment(-common)
    moved = (common.sum() - common[own, now].sum()) / common.sum()
    if moved <= (MOST_MOVED if is_given else MOST_MOVED_FROM_OWN):
        return
    kept = numbers[own[2 * common[own, now] > common.sum(1)[own]]]
    lost = ", ".join(map(str, np.setdiff1d(numbers, kept)))
    its = f"its cluster{'s' if ', ' in lost else ''} {lost}"
    less = f"; most rows of {its} are no longer together" if lost else ""
    notice(
        f"{moved:.0%} of the rows have left the clusters that training started from (adjusted Rand "
        f"index {agreement(start, labels):.2f}{less}). The accuracy may be that much higher or "
        "lower, which cannot be known without the true classes. Compare labels_ with "
        "start_labels_; start_agreement in history_ tells in which phase they parted.",
    )
