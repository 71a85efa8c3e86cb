"""Parameters that matter under a condition only, and what is said where they cannot."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MattersIf", "check_conditions"]


@dataclass(frozen=True)
class MattersIf:
    """A condition without which some parameters change nothing.

    Parameters
    ----------
    names : tuple of str
        The parameters.
    holds : callable
        Tells of an estimator whether they matter.
    otherwise : str
        Why they do not, where the condition fails; parameters in braces are filled in.
    way_out : str
        What makes them matter.
    """

    names: tuple[str, ...]
    holds: Callable[[Any], bool]
    otherwise: str
    way_out: str


def check_conditions(estimator: Any) -> None:
    """Refuse values that somebody has chosen and that change nothing.

    Parameters
    ----------
    estimator : DeepClusterer
        It declares its conditions as `_conditions`.

    Raises
    ------
    ValueError
        If a parameter that does not matter has another value than its default.
    """
    for condition in estimator._conditions:
        if condition.holds(estimator):
            continue
        for name in condition.names:
            value, default = getattr(estimator, name), _default_of(type(estimator), name)
            if _differs(value, default):
                reason = condition.otherwise.format_map(_Shown(estimator))
                raise ValueError(
                    f"{name}={value!r} would have no effect: {reason}. {condition.way_out}, or "
                    f"leave {name} at its default, {default!r}."
                )


class _Shown(dict[str, str]):
    """The parameters of an estimator, as code shows them."""

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.estimator = estimator

    def __missing__(self, name: str) -> str:
        return f"{name}={getattr(self.estimator, name)!r}"


def _default_of(kind: type, name: str) -> Any:
    """Return the default of a parameter, also where a user's subclass does not name it."""
    for each in kind.__mro__:
        parameter = inspect.signature(each.__init__).parameters.get(name)  # type: ignore[misc]
        if parameter is not None and parameter.default is not parameter.empty:
            return parameter.default
    raise TypeError(f"{kind.__name__} has no parameter {name!r} with a default.")


def _differs(value: Any, default: Any) -> bool:
    """Tell whether a value is not the default; widths may come as any sequence."""
    if isinstance(value, Mapping):
        return bool(value)
    return value is not default and not np.array_equal(value, default)
