"""The training loop: one thin subclass of skorch's net that carries out any schedule of phases."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor

from skdeepcluster.engine.checkpoint import Checkpoint
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Progress, Turn
from skdeepcluster.engine.table import Batch, Table, tiled

__all__ = ["Trainer"]


@dataclass
class Place:
    """How far training has come: everything a resumed run needs to know of the schedule."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    stopped: bool = False


class Trainer(NeuralNet):
    """Train a model through phases.

    What it adds to skorch: a loss and an optimizer per player, named loss terms weighted by row,
    steps over the whole data between updates, ramps, roll-back, and checkpoints that resume
    exactly.

    Parameters
    ----------
    module : Model
        What is trained, in place.
    stage : str, default="train"
        Its name in the history and in the checkpoint.
    precision : {"float32", "bfloat16"}, default="float32"
        bfloat16 runs the forward passes of updates under autocast.
    **kwargs : dict
        skorch's parameters: ``batch_size``, ``lr``, ``optimizer``, ``optimizer__*``, ``device``,
        ``callbacks``, ... The main group's optimizer is ``optimizer``, that of any other group
        ``<group>_optimizer``, so ``critic_optimizer__lr`` is the critic's learning rate.

    Attributes
    ----------
    place_ : Place
        The current phase, and the epochs and batches completed in it.
    interrupted_ : bool
        Whether Ctrl-C was pressed. Phases then run their starts alone.
    """

    def __init__(
        self, module: Model, *, stage: str = "train", precision: str = "float32", **kwargs: Any
    ):
        self.stage = stage
        self.precision = precision
        own = {"criterion": torch.nn.Identity, "train_split": None}
        super().__init__(module, **own, **{"verbose": 0, **kwargs})  # losses are the model's
        self.interrupted_ = self.in_epoch_ = False
        self.losses_: dict[str, list[tuple[Tensor, int]]] = {}
        self.metrics_: dict[str, list[tuple[Tensor, int]]] = {}

    # -- what skorch asks for -------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The model itself, not its compiled wrapper; what it offers is the method's affair."""
        return self.module

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return []

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Trainer:
        """Give every group of parameters an optimizer of its own."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        self.groups_ = {
            group: {names[p]: p for p in parameters if p.requires_grad}
            for group, parameters in self.model.groups().items()
        }
        self.optimizer_names_ = {
            group: f"{group}_optimizer" if i else "optimizer"
            for i, group in enumerate(self.groups_)
        }
        self.base_lr_ = {}
        for group, prefix in self.optimizer_names_.items():
            args, kwargs = self.get_params_for_optimizer(prefix, self.groups_[group].items())
            setattr(self, prefix + "_", self.optimizer(*args, **kwargs))
            self.base_lr_[group] = [g["lr"] for g in self.optimizer_of(group).param_groups]
        return self

    def optimizer_of(self, group: str) -> torch.optim.Optimizer:
        """Return the optimizer of a group of parameters."""
        return getattr(self, self.optimizer_names_[group] + "_")

    def train_step(self, batch: Batch, turn: Turn) -> Tensor:
        """Make one update of one player.

        skorch's own step would run the same loss once for each optimizer.
        """
        optimizer = self.optimizer_of(turn.group)
        parameters = self.groups_[turn.group]

        def closure() -> Tensor:
            optimizer.zero_grad()
            with self._autocast():
                terms = self.module_(batch, turn.loss)
            loss = self._total(terms, batch)
            # Only this player's gradients: clipping must not see the rival's.
            free = [parameter for parameter in parameters.values() if parameter.requires_grad]
            if free and loss.requires_grad:  # unless all is frozen, or every term weighs 0
                loss.backward(inputs=free)
            if self._listens("on_grad_computed"):
                named = list(parameters.items())
                self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
            return loss

        loss: Tensor = optimizer.step(cast(Any, closure))  # typed for a float
        self._note(f"{turn.group}_loss", loss, len(batch["rows"]))
        return loss

    # -- the schedule ---------------------------------------------------------------------------

    def run(
        self, table: Table, phases: Sequence[Phase], checkpoint: Checkpoint | None = None
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
        self.place_ = Place()
        saved = checkpoint.of(self.stage) if checkpoint else None
        if saved:
            self._restore(saved, table)
        with self._interruptible():
            for index in range(self.place_.phase, len(phases)):
                resumed = saved is not None and index == saved["place"]["phase"]
                if not resumed:
                    self.place_ = Place(phase=index)
                self._run_phase(phases[index], table, resumed, checkpoint)
        if checkpoint and not self.interrupted_:
            self.place_ = Place(phase=len(phases))
            # A copy, since a later stage may train the same networks on.
            checkpoint.save(self.stage, _copied(self._state(table)))
        self.model.eval()
        return self

    def _run_phase(
        self, phase: Phase, table: Table, resumed: bool, checkpoint: Checkpoint | None
    ) -> None:
        self.phase_ = phase
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
        safe = _copied(self._learned(table))
        try:
            while self._goes_on():
                self.in_epoch_ = True
                self.place_.stopped = self._run_epoch(table)
                self.in_epoch_ = False
                if not self._is_finite():
                    self._roll_back(safe, table)
                    break
                safe = _copied(self._learned(table))
                if checkpoint:
                    checkpoint.save_if_due(self.stage, lambda: self._state(table))
        except KeyboardInterrupt:
            self.in_epoch_, self.interrupted_ = False, True
            if not self._is_finite():
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
            self._initialize_optimizer()
        for group in self.groups_:
            self._scale_lr(group, 1.0)  # the ramp of an earlier phase ended with it
        if self.phase_.start is not None:
            self.phase_.start(self, table)

    def _run_epoch(self, table: Table) -> bool:
        """Train for one epoch; return whether the phase ends with it."""
        self.notify("on_epoch_begin", dataset_train=table, dataset_valid=None)
        self.losses_, self.metrics_ = {}, {}
        begin = time.perf_counter()
        self._refresh("epoch", self.place_.epoch, table)
        self.model.train()
        plan = self.phase_.plan()
        batches = table.batches(self.batch_size)  # a DataLoader would fetch row by row
        left = self.n_batches_ - self.place_.step
        for _ in range(min(left, table.n_batches(self.batch_size))):
            self._refresh("step", self.place_.step, table)  # before the batch reads its columns
            self._train_batch(next(batches), plan[self.place_.step % len(plan)])
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
                for name, value in (refresh.run(self, table) or {}).items():
                    noted = torch.as_tensor(value, dtype=torch.float32)
                    self.metrics_.setdefault(name, []).append((noted, 1))
                self.model.train()

    def progress(self) -> Progress:
        """Return where training stands within its phase."""
        place = self.place_
        return Progress(place.epoch, place.step, place.step / max(1, self.n_batches_))

    def _follow_ramps(self) -> None:
        """Set the learning rates that this phase ramps."""
        for group, ramp in self.phase_.lr.items():
            self._scale_lr(group, ramp(self.progress()))

    def _scale_lr(self, group: str, factor: float) -> None:
        groups = self.optimizer_of(group).param_groups
        for parameters, base in zip(groups, self.base_lr_[group], strict=True):
            parameters["lr"] = base * factor

    # -- losses ---------------------------------------------------------------------------------

    def _total(self, terms: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Reduce the named terms to one loss, by the rows' weights and the terms'."""
        total = torch.zeros((), device=batch["rows"].device)
        for name, term in terms.items():
            if term.ndim:
                term = (term * batch["weight"]).mean() if "weight" in batch else term.mean()
            self._note(name, term, len(batch["rows"]))
            weight = self._weight(name)
            if weight:
                total = total + (term if weight == 1 else weight * term)
        return total

    def _weight(self, term: str) -> float:
        weight = self.phase_.weights.get(term, 1.0)
        return weight(self.progress()) if callable(weight) else weight

    def _note(self, name: str, value: Tensor, n_rows: int) -> None:
        """Remember a value where it is; reading it now would wait for the device."""
        self.losses_.setdefault(name, []).append((value.detach(), n_rows))

    def _record_epoch(self, seconds: float) -> None:
        """Write the epoch's means to the history."""
        record = {"stage": self.stage, "phase": self.phase_.name, "phase_epoch": self.place_.epoch}
        for name, noted in {**self.metrics_, **self.losses_}.items():
            record[name] = _weighted_mean(noted)
        main = f"{next(iter(self.groups_))}_loss"
        # A player may have no turn in a short epoch; its last loss then stands.
        last = self.history[-2]["train_loss"] if len(self.history) > 1 else math.nan
        record["train_loss"] = record.get(main, last)
        for name, value in {**record, "seconds": seconds}.items():
            self.history.record(name, value)

    # -- when things go wrong -------------------------------------------------------------------

    def _is_finite(self) -> bool:
        """Tell whether the last epoch's losses and what it left in the model are finite."""
        totals = [self.losses_.get(f"{group}_loss") for group in self.groups_]
        losses = [_weighted_mean(noted) for noted in totals if noted]
        learned = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        total = sum(t.sum() for t in learned)  # one value to wait for
        return bool(torch.isfinite(torch.as_tensor(total))) and all(map(math.isfinite, losses))

    def _roll_back(self, safe: dict[str, Any], table: Table) -> None:
        self._relearn(safe, table)
        warnings.warn(
            f"The loss of phase {self.phase_.name!r} was not finite in epoch {self.place_.epoch}: "
            "the model is back to where it was before, and the phase ends there. A lower lr, "
            "gradient clipping (callbacks=[skorch.callbacks.GradientNormClipping(1.0)]) or "
            "another scaling of the data usually helps.",
            ConvergenceWarning,
            stacklevel=2,
        )

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Note Ctrl-C, which callbacks that stop a phase only imitate.

        It cuts an epoch short, but waits for all else, since a model with half a start is of no
        use. Pressed again, it ends everything.
        """
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            yield
            return

        def note(number: int, frame: Any) -> None:
            again, self.interrupted_ = self.interrupted_, True
            if self.in_epoch_ or again:
                handler(number, frame)

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)

    # -- state ----------------------------------------------------------------------------------

    def _learned(self, table: Table) -> dict[str, Any]:
        """Return what updates change: weights, optimizers, columns."""
        optimizers = {group: self.optimizer_of(group).state_dict() for group in self.groups_}
        module = self.model.state_dict()
        return {"module": module, "optimizers": optimizers, "columns": dict(table.columns)}

    def _relearn(self, learned: Mapping[str, Any], table: Table) -> None:
        self.model.load_state_dict(learned["module"])
        for group, state in learned["optimizers"].items():
            self.optimizer_of(group).load_state_dict(state)
        table.columns = {name: c.to(table.device) for name, c in learned["columns"].items()}

    def _state(self, table: Table) -> dict[str, Any]:
        """Return all that the rest of the run depends on."""
        cuda = torch.cuda.get_rng_state(self.device) if table.device.type == "cuda" else None
        callbacks = {name: _fitted_state(callback) for name, callback in self.callbacks_}
        return {
            **self._learned(table),
            "place": asdict(self.place_),
            "history": self.history.to_list(),
            "generators": {"cpu": torch.get_rng_state(), "cuda": cuda},
            "callbacks": callbacks,
        }

    def _restore(self, state: Mapping[str, Any], table: Table) -> None:
        self._relearn(state, table)
        self.place_ = Place(**state["place"])
        self.history.extend(state["history"])
        torch.set_rng_state(state["generators"]["cpu"])
        if state["generators"]["cuda"] is not None:
            torch.cuda.set_rng_state(state["generators"]["cuda"], self.device)

    def _restore_callbacks(self, state: Mapping[str, Any] | None) -> None:
        for name, callback in self.callbacks_:
            vars(callback).update((state or {})["callbacks"].get(name, {}))

    # -- for starts and refreshes ---------------------------------------------------------------

    def encode(self, table: Table, loss: str = "codes") -> Tensor:
        """Return the codes of a table, or another row-wise method of the model, in eval mode.

        Parameters
        ----------
        table : Table
            The rows.
        loss : str, default="codes"
            The method of the model.

        Returns
        -------
        values : Tensor of shape (n_rows, ...)
            On the table's device.
        """
        was_training = self.model.training
        self.model.eval()
        try:
            return tiled(lambda batch: self.model(batch, loss), table)
        finally:
            self.model.train(was_training)

    def forget(self, parameter: torch.nn.Parameter, rows: Tensor) -> None:
        """Erase an optimizer's memory of some rows of a parameter, after they were reseeded.

        Parameters
        ----------
        parameter : nn.Parameter of shape (n, ...)
            A parameter of the model.
        rows : Tensor of int or bool
            An index into its first dimension.
        """
        for group in self.groups_:
            for moment in self.optimizer_of(group).state.get(parameter, {}).values():
                if torch.is_tensor(moment) and moment.shape == parameter.shape:
                    moment[rows] = 0

    # -- small help -----------------------------------------------------------------------------

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def _listens(self, event: str) -> bool:
        """Tell whether any callback takes part in an event that happens every batch."""
        return any(
            getattr(type(callback), event) is not getattr(Callback, event)
            for _, callback in self.callbacks_
        )

    def _tell(self, event: str, **kwargs: Any) -> None:
        if self._listens("on_batch_begin") or self._listens("on_batch_end"):
            self.notify(event, **kwargs)


def _weighted_mean(noted: Sequence[tuple[Tensor, int]]) -> float:
    values = torch.stack([value.float() for value, _ in noted]).cpu()
    counts = torch.tensor([count for _, count in noted], dtype=values.dtype)
    return float((values * counts).sum() / counts.sum())


def _copied(tree: Any) -> Any:
    """Copy the tensors in nested dicts and lists."""
    if torch.is_tensor(tree):
        return tree.clone()
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(value) for value in tree] if isinstance(tree, list) else tree


def _fitted_state(callback: Callback) -> dict[str, Any]:
    """Return the plain values that a callback learned, by skorch's trailing underscore."""
    plain = (bool, int, float, str, list, dict, type(None))
    return {
        name: value
        for name, value in vars(callback).items()
        if name.endswith("_") and isinstance(value, plain)
    }
