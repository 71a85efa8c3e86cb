"""One fit while it lasts: what its stages share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback

from skdeepcluster.engine.callbacks import tell
from skdeepcluster.engine.checkpoint import Checkpoint
from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.interruption import on_ctrl_c
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.scaling import Scaling

__all__ = ["Run"]

Trained = TypeVar("Trained", bound=Model)


@dataclass
class Run:
    """What a fit owns: its rows, its seed, its checkpoint, and whether it was interrupted.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        All rows, in the user's units.
    counted : ndarray of bool of shape (n_samples,)
        Which of them count, those of positive weight.
    table : Table
        The rows that count, for training, with their weights.
    scaling : Scaling
        Maps them to the networks' input.
    draws : Draws
        The generators of everything random.
    is_ours : bool
        Whether nothing of the user's takes part in training, which might draw from torch's.
    trainer_params : dict
        Parameters of every stage's trainer.
    progress, callbacks : list of skorch callbacks
        What shows the progress, and the user's own.
    checkpoint : Checkpoint or None
        Where progress is kept.
    verbose : int, default=0
        Whether steps over the whole data are told.
    """

    X: Any
    counted: NDArray[np.bool_]
    table: Table
    scaling: Scaling
    draws: Draws
    is_ours: bool
    trainer_params: Mapping[str, Any]
    progress: Sequence[Callback]
    callbacks: Sequence[Any]
    checkpoint: Checkpoint | None
    verbose: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)  # seconds of every step
    copies: dict[int, Any] = field(default_factory=dict)  # of the user's networks, in one model
    # Of the rows that count, if the fit goes on with another.
    labels_before: NDArray[np.intp] | None = None
    interrupted: bool = False

    @property
    def rows(self) -> Any:
        """The rows that count: a copy, if there are others."""
        if self.counted.all():
            return self.X
        if self.table.on_disk:
            return self.X.subset(np.flatnonzero(self.counted))
        return self.X[self.counted]

    def needs_all_rows(self, who: str, advice: str) -> None:
        """Refuse what looks at all rows at once, where these are read by chunks.

        Raises
        ------
        ValueError
            With what to do instead.
        """
        if self.table.on_disk:
            raise ValueError(
                f"{who} looks at all rows at once, and these are read by chunks. {advice}, pass a "
                "sample of the rows, or an array or memory map if the memory holds them."
            )

    def another(self, seed: int, name: str) -> Run:
        """Return a run on the same rows that has not begun, with another seed.

        Parameters
        ----------
        seed : int
            Its seed.
        name : str
            What its stages are kept under in the checkpoint.
        """
        return replace(
            self,
            table=self.table.bare(),
            draws=Draws(seed, self.draws.device),
            checkpoint=self.checkpoint.part(name) if self.checkpoint else None,
            history=[],
            timings={},
            copies={},
        )

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Seed torch inside the block, take gradients there, and let Ctrl-C wait for its turn."""
        with (
            on_ctrl_c(self._may_interrupt),
            self.draws.as_global(),
            torch.inference_mode(False),
        ):
            yield

    @contextlib.contextmanager
    def timed(self, step: str, told: bool = False) -> Iterator[None]:
        """Count the seconds of a step, and say that it begins if nothing else shows it."""
        if told:
            tell(f"{step} ...", self.verbose)
        begin = time.perf_counter()
        yield
        self.timings[step] = self.timings.get(step, 0.0) + time.perf_counter() - begin

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        return self.draws.seed

    def train(
        self,
        stage: str,
        model: Trained,
        phases: Sequence[Phase],
        table: Table | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Trained:
        """Train a model through phases; a fit may have several such stages.

        Parameters
        ----------
        stage : str
            Its name in the history and in the checkpoint.
        model : Model
            What is trained, in place.
        phases : sequence of Phase
            The schedule.
        table : Table, default=None
            The rows; None is all of them.
        callbacks : sequence of skorch callbacks, default=()
            The method's own, called before the user's.

        Returns
        -------
        model : Model
            The same, in eval mode.
        """
        self.copies.clear()  # the next model has networks of its own
        tell(self._coming(stage, phases), self.verbose)
        own = [*self.progress, *callbacks, *self.callbacks]
        trainer = Trainer(
            model, stage=stage, callbacks=own, draws=self.draws, **self.trainer_params
        )
        trainer.interrupted_ = self.interrupted
        aside = self.draws.aside() if model.owns_draws and self.is_ours else nullcontext()
        model.draws = self.draws
        with aside, self.timed(stage):
            trainer.run(self.table if table is None else table, phases, self.checkpoint)
        model.draws = None
        self.interrupted = trainer.interrupted_
        records = trainer.history.to_list()
        self.history += [{k: v for k, v in r.items() if k != "batches"} for r in records]
        return model

    def _coming(self, stage: str, phases: Sequence[Phase]) -> str:
        """Say where a stage is trained, and for how long at most."""
        counts = [f"{phase.name} {phase.epochs}" for phase in phases if phase.epochs]
        total = sum(phase.epochs for phase in phases)
        parts = f" ({', '.join(counts)})" if len(counts) > 1 else ""
        return (
            f"{stage}: {total} epoch{'s' * (total != 1)}{parts} on {self.trainer_params['device']}"
        )

    def once(
        self, name: str, compute: Callable[[], Mapping[str, torch.Tensor]]
    ) -> Mapping[str, torch.Tensor]:
        """Return what a step over the whole data finds, which a fit that resumes need not repeat.

        Parameters
        ----------
        name : str
            Its name in the checkpoint, beside those of the stages.
        compute : callable
            Returns named tensors.

        Returns
        -------
        found : mapping of str to Tensor
            What `compute` returned, now or before the fit was resumed.
        """
        saved = self.checkpoint.of(name) if self.checkpoint else None
        if saved is not None:
            return saved
        with self.timed(name, told=True):
            found = dict(compute())
        if self.checkpoint and not self.interrupted:
            self.checkpoint.save(name, found)
        return found

    def _may_interrupt(self) -> bool:
        """Note Ctrl-C. What runs between trainings finishes, unless the key is pressed again."""
        again, self.interrupted = self.interrupted, True
        return again
