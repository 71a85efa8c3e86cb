"""The model of DiscriminativeClustering: its losses, and unit centroids in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators.autoencoder import Autoencoder
from skdeepcluster.heads import SphericalKMeans, spherical_step
from skdeepcluster.objectives import (
    between_similarity,
    pairwise_discrimination,
    squared_error,
    within_similarity,
)
from skdeepcluster.scaling import Scaling

__all__ = ["DiscriminativeAutoencoder", "place_centers", "update_clusters"]


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
        Returns the pairs of a batch that should be alike, a mask of shape (n, n).
    alpha : float
        Doubt about them.
    """

    centers: Tensor

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        decoder: nn.Module,
        shape: tuple[int, int],
        anchors: Callable[[Batch], Tensor],
        alpha: float,
    ):
        super().__init__(scaling, encoder, decoder)
        self.register_buffer("centers", torch.zeros(shape))
        self.anchors = anchors
        self.alpha = alpha

    def cosines(self, batch: Batch) -> Tensor:
        """Return the cosine of every code to every centroid, shape (n, n_clusters)."""
        return F.normalize(self.codes(batch)) @ self.centers.T

    def inputs(self, batch: Batch) -> Tensor:
        """Return the scaled rows as vectors."""
        return batch["X"].flatten(1)

    def pretraining(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 6."""
        return self._unsupervised(self.codes(batch), batch)

    def stage1(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 8."""
        codes = self.codes(batch)
        return {"alignment": self._alignment(codes, batch), **self._unsupervised(codes, batch)}

    def stage2(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 11."""
        codes = self.codes(batch)
        clusters = batch["label"], len(self.centers), batch.get("weight")
        return {
            "alignment": self._alignment(codes, batch),
            "between": between_similarity(codes, *clusters),
            "within": within_similarity(codes, *clusters),
            "reconstruction": squared_error(self.decode(codes), batch["X"]),
        }

    def _alignment(self, codes: Tensor, batch: Batch) -> Tensor:
        """Return the cosine of every code to its centroid: the terms of the sum in eq. 7."""
        return F.cosine_similarity(codes, self.centers[batch["label"]])

    def _unsupervised(self, codes: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the terms that need no clusters."""
        weight = batch.get("weight")
        return {
            "discrimination": pairwise_discrimination(
                codes, self.anchors(batch), alpha=self.alpha, sample_weight=weight
            ),
            "reconstruction": squared_error(self.decode(codes), batch["X"]),
        }


def place_centers(trainer: Trainer, table: Table, seed: int) -> None:
    """Start the centroids by spherical k-means on the codes of the whole data.

    Parameters
    ----------
    trainer : Trainer
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
    table.columns["label"] = torch.full((len(table),), -1, device=table.device)


def update_clusters(trainer: Trainer, table: Table) -> Mapping[str, float]:
    """Assign all rows to centroids, then move the centroids to their members' direction.

    Parameters
    ----------
    trainer : Trainer
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
    centers, before = trainer.model.centers, table.columns["label"]
    units = normalize(trainer.encode(table).cpu().double().numpy())
    weight = table.array("weight")
    weight = np.ones(len(units)) if weight is None else weight.astype(np.float64)
    labels, moved, empty = spherical_step(units, centers.cpu().double().numpy(), weight)
    centers.copy_(torch.from_numpy(moved))
    table.columns["label"] = torch.from_numpy(labels).to(table.device)
    if len(empty):
        notice(
            f"{len(empty)} clusters lost all their members and were started anew.",
        )
    if (before < 0).any():
        return {}  # nothing to compare with yet
    return {"label_change": float((table.columns["label"] != before).float().mean())}
