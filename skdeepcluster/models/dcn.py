"""The models of DCN and DKM: k-means among codes, by hard and by soft assignments.

Equation numbers are those of the method's page, docs/methods/dcn.rst: 1 is the objective, 2 how
centres follow (Yang et al. 2017), 3 the softmax (Moradi Fard et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.models.autoencoder import Autoencoder
from skdeepcluster.objectives import squared_distances, squared_error
from skdeepcluster.scaling import Scaling

__all__ = ["ASSIGNMENTS", "DeepKMeans", "HardKMeans", "SoftKMeans", "begin", "growth", "harden"]

N_ALPHAS = 40  # values of alpha that DKM goes through
TINY = torch.finfo(torch.float).tiny  # turns the 0 / 0 of nothing into 0


class DeepKMeans(Autoencoder):
    """An autoencoder with centres in its code space."""

    centers: Tensor

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, and minus the squared distance of each to every centre."""
        codes = self.codes(batch)
        return codes, -self.distances(codes)

    def squared(self, batch: Batch) -> Tensor:
        """Return the squared distance of every row's code to every centre."""
        return self.distances(self.codes(batch))

    def distances(self, codes: Tensor) -> Tensor:
        """Return the squared distance of codes to every centre, shape (n, n_clusters)."""
        return squared_distances(codes, self.centers)

    def both(self, batch: Batch) -> dict[str, Tensor]:
        """Return the clustering and the reconstruction term, both of changed rows."""
        x = self.changed(batch)
        codes = self.encode(x)
        clean = codes if self.augment is None else self.codes(batch)
        weight = batch.get("weight", codes.new_ones(len(codes)))
        return {
            "clustering": self.pull(codes, clean, weight),
            "reconstruction": squared_error(self.decode(codes), x),
        }

    def pull(self, codes: Tensor, clean: Tensor, weight: Tensor) -> Tensor:
        """Return what each row pays for the distance of its code to the centres.

        How it is assigned to them, the code `clean` of the unchanged row tells.
        """
        raise NotImplementedError

    def begin(self, squared: Tensor, nearest: Tensor, weight: Tensor) -> None:
        """Begin from centres that are placed, given each row's distance to its own."""
        raise NotImplementedError


class HardKMeans(DeepKMeans):
    """DCN: every code is pulled to the nearest centre, and the centres are running means.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The networks.
    shape : (n_clusters, latent_dim)
        Shape of the centres.
    """

    sizes: Tensor

    def __init__(self, scaling: Scaling, encoder: nn.Module, decoder: nn.Module, shape: Any):
        super().__init__(scaling, encoder, decoder)
        self.register_buffer("centers", torch.zeros(shape))
        self.register_buffer("sizes", torch.zeros(shape[0]))

    def pull(self, codes: Tensor, clean: Tensor, weight: Tensor) -> Tensor:
        """Return half the squared distance to the nearest centre (eq. 1); the centres follow."""
        clean = clean.detach()
        nearest = self.distances(clean).argmin(1)
        cost = (codes - self.centers[nearest]).square().sum(1) / 2
        self.follow(clean.float(), nearest, weight)
        return cost

    def follow(self, codes: Tensor, nearest: Tensor, weight: Tensor) -> None:
        """Move each centre to the mean of all codes that it has had (eq. 2).

        One code after the other, m + (z - m) / c with a count c that the code is part of is a
        running mean. So a batch can be taken at once.
        """
        shift = weight[:, None] * (codes - self.centers[nearest])
        self.sizes = self.sizes.index_add(0, nearest, weight)
        moved = torch.zeros_like(self.centers).index_add(0, nearest, shift)
        self.centers = self.centers + moved / self.sizes.clamp_min(TINY)[:, None]

    def begin(self, squared: Tensor, nearest: Tensor, weight: Tensor) -> None:
        """Let each centre count as much as the rows that are nearest to it."""
        self.sizes = torch.zeros_like(self.sizes).index_add(0, nearest, weight)


class SoftKMeans(DeepKMeans):
    """DKM: every code is pulled to all centres, by a softmax that hardens as alpha grows.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The networks.
    shape : (n_clusters, latent_dim)
        Shape of the centres.
    """

    alpha: Tensor
    first_alpha: Tensor

    def __init__(self, scaling: Scaling, encoder: nn.Module, decoder: nn.Module, shape: Any):
        super().__init__(scaling, encoder, decoder)
        self.centers = nn.Parameter(torch.zeros(shape))
        self.register_buffer("first_alpha", torch.ones(()))
        self.register_buffer("alpha", torch.ones(()))

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, and the logarithms of eq. 3 up to a constant."""
        codes, scores = super().observe(batch, live)
        return codes, self.alpha * scores

    def pull(self, codes: Tensor, clean: Tensor, weight: Tensor) -> Tensor:
        """Return half the expected squared distance under the softmax (eq. 1 and 3)."""
        squared = self.distances(codes)
        of_clean = squared if clean is codes else self.distances(clean)
        return ((-self.alpha * of_clean).softmax(1) * squared).sum(1) / 2

    def begin(self, squared: Tensor, nearest: Tensor, weight: Tensor) -> None:
        """Set the first alpha to 1 / (2 sigma^2) of the variance sigma^2 within the clusters.

        The softmax is then the posterior of a mixture of round Gaussians of this variance. Far
        below, all centres would be pulled to one place, and what k-means has found be lost.
        """
        variance = (weight @ squared / weight.sum()) / self.centers.shape[1]
        self.first_alpha = 1 / (2 * variance).clamp_min(TINY)
        self.alpha = self.first_alpha


ASSIGNMENTS: dict[str, type[Any]] = {"hard": HardKMeans, "soft": SoftKMeans}


def begin(trainer: Training, table: Table, place: Callable[..., None], **given: Any) -> None:
    """Place the centres, then set what depends on where they are.

    Parameters
    ----------
    trainer : Training
        Of the model.
    table : Table
        The whole data.
    place : callable
        ``place(trainer, table, **given)`` places the centres: by k-means given a ``seed``, or on
        ``labels``.
    **given
        What it takes.
    """
    place(trainer, table, **given)
    model = trainer.model
    squared, nearest = trainer.apply(model.squared, table).min(1)
    model.begin(squared, nearest, table.columns.get("weight", torch.ones_like(squared)))


def harden(trainer: Training, table: Table) -> None:
    """Let alpha grow with the progress of the phase."""
    model = trainer.model
    model.alpha = model.first_alpha * growth(trainer.progress().fraction)


def growth(fraction: float) -> float:
    """Return alpha over its first value: the n-th of 40 is 2^(1 / ln^2 n) times the one before.

    Parameters
    ----------
    fraction : float
        How far training has come, in [0, 1).
    """
    n = 1 + int(fraction * N_ALPHAS)
    return 2 ** math.fsum(1 / math.log(i) ** 2 for i in range(2, n + 1))
