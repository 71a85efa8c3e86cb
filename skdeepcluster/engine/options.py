"""What users hand to the trainer: callbacks and parameters of skorch's, checked with advice."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    InputShapeSetter,
    LoadInitState,
    PassthroughScoring,
    TrainEndCheckpoint,
)

__all__ = ["check_callbacks", "check_trainer_params"]

RESERVED = {
    "module": "bring your own networks with encoder= and decoder=",
    "criterion": "the method defines its losses",
    "train_split": "there are no targets to validate on; compare fits by score()",
    "iterator_train": "batches are sliced from the data directly",
    "iterator_valid": "there is no validation set",
    "dataset": "batches are sliced from the data directly",
    "callbacks": "use the estimator's callbacks=",
    "device": "use the estimator's device=",
    "precision": "use the estimator's precision=",
    "stage": "the method names its stages",
    "draws": "use the estimator's random_state=",
    "batch_size": "use the estimator's batch_size=",
    "lr": "use the estimator's lr=",
    "optimizer": "use the estimator's optimizer=",
    "max_epochs": "use the estimator's max_epochs=",
    "verbose": "use the estimator's verbose=",
    "warm_start": "a fit begins anew, and only what a crash cut short goes on, from a checkpoint=",
}


UNFIT: dict[Any, str] = {  # callbacks, and why they cannot work
    (Checkpoint, TrainEndCheckpoint, LoadInitState): (
        "saves or loads skorch's net, which a fit does not keep. Use the estimator's checkpoint= "
        "to resume a fit, and joblib.dump to keep a fitted one."
    ),
    (EpochScoring, BatchScoring, PassthroughScoring): (
        "compares predictions with targets, and there are none. Every loss term is in history_ "
        "already; a callback of your own can record more."
    ),
    (InputShapeSetter,): (
        "sets the input's shape of a network, which is known already: encoder= is given it."
    ),
}


def check_callbacks(callbacks: Sequence[Any] | None) -> list[Any]:
    """Return the user's callbacks, themselves: what they collect is for whoever passed them.

    Parameters
    ----------
    callbacks : sequence of skorch callbacks, or of (name, callback), or None
        The parameter.

    Returns
    -------
    callbacks : list
        The same objects.

    Raises
    ------
    ValueError
        If a callback needs what these estimators do not have.
    """
    own = list(() if callbacks is None else callbacks)
    for item in own:
        _check_callback(item[1] if _is_named(item) else item)
    return own


def _is_named(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _check_callback(callback: Any) -> None:
    """Refuse what is not a callback, and callbacks that cannot work."""
    kind = callback if inspect.isclass(callback) else type(callback)
    if not issubclass(kind, Callback):
        raise ValueError(
            f"callbacks must be skorch callbacks, or pairs of a name and one, got {callback!r}."
        )
    for kinds, reason in UNFIT.items():
        if issubclass(kind, kinds):
            raise ValueError(f"{kind.__name__} {reason}")
    if issubclass(kind, EarlyStopping) and _monitor(callback).startswith("valid"):
        raise ValueError(
            f"EarlyStopping monitors {_monitor(callback)!r}, but there is no validation set. "
            'Use EarlyStopping(monitor="train_loss"), or a key that all records of history_ have.'
        )


def _monitor(callback: Any) -> str:
    return "valid_loss" if inspect.isclass(callback) else str(callback.monitor)


def check_trainer_params(
    trainer_params: Mapping[str, Any] | None, own: Collection[str] = ()
) -> dict[str, Any]:
    """Return skorch parameters that the estimator does not set itself.

    Parameters
    ----------
    trainer_params : mapping or None
        The parameter.
    own : collection of str, default=()
        Names of the estimator's parameters.

    Returns
    -------
    params : dict
        A copy.

    Raises
    ------
    ValueError
        If a parameter belongs to the estimator.
    TypeError
        If a name is not a string.

    Examples
    --------
    >>> check_trainer_params({"optimizer__weight_decay": 1e-5})
    {'optimizer__weight_decay': 1e-05}
    """
    for name in trainer_params or ():
        if not isinstance(name, str):
            raise TypeError(f"The keys of trainer_params must be strings, got {name!r}.")
        part, _, option = name.partition("__")
        rate = part.removesuffix("optimizer") + option  # of a player: critic_lr
        if part.endswith("optimizer") and option == "lr" and rate in {"lr", *own}:
            raise ValueError(f"trainer_params cannot set {name!r}: use the estimator's {rate}=.")
        if part in RESERVED and not (option and part in ("callbacks", "optimizer")):
            raise ValueError(f"trainer_params cannot set {name!r}: {RESERVED[part]}.")
    return dict(trainer_params or {})
