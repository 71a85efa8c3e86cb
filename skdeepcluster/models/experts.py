"""What MoEDC trains: a variational autoencoder, one with a manager, and then its experts.

Beside them stands the Z-finder, which chooses the width of the code.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Player
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.models.clusters import best_of
from skdeepcluster.models.variational import LOG_VARIANCES, VariationalModel, drawn
from skdeepcluster.networks import make_grouped, slots
from skdeepcluster.objectives import gaussian_kl_divergence
from skdeepcluster.priors import responsibilities_of
from skdeepcluster.scaling import Scaling

__all__ = [
    "ManagedAutoencoder",
    "MixtureOfExperts",
    "VariationalAutoencoder",
    "principal_width",
    "start_manager",
]

ROUNDING = 1e-5  # of a sum of variances in float32, lest components without any be counted


class VariationalAutoencoder(VariationalModel):
    """An encoder q(z | x), a decoder p(x | z), and N(0, I) as the prior."""

    def __init__(self, scaling: Scaling, encoder: nn.Module, decoder: nn.Module, *networks: int):
        super().__init__(scaling, *networks)
        self.encoder = encoder
        self.decoder = decoder

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z | x)."""
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def codes(self, batch: Batch) -> Tensor:
        """Return the posterior's mean."""
        return self.posterior(self.inputs(batch))[0]

    def negative_elbo(self, batch: Batch) -> dict[str, Tensor]:
        """Return minus the terms of the evidence lower bound, at a code that is drawn."""
        x = self.inputs(batch)
        mean, log_variance = self.posterior(x)
        z = drawn(mean, log_variance, self.random_on(x.device))
        return self.terms(batch, x, z, divergence(mean, log_variance))

    def terms(self, batch: Batch, x: Tensor, z: Tensor, latent: Tensor) -> dict[str, Tensor]:
        """Return minus log p(x | z), beside the divergence of the posterior from the prior."""
        likelihood = self.observation.log_likelihood(self.decoder(z), x)
        return {"reconstruction": -likelihood, "latent": latent}


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(q(z | x) || N(0, I)) per row."""
    zero = torch.zeros((), device=mean.device)
    return gaussian_kl_divergence(mean, log_variance, zero, zero)


class ManagedAutoencoder(VariationalAutoencoder):
    """A variational autoencoder whose codes a manager sends to clusters: p(x, c)."""

    def __init__(self, vae: VariationalAutoencoder, manager: nn.Sequential, n_clusters: int):
        super().__init__(vae.scaling, vae.encoder, vae.decoder)
        self.observation = vae.observation
        self.manager = manager
        self.n_clusters = n_clusters

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean, and log p(c | z) there."""
        codes = self.codes(batch)
        return codes, self.manager(codes).log_softmax(1)

    def features(self, batch: Batch) -> Tensor:
        """Return the manager's hidden features of the posterior's mean."""
        return self.manager[:-1](self.codes(batch))

    def terms(self, batch: Batch, x: Tensor, z: Tensor, latent: Tensor) -> dict[str, Tensor]:
        """Return the terms of log p(x), and -log p(c | z) of the cluster c that was found."""
        routing = F.cross_entropy(self.manager(z), batch["label"], reduction="none")
        return {**super().terms(batch, x, z, latent), "routing": routing}


class MixtureOfExperts(VariationalAutoencoder):
    """An encoder, a manager, and an expert decoder for each cluster; only the experts are trained.

    A code is the posterior's mean, beside a one-hot of the expert to whom the manager sends it.

    Parameters
    ----------
    managed : ManagedAutoencoder
        Whose encoder and manager are kept as they are, and whose decoder every expert starts as.
    """

    idle: Tensor

    def __init__(self, managed: ManagedAutoencoder):
        n_experts = managed.n_clusters
        decoder = make_grouped([managed.decoder] * n_experts)
        super().__init__(managed.scaling, managed.encoder, decoder, n_experts)
        self.manager = managed.manager
        self.n_experts = n_experts
        for own, learned in zip(
            self.observation.parameters(), managed.observation.parameters(), strict=True
        ):
            own.data.copy_(learned.data)
        self.register_buffer("idle", torch.zeros(n_experts, dtype=torch.bool), persistent=False)

    def players(self) -> dict[str, Player]:
        """Return who is trained: the experts."""
        return {"experts": Player([*self.decoder.parameters(), *self.observation.parameters()])}

    def train(self, mode: bool = True) -> Self:
        """Keep the encoder as it is: batch statistics would move codes, and so labels."""
        super().train(mode)
        self.encoder.eval()
        return self

    def codes(self, batch: Batch) -> Tensor:
        """Return the posterior's mean and who the expert is."""
        return self.observe(batch, torch.arange(self.n_experts, device=self.idle.device))[0]

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean and the expert of those that live, and log p(c | z) there."""
        mean, _ = self.posterior(self.inputs(batch))
        scores = self.manager(mean)
        expert = F.one_hot(best_of(scores, live), self.n_experts)
        return torch.cat([mean, expert], 1), scores.log_softmax(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the expected rows of codes, each by its own expert."""
        mean, expert = codes[:, : -self.n_experts], codes[:, -self.n_experts :].argmax(1)
        rows = self.observation.mean(self._outputs(mean))
        return rows[expert, torch.arange(len(expert), device=expert.device)]

    def routed(self, batch: Batch) -> dict[str, Tensor]:
        """Return -log p_c(x | z), where c is the expert to whom the manager sends the row."""
        x = self.inputs(batch)
        with torch.no_grad():
            mean, log_variance = self.posterior(x)
            expert = self.manager(mean).argmax(1)
            z = drawn(mean, log_variance, self.random_on(x.device))
        self.idle = torch.bincount(expert, minlength=self.n_experts) == 0
        index, place = slots(expert, self.n_experts)
        likelihood = self.observation.log_likelihood(self.decoder(z[index]), x[index])
        return {"reconstruction": -likelihood[expert, place]}

    def elbo(self, batch: Batch) -> Tensor:
        """Return the bound of the whole mixture, with its expectation taken at the mean."""
        x = self.inputs(batch)
        mean, log_variance = self.posterior(x)
        likelihood = self.observation.log_likelihood(self._outputs(mean), x)
        joint = likelihood.T + self.manager(mean).log_softmax(1)
        return joint.logsumexp(1) - divergence(mean, log_variance)

    def _outputs(self, z: Tensor) -> Tensor:
        """Return what every expert makes of codes, shape (k, n, ...).

        In inference all experts decode all codes: a row's result must not depend on the rows
        beside it.
        """
        return self.decoder(z.expand(self.n_experts, *z.shape))


def start_manager(trainer: Training, table: Table, labels: NDArray[np.integer[Any]]) -> None:
    """Start the manager as the nearest mean of its hidden features.

    So its clusters are useful even where it is not trained, after Ctrl-C.
    """
    label = torch.from_numpy(labels).to(table.device)
    features = trainer.apply(trainer.model.features, table)
    last = trainer.model.manager[-1]
    member = responsibilities_of(label, last.out_features, table.columns.get("weight"))
    means = member.T @ features / member.sum(0)[:, None]
    spread = (features - means[label]).square().mean().clamp_min(1e-6)
    last.weight.data.copy_(means / spread)
    last.bias.data.copy_(-means.square().sum(1) / (2 * spread))
    table.columns["label"] = label


def principal_width(rows: NDArray[Any], share: float, most: int, seed: int) -> int:
    """Return the fewest principal components that explain a share of the variance (Z-finder).

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Rows.
    share : float
        Share of the variance, in (0, 1].
    most : int
        The largest width.
    seed : int
        Seed, should the components be approximated.

    Returns
    -------
    width : int
        From 1 to `most`.
    """
    most = min(most, *rows.shape)
    with np.errstate(invalid="ignore"):  # rows that do not vary have no shares of variance
        pca = PCA(most, random_state=seed).fit(rows)
    explained = pca.explained_variance_.cumsum()
    needed = share * rows.var(axis=0, ddof=1, dtype=float).sum() * (1 - ROUNDING)
    return min(int(np.searchsorted(explained, needed)) + 1, most)
