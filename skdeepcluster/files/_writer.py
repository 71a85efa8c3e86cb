"""From values to JSON and named arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ._modules import MEMORY, ORIGIN, joined, name_of_kind, qualified_name, settings_of

__all__ = ["Writer"]

NATIVE = "biuf"  # kinds of arrays that a file holds as they are


class Writer:
    """Write values as JSON, and gather their arrays under the names of their places.

    What JSON knows is itself; all else is an object with one key, which says what it is.

    Parameters
    ----------
    known : mapping of str to type or function, default={}
        Classes and functions that may be named.
    clusterers : mapping of str to type, default={}
        Classes of estimators that are written by their parameters, as they are before a fit.
    names_others : bool, default=False
        Whether networks and functions of a user's are named, rather than refused.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays so far.

    Examples
    --------
    >>> writer = Writer()
    >>> writer.write({"a": (1, 2.5), "b": np.zeros(3)})
    {'map': {'a': {'tuple': [1, 2.5]}, 'b': {'array': 'b'}}}
    >>> list(writer.arrays)
    ['b']
    """

    def __init__(
        self,
        known: Mapping[str, Any] | None = None,
        clusterers: Mapping[str, type] | None = None,
        names_others: bool = False,
    ) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self._known = {id(kind): name for name, kind in (known or {}).items()}
        self._clusterers = {kind: name for name, kind in (clusterers or {}).items()}
        self._names_others = names_others
        # Tensors and modules that may be met again: held, lest another takes the number of one.
        self._met: dict[int, tuple[Any, Any]] = {}

    def write(self, value: Any, place: str = "") -> Any:
        """Return a value as JSON.

        Parameters
        ----------
        value : object
            What is written.
        place : str, default=""
            Where it stands, by which its arrays are named.

        Returns
        -------
        tree : object
            JSON.

        Raises
        ------
        TypeError
            If it is neither plain, nor an array, nor known.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if type(value) is list:
            return [self.write(each, joined(place, i)) for i, each in enumerate(value)]
        if type(value) is dict:
            return self._write_mapping(value, place)
        for kinds, write in self._writers():
            if isinstance(value, kinds):
                return write(value, place)
        return self._write_known(value, place)

    def attempt(self, value: Any, place: str) -> Any:
        """Return a value as JSON, and leave nothing of it behind if that fails."""
        arrays, met = dict(self.arrays), dict(self._met)
        try:
            return self.write(value, place)
        except TypeError:
            self.arrays, self._met = arrays, met
            raise

    def _writers(self) -> list[tuple[Any, Callable[[Any, str], Any]]]:
        return [
            (nn.Module, self._write_module),
            (Tensor, self._write_tensor),
            (np.ndarray, self._write_array),
            (np.generic, lambda value, place: {"scalar": self._keep(np.asarray(value), place)}),
            (torch.device, lambda value, place: {"device": str(value)}),
            (os.PathLike, lambda value, place: {"path": os.fspath(value)}),
            (partial, self._write_partial),
        ]

    def _write_known(self, value: Any, place: str) -> Any:
        kind = type(value)
        if kind is tuple:
            return {"tuple": self.write(list(value), place)}
        if isinstance(value, type) and issubclass(value, np.generic):
            return {"type": np.dtype(value).name}
        if id(value) in self._known:
            return {"known": self._known[id(value)]}
        if kind in self._clusterers:
            params = value.get_params(deep=False)
            if vars(value).keys() != params.keys():
                raise TypeError(f"a fitted {kind.__name__} is not an array")
            if MEMORY in params and params[MEMORY] is not None:
                raise TypeError(f"the memory of a {kind.__name__} is a folder of pickles")
            tree = self._write_mapping(params, place)["map"]
            return {"estimator": self._clusterers[kind], "params": tree}
        if id(kind) in self._known:
            state = self._write_mapping(_state_of(value), place)["map"]
            return {"object": self._known[id(kind)], "state": state}
        raise TypeError(f"a {kind.__name__} is neither an array nor plain")

    def _write_mapping(self, value: Mapping[Any, Any], place: str) -> Any:
        items = {key: self.write(inner, joined(place, key)) for key, inner in value.items()}
        if all(type(key) is str for key in items):
            return {"map": items}
        return {"pairs": [[self.write(key), inner] for key, inner in items.items()]}

    def _write_partial(self, value: partial[Any], place: str) -> Any:
        parts = [value.func, value.args, value.keywords]
        return {"partial": self.write(parts, place)}

    def _write_array(self, value: NDArray[Any], place: str) -> Any:
        if value.dtype.kind in NATIVE:
            return {"array": self._keep(value, place)}
        texts = value.tolist()
        if value.ndim != 1 or not all(type(each) is str for each in texts):
            raise TypeError(f"an array of {value.dtype} is neither of numbers nor of texts")
        return {"texts": texts, "dtype": value.dtype.str}

    def _write_tensor(self, value: Tensor, place: str) -> Any:
        if id(value) not in self._met:
            array, kind = value.detach().cpu(), "tensor"
            if array.dtype == torch.bfloat16:  # which numpy does not know
                array, kind = array.view(torch.int16), "bfloat16"
            self._met[id(value)] = value, {kind: self._keep(array.numpy(), place)}
        return self._met[id(value)][1]

    def _keep(self, array: NDArray[Any], place: str) -> str:
        """Put an array aside; return its name."""
        name = place
        while name in self.arrays:  # {1: ..., "1": ...} have one place
            name += "'"
        native = array.dtype.newbyteorder("=")
        self.arrays[name] = np.asarray(array, dtype=native, order="C")
        return name

    # -- networks -------------------------------------------------------------------------------

    def _write_module(self, module: nn.Module, place: str) -> Any:
        if id(module) in self._met:
            return {"again": self._met[id(module)][1]}
        self._met[id(module)] = module, place
        if self._names_others and hasattr(module, ORIGIN):
            return self._write_own(module, place)
        name = name_of_kind(type(module))
        if name is None:
            raise TypeError(f"a {qualified_name(module)} is a network of your own")
        tensors = {**module._parameters, **module._buffers}
        return {
            "module": name,
            "settings": {
                key: self._write_setting(value, joined(place, key))
                for key, value in settings_of(module).items()
            },
            "parameters": [[key, *_traits(value)] for key, value in module._parameters.items()],
            "buffers": [
                [key, key not in module._non_persistent_buffers_set] for key in module._buffers
            ],
            "tensors": {
                key: self.write(value, joined(place, key)) for key, value in tensors.items()
            },
            "children": {
                key: self.write(child, joined(place, key)) for key, child in module._modules.items()
            },
            "training": module.training,
        }

    def _write_own(self, module: nn.Module, place: str) -> Any:
        """Write what a user's network learned, and which parameter makes such a network."""
        return {
            "own": self.write(getattr(module, ORIGIN)),
            "name": qualified_name(module),
            "state": self._write_mapping(dict(module.state_dict()), place)["map"],
        }

    def _write_setting(self, value: Any, place: str) -> Any:
        try:
            return self.write(value, place)
        except TypeError:
            if not (callable(value) and self._names_others):
                raise
            return {"missing": qualified_name(value)}


def _traits(parameter: Tensor | None) -> list[bool]:
    return [parameter is not None and parameter.requires_grad]


def _state_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, as it would keep them in a pickle."""
    state: dict[str, Any] = value.__getstate__() or {}
    return state
