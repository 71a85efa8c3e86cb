"""What k-DVAE and k-DAE share: k autoencoders computed as one, and the contest for the rows.

A network is a slice, along the first axis, of every parameter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Player
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.heads import fit_clusterer
from skdeepcluster.models.clusters import best_of
from skdeepcluster.models.starts import as_column
from skdeepcluster.models.variational import LOG_VARIANCES, VariationalModel
from skdeepcluster.networks import slots
from skdeepcluster.objectives import gaussian_kl_divergence
from skdeepcluster.scaling import Scaling

__all__ = ["KAutoencoders", "forget_wins", "hold", "release"]

WAITING = -2  # the label of a row that has no network yet


class KAutoencoders(VariationalModel):
    """k encoders and decoders. A code is that of the winner, beside a one-hot of who it is."""

    wins: Tensor
    idle: Tensor

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        decoder: nn.Module,
        n_networks: int,
        latent_dim: int,
        variational: bool,
    ):
        super().__init__(scaling, n_networks)
        self.encoder = encoder
        self.decoder = decoder
        self.n_networks = n_networks
        self.latent_dim = latent_dim
        self.variational = variational
        self.register_buffer("wins", torch.zeros(n_networks))
        self.register_buffer("idle", torch.zeros(n_networks, dtype=torch.bool), persistent=False)

    def players(self) -> dict[str, Player]:
        """Return the one player, whose Adam is that of VaDE."""
        return {"model": Player(self.parameters(), adam={"eps": 1e-4})}

    def posterior(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return means and log-variances, shape (k, n, latent_dim); k-DAE has no variances."""
        if not self.variational:
            return self.encoder(rows).float(), None
        mean, log_variance = self.encoder(rows).float().chunk(2, dim=2)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def codes(self, batch: Batch) -> Tensor:
        """Return the winner's mean and who it is."""
        return self.observe(batch, torch.arange(self.n_networks, device=self.wins.device))[0]

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of the winner of those that live and who it is, and all scores (eq. 8).

        The score is taken at the posterior's mean.
        """
        rows = self._repeated(self.inputs(batch))
        mean, log_variance = self.posterior(rows)
        scores = self._scores(rows, mean, log_variance)
        winner = best_of(scores, live)
        # Not len(), which would fix the number of rows where torch traces or exports this.
        own = mean[winner, torch.arange(winner.shape[0], device=winner.device)]
        return torch.cat([own, F.one_hot(winner, self.n_networks)], 1), scores

    def decode(self, codes: Tensor) -> Tensor:
        """Return the expected rows of codes, each by its own decoder."""
        mean, member = codes[:, : -self.n_networks], codes[:, -self.n_networks :].argmax(1)
        rows = self.observation.mean(self.decoder(self._repeated(mean)))
        return rows[member, torch.arange(len(member), device=member.device)]

    def _scores(self, rows: Tensor, mean: Tensor, log_variance: Tensor | None) -> Tensor:
        score = self.observation.log_likelihood(self.decoder(mean), rows)
        if log_variance is not None:
            score = score - mean.square().sum(2) / 2 + log_variance.sum(2) / 2
        return score.T

    def bounds(self, batch: Batch) -> Tensor:
        """Return the bound of every network, at its posterior's mean, shape (n, k)."""
        return self._bounds(self._repeated(self.inputs(batch)), None).T

    def winner_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return minus the terms of eq. 6 for the winner of every row, or the one it is held to.

        A row that waits for a cluster teaches nobody.

        All networks score the rows without gradients; then each is trained on those it won, with
        the noise that scored them.
        """
        rows, winner = self.inputs(batch), batch["label"]
        size, device = (self.n_networks, len(rows), self.latent_dim), rows.device
        noise = torch.randn(size, device=device, generator=self.random_on(device))
        if (winner < 0).any():
            with torch.no_grad():
                best = self._bounds(self._repeated(rows), noise).argmax(0)
            torch.clear_autocast_cache()  # of weights that were cast without gradients
            winner = torch.where(winner < 0, best, winner)
        taught = batch["label"] != WAITING
        won = torch.bincount(winner[taught], minlength=self.n_networks)
        self.wins, self.idle = self.wins + won, won == 0
        index, place = slots(winner, self.n_networks)
        network = torch.arange(self.n_networks, device=rows.device)[:, None]
        terms = self._terms(rows[index], noise[network, index])
        return {name: term[winner, place] * taught for name, term in terms.items()}

    def _terms(self, rows: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
        """Return minus the terms of the bound, shape (k, n), at the mean if there is no noise."""
        mean, log_variance = self.posterior(rows)
        if log_variance is None:
            return {"reconstruction": -self.observation.log_likelihood(self.decoder(mean), rows)}
        z = mean if noise is None else mean + (log_variance / 2).exp() * noise
        zero = torch.zeros((), device=mean.device)
        return {
            "reconstruction": -self.observation.log_likelihood(self.decoder(z), rows),
            "latent": gaussian_kl_divergence(mean, log_variance, zero, zero),
        }

    def _bounds(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        return -torch.stack(list(self._terms(rows, noise).values())).sum(0)

    def _repeated(self, rows: Tensor) -> Tensor:
        """Show the same rows to every network, without a copy."""
        return rows.expand(self.n_networks, *rows.shape)


def hold(trainer: Training, table: Table, labels: NDArray[np.integer[Any]]) -> None:
    """Hold the rows to their first clusters; those without one wait.

    Networks that know nothing yet would draw them by chance, and then win what is like them.
    """
    label = as_column(labels, table)
    table.columns["label"] = label.masked_fill(label < 0, WAITING)
    trainer.model.wins.zero_()


def forget_wins(trainer: Training, table: Table) -> None:
    """Begin to count anew who wins rows."""
    trainer.model.wins.zero_()


def release(trainer: Training, table: Table, seed: int) -> dict[str, float]:
    """Let rows go to whoever explains them best, but for those that revive a dead network.

    Dead is who won nothing since the last call.
    """
    model = trainer.model
    table.columns["label"] = torch.full((len(table),), -1, device=table.device)
    if not model.wins.any():
        return {}  # nothing was trained yet
    dead = (model.wins == 0).nonzero().flatten()
    model.wins.zero_()
    if len(dead):
        _reseed(trainer, table, dead, seed)
    return {"reseeded": float(len(dead))}


def _reseed(trainer: Training, table: Table, dead: Tensor, seed: int) -> None:
    """Hold the worst explained rows to dead networks for an epoch, as many as clusters have.

    Similar rows go to one network, which starts as a copy of the one that explains them best: a
    network that knew nothing would lose them again.
    """
    bounds = trainer.apply(trainer.model.bounds, table)
    bounds[:, dead] = -torch.inf
    best, donor = bounds.max(1)
    weight = table.columns.get("weight", torch.ones_like(best))
    worst = _costliest(best, weight, len(dead), trainer.model.n_networks)
    codes, shares = (t[worst].cpu().numpy() for t in (trainer.encode(table), weight))
    kmeans = fit_clusterer(KMeans(len(dead), random_state=seed), codes, shares)
    group = torch.from_numpy(kmeans.labels_).to(worst)
    for i in group.unique().tolist():
        rows, network = worst[group == i], dead[i]
        source = donor[rows].mode().values
        for parameter in trainer.model.parameters():
            parameter.data[network] = parameter.data[source]
            trainer.forget(parameter, network)
        table.columns["label"][rows] = network
    notice(
        f"{len(dead)} networks won no rows and were started anew from the worst explained ones.",
    )


def _costliest(best: Tensor, weight: Tensor, n_dead: int, n_networks: int) -> Tensor:
    """Return the rows that cost most, of the weight that as many clusters have on average."""
    order = (weight * (best - best.max())).argsort()
    within = weight[order].cumsum(0) <= weight.sum() * n_dead / n_networks
    return order[: max(n_dead, int(within.sum()))]
