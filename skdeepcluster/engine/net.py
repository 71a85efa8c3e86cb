"""One update of one player, on skorch's net."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self, cast

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler, PrintLog
from torch import Tensor

from skdeepcluster.engine.ledger import Ledger
from skdeepcluster.engine.model import Model, Player
from skdeepcluster.engine.schedule import Turn
from skdeepcluster.engine.table import Batch, Table, check_codes, tiled

__all__ = ["OPTIMIZERS", "PlayersNet"]

TEXTS = ("stage", "phase")  # in the history

# A fused step is several times faster than torch's default, also on a processor.
OPTIMIZERS: dict[Any, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, fused=True),
}


class PlayersNet(NeuralNet):
    """A skorch net whose model has several players, each with a loss and an optimizer.

    Parameters
    ----------
    module : Model
        What is trained, in place.
    precision : {"float32", "bfloat16"}, default="float32"
        bfloat16 runs the forward passes of updates under autocast.
    **kwargs : dict
        skorch's parameters: ``batch_size``, ``lr``, ``optimizer``, ``optimizer__*``, ``device``,
        ``callbacks``, ... The main player's optimizer is ``optimizer``, that of any other player
        ``<player>_optimizer``, so ``critic_optimizer__lr`` is the critic's learning rate.
    """

    def __init__(self, module: Model, *, precision: str = "float32", **kwargs: Any):
        self.precision = precision
        own = {"criterion": torch.nn.Identity, "train_split": None}
        super().__init__(module, **own, **{"verbose": 0, **kwargs})  # losses are the model's
        self.losses_ = Ledger()

    @property
    def model(self) -> Any:
        """The model itself, not its compiled wrapper; what it offers is the method's affair."""
        return self.module

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return []

    def initialize_callbacks(self) -> Self:
        """Keep the history's texts from loggers of numbers, which would fail on them."""
        super().initialize_callbacks()
        for _, callback in self.callbacks_:
            if hasattr(callback, "keys_ignored_") and not isinstance(callback, PrintLog):
                callback.keys_ignored_.update(TEXTS)
        return self

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Self:
        """Give every player an optimizer of its own."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        players = self.model.players()
        self.players_ = {
            name: {names[p]: p for p in player.parameters if p.requires_grad}
            for name, player in players.items()
        }
        for name, trained in self.players_.items():
            if not trained:
                raise ValueError(
                    f"Nothing is left to train: every parameter of {name!r} is frozen. Leave some "
                    "of the networks' parameters with requires_grad=True."
                )
        self.optimizer_names_ = {
            name: f"{name}_optimizer" if i else "optimizer" for i, name in enumerate(players)
        }
        for name, prefix in self.optimizer_names_.items():
            args, kwargs = self.get_params_for_optimizer(prefix, self.players_[name].items())
            kwargs |= self._settings(players[name], said=self.get_params_for(prefix))
            setattr(self, prefix + "_", _checked(self.optimizer(*args, **kwargs)))
            for parameters in self.optimizer_of(name).param_groups:
                parameters["initial_lr"] = parameters["lr"]  # where torch's schedulers keep it too
                parameters |= {"scheduled_lr": parameters["lr"], "ramp": 1.0}
        return self

    def _settings(self, player: Player, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return a player's own settings of its optimizer, but for those that the user said."""
        own: dict[str, Any] = dict(player.adam) if self.optimizer is OPTIMIZERS["adam"] else {}
        if player.lr is not None:
            own["lr"] = player.lr
        return {name: value for name, value in own.items() if name not in said}

    def optimizer_of(self, player: str) -> torch.optim.Optimizer:
        """Return the optimizer of a player."""
        return getattr(self, self.optimizer_names_[player] + "_")

    def train_step(self, batch: Batch, turn: Turn) -> Tensor:
        """Make one update of one player.

        skorch's own step would run the same loss once for each optimizer.
        """
        optimizer = self.optimizer_of(turn.player)
        parameters = self.players_[turn.player]

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
        self.losses_.note(f"{turn.player}_loss", loss, len(batch["index"]))
        return loss

    def _total(self, terms: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Reduce the named terms to one loss, by the rows' weights and the terms'."""
        total = torch.zeros((), device=batch["index"].device)
        for name, term in terms.items():
            if term.ndim > 1:
                raise ValueError(
                    f"loss term {name!r} has shape {tuple(term.shape)}; expected one value per row "
                    "or a scalar."
                )
            if term.ndim:
                term = (term * batch["weight"]).mean() if "weight" in batch else term.mean()
            self.losses_.note(name, term, len(batch["index"]))
            weight = self._weight(name)
            if weight:
                total = total + (term if weight == 1 else weight * term)
        return total

    def _weight(self, term: str) -> float:
        """Return the weight of a loss term."""
        return 1.0

    # -- learning rates -------------------------------------------------------------------------

    def _reset_optimizers(self) -> None:
        """Make the optimizers anew; what schedulers have made of the rates lasts."""
        before = {player: self.optimizer_of(player).param_groups for player in self.players_}
        self._initialize_optimizer()
        for player, others in before.items():
            for new, old in zip(self.optimizer_of(player).param_groups, others, strict=True):
                new["lr"] = new["scheduled_lr"] = old["scheduled_lr"]

    def _scale_lr(self, player: str, factor: float) -> None:
        for parameters in self.optimizer_of(player).param_groups:
            parameters |= {"ramp": factor, "lr": parameters["scheduled_lr"] * factor}

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell the callbacks of an event."""
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            if not self._concerns(callback, method_name):
                continue
            tell = partial(getattr(callback, method_name), self, **cb_kwargs)
            if isinstance(callback, LRScheduler):
                self._tell_scheduler(callback, tell, again=method_name == "on_train_begin")
            else:
                tell()

    def _concerns(self, callback: Callback, event: str) -> bool:
        """Tell whether a callback is told of an event."""
        return True

    def _tell_scheduler(self, callback: LRScheduler, tell: Callable[[], Any], again: bool) -> None:
        """Show a scheduler the rates without ramps, and multiply what it makes of them by those."""
        every = [p for name in self.players_ for p in self.optimizer_of(name).param_groups]
        for parameters in every:
            parameters["lr"] = parameters["scheduled_lr"]
        tell()
        if again and self.history:  # made anew in a later phase, it has repeated its last step
            for parameters in every:
                parameters["lr"] = parameters["scheduled_lr"]
            callback.lr_scheduler_._last_lr = [p["lr"] for p in self.optimizer_.param_groups]
        for parameters in every:
            parameters["scheduled_lr"] = parameters["lr"]
            parameters["lr"] *= parameters["ramp"]

    # -- state ----------------------------------------------------------------------------------

    def _learned(self, table: Table) -> dict[str, Any]:
        """Return what updates change: weights, optimizers, columns."""
        optimizers = {name: self.optimizer_of(name).state_dict() for name in self.players_}
        module = self.model.state_dict()
        return {"module": module, "optimizers": optimizers, "columns": dict(table.columns)}

    def _relearn(self, learned: Mapping[str, Any], table: Table) -> None:
        self.model.load_state_dict(learned["module"])
        for name, state in learned["optimizers"].items():
            self.optimizer_of(name).load_state_dict(state)
        table.columns = {name: c.to(table.device) for name, c in learned["columns"].items()}

    def encode(self, table: Table) -> Tensor:
        """Return the codes of a table, in eval mode.

        Parameters
        ----------
        table : Table
            The rows.

        Returns
        -------
        codes : Tensor of shape (n_rows, latent_dim)
            On the table's device.

        Raises
        ------
        ValueError
            If codes are not finite.
        """
        return check_codes(self.apply(self.model.codes, table))

    def apply(self, function: Callable[[Batch], Tensor], table: Table) -> Tensor:
        """Return what a row-wise method of the model says of a table, in eval mode.

        Parameters
        ----------
        function : callable
            The method, such as ``net.model.codes``.
        table : Table
            The rows.

        Returns
        -------
        values : Tensor of shape (n_rows, ...)
            On the table's device.
        """
        was_training = self.model.training
        self.model.eval()
        try:
            return tiled(function, table)
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
        for moment in self.memory_of(parameter):
            moment[rows] = 0

    def memory_of(self, parameter: torch.nn.Parameter) -> list[Tensor]:
        """Return what optimizers remember of a parameter entry by entry, such as moments."""
        remembered = [self.optimizer_of(name).state.get(parameter, {}) for name in self.players_]
        values = [value for state in remembered for value in state.values()]
        return [v for v in values if torch.is_tensor(v) and v.shape == parameter.shape]

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


def _checked(optimizer: Any) -> torch.optim.Optimizer:
    """Return what a user's optimizer= made, if it can train networks."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer must make a torch.optim.Optimizer, got {type(optimizer).__name__}. Pass "
            "its class, such as torch.optim.NAdam, or a function that returns one."
        )
    if isinstance(optimizer, torch.optim.SparseAdam):
        raise ValueError(
            "optimizer=SparseAdam works on sparse gradients only, and those of networks are dense. "
            "Use torch.optim.Adam."
        )
    return optimizer
