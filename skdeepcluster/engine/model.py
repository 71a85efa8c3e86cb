"""The interface between a method's networks and the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.table import Batch

__all__ = ["Model", "Player"]


@dataclass(frozen=True)
class Player:
    """Who owns some parameters of a model, and how they are optimised.

    What a user sets for the optimizer comes before what is said here.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        What the player moves.
    lr : float, default=None
        Its learning rate; None is that of the estimator.
    adam : dict, default={}
        Its settings of "adam", where that is the optimizer.
    """

    parameters: Iterable[nn.Parameter]
    lr: float | None = None
    adam: Mapping[str, Any] = field(default_factory=dict)


class Model(nn.Module):
    """Everything that a stage of training learns: networks, centres, buffers.

    A subclass adds its networks and two kinds of methods. Those that take a batch get the rows of
    the user, and scale them by :meth:`inputs`: losses, which return named terms, each a scalar or a
    value per row that the engine weights, and row-wise ones, such as :meth:`codes`, which return a
    tensor of as many rows. Those that take tensors, such as :meth:`decode`, take what networks do.

    Parameters
    ----------
    scaling : nn.Module
        Maps rows to the networks' input, with an ``inverse``.
    """

    scaling: Any
    # Whether its losses draw with `random_on` alone, so that fits in threads need not wait.
    owns_draws: ClassVar[bool] = False

    def __init__(self, scaling: nn.Module):
        super().__init__()
        self.scaling = scaling
        self.draws: Draws | None = None  # of the fit, while it trains
        self.augment: Callable[[Tensor], Tensor] | None = None  # changes scaled rows at random

    def random_on(self, device: torch.device) -> torch.Generator | None:
        """Return what losses draw with on a device; None is torch's global generator."""
        return None if self.draws is None else self.draws.on(device)

    def players(self) -> dict[str, Player]:
        """Return who owns which parameters, each with an optimizer; the main one is first."""
        return {"model": Player(self.parameters())}

    def forward(self, batch: Batch, loss: str) -> dict[str, Tensor]:
        """Return the terms of the method named `loss`: what a :class:`Turn` minimises."""
        return cast(dict[str, Tensor], getattr(self, loss)(batch))

    def inputs(self, batch: Batch) -> Tensor:
        """Return the rows of a batch, which are in the user's units, as the networks take them."""
        return cast(Tensor, self.scaling(batch["X"]))

    def changed(self, batch: Batch) -> Tensor:
        """Return the rows of a batch as losses take them: scaled, and augmented if they are."""
        return self.augmented(self.inputs(batch))

    def augmented(self, x: Tensor) -> Tensor:
        """Return scaled rows changed at random, if they are to be."""
        return x if self.augment is None else self.augment(x)

    def codes(self, batch: Batch) -> Tensor:
        """Return the code of every row, shape (n, latent_dim)."""
        raise NotImplementedError

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and log-memberships, from one pass of the networks.

        Parameters
        ----------
        batch : dict of Tensor
            Rows.
        live : Tensor of int
            Numbers of the components that have members, for codes that name one.

        Returns
        -------
        codes : Tensor of shape (n, latent_dim)
            What :meth:`codes` returns where all components live.
        scores : Tensor of shape (n, n_components)
            Log-memberships of all components, up to a constant per row.
        """
        raise NotImplementedError

    def decode(self, codes: Tensor) -> Tensor:
        """Return the rows, still scaled, that belong to codes."""
        raise NotImplementedError

    def generate(self, codes: Tensor) -> Tensor:
        """Return the rows in the user's units that belong to codes."""
        return cast(Tensor, self.scaling.inverse(self.decode(codes.float())))
