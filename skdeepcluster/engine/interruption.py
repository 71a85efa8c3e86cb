"""Ctrl-C, told from the KeyboardInterrupt by which callbacks stop a phase."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["on_ctrl_c"]


@contextlib.contextmanager
def on_ctrl_c(decide: Callable[[], bool]) -> Iterator[None]:
    """Ask, whenever Ctrl-C is pressed inside the block, whether it may act at once.

    Of blocks within blocks all take note, and the innermost decides.

    Parameters
    ----------
    decide : callable
        Takes note of the key; True lets the usual handler raise KeyboardInterrupt.

    Notes
    -----
    Only the main thread is ever told of signals; elsewhere the block runs as it is.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return

    signal.signal(signal.SIGINT, _Listener(decide, handler))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


class _Listener:
    """Handler of SIGINT that stands before another one."""

    def __init__(self, decide: Callable[[], bool], behind: Callable[[int, Any], Any]):
        self.decide = decide
        self.behind = behind

    def __call__(self, number: int, frame: Any) -> None:
        if self.heed():
            self.usual(number, frame)

    def heed(self) -> bool:
        """Let all take note; return what this one decides."""
        if isinstance(self.behind, _Listener):
            self.behind.heed()
        return self.decide()

    @property
    def usual(self) -> Callable[[int, Any], Any]:
        """The handler that was there before any listener."""
        return self.behind.usual if isinstance(self.behind, _Listener) else self.behind
