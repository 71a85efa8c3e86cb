"""The model of adversarial autoencoders: a category, a style, and a discriminator for each.

Section numbers are those of Makhzani et al. (2015).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Player
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.heads import SteadyGaussianMixture, fit_labels
from skdeepcluster.models.starts import as_column
from skdeepcluster.models.variational import VariationalModel
from skdeepcluster.objectives import standard_adversarial_loss
from skdeepcluster.priors import DiscreteContinuousPrior, responsibilities_of
from skdeepcluster.scaling import Scaling

__all__ = ["AdversarialAutoencoder", "label_by_mixture", "learn_labels"]

BETAS = (0.5, 0.9)  # of Adam: a rival that moves on makes a long memory misleading


class AdversarialAutoencoder(VariationalModel):
    """An encoder of rows as (z, y), a decoder of both, and a discriminator for each.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The encoder returns the style z and, beside it, the logits of the category y.
    critics : sequence of nn.Module
        The discriminators of z and of y.
    n_clusters, latent_dim : int
        Number of categories and width of the style.
    conditional : bool
        Whether the discriminator of z is told y.
    critic_lr : float, default=None
        Learning rate of the discriminators, if it is one of their own.
    """

    shares: Tensor

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        decoder: nn.Module,
        critics: tuple[nn.Module, nn.Module],
        n_clusters: int,
        latent_dim: int,
        conditional: bool,
        critic_lr: float | None = None,
    ):
        super().__init__(scaling)
        self.encoder = encoder
        self.decoder = decoder
        self.critics = nn.ModuleDict(dict(zip(("style", "category"), critics, strict=True)))
        self.prior = DiscreteContinuousPrior(n_clusters, latent_dim, sigma=1.0)
        self.conditional = conditional
        self.critic_lr = critic_lr
        self.register_buffer("shares", torch.full((n_clusters,), 1 / n_clusters))

    def players(self) -> dict[str, Player]:
        """Return the players: encoder and decoder together, against both discriminators."""
        critics = list(self.critics.parameters())
        rivals = {id(each) for each in critics}
        own = [each for each in self.parameters() if id(each) not in rivals]
        return {
            "model": Player(own, adam={"betas": BETAS}),
            "critic": Player(critics, self.critic_lr, adam={"betas": BETAS}),
        }

    # -- codes and rows -------------------------------------------------------------------------

    def found(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and the logits of y, given scaled rows."""
        return self.prior.split(self.encoder(x).float())

    def codes(self, batch: Batch) -> Tensor:
        """Return the code (z, y), y as probabilities."""
        return _joined(*self.found(self.inputs(batch)))

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code and log q(y | x)."""
        style, logits = self.found(self.inputs(batch))
        return _joined(style, logits), logits.log_softmax(1)

    def styles(self, batch: Batch) -> Tensor:
        """Return z alone."""
        return self.found(self.inputs(batch))[0]

    def decode(self, codes: Tensor) -> Tensor:
        """Return the expected rows of codes."""
        return self.observation.mean(self.decoder(codes))

    # -- what training minimises ----------------------------------------------------------------

    def reconstruction(self, batch: Batch) -> dict[str, Tensor]:
        """Return -log p(x | z, y)."""
        x = self.inputs(batch)
        return {"reconstruction": self._surprise(_joined(*self.found(x)), x)}

    def learning(self, batch: Batch) -> dict[str, Tensor]:
        """Return the reconstruction, and -log q(y | x) of the label y that a row starts from."""
        x = self.inputs(batch)
        style, logits = self.found(x)
        known = F.cross_entropy(logits, batch["label"], reduction="none", ignore_index=-1)
        return {"reconstruction": self._surprise(_joined(style, logits), x), "category": known}

    def autoencoding(self, batch: Batch) -> dict[str, Tensor]:
        """Return the reconstruction, and what both parts of the code pay for being told apart.

        It is the reconstruction phase and the encoder's half of the regularization phase of
        section 2, at once.
        """
        x = self.inputs(batch)
        style, logits = self.found(x)
        category = logits.softmax(1)
        scores = {
            "style": self.score_style(style, category.detach()),
            "category": self.critics["category"](category),
        }
        games = {n: standard_adversarial_loss(each, as_real=True) for n, each in scores.items()}
        return {"reconstruction": self._surprise(_joined(style, logits), x), **games}

    def judgement(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the discriminators pay on draws of the prior and on codes (section 2)."""
        with torch.no_grad():
            style, logits = self.found(self.inputs(batch))
            category = logits.softmax(1)
            drawn_style, drawn_category = self._drawn(len(style), style)
        critic, pays = self.critics["category"], standard_adversarial_loss
        return {
            "style_real": pays(self.score_style(drawn_style, category), as_real=True),
            "style_fake": pays(self.score_style(style, category), as_real=False),
            "category_real": pays(critic(drawn_category), as_real=True),
            "category_fake": pays(critic(category), as_real=False),
        }

    def score_style(self, style: Tensor, category: Tensor) -> Tensor:
        """Return the logits of D_z, which sees the category that goes with a style if it is told.

        Draws are then to look alike in every category, so that the two are independent.
        """
        score: Tensor = self.critics["style"](
            torch.cat([style, category], 1) if self.conditional else style
        )
        return score

    def _drawn(self, n: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Draw z from a standard Gaussian, and y by the shares of the categories."""
        generator = self.random_on(like.device)
        labels = torch.multinomial(self.shares, n, replacement=True, generator=generator)
        z, _ = self.prior.sample(n, labels, generator=generator, device=like.device)
        return self.prior.split(z)

    def _surprise(self, codes: Tensor, x: Tensor) -> Tensor:
        return -self.observation.log_likelihood(self.decoder(codes), x)


def _joined(style: Tensor, logits: Tensor) -> Tensor:
    """Return the code whose category is given by logits."""
    return torch.cat([style, logits.softmax(1)], 1)


def label_by_mixture(trainer: Training, table: Table, seed: int) -> None:
    """Let the categories start as the components of a mixture of the pretrained styles."""
    model = trainer.model
    rows = trainer.apply(model.styles, table).cpu().double().numpy()
    mixture, weight = SteadyGaussianMixture(), table.array("weight")
    labels = fit_labels(mixture, rows, len(model.shares), sample_weight=weight, seed=seed)
    learn_labels(trainer, table, labels)


def learn_labels(trainer: Training, table: Table, labels: NDArray[np.integer]) -> None:
    """Let the categories start as labels, of which -1 is none; they get the shares of the rows."""
    model = trainer.model
    table.columns["start"] = table.columns["label"] = as_column(labels, table)
    members = responsibilities_of(
        table.columns["label"], len(model.shares), table.columns.get("weight")
    )
    model.shares = members.sum(0) / members.sum()
