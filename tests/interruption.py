"""Callbacks that end a fit, for tests."""

from __future__ import annotations

import os
import signal
from typing import Any

from skorch.callbacks import Callback


class CtrlC(Callback):
    """Press Ctrl-C at an event, unless it was there only so often."""

    def __init__(self, after: int = 0, event: str = "on_epoch_begin"):
        self.after = after
        self.event = event
        self.seen_ = 0

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self._press_at("on_train_begin")

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self._press_at("on_epoch_begin")

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self._press_at("on_train_end")

    def _press_at(self, event: str) -> None:
        self.seen_ += event == self.event
        if event == self.event and self.seen_ > self.after:
            os.kill(os.getpid(), signal.SIGINT)


class Crash(Callback):
    """Raise an error at the start of an epoch."""

    def __init__(self, after: int):
        self.after = after
        self.seen = 0

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.seen += 1
        if self.seen > self.after:
            raise RuntimeError("crash")


class NoTraining(Callback):
    """Fail if training begins."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        raise AssertionError("an epoch began")
