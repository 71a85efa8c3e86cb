"""Callbacks that end a fit, for tests."""

from __future__ import annotations

import os
import signal
from typing import Any

from skorch.callbacks import Callback


class CtrlC(Callback):
    """Press Ctrl-C during an epoch."""

    def __init__(self, after: int):
        self.after = after
        self.epochs_ = 0

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.epochs_ += 1
        if self.epochs_ > self.after:
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
