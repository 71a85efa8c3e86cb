"""What a checkpoint belongs to: a hash of a fit's parameters and data, and of its networks."""

from __future__ import annotations

import hashlib
import inspect
import site
import sys
import sysconfig
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import joblib
import numpy as np
from scipy import sparse
from sklearn.utils import gen_batches
from torch import Tensor, nn

from skdeepcluster.sources import ChunkedRows

__all__ = ["NO_MATTER", "architecture", "fingerprint"]

# Parameters that change nothing about the result of a fit on one machine.
NO_MATTER = frozenset({"callbacks", "checkpoint", "device", "verbose"})
PASSING = {"device_", "history_", "timings_"}  # attributes that differ between runs of one fit

CHUNK = 2**24  # bytes of rows that are hashed together, so that a memory map is never read whole
PLACES = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    *site.getsitepackages(),
    site.getusersitepackages(),
)
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def fingerprint(*parts: Any) -> str:
    """Return a hash of parameters and data, the same in every process.

    Numbers count, and not how they are held: an array in C or Fortran order, a matrix with indices
    of any type. A fitted estimator among the parameters counts with what it learned, a function
    or a class with its code, unless it belongs to an installed package.

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
    return joblib.hash(_Reader().read(parts))


def architecture(module: nn.Module) -> str:
    """Return a hash of networks as they are built: classes, code, settings and shapes.

    Parameters
    ----------
    module : nn.Module
        The networks. Their weights do not count.

    Returns
    -------
    hash : str
        Hexadecimal digits.

    Examples
    --------
    >>> architecture(nn.Linear(2, 3)) == architecture(nn.Linear(2, 3)) != architecture(
    ...     nn.Linear(2, 4)
    ... )
    True
    """
    reader = _Reader()
    return joblib.hash([(name, reader.layer(part)) for name, part in module.named_modules()])


class _Reader:
    """Replaces what does not hash the same way twice; what it meets again counts by its name."""

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def read(self, value: Any) -> Any:
        """Return a value in types that hash by what they hold."""
        if isinstance(value, np.ndarray | np.generic):
            return _hashable_array(np.asarray(value)) if np.ndim(value) else value.item()
        if isinstance(value, ChunkedRows):
            return _hashable_array(value)
        if sparse.issparse(value):
            return _hashable_matrix(sparse.csr_array(value))
        if isinstance(value, Mapping):
            return {name: self.read(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.read(item) for item in value]
        if isinstance(value, partial):
            return [self.read(part) for part in (value.func, value.args, value.keywords)]
        if inspect.ismethod(value):
            return [self.read(value.__func__), self.read(value.__self__)]
        if callable(value) and hasattr(value, "__qualname__"):
            return self._code(value)
        if isinstance(value, Tensor):
            return self.read(value.detach().cpu().numpy())
        if isinstance(value, nn.Module):
            settings = [_plain_settings(part) for part in value.modules()]  # not among its state
            return [self.read(type(value)), self.read(value.state_dict()), settings]
        if hasattr(value, "get_params"):
            return [type(value).__qualname__, self.read(_lasting(vars(value)))]
        if hasattr(value, "to_numpy"):  # frames and series
            return self.read(value.to_numpy())
        return value

    def layer(self, module: nn.Module) -> list[Any]:
        """Return what a layer is, without the layers in it."""
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        settings = {} if _is_installed(type(module)) else vars(module)
        return [
            self._code(type(module)),
            module.extra_repr(),
            [(name, tuple(tensor.shape)) for name, tensor in own],
            {name: self._setting(value) for name, value in settings.items() if name[0] != "_"},
        ]

    def _setting(self, value: Any) -> Any:
        """Return what code or a layer refers to; what is no setting counts by its type."""
        if isinstance(value, list | tuple):
            return [self._setting(item) for item in value]
        if callable(value) and hasattr(value, "__qualname__"):
            return self._code(value)
        is_setting = type(value) in PLAIN or isinstance(value, nn.Module)
        return self.read(value) if is_setting else type(value).__qualname__

    def _code(self, value: Any) -> Any:
        """Return the name of a function or class and, if it is the user's own, what it does.

        A name alone would not tell two closures apart that one function made, nor a class from
        what it was before it was edited.
        """
        name = f"{value.__module__}.{value.__qualname__}"
        if any(value is seen for seen in self._seen) or _is_installed(value):
            return name
        self._seen.append(value)
        if inspect.isfunction(value):
            return [name, self._function(value)]
        return [name, self._class(value)] if inspect.isclass(value) else name

    def _class(self, kind: type) -> Any:
        members = {
            key: getattr(member, "__func__", getattr(member, "fget", member))
            for key, member in vars(kind).items()
            if not (key.startswith("__") and type(member) in PLAIN)  # its line in the file, say
        }
        inner = {key: self._setting(member) for key, member in members.items()}
        return [[self._code(base) for base in kind.__bases__], inner]

    def _function(self, function: FunctionType) -> Any:
        """Return what a function does, and what it closes over or finds around itself."""
        code, around = function.__code__, function.__globals__
        inner = [cell.cell_contents for cell in function.__closure__ or ()]
        named = [around[name] for name in sorted(_names(code)) if name in around]
        return [
            _instructions(code),
            self.read([function.__defaults__, function.__kwdefaults__]),
            self.read(inner),
            self._setting(named),
        ]


def _is_installed(value: Any) -> bool:
    """Tell whether a function or class is of this package, of an installed one, or of Python."""
    root = str(value.__module__).partition(".")[0]
    if root in sys.stdlib_module_names or root == __name__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(root), "__file__", None)  # that of __main__ may be a launcher's
    return file is not None and root != "__main__" and str(file).startswith(PLACES)


def _hashable_array(array: Any) -> Any:
    """Return the type, the shape and a digest of the numbers of an array, or of rows on disk."""
    if array.dtype.hasobject:
        return array.tolist()
    digest, native = hashlib.sha256(), array.dtype.newbyteorder("=")
    rows = max(1, CHUNK // max(1, array.nbytes // max(1, len(array))))
    for part in gen_batches(len(array), rows):
        digest.update(np.ascontiguousarray(array[part], dtype=native).tobytes())
    return [native.str, array.shape, digest.hexdigest()]


def _hashable_matrix(matrix: sparse.csr_array) -> Any:
    """Return the shape and digests of the entries of a matrix, in order, whatever its indices are.

    Rows are copied chunk by chunk before they are sorted: the matrix is the user's.
    """
    rows = max(1, CHUNK // max(1, matrix.data.nbytes * 3 // max(1, matrix.shape[0])))
    parts = []
    for some in gen_batches(matrix.shape[0], rows):
        chunk = matrix[some].copy()
        chunk.sum_duplicates()
        places = (chunk.indices.astype(np.int64), chunk.indptr.astype(np.int64))
        parts.append([_hashable_array(array) for array in (chunk.data, *places)])
    return ["sparse", matrix.shape, parts]


def _lasting(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what differs between two runs of one fit, such as seconds."""
    return {k: v for k, v in attributes.items() if k not in NO_MATTER | PASSING}


def _plain_settings(module: nn.Module) -> dict[str, Any]:
    """Return the numbers and texts that a layer was made with, such as the share of a dropout."""
    own = {name: value for name, value in vars(module).items() if type(value) in PLAIN}
    return {name: value for name, value in own.items() if name[0] != "_" and name != "training"}


def _names(code: CodeType) -> set[str]:
    """Return the names that a function and those within it look up."""
    within = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*within)


def _instructions(code: CodeType) -> Any:
    return [code.co_code, code.co_names, [_hashable_constant(c) for c in code.co_consts]]


def _hashable_constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _instructions(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value
