"""Warnings of a fit: one of a kind, with its count, when the fit is over."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

from sklearn.exceptions import ConvergenceWarning

__all__ = ["gathered", "notice", "warn"]

Noted = dict[tuple[str, type[Warning]], list[str]]  # messages by their kind

_NOTED: ContextVar[Noted | None] = ContextVar("noted", default=None)
PASSED = ("skdeepcluster", "sklearn", "contextlib")  # between the user and a warning


def notice(message: str, category: type[Warning] = ConvergenceWarning) -> None:
    """Warn, in a fit at its end and once of every kind.

    Parameters
    ----------
    message : str
        The message. Those that differ in numbers alone are of one kind.
    category : type of Warning, default=ConvergenceWarning
        The category.
    """
    noted = _NOTED.get()
    if noted is None:
        warn(message, category)
    else:
        noted.setdefault((re.sub(r"\d+", "#", message), category), []).append(message)


@contextlib.contextmanager
def gathered() -> Iterator[None]:
    """Keep back what is noticed inside the block, and warn at its end."""
    noted: Noted = {}
    token = _NOTED.set(noted)
    try:
        yield
    finally:
        _NOTED.reset(token)
        for (_, category), messages in noted.items():
            more = f" ({len(messages)} times in this fit; this was the first.)"
            warn(messages[0] + (more if len(messages) > 1 else ""), category)


def warn(message: str, category: type[Warning]) -> None:
    """Warn at once, and where the user's own code is."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in PASSED:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
