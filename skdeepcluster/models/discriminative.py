"""The model of DiscriminativeClustering: its losses, and unit centroids in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.heads import SphericalKMeans, spherical_step
from skdeepcluster.models.autoencoder import Autoencoder
from skdeepcluster.models.clusters import follow_labels, forget_labels, warn_restarted
from skdeepcluster.models.starts import as_column, label_centers
from skdeepcluster.neighbors import (
    anchors_among,
    closest_pairs,
    mutual_neighbor_lists,
    mutual_neighbors,
)
from skdeepcluster.objectives import (
    between_similarity,
    pairwise_discrimination,
    squared_error,
    within_similarity,
)
from skdeepcluster.scaling import Scaling

__all__ = [
    "DiscriminativeAutoencoder",
    "anchors_of",
    "hold_clusters",
    "list_neighbors",
    "place_centers",
    "place_on_labels",
    "update_clusters",
]


class DiscriminativeAutoencoder(Autoencoder):
    """An autoencoder with unit centroids, which are no parameters, and the losses of three phases.

    Equation numbers are those of Tzoreff, Kogan & Choukroun (2018).

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The networks.
    shape : (n_clusters, latent_dim)
        Shape of the centroids.
    anchors : callable
        Returns the pairs that should be alike, a mask of shape (n, n), of scaled rows and the batch
        that they are of.
    anchor_weight : float
        What they weigh, in (0, 1].
    """

    centers: Tensor

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        decoder: nn.Module,
        shape: tuple[int, int],
        anchors: Callable[[Tensor, Batch], Tensor],
        anchor_weight: float,
    ):
        super().__init__(scaling, encoder, decoder)
        self.register_buffer("centers", torch.zeros(shape))
        self.anchors = anchors
        self.anchor_weight = anchor_weight

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, and the cosine of each to every centroid, shape (n, n_clusters)."""
        codes = self.codes(batch)
        return codes, F.normalize(codes) @ self.centers.T

    def vectors(self, batch: Batch) -> Tensor:
        """Return the scaled rows as vectors."""
        return self.inputs(batch).flatten(1)

    def pretraining(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 6."""
        x = self.inputs(batch)
        return self._unsupervised(self.encode(x), x, batch)

    def stage1(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 8."""
        x = self.inputs(batch)
        codes = self.encode(x)
        return {"alignment": self._alignment(codes, batch), **self._unsupervised(codes, x, batch)}

    def stage2(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 11."""
        x = self.inputs(batch)
        codes = self.encode(x)
        clusters = batch["label"], len(self.centers), batch.get("weight")
        return {
            "alignment": self._alignment(codes, batch),
            "between": between_similarity(codes, *clusters),
            "within": within_similarity(codes, *clusters),
            "reconstruction": squared_error(self.decode(codes), x),
        }

    def _alignment(self, codes: Tensor, batch: Batch) -> Tensor:
        """Return the cosine of every code to its centroid: the terms of the sum in eq. 7."""
        return F.cosine_similarity(codes, self.centers[batch["label"]])

    def _unsupervised(self, codes: Tensor, x: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the terms that need no clusters."""
        weight = batch.get("weight")
        return {
            "discrimination": pairwise_discrimination(
                codes,
                self.anchors(x, batch),
                alpha=1 - self.anchor_weight,
                sample_weight=weight,
            ),
            "reconstruction": squared_error(self.decode(codes), x),
        }


def place_centers(trainer: Training, table: Table, seed: int) -> None:
    """Start the centroids by spherical k-means on the codes of the whole data.

    Parameters
    ----------
    trainer : Training
        Of a :class:`DiscriminativeAutoencoder`.
    table : Table
        The data; gets a column of labels, all unknown yet.
    seed : int
        Seeds the k-means.
    """
    centers = trainer.model.centers
    kmeans = SphericalKMeans(len(centers), random_state=seed)
    kmeans.fit(trainer.encode(table).cpu().numpy(), sample_weight=table.array("weight"))
    centers.copy_(torch.from_numpy(kmeans.cluster_centers_))
    forget_labels(trainer, table)


def place_on_labels(trainer: Training, table: Table, labels: NDArray[np.integer[Any]]) -> None:
    """Start the centroids as the mean directions of labels; -1 leaves a row out."""
    _point(trainer.model, F.normalize(trainer.encode(table)), as_column(labels, table), table)
    forget_labels(trainer, table)


def _point(model: DiscriminativeAutoencoder, units: Tensor, label: Tensor, table: Table) -> None:
    """Let the centroids point where their members do."""
    means = label_centers(units, label, len(model.centers), table.columns.get("weight"))
    model.centers.copy_(F.normalize(means))


def hold_clusters(trainer: Training, table: Table) -> Mapping[str, float]:
    """Keep the rows in the clusters of the start, and move the centroids to their direction.

    The set S of eq. 8 is given, then, and the networks learn it. Rows that the start gives no label
    are assigned to the nearest centroid.
    """
    model, start = trainer.model, table.columns["start"]
    units = F.normalize(trainer.encode(table))
    label = torch.where(start >= 0, start, (units @ model.centers.T).argmax(1))
    _point(model, units, label, table)
    return follow_labels(table, label)


def update_clusters(trainer: Training, table: Table) -> Mapping[str, float]:
    """Assign all rows to centroids, then move the centroids to their members' direction.

    Parameters
    ----------
    trainer : Training
        Of a :class:`DiscriminativeAutoencoder`.
    table : Table
        The data; its column of labels is renewed.

    Returns
    -------
    metrics : dict
        The share of the labels that changed, from the second time on.

    Warns
    -----
    ConvergenceWarning
        When a cluster lost its last member, and so started anew where rows are worst represented.
    """
    centers = trainer.model.centers
    units = normalize(trainer.encode(table).cpu().double().numpy())
    weight = table.array("weight")
    weight = np.ones(len(units)) if weight is None else weight.astype(np.float64)
    labels, moved, empty = spherical_step(units, centers.cpu().double().numpy(), weight)
    centers.copy_(torch.from_numpy(moved))
    if len(empty):
        warn_restarted(len(empty))
    return follow_labels(table, torch.from_numpy(labels).to(table.device))


def anchors_of(x: Tensor, batch: Batch, rule: str | float, n_neighbors: int) -> Tensor:
    """Return the anchors among scaled rows, shape (n, n), and the batch that they are of."""
    if rule == "global":
        return anchors_among(batch["index"], batch["neighbors"])
    if rule == "mutual":
        return mutual_neighbors(x, n_neighbors)
    return closest_pairs(x, n_neighbors, float(rule))


def list_neighbors(trainer: Training, table: Table, n_neighbors: int) -> None:
    """Find the mutual nearest neighbours in the whole data, in the scale of the networks."""
    rows = trainer.apply(trainer.model.vectors, table).cpu().numpy()
    neighbors = torch.from_numpy(mutual_neighbor_lists(rows, n_neighbors))
    table.columns["neighbors"] = neighbors.to(table.device)
