"""The training loop: it carries out any schedule of phases."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from skorch.callbacks import Callback, EarlyStopping
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skdeepcluster.engine.checkpoint import Checkpoint, copied, plain, plain_state
from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.fingerprint import architecture
from skdeepcluster.engine.interruption import on_ctrl_c
from skdeepcluster.engine.ledger import Ledger
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.net import PlayersNet
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Phase, Progress, Ramp, Turn
from skdeepcluster.engine.table import Batch, Table

__all__ = ["Trainer"]

CPU = torch.device("cpu")


@dataclass
class Place:
    """How far training has come: everything a resumed run needs to know of the schedule."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    stopped: bool = False


class Trainer(PlayersNet):
    """Train a model through phases.

    What it adds to the updates: steps over the whole data in between, ramps, roll-back, and
    checkpoints that resume exactly.

    Parameters
    ----------
    module : Model
        What is trained, in place.
    stage : str, default="train"
        Its name in the history and in the checkpoint.
    draws : Draws, default=None
        The generators of the fit; None draws from torch's global ones.
    **kwargs : dict
        Parameters of :class:`~skdeepcluster.engine.net.PlayersNet` and of skorch.

    Attributes
    ----------
    place_ : Place
        The current phase, and the epochs and batches completed in it.
    interrupted_ : bool
        Whether Ctrl-C was pressed. Phases then run their starts alone.
    """

    def __init__(
        self, module: Model, *, stage: str = "train", draws: Draws | None = None, **kwargs: Any
    ):
        self.stage = stage
        self.draws = draws
        super().__init__(module, **kwargs)
        self.interrupted_ = self.in_epoch_ = False
        self.metrics_ = Ledger()

    # -- the schedule ---------------------------------------------------------------------------

    def run(
        self,
        table: Table,
        phases: Sequence[Phase],
        checkpoint: Checkpoint | None = None,
    ) -> Trainer:
        """Carry out phases on a table.

        Parameters
        ----------
        table : Table
            The data. Columns are left as the phases leave them.
        phases : sequence of Phase
            The schedule.
        checkpoint : Checkpoint, default=None
            Where progress is saved, and taken up if some is found.

        Returns
        -------
        self : Trainer
            Trained, its model in eval mode.

        Warns
        -----
        ConvergenceWarning
            When a loss was not finite; the model is then as it was before that epoch.
        """
        self.initialize()
        for phase in phases:
            self._check(phase)
        self.place_ = Place()
        self.architecture_ = architecture(self.model) if checkpoint else ""
        saved = checkpoint.of(self.stage) if checkpoint else None
        if saved:
            self._restore(saved, table)
            for _, callback in self.callbacks_:
                getattr(callback, "on_resume", lambda net: None)(self)
        else:
            self.encode(table.first_tile())  # or training is vain
        with on_ctrl_c(self._may_interrupt):
            for index in range(self.place_.phase, len(phases)):
                resumed = saved is not None and index == saved["place"]["phase"]
                if not resumed:
                    self.place_ = Place(phase=index)
                self._run_phase(phases[index], table, resumed, checkpoint)
        if checkpoint and not self.interrupted_:
            self.place_ = Place(phase=len(phases))
            # A copy, since a later stage may train the same networks on.
            checkpoint.save(self.stage, copied(self._state(table)))
        self.model.eval()
        return self

    def _check(self, phase: Phase) -> None:
        """Refuse names that do not exist, before the first batch."""
        players = [*(turn.player for turn in phase.turns), *phase.lr]
        losses = [turn.loss for turn in phase.turns]
        for kind, name, known in (
            *(("player", name, name in self.players_) for name in players),
            *(("loss", name, callable(getattr(self.model, name, None))) for name in losses),
        ):
            if not known:
                raise ValueError(
                    f"Phase {phase.name!r} names the {kind} {name!r}, which "
                    f"{type(self.model).__name__} does not have; its players are "
                    f"{list(self.players_)}, and a loss is one of its methods."
                )

    def _check_weights(self) -> None:
        """Refuse a weight that no loss term bears: the term that is meant would weigh 1."""
        unknown = set(self.phase_.weights) - self.terms_
        if unknown:
            raise ValueError(
                f"Phase {self.phase_.name!r} weights the terms {sorted(unknown)}, which none of "
                f"its losses returns; they return {sorted(self.terms_)}."
            )

    def _run_phase(
        self,
        phase: Phase,
        table: Table,
        resumed: bool,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.phase_, self.terms_ = phase, set[str]()
        first = self.place_.step  # a phase that resumes may do so within a round of its plan
        self.round_end_ = first + len(phase.plan())
        per_epoch = table.n_batches(self.batch_size)
        self.n_batches_ = phase.n_batches(per_epoch)
        self.n_epochs_ = math.ceil(self.n_batches_ / per_epoch)
        if not resumed:
            self._start(table)
            if not self._goes_on():
                return  # callbacks would ask for an epoch that there was not
        self.notify("on_train_begin", X=table)
        if resumed and checkpoint:
            self._restore_callbacks(checkpoint.of(self.stage))
        safe = copied(self._learned(table))
        try:
            while self._goes_on():
                self.in_epoch_ = True
                self.place_.stopped = self._run_epoch(table)
                self.in_epoch_ = False
                if not self._is_finite(table):
                    self._roll_back(safe, table)
                    break
                safe = copied(self._learned(table))
                if checkpoint:
                    checkpoint.save_if_due(self.stage, lambda: self._state(table))
        except KeyboardInterrupt:
            self.in_epoch_, self.interrupted_ = False, True
            if not self._is_finite(table):
                self._relearn(safe, table)
        self.notify("on_train_end", X=table)
        if self.history and "phase" not in self.history[-1]:
            self.history.pop()  # an epoch that was cut short

    def _goes_on(self) -> bool:
        place = self.place_
        return place.step < self.n_batches_ and not place.stopped and not self.interrupted_

    def _start(self, table: Table) -> None:
        """Prepare a phase."""
        if self.phase_.optimizers == "reset":
            self._reset_optimizers()
        for player in self.players_:
            self._scale_lr(player, 1.0)  # the ramp of an earlier phase ended with it
        if self.phase_.start is not None:
            with self._alone():
                self.phase_.start(self, table)

    def _run_epoch(self, table: Table) -> bool:
        """Train for one epoch; return whether the phase ends with it."""
        self.notify("on_epoch_begin", dataset_train=table, dataset_valid=None)
        self.losses_, self.metrics_ = Ledger(), Ledger()
        begin = time.perf_counter()
        self._refresh("epoch", self.place_.epoch, table)
        self.model.train()
        plan = self.phase_.plan()
        generator = self.draws.on(CPU) if self.draws else None
        batches = table.batches(self.batch_size, generator)  # a DataLoader would fetch row by row
        left = self.n_batches_ - self.place_.step
        for _ in range(min(left, table.n_batches(self.batch_size))):
            self._refresh("step", self.place_.step, table)  # before the batch reads its columns
            self._train_batch(next(batches), plan[self.place_.step % len(plan)])
            if self.place_.step == self.round_end_:
                self._check_weights()
        self.place_.epoch += 1
        self._record_epoch(time.perf_counter() - begin)
        return self._ends_here(table)

    def _train_batch(self, batch: Batch, turns: Sequence[Turn]) -> None:
        """Make the updates that fall on one batch."""
        self._follow_ramps()
        self._tell("on_batch_begin", batch=batch, training=True)
        for turn in turns:
            loss = self.train_step(batch, turn)
        self._tell("on_batch_end", batch=batch, training=True, loss=loss, y_pred=None)
        self.place_.step += 1

    def _concerns(self, callback: Callback, event: str) -> bool:
        """Leave out, at the end of an epoch, who would judge a loss that is not of this epoch.

        In a short epoch a player may have no turn: its loss of before is no sign that it stands
        still.
        """
        plateau = isinstance(getattr(callback, "lr_scheduler_", None), ReduceLROnPlateau)
        if event != "on_epoch_end" or not (plateau or isinstance(callback, EarlyStopping)):
            return True
        record = self.history[-1]
        idle = {turn.player for turn in self.phase_.turns if f"{turn.player}_loss" not in record}
        if callback.monitor == "train_loss":
            return next(iter(self.players_)) not in idle
        return not idle or callback.monitor in record

    def _ends_here(self, table: Table) -> bool:
        """Ask the phase and the callbacks whether training goes on.

        Stopping early is a KeyboardInterrupt in skorch; one that no Ctrl-C caused ends the phase.
        """
        try:
            self.notify("on_epoch_end", dataset_train=table, dataset_valid=None)
        except KeyboardInterrupt:
            if self.interrupted_:
                raise
            return True
        until = self.phase_.until
        return until is not None and until(self.history[-1])

    def _refresh(self, unit: str, count: int, table: Table) -> None:
        for refresh in self.phase_.refresh:
            if refresh.due(unit, count):
                with self._alone():
                    found = refresh.run(self, table) or {}
                for name, value in found.items():
                    self.metrics_.note(name, torch.as_tensor(value, dtype=torch.float32))
                self.model.train()

    def _alone(self) -> contextlib.AbstractContextManager[Any]:
        """Let a step over the whole data draw from torch's generators, while other fits wait."""
        return self.draws.as_global() if self.draws else contextlib.nullcontext()

    def progress(self) -> Progress:
        """Return where training stands within its phase."""
        place = self.place_
        return Progress(place.epoch, place.step, place.step / max(1, self.n_batches_))

    def _follow_ramps(self) -> None:
        """Set the learning rates that this phase scales."""
        for player, factor in self.phase_.lr.items():
            self._scale_lr(player, self._now(factor))

    def _weight(self, term: str) -> float:
        self.terms_.add(term)
        return self._now(self.phase_.weights.get(term, 1.0))

    def _now(self, value: float | Ramp) -> float:
        return value(self.progress()) if callable(value) else value

    def _record_epoch(self, seconds: float) -> None:
        """Write the epoch's means to the history."""
        record = {"stage": self.stage, "phase": self.phase_.name, "phase_epoch": self.place_.epoch}
        record |= {**self.metrics_.means(), **self.losses_.means()}
        main = f"{next(iter(self.players_))}_loss"
        # A player may have no turn in a short epoch; its last loss then stands.
        last = self.history[-2]["train_loss"] if len(self.history) > 1 else math.nan
        record["train_loss"] = record.get(main, last)
        for name, value in {**record, "seconds": seconds}.items():
            self.history.record(name, value)

    # -- when things go wrong -------------------------------------------------------------------

    def _is_finite(self, table: Table) -> bool:
        """Tell whether the last epoch's losses are finite, and what it left in the model.

        Huge parameters are finite, and what they make of rows need not be.
        """
        means = self.losses_.means()
        losses = [means.get(f"{player}_loss", 0.0) for player in self.players_]
        learned = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        total = sum(t.sum() for t in learned)  # one value to wait for
        if not torch.isfinite(torch.as_tensor(total)) or not all(map(math.isfinite, losses)):
            return False
        return self._has_finite_codes(table)

    def _has_finite_codes(self, table: Table) -> bool:
        """Tell whether the codes of the first rows are finite."""
        try:
            self.encode(table.first_tile())
        except ValueError:
            return False
        return True

    def _roll_back(self, safe: dict[str, Any], table: Table) -> None:
        self._relearn(safe, table)
        notice(
            f"The loss of phase {self.phase_.name!r} was not finite in epoch {self.place_.epoch}: "
            "the model is back to where it was before, and the phase ends there. A lower lr, "
            "gradient clipping (callbacks=[skorch.callbacks.GradientNormClipping(1.0)]) or "
            "another scaling of the data usually helps.",
        )

    def _may_interrupt(self) -> bool:
        """Note Ctrl-C, and tell whether it acts at once.

        It cuts an epoch short, but waits for all else, since a model with half a start is of no
        use. Pressed again, it ends everything.
        """
        again, self.interrupted_ = self.interrupted_, True
        return self.in_epoch_ or again

    # -- state ----------------------------------------------------------------------------------

    def _state(self, table: Table) -> dict[str, Any]:
        """Return all that the rest of the run depends on."""
        draws = self.draws or Draws(0, table.device, is_lent=True)
        callbacks = {name: plain_state(callback) for name, callback in self.callbacks_}
        return {
            **self._learned(table),
            "architecture": self.architecture_,
            "place": asdict(self.place_),
            "history": [plain(record) for record in self.history.to_list()],
            "generators": draws.state(),
            "callbacks": callbacks,
        }

    def _restore(self, state: Mapping[str, Any], table: Table) -> None:
        if state["architecture"] != self.architecture_:
            raise ValueError(
                f"the checkpoint holds stage {self.stage!r} of a fit with other networks: a class "
                "or function that makes them was changed since. Change it back to continue that "
                "fit, or remove the file to start anew."
            )
        self._relearn(state, table)
        self.place_ = Place(**state["place"])
        self.history.extend(state["history"])
        (self.draws or Draws(0, table.device, is_lent=True)).restore(state["generators"])

    def _restore_callbacks(self, state: Mapping[str, Any] | None) -> None:
        for name, callback in self.callbacks_:
            vars(callback).update((state or {})["callbacks"].get(name, {}))
