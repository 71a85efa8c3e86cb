"""The model of ClusterGAN: generator, encoder and critic, and the rules of their game.

Equation numbers are those of Vardakas (2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skdeepcluster.engine.model import Player
from skdeepcluster.engine.table import Batch
from skdeepcluster.models.generator import CodeGenerator
from skdeepcluster.objectives import (
    gradient_penalty,
    standard_adversarial_loss,
    wasserstein_adversarial_loss,
)
from skdeepcluster.priors import DiscreteContinuousPrior
from skdeepcluster.scaling import Scaling

__all__ = ["GAMES", "ClusterGAN"]

BETAS = (0.5, 0.9)  # of Adam: a rival that moves on makes a long memory misleading
GAMES = {"standard": standard_adversarial_loss, "wasserstein": wasserstein_adversarial_loss}


class ClusterGAN(CodeGenerator):
    """The three networks, the prior and the rules of the game."""

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        generator: nn.Module,
        critic: nn.Module,
        prior: DiscreteContinuousPrior,
        game: str,
        critic_lr: float | None = None,
    ):
        super().__init__(scaling, encoder, generator, prior)
        self.critic = critic
        self.game = game
        self.critic_lr = critic_lr

    def players(self) -> dict[str, Player]:
        """Return the players: generator and encoder share terms, and so are one."""
        together = [*self.generator.parameters(), *self.encoder.parameters()]
        return {
            "generator": Player(together, adam={"betas": BETAS}),
            "critic": Player(self.critic.parameters(), self.critic_lr, adam={"betas": BETAS}),
        }

    def codes(self, batch: Batch) -> Tensor:
        """Return the code (z_n, z_c) that the encoder finds, z_c as probabilities."""
        return self._found(batch)[0]

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code that the encoder finds, and z_c as logits."""
        return self._found(batch)

    def _found(self, batch: Batch) -> tuple[Tensor, Tensor]:
        z_n, logits = self.prior.split(self.encoder(self.inputs(batch)))
        return torch.cat([z_n, logits.softmax(1)], 1), logits

    def decode(self, codes: Tensor) -> Tensor:
        """Return G(z)."""
        return self.generator(codes)

    def judgement(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the critic pays on real and on generated rows: minus eq. 3.5."""
        rows, cost = self.inputs(batch), GAMES[self.game]
        with torch.no_grad():
            fake = self.generator(self._draw(rows)[0])
        terms = {
            "real": cost(self.critic(rows), as_real=True),
            "fake": cost(self.critic(fake), as_real=False).mean(),
        }
        if self.game == "wasserstein":
            terms["penalty"] = gradient_penalty(
                self.critic, rows, fake, self.random_on(rows.device)
            ).mean()
        return terms

    def generation(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the generator pays (eq. 3.6), the terms that it shares with E (3.7) too."""
        z, components = self._draw(batch["X"])
        fake = self.generator(z)
        terms = {"adversarial": GAMES[self.game](self.critic(fake), as_real=True)}
        terms |= self.code_terms(self.encoder(fake), z, components)
        return {name: term.mean() for name, term in terms.items()}  # no row's, hence unweighted

    def _draw(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Draw as many codes as there are rows."""
        device = rows.device
        return self.prior.sample(len(rows), generator=self.random_on(device), device=device)
