"""A classifier without labels: its clusters say much of a row, and stay where the row moves.

Equation numbers are those of Hu et al. (2017).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.objectives import (
    entropy,
    kl_divergence,
    marginal_entropy,
    mutual_information,
)
from skdeepcluster.scaling import Scaling

__all__ = ["InformationMaximizer", "choose_head", "measure_radii"]

Perturbation = Callable[[Tensor], Tensor]

PROBE = 0.1  # share of the radius at which the steepest direction is looked for


class InformationMaximizer(Model):
    """An encoder, and heads that each divide the codes into clusters.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder : nn.Module
        Maps rows to codes.
    latent_dim : int
        Width of a code.
    n_clusters : int
        Clusters of a head.
    n_heads : int
        Number of heads; one of them tells the clusters in the end.
    n_over_clusters : int
        Clusters of as many further heads, which only help the encoder; 0 for none.
    perturbation : {"adversarial", "random"} or callable
        How rows are moved; a callable changes a batch of scaled rows.
    """

    head: Tensor

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        latent_dim: int,
        n_clusters: int,
        n_heads: int,
        n_over_clusters: int,
        perturbation: str | Perturbation,
    ):
        super().__init__(scaling)
        self.encoder = encoder
        self.n_heads = n_heads
        self.heads = nn.Linear(latent_dim, n_heads * n_clusters)
        n_over = n_heads * n_over_clusters
        self.over_heads = nn.Linear(latent_dim, n_over) if n_over else None
        self.perturbation = perturbation
        self.register_buffer("head", torch.tensor(0))

    # -- row by row -----------------------------------------------------------------------------

    def codes(self, batch: Batch) -> Tensor:
        """Return the code of every row."""
        return self._encode(self.inputs(batch))

    def observe(self, batch: Batch, live: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return codes, and log-probabilities by the head that was chosen."""
        codes = self.codes(batch)
        return codes, self._divided(codes)[:, self.head]

    def by_head(self, batch: Batch) -> Tensor:
        """Return log-probabilities by every head, shape (n, n_heads, n_clusters)."""
        return self._divided(self.codes(batch))

    def _encode(self, x: Tensor) -> Tensor:
        codes: Tensor = self.encoder(x)
        return codes

    def _divided(self, codes: Tensor, heads: nn.Module | None = None) -> Tensor:
        logits: Tensor = (heads or self.heads)(codes)
        return logits.float().unflatten(1, (self.n_heads, -1)).log_softmax(2)

    def _classified(self, x: Tensor) -> Tensor:
        return self._divided(self._encode(x))

    # -- how rows move --------------------------------------------------------------------------

    def moved(self, x: Tensor, log_proba: Tensor, batch: Batch) -> Tensor:
        """Return T(x): rows that should belong where they did, whose memberships are given."""
        if not isinstance(self.perturbation, str):
            return self.perturbation(x)
        radius = batch["radius"].view(-1, *[1] * (x.ndim - 1))
        direction = unit(torch.randn_like(x))
        if self.perturbation == "adversarial":
            direction = self._steepest(x, log_proba, direction, PROBE * radius)
        return x + radius * direction

    def _steepest(self, x: Tensor, log_proba: Tensor, start: Tensor, step: Tensor) -> Tensor:
        """Return where memberships change most, by one power iteration (eq. 15)."""
        direction = start.requires_grad_()
        log_moved = self._classified(x + step * direction)
        change = _change(log_proba, log_moved).sum()
        (gradient,) = torch.autograd.grad(change, direction)
        return unit(gradient)

    # -- losses ---------------------------------------------------------------------------------

    def informing(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 13: R_SAT (eq. 4), H(Y|X) (eq. 11) and -H(Y) (eq. 10)."""
        x = self.inputs(batch)
        log_proba = self._classified(x)
        fixed = log_proba.detach()
        log_moved = self._classified(self.moved(x, fixed, batch))
        return {
            "invariance": _change(fixed, log_moved),
            "conditional_entropy": entropy(log_proba).mean(1),
            "balance": -marginal_entropy(log_proba, batch.get("weight")).mean(),
        }

    def pairing(self, batch: Batch) -> dict[str, Tensor]:
        """Return minus the information that a row and its changed copy share (IIC)."""
        x = self.inputs(batch)
        codes = self._encode(x)
        moved = self._encode(self.moved(x, self._divided(codes).detach(), batch))
        terms = {"information": self._shared(codes, moved, self.heads, batch)}
        if self.over_heads is not None:
            over = self._shared(codes, moved, self.over_heads, batch)
            terms["over_information"] = over
        return terms

    def _shared(self, codes: Tensor, moved: Tensor, heads: nn.Module, batch: Batch) -> Tensor:
        views = self._divided(codes, heads), self._divided(moved, heads)
        return -mutual_information(*views, batch.get("weight")).mean()


def unit(directions: Tensor) -> Tensor:
    """Return directions of length 1, one for each row."""
    least = torch.finfo(directions.dtype).tiny
    return F.normalize(directions.flatten(1), eps=least).view_as(directions)


def _change(log_proba: Tensor, log_moved: Tensor) -> Tensor:
    """Return KL(p || q) of each row, a mean over heads (eq. 5 without its constant)."""
    divergence = kl_divergence(log_proba.exp().flatten(0, 1), log_moved.flatten(0, 1))
    return divergence.unflatten(0, (len(log_proba), -1)).mean(1)


def measure_radii(trainer: Training, table: Table, share: float, n_neighbors: int) -> None:
    """Note how far each row may move: a share of the distance to a neighbour of it (sec. 3.2)."""
    model = trainer.model
    rows = trainer.apply(lambda batch: model.inputs(batch).flatten(1), table).cpu().numpy()
    search = NearestNeighbors(n_neighbors=min(n_neighbors, len(rows) - 1)).fit(rows)
    distance = torch.from_numpy(search.kneighbors()[0][:, -1]).float()
    table.columns["radius"] = share * distance.to(table.device)


def choose_head(trainer: Training, table: Table) -> None:
    """Choose the head whose clusters say most of the rows as they are: I(X; Y) (eq. 9)."""
    model = trainer.model
    log_proba, weight = trainer.apply(model.by_head, table), table.columns.get("weight")
    within = entropy(log_proba)
    mean = within.mean(0) if weight is None else (weight @ within) / weight.sum()
    model.head.copy_((marginal_entropy(log_proba, weight) - mean).argmax())
