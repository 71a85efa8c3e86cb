"""Linear heads on features: each gives a row and its neighbours one cluster, and uses all clusters.

Equation numbers are those of Van Gansbeke et al. (2020).
"""

from __future__ import annotations

import math

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.objectives import marginal_entropy
from skdeepcluster.scaling import Scaling

__all__ = ["NeighborHeads", "draw_partners", "find_neighbors"]


class NeighborHeads(Model):
    """Several linear classifiers of rows, trained side by side.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the heads' input.
    n_clusters : int
        Clusters of a head.
    n_heads : int
        Number of heads.
    """

    owns_draws = True

    def __init__(self, scaling: Scaling, n_clusters: int, n_heads: int):
        super().__init__(scaling)
        self.n_heads = n_heads
        self.heads = nn.Linear(math.prod(scaling.shape), n_heads * n_clusters)

    def codes(self, batch: Batch) -> Tensor:
        """Return the memberships by all heads, one after the other."""
        return self._divided(self.inputs(batch)).exp().flatten(1)

    def _divided(self, x: Tensor) -> Tensor:
        """Return log-memberships by every head, shape (n, n_heads, n_clusters)."""
        logits: Tensor = self.heads(x.flatten(1))
        return logits.float().unflatten(1, (self.n_heads, -1)).log_softmax(2)

    def agreeing(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 2: -log <p(x), p(neighbour)> and -H(mean p), means over heads."""
        log_proba = self._divided(self.inputs(batch))
        log_partner = self._divided(self.scaling(batch["partner"]))
        return {
            "disagreement": -(log_proba + log_partner).logsumexp(2).mean(1),
            "balance": -marginal_entropy(log_proba, batch.get("weight")).mean(),
        }


def find_neighbors(trainer: Training, table: Table, n_neighbors: int, metric: str) -> None:
    """Note the nearest neighbours of every row, as columns."""
    model = trainer.model
    rows = trainer.apply(lambda batch: model.inputs(batch).flatten(1), table)
    if metric == "cosine":
        rows = F.normalize(rows)  # whose squared distance is 2 - 2 cos
    found = NearestNeighbors(n_neighbors=min(n_neighbors, len(rows) - 1)).fit(rows.cpu().numpy())
    nearest = torch.from_numpy(found.kneighbors(return_distance=False))
    table.columns["neighbors"] = nearest.to(table.device)


def draw_partners(trainer: Training, table: Table) -> None:
    """Draw the neighbour that goes with every row for an epoch."""
    neighbors = table.columns["neighbors"].cpu()
    draw = torch.randint(neighbors.shape[1], (len(neighbors), 1))
    table.partners = neighbors.gather(1, draw).squeeze(1)
