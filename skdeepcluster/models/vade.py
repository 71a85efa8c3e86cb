"""The model of VaDE: posteriors, a decoder, and a mixture that learns with them.

Equation numbers are those of "A mixture of variational autoencoders for deep clustering" (2020).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skdeepcluster.engine.model import Player
from skdeepcluster.engine.schedule import Phase, Progress, Step, Training, Turn
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.models.autoencoder import reconstruction_phase
from skdeepcluster.models.clusters import fit_mixture
from skdeepcluster.models.starts import as_column
from skdeepcluster.models.variational import LOG_VARIANCES, VariationalModel, drawn
from skdeepcluster.objectives import gaussian_kl_divergence
from skdeepcluster.priors import GaussianMixturePrior, least_variance, responsibilities_of
from skdeepcluster.scaling import Scaling

__all__ = ["VaDE", "bound_phase", "place_mixture", "place_on_labels", "vade_phases"]

INSIDE = 0.9  # share of the narrowest component's variance that a posterior starts with


class VaDE(VariationalModel):
    """An encoder q(z | x), a decoder p(x | z) and a mixture p(z).

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The encoder returns the posterior's mean and, beside it, what its log-variance is made of.
    n_clusters, latent_dim : int
        Size of the mixture.
    """

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        decoder: nn.Module,
        n_clusters: int,
        latent_dim: int,
    ):
        super().__init__(scaling)
        self.encoder = encoder
        self.decoder = decoder
        self.prior = GaussianMixturePrior(n_clusters, latent_dim)
        # A gain of 0 gives every row the same variance to start with, whatever the encoder is.
        self.log_variance_gain = nn.Parameter(torch.zeros(latent_dim))
        self.log_variance_bias = nn.Parameter(torch.zeros(latent_dim))

    def players(self) -> dict[str, Player]:
        """Return the one player, whose Adam bounds its steps where gradients are tiny."""
        return {"model": Player(self.parameters(), adam={"eps": 1e-4})}

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z | x)."""
        mean, raw = self.encoder(x).float().chunk(2, dim=1)
        log_variance = self.log_variance_bias + self.log_variance_gain * raw
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def codes(self, batch: Batch) -> Tensor:
        """Return the posterior's mean."""
        return self.posterior(self.inputs(batch))[0]

    def decode(self, codes: Tensor) -> Tensor:
        """Return the expected rows of codes."""
        return self.observation.mean(self.decoder(codes))

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean, and log p(i, z) there, shape (n, n_clusters)."""
        codes = self.codes(batch)
        return codes, self.prior.log_joint(codes)

    def reconstruction(self, batch: Batch) -> dict[str, Tensor]:
        """Return -log p(x | z) at the posterior's mean: pretraining."""
        x = self.changed(batch)
        output = self.decoder(self.posterior(x)[0])
        return {"reconstruction": -self.observation.log_likelihood(output, x)}

    def negative_elbo(self, batch: Batch) -> dict[str, Tensor]:
        """Return minus the terms of eq. 9, at a code drawn from the posterior."""
        x = self.changed(batch)
        mean, log_variance = self.posterior(x)
        return self._terms(
            x, mean, log_variance, drawn(mean, log_variance, self.random_on(x.device))
        )

    def elbo(self, batch: Batch) -> Tensor:
        """Return the bound per row, at the posterior's mean, and so the same every time."""
        x = self.inputs(batch)
        mean, log_variance = self.posterior(x)
        terms = self._terms(x, mean, log_variance, mean)
        return -torch.stack(list(terms.values())).sum(0)

    def _terms(
        self, rows: Tensor, mean: Tensor, log_variance: Tensor, z: Tensor
    ) -> dict[str, Tensor]:
        """Return minus the terms of the bound, with reconstruction and gamma at z."""
        prior = self.prior
        log_gamma = prior.log_joint(z).log_softmax(1)
        gamma = log_gamma.exp()
        divergences = gaussian_kl_divergence(
            mean[:, None], log_variance[:, None], prior.means, prior.log_variances
        )
        return {
            "reconstruction": -self.observation.log_likelihood(self.decoder(z), rows),
            "latent": (gamma * divergences).sum(1),
            "component": (gamma * (log_gamma - prior.log_weights())).sum(1),
        }


def vade_phases(pretrain_epochs: int, epochs: int, start: Step) -> list[Phase]:
    """Return the two phases of VaDE: reconstruction, then the evidence lower bound."""
    return [reconstruction_phase(pretrain_epochs), bound_phase(epochs, start)]


def bound_phase(epochs: int, start: Step | None = None) -> Phase:
    """Return the phase that raises the evidence lower bound."""
    turns = [Turn("model", "negative_elbo")]
    return Phase("elbo", turns, epochs=epochs, start=start, lr={"model": _step_decay})


def _step_decay(progress: Progress) -> float:
    """Learning-rate factor: a tenth less every ten epochs, down to a tenth."""
    return max(0.9 ** (progress.epoch // 10), 0.1)


def place_mixture(trainer: Training, table: Table, seed: int) -> None:
    """Start the prior by a Gaussian mixture of the codes, the posteriors just inside it."""
    model = trainer.model
    codes, n_components = trainer.encode(table), len(model.prior.means)
    weights, means, variances = fit_mixture(codes, table, n_components, _floor, seed)
    model.prior.place(weights, means, variances)
    _narrow(model, variances)


def place_on_labels(trainer: Training, table: Table, labels: NDArray[np.integer[Any]]) -> None:
    """Start the prior by the moments of the codes with each label; a row without one has no say."""
    model, weight = trainer.model, table.columns.get("weight")
    codes = trainer.encode(table)
    members = responsibilities_of(as_column(labels, table), len(model.prior.means), weight)
    model.prior.maximize(codes, members, _floor(codes))
    _narrow(model, model.prior.log_variances.detach().exp()[members.any(0)])


def _floor(codes: Tensor) -> Tensor:
    """Return the least variance of a component, which a posterior inside of it can have as well."""
    return least_variance(codes).clamp_min(math.exp(LOG_VARIANCES[0]) / INSIDE)


def _narrow(model: VaDE, variances: Tensor) -> None:
    """Start all posteriors a little narrower than the narrowest component.

    A wider one costs without bound, a narrower one only its logarithm.
    """
    model.log_variance_bias.data.copy_((INSIDE * variances.amin(0)).log())
    model.log_variance_gain.data.zero_()
