"""The plan of a training: phases, the turns of the players in them, and what happens in between.

Everything here is plain data. :class:`~skdeepcluster.engine.trainer.Trainer` carries it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from skdeepcluster.engine.table import Batch, Table

__all__ = [
    "Phase",
    "Progress",
    "Ramp",
    "Refresh",
    "Step",
    "Training",
    "Turn",
    "one_cycle",
    "warm_up",
]

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Progress:
    """Where training stands within its phase.

    Parameters
    ----------
    epoch : int
        Epochs completed.
    step : int
        Batches completed.
    fraction : float
        Share of the phase that is done, in [0, 1).
    """

    epoch: int
    step: int
    fraction: float


Ramp = Callable[[Progress], float]


class Training(Protocol):
    """What a step over the whole data may ask of the training that it is part of."""

    @property
    def model(self) -> Any:
        """The model that is trained."""

    def progress(self) -> Progress:
        """Return where training stands within its phase."""

    def encode(self, table: Table) -> Tensor:
        """Return the codes of a table, in eval mode."""

    def apply(self, function: Callable[[Batch], Tensor], table: Table) -> Tensor:
        """Return what a row-wise method of the model says of a table, in eval mode."""

    def forget(self, parameter: nn.Parameter, rows: Tensor) -> None:
        """Erase an optimizer's memory of some rows of a parameter, after they were reseeded."""


Step = Callable[[Training, Table], Metrics | None]  # over the whole data


@dataclass(frozen=True)
class Turn:
    """One player's update: minimise the model's `loss` over the parameters of `player`.

    Parameters
    ----------
    player : str
        A key of :meth:`Model.players`. Only its parameters move.
    loss : str
        The method of the model that returns the named terms of the loss.
    repeat : int, default=1
        Consecutive updates.
    takes_rows : bool, default=True
        False for a loss of noise alone: in a phase of fresh batches its updates use up none, and
        go with the batch before.
    """

    player: str
    loss: str
    repeat: int = 1
    takes_rows: bool = True


@dataclass(frozen=True)
class Refresh:
    """A step over the whole data set between updates: new targets, an EM step, reseeding.

    Parameters
    ----------
    run : callable
        ``run(trainer, table)``, returning named floats for the history, or None.
    every : int, default=1
        Interval.
    unit : {"epoch", "step"}, default="epoch"
        Whether `every` counts epochs or batches. The first refresh precedes the first update.
    """

    run: Step
    every: int = 1
    unit: Literal["epoch", "step"] = "epoch"

    def due(self, unit: str, count: int) -> bool:
        """Tell whether the refresh runs after `count` complete units."""
        return unit == self.unit and count % self.every == 0


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one set of players and losses.

    Parameters
    ----------
    name : str
        Its name in the history.
    turns : sequence of Turn
        What is updated, in order.
    epochs : int
        Passes over the data; 0 runs `start` alone.
    steps : int, default=None
        An upper bound on the number of batches, for papers that count iterations.
    start : callable, default=None
        ``start(trainer, table)``, once, before the first epoch. It also runs when training was
        interrupted in an earlier phase, so that the model is always complete.
    refresh : sequence of Refresh, default=()
        Steps over the whole data.
    lr : dict of str to float or Ramp, default={}
        Factors on the learning rates of players.
    weights : dict of str to float or Ramp, default={}
        Weights of loss terms; a term that is not named weighs 1. A name that no term bears raises,
        as soon as every player had its first turn.
    fresh : bool, default=False
        False: every batch goes through all turns. True: every update that takes rows draws a batch
        of its own, and the place in the plan is kept across epochs.
    optimizers : {"reset", "keep"}, default="reset"
        Whether the optimizers start anew.
    until : callable, default=None
        ``until(record)`` on the history record of each epoch; True ends the phase.
    """

    name: str
    turns: Sequence[Turn]
    epochs: int
    steps: int | None = None
    start: Step | None = None
    refresh: Sequence[Refresh] = ()
    lr: Mapping[str, float | Ramp] = field(default_factory=dict)
    weights: Mapping[str, float | Ramp] = field(default_factory=dict)
    fresh: bool = False
    optimizers: Literal["reset", "keep"] = "reset"
    until: Callable[[Mapping[str, Any]], bool] | None = None

    def plan(self) -> list[list[Turn]]:
        """Return the updates made on each batch of one round of the plan."""
        updates = [turn for turn in self.turns for _ in range(turn.repeat)]
        if not self.fresh:
            return [updates]
        plan: list[list[Turn]] = []
        for turn in updates:
            if turn.takes_rows or not plan:
                plan.append([turn])
            else:
                plan[-1].append(turn)
        return plan

    def n_batches(self, per_epoch: int) -> int:
        """Return the number of batches of the whole phase, given those of one epoch."""
        total = self.epochs * per_epoch
        return total if self.steps is None else min(total, self.steps)


def one_cycle(progress: Progress) -> float:
    """Learning-rate factor that rises from .04 to 1 in the first 30 %, then falls to 0 by a cosine.

    Parameters
    ----------
    progress : Progress
        Where training stands.

    Returns
    -------
    factor : float
        In (0, 1].

    References
    ----------
    Smith & Topin, *Super-convergence*, 2019.

    Examples
    --------
    >>> one_cycle(Progress(epoch=0, step=30, fraction=0.3))
    1.0
    """
    rise, start = 0.3, 0.04
    if progress.fraction < rise:
        return start + (1 - start) * _half_cosine(progress.fraction / rise)
    return 1 - _half_cosine((progress.fraction - rise) / (1 - rise))


def _half_cosine(fraction: float) -> float:
    """Rise smoothly from 0 to 1."""
    return (1 - math.cos(math.pi * fraction)) / 2


@dataclass(frozen=True)
class warm_up:
    """Weight that rises linearly to `value` over the first `fraction` of a phase.

    Parameters
    ----------
    value : float
        The final weight.
    fraction : float, default=0.5
        When it is reached, in (0, 1].

    Examples
    --------
    >>> warm_up(2.0)(Progress(epoch=1, step=10, fraction=0.25))
    1.0
    """

    value: float
    fraction: float = 0.5

    def __call__(self, progress: Progress) -> float:
        """Return the weight at `progress`."""
        return self.value * min(1.0, progress.fraction / self.fraction)
