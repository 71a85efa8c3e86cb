r"""The networks of HRWAE-GAN and what they are paid for.

.. math:: q(z_0 | x) \prod_{l=1}^{L-1} q(z_l | x, z_{<l}), \qquad
          p(z_0) \prod_{l=1}^{L-1} p(z_l | z_{<l}), \qquad p(z_0) = \mathcal N(0, I)

All factors are Gaussians with diagonal covariances. Equation numbers are those of Toscano Morais
(2021); equation 3.5's product over the groups is the posterior of the earlier ones, and so the
discriminator of group l compares draws of q(z_l | x, z_<l) and p(z_l | z_<l), given z_<l.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skdeepcluster.engine.model import Model, Player
from skdeepcluster.engine.table import Batch
from skdeepcluster.models.variational import drawn
from skdeepcluster.networks import Choice, Discriminator, HierarchicalDecoder, HierarchicalEncoder
from skdeepcluster.objectives import (
    bernoulli_log_likelihood,
    cosine_dissimilarity,
    gaussian_kl_divergence,
    gaussian_log_likelihood,
    maximum_mean_discrepancy,
    relativistic_adversarial_loss,
    squared_error,
    standard_adversarial_loss,
)
from skdeepcluster.scaling import Scaling

__all__ = ["GAMES", "HierarchicalAutoencoder"]

# Of log-variances. Without a KL term nothing but this keeps a posterior from collapsing to a point.
BOUND = 5.0
BETAS = (0.5, 0.999)  # of Adam: a rival that moves on makes a long memory misleading


class Gaussian(NamedTuple):
    """A diagonal Gaussian: mean and log-variance, shape (n, latent_dim)."""

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> Gaussian:
        """Read the output of a network, the log-variance clamped without a dead gradient."""
        mean, raw = parameters.float().chunk(2, dim=1)
        return cls(mean, BOUND * (raw / BOUND).tanh())

    def detach(self) -> Gaussian:
        """Return the same distribution, through which no gradient flows."""
        return Gaussian(self.mean.detach(), self.log_variance.detach())

    def draw(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw so that gradients reach the parameters."""
        return drawn(self.mean, self.log_variance, generator)


@dataclass(frozen=True)
class Latent:
    """What is known of one group after a batch went through: z ~ q, and p(z | earlier groups)."""

    z: Tensor
    posterior: Gaussian
    prior: Gaussian
    features: Tensor | None = None  # the decoder's map, which sums up the earlier groups
    seen: Tensor | None = None  # the encoder's map of the same size


class Game(NamedTuple):
    """What the players of an adversarial game pay, given the scores of real and fake codes."""

    generator: Callable[[Tensor, Tensor], Tensor]
    discriminator: Callable[[Tensor, Tensor], Tensor]


def _relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return relativistic_adversarial_loss(fake, real)  # eq. 3.4


def _standard_generator(real: Tensor, fake: Tensor) -> Tensor:
    return standard_adversarial_loss(fake, as_real=True)


def _standard_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    as_real = standard_adversarial_loss(real, as_real=True)
    return as_real + standard_adversarial_loss(fake, as_real=False)  # eq. 3.2


GAMES = {
    "relativistic": Game(_relativistic_generator, relativistic_adversarial_loss),  # eq. 3.3
    "standard": Game(_standard_generator, _standard_discriminator),
}


class HierarchicalAutoencoder(Model):
    """Encoder, decoder with the priors, and a discriminator for every group.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The two sides of the hierarchy.
    discriminators : sequence of Discriminator
        One per group, or none.
    regularizer : {"relativistic", "standard", "mmd", "kl"}
        What brings posteriors and priors together.
    n_groups, latent_dim : int
        Number of groups and width of each.
    group : int
        The group whose code stands for a row.
    critic_lr : float, default=None
        Learning rate of the discriminators, if it is one of their own.
    """

    owns_draws = True

    def __init__(
        self,
        scaling: Scaling,
        encoder: HierarchicalEncoder,
        decoder: HierarchicalDecoder,
        discriminators: Sequence[Discriminator],
        regularizer: str,
        n_groups: int,
        latent_dim: int,
        group: int,
        critic_lr: float | None = None,
    ):
        super().__init__(scaling)
        self.encoder = encoder
        self.decoder = decoder
        self.discriminators = nn.ModuleList(discriminators)
        self.regularizer = regularizer
        self.n_groups = n_groups
        self.latent_dim = latent_dim
        self.group = group
        self.critic_lr = critic_lr
        # Black-and-white images, or vectors, which may be such: a pixel is a Bernoulli variable.
        self.is_binary = scaling.bounded and (len(scaling.shape) == 1 or scaling.shape[0] == 1)

    def players(self) -> dict[str, Player]:
        """Return the players; the prior cells move with the autoencoder, by a term of their own."""
        own = [*self.encoder.parameters(), *self.decoder.parameters()]
        players = {"autoencoder": Player(own, adam={"betas": BETAS})}
        if self.discriminators:
            critics = self.discriminators.parameters()
            players["critic"] = Player(critics, self.critic_lr, adam={"betas": BETAS})
        return players

    # -- what training minimises ----------------------------------------------------------------

    def autoencoding(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of eq. 3.9, each a mean over features, and that of the prior cells."""
        rows = self.inputs(batch)
        output, latents = self._pass(rows, self._drawing(rows))
        error = self._error(output, rows)
        terms = {"reconstruction": error}
        if "noise" in batch:
            terms["noise"] = batch["noise"] * error  # eq. 3.11, as a weight of rows
        for index in range(self.n_groups):
            terms[f"regularization_{index}"] = self._regularization(index, latents)
        if self.n_groups > 1:
            terms["matching"] = torch.stack([_mismatch(each) for each in latents[1:]]).sum(0)
            terms["prior"] = torch.stack([_surprise(each) for each in latents[1:]]).sum(0)
        return terms

    def discrimination(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the discriminator of every group pays: the terms of eq. 3.5."""
        with torch.no_grad():
            rows = self.inputs(batch)
            _, latents = self._pass(rows, self._drawing(rows))
        pay = GAMES[self.regularizer].discriminator
        scores = [self._scores(index, latent) for index, latent in enumerate(latents)]
        return {f"discrimination_{index}": pay(*each) for index, each in enumerate(scores)}

    def _error(self, output: Tensor, rows: Tensor) -> Tensor:
        """Return the reconstruction error per row, a mean over features."""
        if not self.is_binary:
            return squared_error(output.float(), rows)
        flat = rows.flatten(1)
        return -bernoulli_log_likelihood(output.float().flatten(1), flat) / flat.shape[1]

    def _regularization(self, index: int, latents: Sequence[Latent]) -> Tensor:
        """Return what keeps a group's codes near its prior: a term of eq. 3.6, or its relatives."""
        latent = latents[index]
        if self.regularizer in GAMES:
            return GAMES[self.regularizer].generator(*self._scores(index, latent))
        if self.regularizer == "mmd":
            earlier = [each.z for each in latents[:index]]
            return _discrepancy(latent, earlier, self.random_on(latent.z.device))
        return gaussian_kl_divergence(*latent.posterior, *latent.prior.detach()) / self.latent_dim

    def _scores(self, index: int, latent: Latent) -> tuple[Tensor, Tensor]:
        """Return the discriminator's scores of draws from the prior and from the posterior."""
        both = torch.cat([latent.prior.detach().draw(self.random_on(latent.z.device)), latent.z])
        features = latent.features
        context = (
            None if features is None else features.detach().repeat(2, *[1] * (features.ndim - 1))
        )
        real, fake = self.discriminators[index](both, context).float().chunk(2)
        return real, fake

    # -- from rows to codes ---------------------------------------------------------------------

    def _pass(
        self, rows: Tensor, choose: Callable[[Gaussian], Tensor]
    ) -> tuple[Tensor, list[Latent]]:
        """Encode rows and decode them again, choosing a code from every posterior on the way."""
        latents, further = self._first(rows, choose)
        return self.decoder(latents[0].z, further), latents

    def _drawing(self, rows: Tensor) -> Callable[[Gaussian], Tensor]:
        """Return the choice of codes that are drawn."""
        return partial(Gaussian.draw, generator=self.random_on(rows.device))

    def _first(
        self, rows: Tensor, choose: Callable[[Gaussian], Tensor]
    ) -> tuple[list[Latent], Choice]:
        """Return what is known of the first group, and how the decoder adds a further one."""
        parameters, maps = self.encoder(rows)
        posterior = Gaussian.of(parameters)
        nought = torch.zeros_like(posterior.mean)
        latents = [Latent(choose(posterior), posterior, Gaussian(nought, nought))]

        def further(index: int, features: Tensor, parameters: Tensor) -> Tensor:
            prior, seen = Gaussian.of(parameters), self.encoder.map_of(index, maps)
            # Not relative to the prior: what follows the posterior must not pull it along.
            posterior = Gaussian.of(
                self.encoder.combiners[index - 1](torch.cat([seen, features], 1))
            )
            latents.append(Latent(choose(posterior), posterior, prior, features, seen))
            return latents[-1].z

        return latents, further

    def posteriors(self, batch: Batch, n_groups: int | None = None) -> Tensor:
        """Return means and log-variances of groups, shape (n, 2, n_groups, latent_dim).

        The decoder runs down to the last of them alone; None is all.
        """
        latents, further = self._first(self.inputs(batch), _mean)
        self.decoder.enter(latents[0].z, further, n_groups or self.n_groups)
        return torch.stack([torch.stack(each.posterior, 1) for each in latents], 2)

    def codes(self, batch: Batch) -> Tensor:
        """Return the posterior's mean in the group that stands for a row."""
        return self.posteriors(batch, self.group + 1)[:, 0, self.group]

    def reconstruction(self, batch: Batch) -> Tensor:
        """Return rows, still scaled, through the means of all groups."""
        return self._expected(self._pass(self.inputs(batch), _mean)[0])

    # -- from codes to rows ---------------------------------------------------------------------

    def decode(self, codes: Tensor) -> Tensor:
        """Return the rows of codes of one group, the others at the means of their priors."""
        noise = codes.new_zeros(len(codes), self.n_groups, self.latent_dim)
        return self._descend({self.group: codes}, noise)

    def ancestral(self, codes: Tensor) -> Tensor:
        """Return rows in the user's units, given codes of the first groups and noise for the rest.

        Both are flattened side by side, the noise of all `n_groups` last.
        """
        values = codes.float().unflatten(1, (-1, self.latent_dim))
        given, noise = values[:, : -self.n_groups], values[:, -self.n_groups :]
        rows = self._descend(dict(enumerate(given.unbind(1))), noise)
        return self.scaling.inverse(rows)

    def _descend(self, given: Mapping[int, Tensor], noise: Tensor) -> Tensor:
        """Decode; a group that is not given is drawn from its prior by the given noise."""

        def choose(index: int, features: Tensor, parameters: Tensor) -> Tensor:
            if index in given:
                return given[index]
            prior = Gaussian.of(parameters)
            return prior.mean + (prior.log_variance / 2).exp() * noise[:, index]

        return self._expected(self.decoder(given.get(0, noise[:, 0]), choose))

    def _expected(self, output: Tensor) -> Tensor:
        """Return the rows that an output of the decoder stands for."""
        return output.sigmoid() if self.is_binary else output


def _mean(distribution: Gaussian) -> Tensor:
    return distribution.mean


def _mismatch(latent: Latent) -> Tensor:
    """Return a term of eq. 3.10: the decoder imitates the encoder."""
    assert latent.features is not None and latent.seen is not None
    return cosine_dissimilarity(latent.features.float(), latent.seen.float().detach())


def _surprise(latent: Latent) -> Tensor:
    """Return -log p(z_l | z_<l) per dimension, for the prior cell alone to minimise."""
    log_likelihood = gaussian_log_likelihood(
        latent.prior.mean, latent.z.detach(), latent.prior.log_variance
    )
    return -log_likelihood / latent.z.shape[1]


def _discrepancy(
    latent: Latent, earlier: Sequence[Tensor], generator: torch.Generator | None = None
) -> Tensor:
    """Return the MMD of z_l and its prior, jointly with z_<l, which is the same on both sides.

    The code is standardised by its prior, so that one kernel suits every group.
    """
    prior = latent.prior.detach()
    standard = (latent.z - prior.mean) * (-prior.log_variance / 2).exp()
    context = [z.detach() for z in earlier]
    codes = torch.cat([*context, standard], 1)
    noise = torch.randn(standard.shape, device=standard.device, generator=generator)
    return maximum_mean_discrepancy(codes, torch.cat([*context, noise], 1))
