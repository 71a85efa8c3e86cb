"""What methods do with the clusters that they train for: start, compare, restart, stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Table
from skdeepcluster.heads import SteadyGaussianMixture, drawn_rows, fit_clusterer

__all__ = [
    "best_of",
    "fit_kmeans",
    "fit_mixture",
    "follow_labels",
    "forget_labels",
    "has_settled",
    "warn_restarted",
]

MAX_SAMPLES = 100_000  # codes that a start looks at, of which a mixture is fitted 48 times


def best_of(scores: Tensor, live: Tensor) -> Tensor:
    """Return the component with the best score, (n, n_components), of those that live."""
    return live[scores.index_select(1, live).argmax(1)]


def fit_kmeans(codes: Tensor, table: Table, n_clusters: int, n_init: int, seed: int) -> KMeans:
    """Fit k-means to the codes of a table, or to a sample, with the weights of its rows."""
    kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed)
    return fit_clusterer(kmeans, *_sample(codes, table, seed))


def _sample(codes: Tensor, table: Table, seed: int) -> tuple[NDArray[Any], Any]:
    """Return codes and weights of as many rows as starts look at."""
    weight, rows = table.array("weight"), codes.cpu().numpy()
    if len(rows) <= MAX_SAMPLES:
        return rows, weight
    drawn = drawn_rows(len(rows), MAX_SAMPLES, seed)
    return rows[drawn], None if weight is None else weight[drawn]


def fit_mixture(
    codes: Tensor,
    table: Table,
    n_components: int,
    least_variance: Callable[[Tensor], Tensor],
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a steady mixture to the codes of a table, or to a sample, with the weights of its rows.

    Returns
    -------
    weights, means, variances : Tensor
        Of the components; the variances are diagonals, and at least `least_variance` of the codes.
    """
    rows, weight = _sample(codes, table, seed)
    rows = rows.astype(np.float64)
    center = rows.mean(axis=0)  # without it, rounding could swallow the variances of close codes
    rows -= center
    mixture = SteadyGaussianMixture(
        n_components,
        covariance_type="diag",
        reg_covar=float(least_variance(torch.from_numpy(rows))),
        random_state=seed,
    )
    fit_clusterer(mixture, rows, weight)
    weights, means, variances = map(
        torch.from_numpy, (mixture.weights_, mixture.means_ + center, mixture.covariances_)
    )
    return weights, means, variances


def forget_labels(trainer: Training, table: Table) -> None:
    """Give the rows a column of labels, none of them known."""
    table.columns["label"] = torch.full((len(table),), -1, device=table.device)


def follow_labels(table: Table, labels: Tensor) -> dict[str, float]:
    """Renew the column of labels; return the share that changed, unless there was none before."""
    before, table.columns["label"] = table.columns["label"], labels
    if (before < 0).any():
        return {}  # nothing to compare with yet
    return {"label_change": float((labels != before).float().mean())}


def has_settled(record: Mapping[str, Any], tol: float) -> bool:
    """Tell from an epoch's record whether labels are at rest.

    What the first epoch of a phase changes is owed to the phase before.
    """
    return record["phase_epoch"] > 1 and record.get("label_change", 1.0) < tol


def warn_restarted(n_clusters: int) -> None:
    """Warn of clusters that died and live again."""
    notice(f"{n_clusters} clusters lost all their members and were started anew.")
