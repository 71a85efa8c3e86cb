"""How DCAN and its relatives pull a code towards the component that it is assigned to.

Equation numbers are those of Lim (2024).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Player
from skdeepcluster.engine.table import Batch
from skdeepcluster.models.code_mixture import CodeMixture
from skdeepcluster.objectives import (
    gaussian_kl_divergence,
    squared_error,
    standard_adversarial_loss,
)

__all__ = ["PULLS", "AdversarialPull", "DivergencePull", "EuclideanPull"]

LOG_VARIANCE = 2.0  # bound on the KL variant's log sigma^2, around the unit variance of Lemma 1


class EuclideanPull(CodeMixture):
    """ABC: towards the mean, by a squared distance."""

    def pull(self, codes: Tensor, components: Tensor, rest: Tensor) -> Tensor:
        """Return half the squared distance to the mean (eq. 3), per dimension."""
        return squared_error(codes, self.prior.means[components]) / 2


class DivergencePull(CodeMixture):
    """The KL variant: towards a Gaussian, by one whose width the encoder learns."""

    def pull(self, codes: Tensor, components: Tensor, rest: Tensor) -> Tensor:
        """Return KL(N(eta*, 1 / tau*) || N(mu, sigma^2)) (eq. 6), per dimension."""
        eta, log_variance = self.prior.means[components], self.prior.log_variances[components]
        bounded = LOG_VARIANCE * torch.tanh(rest)
        return gaussian_kl_divergence(eta, log_variance, codes, bounded) / codes.shape[1]


class AdversarialPull(CodeMixture):
    """The game: a discriminator that tells codes from draws of the components they belong to."""

    def __init__(
        self,
        *parts: Any,
        critic: nn.Module,
        conditional: bool,
        sample_scale: float,
        critic_lr: float | None = None,
        **options: Any,
    ):
        super().__init__(*parts, **options)
        self.critic_lr = critic_lr
        self.critic = critic
        self.conditional = conditional
        self.sample_scale = sample_scale

    def players(self) -> dict[str, Player]:
        """Return the players."""
        others = [p for name, p in self.named_parameters() if not name.startswith("critic.")]
        critic = Player(self.critic.parameters(), self.critic_lr)
        return {"model": Player(others), "critic": critic}

    def score(self, codes: Tensor, components: Tensor) -> Tensor:
        """Return the logit of D: higher for codes drawn from the mixture.

        If D is told the component, it sees the code in that component's own units. In the common
        space its few hidden units would have to learn the place and the width of every component,
        and follow them as they move.
        """
        if not self.conditional:
            return self.critic(codes)
        deviation = (self.prior.log_variances[components] / 2).exp()
        own = (codes - self.prior.means[components]) / deviation
        return self.critic(torch.cat([own, F.one_hot(components, len(self.prior.means))], 1))

    def judgement(self, batch: Batch) -> dict[str, Tensor]:
        """Return what D pays on draws (T = 1, eq. 17) and on codes (T = 0, eq. 15)."""
        with torch.no_grad():
            codes = self.codes(batch)
            components = self.assign(codes)
            generator = self.random_on(codes.device)
            drawn, _ = self.prior.sample(len(codes), components, generator=generator)
            drawn = torch.lerp(self.prior.means[components], drawn, self.sample_scale)
        real, fake = self.score(drawn, components), self.score(codes, components)
        return {
            "real": standard_adversarial_loss(real, as_real=True),
            "fake": standard_adversarial_loss(fake, as_real=False),
            "critic_accuracy": ((real > 0).float() + (fake < 0).float()).mean() / 2,
        }

    def pull(self, codes: Tensor, components: Tensor, rest: Tensor) -> Tensor:
        """Return -ln D(G(x)): eq. 18 in the form that does not saturate."""
        return standard_adversarial_loss(self.score(codes, components), as_real=True)


PULLS: dict[str, type[CodeMixture]] = {
    "adversarial": AdversarialPull,
    "euclidean": EuclideanPull,
    "kl": DivergencePull,
}
