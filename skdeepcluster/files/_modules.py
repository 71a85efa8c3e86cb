"""Networks as data: the classes that a file may name, and what an instance consists of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = [
    "MEMORY",
    "ORIGIN",
    "Missing",
    "descendants",
    "joined",
    "kind_named",
    "name_of_kind",
    "qualified_name",
    "settings_of",
]

PACKAGE = __name__.partition(".")[0]
ORIGIN = "_made_by"  # the attribute of a user's network that tells which parameter made it, and how
MEMORY = "memory"  # a parameter of scikit-learn's: a folder whose pickles joblib would load
BARE = vars(nn.Module())  # what every module has: parameters, buffers, children, hooks
STATE = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"}


@dataclass(frozen=True)
class Missing:
    """What a file names and does not hold.

    Parameters
    ----------
    name : str
        The qualified name of the function, class or object.
    """

    name: str


def qualified_name(value: Any) -> str:
    """Return the name of a function or class, or of an object's class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def joined(place: str, key: Any) -> str:
    """Return the name of a place within another."""
    return f"{place}.{key}" if place else str(key)


def name_of_kind(kind: type[nn.Module]) -> str | None:
    """Return the name by which a file knows a class of modules, or None if it is the user's own."""
    if getattr(nn, kind.__name__, None) is kind:
        return f"nn.{kind.__name__}"
    return kind.__name__ if _is_ours(kind) else None


def kind_named(name: str) -> type[nn.Module]:
    """Return the class of modules of a name: a layer of torch's, or one of this package's.

    Raises
    ------
    KeyError
        If there is none.
    """
    found: Any = None
    if name.startswith("nn."):
        found = getattr(nn, name.removeprefix("nn."), None)
    else:
        found = {kind.__name__: kind for kind in descendants(nn.Module) if _is_ours(kind)}[name]
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise KeyError(name)
    return found


def settings_of(module: nn.Module) -> dict[str, Any]:
    """Return what a module was made with: its attributes but for tensors and modules.

    Raises
    ------
    TypeError
        If it has hooks, which are functions.
    """
    own = {name: value for name, value in vars(module).items() if name not in STATE}
    if any(own.get(name) for name in BARE if name.endswith("_hooks")):
        raise TypeError(f"a {type(module).__name__} has hooks, which are functions")
    return {name: value for name, value in own.items() if name not in BARE}


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith(f"{PACKAGE}.")


def descendants(kind: type[Any]) -> Iterator[type[Any]]:
    """Yield the classes that inherit from a class."""
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)
