"""k networks computed as one, against a loop over k networks: the works that are compared."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from skdeepcluster.models.k_networks import KAutoencoders
from skdeepcluster.models.variational import Observation
from skdeepcluster.networks import make_decoder, make_encoder, make_grouped
from skdeepcluster.objectives import gaussian_kl_divergence
from skdeepcluster.scaling import Scaling

SHAPE, HIDDEN, LATENT_DIM = (784,), (500, 100), 10
LR = 1e-3

Work = Callable[[], object]


class Contest:
    """k variational autoencoders on one batch, as one module and as a list of modules.

    Every network already leans to a pattern of its own, and the rows are noisy patterns: each wins
    its share, as it does once training is under way.

    Parameters
    ----------
    n_networks, batch_size : int
        Sizes.
    """

    def __init__(self, n_networks: int, batch_size: int):
        each = range(n_networks)
        self.encoders = [make_encoder(SHAPE, 2 * LATENT_DIM, HIDDEN) for _ in each]
        self.decoders = [make_decoder(LATENT_DIM, SHAPE, HIDDEN) for _ in each]
        patterns = torch.rand(n_networks, *SHAPE).round()
        for decoder, pattern in zip(self.decoders, patterns, strict=True):
            decoder[-1].bias.data.copy_(4 * pattern - 2)
        self.model = KAutoencoders(
            Scaling(SHAPE, bounded=True),
            make_grouped(self.encoders),
            make_grouped(self.decoders),
            n_networks,
            LATENT_DIM,
            True,
        )
        shown = patterns[torch.arange(batch_size) % n_networks]
        self.rows = torch.lerp(shown, torch.rand_like(shown), 0.2)
        self.noise = torch.randn(n_networks, batch_size, LATENT_DIM)
        self.observation = Observation(SHAPE, True)

    def batched_bounds(self) -> Tensor:
        return self.model._bounds(self.model._repeated(self.rows), self.noise)

    def looped_bounds(self) -> Tensor:
        pairs = zip(self.encoders, self.decoders, self.noise, strict=True)
        return torch.stack([self._bound(*pair) for pair in pairs])

    def _bound(self, encoder: nn.Module, decoder: nn.Module, noise: Tensor) -> Tensor:
        mean, log_variance = encoder(self.rows).chunk(2, dim=1)
        output = decoder(mean + (log_variance / 2).exp() * noise)
        zero = torch.zeros(())
        divergence = gaussian_kl_divergence(mean, log_variance, zero, zero)
        return self.observation.log_likelihood(output, self.rows) - divergence

    def winners_loss(self) -> Tensor:
        """Score first, then train the winners: what the estimator does."""
        free = torch.full((len(self.rows),), -1)
        terms = self.model.winner_loss({"X": self.rows, "label": free})
        return torch.stack([term.mean() for term in terms.values()]).sum()

    def forward(self) -> tuple[Work, Work]:
        """Return the scores of all networks, by us and by the loop."""
        return torch.no_grad()(self.batched_bounds), torch.no_grad()(self.looped_bounds)

    def training(self) -> tuple[Work, Work]:
        """Return one update by us, and by a loop over all networks with gradients."""
        looped = nn.ModuleList([*self.encoders, *self.decoders])
        return (
            _update(self.model, self.winners_loss),
            _update(looped, lambda: -self.looped_bounds().amax(0).mean()),
        )

    def strategies(self) -> tuple[Work, Work]:
        """Return one update that trains the winners alone, and one with gradients for all."""
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        return (
            _update(self.model, self.winners_loss),
            _update(other.model, lambda: -other.batched_bounds().amax(0).mean()),
        )


def _update(module: nn.Module, loss: Callable[[], Tensor]) -> Work:
    optimizer = torch.optim.Adam(module.parameters(), LR, fused=True)

    def update() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return update
