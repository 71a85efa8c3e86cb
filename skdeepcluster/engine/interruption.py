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

    def note(number: int, frame: Any) -> None:
        if decide():
            handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
