"""From JSON and named arrays to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ._files import Foreign
from ._modules import MEMORY, Missing, joined, kind_named

__all__ = ["Reader"]

MakeOwn = Callable[[Any, str], nn.Module]  # from what made a user's network, and its class's name


class Reader:
    """Read what :class:`Writer` wrote. Only classes and functions that are known are looked up.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The arrays; they are copied.
    known, clusterers : mapping of str to type or function, default={}
        As for :class:`Writer`.
    make_own : callable, default=None
        Makes a network of the user's.

    Examples
    --------
    >>> reader = Reader({"b": np.zeros(3)})
    >>> reader.read({"map": {"a": {"tuple": [1, 2.5]}, "b": {"array": "b"}}})
    {'a': (1, 2.5), 'b': array([0., 0., 0.])}
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        known: Mapping[str, Any] | None = None,
        clusterers: Mapping[str, type] | None = None,
        make_own: MakeOwn | None = None,
    ) -> None:
        self._arrays = arrays
        self._known = known or {}
        self._clusterers = clusterers or {}
        self._make_own = make_own
        self._tensors: dict[tuple[str, bool | None], Tensor] = {}
        self._modules: dict[str, nn.Module] = {}

    def read(self, tree: Any, place: str = "") -> Any:
        """Return the value of a tree.

        Parameters
        ----------
        tree : object
            JSON.
        place : str, default=""
            Where it stands.

        Returns
        -------
        value : object
            The value.

        Raises
        ------
        Foreign
            If the tree is none that a writer made, or names what is not known.
        """
        try:
            return self._read(tree, place)
        except (LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise Foreign(f"holds something that this package does not write: {error!r}") from error

    def _read(self, tree: Any, place: str) -> Any:
        if isinstance(tree, list):
            return [self._read(each, joined(place, i)) for i, each in enumerate(tree)]
        if not isinstance(tree, dict):
            return tree
        return self._readers()[next(iter(tree), "")](tree, place)

    def _readers(self) -> dict[str, Callable[[dict[str, Any], str], Any]]:
        return {
            "float": lambda tree, place: float(tree["float"]),
            "tuple": lambda tree, place: tuple(self._read(tree["tuple"], place)),
            "map": lambda tree, place: self._read_map(tree["map"], place),
            "pairs": self._read_pairs,
            "array": lambda tree, place: np.array(self._arrays[tree["array"]]),
            "scalar": lambda tree, place: self._arrays[tree["scalar"]][()],
            "texts": lambda tree, place: np.array(tree["texts"], dtype=tree["dtype"]),
            "tensor": lambda tree, place: self._tensor(tree),
            "bfloat16": lambda tree, place: self._tensor(tree),
            "type": lambda tree, place: np.dtype(tree["type"]).type,
            "device": lambda tree, place: torch.device(tree["device"]),
            "path": lambda tree, place: Path(tree["path"]),
            "missing": lambda tree, place: Missing(tree["missing"]),
            "known": lambda tree, place: self._known[tree["known"]],
            "partial": self._read_partial,
            "estimator": self._read_estimator,
            "object": self._read_object,
            "module": self._read_module,
            "own": self._read_own,
            "again": lambda tree, place: self._modules[tree["again"]],
        }

    def _read_map(self, items: dict[str, Any], place: str) -> dict[str, Any]:
        return {key: self._read(inner, joined(place, key)) for key, inner in items.items()}

    def _read_pairs(self, tree: dict[str, Any], place: str) -> dict[Any, Any]:
        pairs = [(self._read(key, ""), inner) for key, inner in tree["pairs"]]
        return {key: self._read(inner, joined(place, key)) for key, inner in pairs}

    def _read_partial(self, tree: dict[str, Any], place: str) -> partial[Any]:
        function, args, keywords = self._read(tree["partial"], place)
        return partial(function, *args, **keywords)

    def _read_estimator(self, tree: dict[str, Any], place: str) -> Any:
        params = self._read_map(tree["params"], place)
        if params.get(MEMORY) is not None:
            raise LookupError(f"a folder of pickles: {params[MEMORY]!r}")
        return self._clusterers[tree["estimator"]](**params)

    def _read_object(self, tree: dict[str, Any], place: str) -> Any:
        kind = self._known[tree["object"]]
        value = kind.__new__(kind)
        vars(value).update(self._read_map(tree["state"], place))
        return value

    def _tensor(self, tree: dict[str, str], learns: bool | None = None) -> Tensor:
        """Return a tensor, or a parameter; one that was met before is the same again."""
        ((kind, name),) = tree.items()
        if (name, learns) not in self._tensors:
            tensor = torch.from_numpy(np.array(self._arrays[name]))
            tensor = tensor.view(torch.bfloat16) if kind == "bfloat16" else tensor
            self._tensors[name, learns] = tensor if learns is None else nn.Parameter(tensor, learns)
        return self._tensors[name, learns]

    # -- networks -------------------------------------------------------------------------------

    def _read_module(self, tree: dict[str, Any], place: str) -> nn.Module:
        kind = kind_named(tree["module"])
        module = kind.__new__(kind)
        nn.Module.__init__(module)
        self._modules[place] = module
        # By torch's own road, which adds what its later versions expect.
        settings = self._read_map(tree["settings"], place)
        settings = {k: None if isinstance(v, Missing) else v for k, v in settings.items()}
        if settings.keys() & vars(module).keys():
            raise ValueError(f"a {tree['module']} has settings that it cannot have")
        module.__setstate__({**vars(module), **settings})
        for key, learns in tree["parameters"]:
            found = tree["tensors"][key]
            module._parameters[key] = found and self._tensor(found, learns)  # type: ignore[assignment]
        for key, lasts in tree["buffers"]:
            found = tree["tensors"][key]
            module.register_buffer(key, found and self._tensor(found), lasts)
        for key, child in tree["children"].items():
            module._modules[key] = self._read(child, joined(place, key))
        module.training = tree["training"]
        return module

    def _read_own(self, tree: dict[str, Any], place: str) -> nn.Module:
        if self._make_own is None:
            raise LookupError(tree["name"])
        module = self._make_own(self._read(tree["own"], ""), tree["name"])
        self._modules[place] = module
        try:
            module.load_state_dict(self._read_map(tree["state"], place))
        except RuntimeError as error:  # other names or shapes
            raise ValueError(
                f"has a {tree['name']} that learned something else than what is given: {error}"
            ) from error
        return module.eval()
