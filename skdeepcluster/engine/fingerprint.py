"""What a checkpoint belongs to: a hash of a fit's parameters and data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import joblib
import numpy as np
from scipy import sparse
from torch import Tensor, nn

__all__ = ["NO_MATTER", "fingerprint"]

# Parameters that change nothing about the result of a fit on one machine.
NO_MATTER = frozenset({"callbacks", "checkpoint", "device", "verbose"})


def fingerprint(*parts: Any) -> str:
    """Return a hash of parameters and data, the same in every process.

    A fitted estimator among the parameters counts with what it learned.

    Parameters
    ----------
    *parts : object
        Arrays, sparse matrices, and nested dicts of parameters.

    Returns
    -------
    hash : str
        Hexadecimal digits.

    Examples
    --------
    >>> fingerprint({"lr": 0.1}) == fingerprint({"lr": 0.1})
    True
    """
    return joblib.hash([_hashable(part) for part in parts])


def _hashable(value: Any) -> Any:
    """Replace what does not hash the same way twice."""
    if sparse.issparse(value):
        return [value.data, value.indices, value.indptr, value.shape]
    if isinstance(value, Mapping):
        return {name: _hashable(inner) for name, inner in value.items()}
    if isinstance(value, partial):
        return [_hashable(part) for part in (value.func, value.args, value.keywords)]
    if inspect.ismethod(value):
        return [_hashable(value.__func__), _hashable(value.__self__)]
    if inspect.isfunction(value):
        return _hashable_function(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_params") and not inspect.isclass(value):
        return [type(value).__qualname__, _hashable(_lasting(vars(value)))]
    if isinstance(value, list | tuple):
        return [_hashable(item) for item in value]
    if isinstance(value, nn.Module):
        return [type(value).__qualname__, _hashable(value.state_dict())]
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value) if isinstance(value, np.ndarray) else value


def _lasting(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what differs between two runs of one fit, such as seconds."""
    return {k: v for k, v in attributes.items() if k not in NO_MATTER | {"device_", "history_"}}


def _hashable_function(function: FunctionType) -> Any:
    """Replace a function by its name, what it does, and what it closes over.

    A name alone would not tell two closures apart that one function made.
    """
    inner = [cell.cell_contents for cell in function.__closure__ or ()]
    return [
        f"{function.__module__}.{function.__qualname__}",
        _instructions(function.__code__),
        [_hashable(value) for value in (function.__defaults__, function.__kwdefaults__)],
        [_hashable(value) for value in inner if value is not function],
    ]


def _instructions(code: CodeType) -> Any:
    return [code.co_code, code.co_names, [_hashable_constant(c) for c in code.co_consts]]


def _hashable_constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _instructions(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value
