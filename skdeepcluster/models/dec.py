"""The model of DEC and IDEC: centres among the codes, and the target that they are trained for.

Equation numbers are those of Xie, Girshick & Farhadi (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.models.autoencoder import Autoencoder
from skdeepcluster.models.clusters import fit_kmeans, follow_labels, forget_labels, warn_restarted
from skdeepcluster.models.starts import as_column, label_centers
from skdeepcluster.objectives import (
    kl_divergence,
    squared_error,
    student_t_log_proba,
    target_distribution,
)
from skdeepcluster.scaling import Scaling

__all__ = ["DEC", "aim", "place_centers", "place_on_labels", "update_target"]


class DEC(Autoencoder):
    """An autoencoder with cluster centres in its code space."""

    def __init__(self, scaling: Scaling, encoder: nn.Module, decoder: nn.Module, shape: Any):
        super().__init__(scaling, encoder, decoder)
        self.centers = nn.Parameter(torch.zeros(shape))

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and log-memberships, from one pass of the encoder."""
        codes = self.codes(batch)
        return codes, student_t_log_proba(codes, self.centers)

    def log_memberships(self, batch: Batch) -> Tensor:
        """Return log q (eq. 1), shape (n, n_clusters)."""
        return student_t_log_proba(self.codes(batch), self.centers)

    def clustering(self, batch: Batch) -> dict[str, Tensor]:
        """Return KL(p || q) (eq. 2) per row: q of changed rows, and p of the rows themselves."""
        log_q = student_t_log_proba(self.encode(self.changed(batch)), self.centers)
        return {"clustering": kl_divergence(batch["target"], log_q)}

    def both(self, batch: Batch) -> dict[str, Tensor]:
        """Return the clustering and the reconstruction term, from one pass of the encoder."""
        x = self.changed(batch)
        codes = self.encode(x)
        log_q = student_t_log_proba(codes, self.centers)
        return {
            "clustering": kl_divergence(batch["target"], log_q),
            "reconstruction": squared_error(self.decode(codes), x),
        }


def place_centers(trainer: Training, table: Table, seed: int) -> None:
    """Start the centres by k-means on the codes of the whole data."""
    centers = trainer.model.centers
    kmeans = fit_kmeans(trainer.encode(table), table, len(centers), n_init=20, seed=seed)
    centers.data.copy_(torch.from_numpy(kmeans.cluster_centers_))
    forget_labels(trainer, table)


def place_on_labels(trainer: Training, table: Table, labels: NDArray[np.integer[Any]]) -> None:
    """Start the centres as the mean codes of labels."""
    centers, weight = trainer.model.centers, table.columns.get("weight")
    label = as_column(labels, table)
    centers.data.copy_(label_centers(trainer.encode(table), label, len(centers), weight))
    forget_labels(trainer, table)


def update_target(trainer: Training, table: Table, power: float = 2.0) -> Mapping[str, float]:
    """Compute the target p from the memberships q of the whole data (eq. 3: power 2)."""
    q = _reseed_dead(trainer, table, trainer.apply(trainer.model.log_memberships, table).exp())
    table.columns["target"] = target_distribution(q, table.columns.get("weight"), power)
    return follow_labels(table, q.argmax(1))


def aim(trainer: Training, table: Table, seen: Tensor, power: float) -> None:
    """Compute the target p of some rows (eq. 3), given what each cluster has of those before."""
    q = trainer.apply(trainer.model.log_memberships, table).exp()
    table.columns["target"] = target_distribution(q, table.columns.get("weight"), power, seen)


def _reseed_dead(trainer: Training, table: Table, q: Tensor) -> Tensor:
    """Move centres without members to rows that fit least into any cluster; return the new q."""
    dead = (torch.bincount(q.argmax(1), minlength=q.shape[1]) == 0).nonzero().flatten()
    if not len(dead):
        return q
    rows = q.amax(1).argsort()[: len(dead)]
    trainer.model.centers.data[dead] = trainer.encode(table)[rows]
    trainer.forget(trainer.model.centers, dead)
    warn_restarted(len(dead))
    return trainer.apply(trainer.model.log_memberships, table).exp()
