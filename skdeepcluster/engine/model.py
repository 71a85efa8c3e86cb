"""The interface between a method's networks and the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

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

    A subclass adds its networks and, for every loss, a method that takes a batch (with its rows
    ``"X"`` already scaled) and returns named terms: a value per row, which the engine weights, or
    a scalar.

    Parameters
    ----------
    scaling : nn.Module
        Maps rows to the networks' input, with an ``inverse``.
    """

    scaling: Any
    live: Tensor | None  # numbers of the components that have members; None is all

    def __init__(self, scaling: nn.Module):
        super().__init__()
        self.scaling = scaling
        self.register_buffer("live", None, persistent=False)

    def players(self) -> dict[str, Player]:
        """Return who owns which parameters, each with an optimizer; the main one is first."""
        return {"model": Player(self.parameters())}

    def forward(self, batch: Batch, loss: str = "codes") -> Tensor | dict[str, Tensor]:
        """Scale the rows and call the method named `loss`: the only door to the networks."""
        return getattr(self, loss)({**batch, "X": self.scaled(batch["X"])})

    def scaled(self, rows: Tensor) -> Tensor:
        """Return rows in the user's units as the networks take them."""
        return cast(Tensor, self.scaling(rows))

    def codes(self, batch: Batch) -> Tensor:
        """Return the code of every row, shape (n, latent_dim)."""
        raise NotImplementedError

    def decode(self, codes: Tensor) -> Tensor:
        """Return the rows, still scaled, that belong to codes."""
        raise NotImplementedError

    def winner(self, scores: Tensor) -> Tensor:
        """Return the component with the best score, of those that have members.

        Parameters
        ----------
        scores : Tensor of shape (n, n_components)
            One for every component.
        """
        if self.live is None:
            return scores.argmax(1)
        return self.live[scores.index_select(1, self.live).argmax(1)]

    def generate(self, batch: Batch) -> Tensor:
        """Return the rows in the user's units that belong to the codes in ``batch["X"]``."""
        return cast(Tensor, self.scaling.inverse(self.decode(batch["X"].float())))
