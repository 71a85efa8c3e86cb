"""What a fit shows of its progress."""

from __future__ import annotations

import sys
import warnings
from numbers import Real
from typing import Any

import torch
from skorch.callbacks import Callback
from tqdm import TqdmWarning, tqdm

__all__ = ["EpochLog", "HoldIdle", "ProgressBar", "tell"]


class ProgressBar(Callback):
    """A bar per phase with the loss and the time left."""

    def on_resume(self, net: Any) -> None:
        """Say where a fit goes on."""
        if sys.stderr is not None:
            tqdm.write(_resumption(net), file=sys.stderr)

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar of a phase."""
        self.bar_ = _bar_of_here()(
            total=net.n_epochs_,
            initial=net.place_.epoch,
            desc=f"{net.stage}: {net.phase_.name}",
            unit="epoch",
            disable=sys.stderr is None,  # as of a program without a console
        )

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Move the bar."""
        loss = f"{net.history[-1, 'train_loss']:.4g}"
        self.bar_.set_postfix(loss=loss, refresh=False)  # once an epoch is enough
        self.bar_.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()


class EpochLog(Callback):
    """A line per epoch with every loss term."""

    def on_resume(self, net: Any) -> None:
        """Say where a fit goes on."""
        print(_resumption(net), flush=True)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Print the last record."""
        record = {k: v for k, v in net.history[-1].items() if k not in ("batches", "epoch")}
        head = f"{record.pop('stage')}: {record.pop('phase')} {record.pop('phase_epoch')}"
        terms = "  ".join(f"{name} {_shown(value)}" for name, value in record.items())
        print(f"{head}/{net.n_epochs_}  {terms}", flush=True)  # a pipe would keep it back


class HoldIdle(Callback):
    """Hold what a batch did not touch where it is: momentum would let it drift.

    For models that hold several networks, one in each slice along the first axis of all their
    parameters. Such a model has a mask ``idle`` of the networks without a part in the last loss.
    """

    def on_grad_computed(self, net: Any, named_parameters: Any = (), **kwargs: Any) -> None:
        """Keep the idle slices of parameters and of what the optimizer remembers of them."""
        self._held: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        idle = getattr(net.model, "idle", None)
        if idle is None or not idle.any():
            return
        rows = idle.nonzero().flatten()
        for _, parameter in named_parameters:
            for tensor in (parameter.data, *net.memory_of(parameter)):
                self._held.append((tensor, rows, tensor[rows]))

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Put them back."""
        for tensor, rows, before in self._held:
            tensor[rows] = before
        self._held = []


def tell(text: str, verbose: int) -> None:
    """Say what happens between two trainings: beside the bars of one, or among its lines.

    Parameters
    ----------
    text : str
        A line.
    verbose : int
        As of the estimators: 1 for bars, 2 for lines, 0 for nothing.
    """
    if verbose > 1:
        print(text, flush=True)
    elif verbose and sys.stderr is not None:
        tqdm.write(text, file=sys.stderr)


def _bar_of_here() -> Any:
    """Return tqdm's bar for a notebook or a console."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # without widgets, a notebook gets text
        from tqdm.auto import tqdm as bar
    return bar


def _resumption(net: Any) -> str:
    return f"{net.stage}: resumed from the checkpoint after {len(net.history)} epochs"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, Real) else str(value)
