"""Labels that were found: what is known of them, and the steps until they are learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from skdeepcluster.engine.notices import notice

__all__ = [
    "Labeling",
    "Labels",
    "calibrated_temperature",
    "confident_rows",
    "has_settled",
    "matched",
    "numbered",
    "sure_rows",
    "vote",
    "warn_unsettled",
]

Labels = NDArray[np.int64]

SURE = 0.99  # responsibility from which on a row of the first clusters is learnt from
LEAST_AGREEMENT = 0.7  # between classifier and clusters, below which all rows are learnt from
DOUBTFUL = 0.1  # share of the rows that agree which are left out for the classifier's doubt
TEMPERATURES = (1e-2, 1e2)
MOST_CHANGE, LEAST_RUNS = 0.04, 0.95  # within which the last round counts as settled


@dataclass(frozen=True)
class Labeling:
    """Labels of rows, and what is known of them.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        From 0; -1 is noise.
    confident : ndarray of bool of shape (n,)
        The rows to learn from; none of them noise.
    agreement : float, default=1
        How far the runs that found the labels agree, an adjusted Rand index.
    classifier_agreement : float, default=1
        Share of the rows on which the labels are those of the classifier.
    """

    labels: Labels
    confident: NDArray[np.bool_]
    agreement: float = 1.0
    classifier_agreement: float = 1.0

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields as tensors, which a checkpoint keeps."""
        return {name: torch.as_tensor(value) for name, value in vars(self).items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Labeling:
        """Return the labeling whose fields are these."""
        values: dict[str, Any] = {k: v.numpy() if v.ndim else v.item() for k, v in tensors.items()}
        return cls(**values)


def matched(labels: Labels, reference: Labels, n_clusters: int) -> Labels:
    """Renumber labels so that as many as possible agree with a reference; -1 counts for neither.

    Parameters
    ----------
    labels, reference : ndarray of shape (n,)
        Labels below `n_clusters`.
    n_clusters : int
        Number of clusters.

    Returns
    -------
    labels : ndarray of shape (n,)
        The same clusters under other numbers.

    Examples
    --------
    >>> import numpy as np
    >>> matched(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 1]), 2)
    array([1, 1, 0, 0])
    """
    both = (labels >= 0) & (reference >= 0)
    counts = np.zeros((n_clusters, n_clusters), dtype=int)
    np.add.at(counts, (labels[both], reference[both]), 1)
    _, number = linear_sum_assignment(counts, maximize=True)
    return np.where(labels >= 0, number[labels], -1)


def numbered(labels: NDArray[np.integer[Any]]) -> Labels:
    """Renumber clusters by their first rows: the order that a clusterer gives depends on rounding.

    Noise stays -1.

    Examples
    --------
    >>> import numpy as np
    >>> numbered(np.array([2, -1, 2, 0]))
    array([ 0, -1,  0,  1])
    """
    found, first, place = np.unique(labels, return_index=True, return_inverse=True)
    first[found < 0] = -1
    return (first.argsort().argsort() - (found[0] < 0))[place]


def vote(labels: NDArray[np.int64]) -> tuple[Labels, NDArray[np.bool_]]:
    """Return the label that most members give each row, and whether all give it.

    Parameters
    ----------
    labels : ndarray of shape (n_members, n)
        Labels of each member, matched.

    Returns
    -------
    labels : ndarray of shape (n,)
        Of labels with as many votes the smallest.
    unanimous : ndarray of bool of shape (n,)
        Whether the members agree.

    Examples
    --------
    >>> import numpy as np
    >>> vote(np.array([[0, 1], [0, 2], [0, 2]]))
    (array([0, 2]), array([ True, False]))
    """
    votes = (labels[:, :, None] == np.arange(labels.max() + 1)).sum(0)
    return votes.argmax(1), votes.max(1) == len(labels)


def confident_rows(
    labels: Labels, guess: Labels, probability: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Return the rows to learn from: classifier and clusters agree, and it is not in doubt.

    Where they agree on too few rows, all are taken. So are the rows of a cluster that would have
    none: the classifier can only learn what it is shown.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        The clusters that were found.
    guess : ndarray of shape (n,)
        What the classifier says.
    probability : ndarray of shape (n,)
        How sure it is.

    Returns
    -------
    confident : ndarray of bool of shape (n,)
        The rows.
    """
    agree = labels == guess
    if agree.mean() < LEAST_AGREEMENT:
        return np.ones(len(labels), dtype=bool)
    confident = agree & (probability >= np.quantile(probability, DOUBTFUL))
    forgotten = np.setdiff1d(labels, labels[confident])
    return confident | np.isin(labels, forgotten)


def sure_rows(labels: Labels, responsibility: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the rows to learn from at first: those that are surely of their cluster.

    Of each cluster they are at least half, so that none is left out.
    """
    sure = responsibility >= SURE
    for label in np.unique(labels):
        (own,) = np.nonzero(labels == label)
        sure[own] |= responsibility[own] >= np.median(responsibility[own])
    return sure


def calibrated_temperature(logits: Tensor, accuracy: float) -> float:
    """Return the temperature at which the mean of the largest probability is what it should be.

    Parameters
    ----------
    logits : Tensor of shape (n, n_members, n_clusters)
        Of the members.
    accuracy : float
        The share of the rows that the labels are believed to be right on, in [0, 1].

    Returns
    -------
    temperature : float
        Between .01 and 100.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[4.0, 0.0]], [[0.0, 4.0]]])
    >>> round(calibrated_temperature(logits, 0.9), 2)
    1.82
    """
    low, high = np.log(TEMPERATURES)
    for _ in range(40):  # halvings
        middle = (low + high) / 2
        sureness = (logits / np.exp(middle)).softmax(2).mean(1).amax(1).mean()
        low, high = (middle, high) if sureness > accuracy else (low, middle)
    return float(np.exp((low + high) / 2))


def has_settled(n_rounds: int, label_change: float, agreement: float) -> bool:
    """Tell whether the last round found what the one before had found.

    The first round may well change a bad start, so it is judged by the mixture alone.

    Parameters
    ----------
    n_rounds : int
        Rounds made.
    label_change : float
        Share of the labels that the last one changed.
    agreement : float
        Adjusted Rand index between the runs of its mixture.

    Returns
    -------
    settled : bool
        Whether the change is at most 4 % and the agreement at least .95.
    """
    changed = n_rounds > 1 and label_change > MOST_CHANGE
    return not changed and agreement >= LEAST_RUNS


def warn_unsettled(kept: str, label_change: float, agreement: float) -> None:
    """Warn that clusters have not settled, and say whose are kept."""
    notice(
        f"The clusters did not settle, and those of {kept} are kept. The last round changed "
        f"{label_change:.1%} of the labels (expected at most {MOST_CHANGE:.0%}), and the runs of "
        f"its mixture agree to {agreement:.2f} (expected at least {LEAST_RUNS}). The data may have "
        "no such clusters, or another number of them, or augment= may change what its rows mean."
    )
