"""Deep clustering methods as scikit-learn estimators."""

from importlib import import_module
from types import ModuleType

from skdeepcluster.base import load as load  # which `__all__`, of estimators alone, leaves out
from skdeepcluster.estimators import *  # noqa: F403 - what is public is listed there alone
from skdeepcluster.estimators import __all__ as __all__
from skdeepcluster.versions import show_versions as show_versions

__version__ = "0.1.0"

_ON_DEMAND = (
    "datasets",
    "features",
    "inspection",
    "metrics",
    "model_selection",
    "plotting",
)  # so that importing us stays cheap


def __getattr__(name: str) -> ModuleType:
    """Import a submodule when it is first used."""
    if name in _ON_DEMAND:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return what there is, submodules that are not imported yet among it."""
    return sorted({*globals(), *_ON_DEMAND})
