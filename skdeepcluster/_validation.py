"""What users hand over: rows of any kind, weights, networks; checked once, with advice."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import _check_sample_weight
from torch import nn
from torch.utils.data import DataLoader, Dataset

__all__ = [
    "as_rows",
    "canonical",
    "check_image_shape",
    "check_network",
    "check_weight",
]

# Types that batches are read from as they are, in any byte order; others become the first.
_FLOATS: list[Any] = [np.float64, np.float32, np.float16]
_INTEGERS: list[Any] = [
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
]
_NATIVE = [*_FLOATS, *_INTEGERS]
DTYPES = [*_NATIVE, *(np.dtype(kind).newbyteorder() for kind in _NATIVE)]

LEAST_WEIGHT = (
    1e-30  # of the largest; beside it float32 would take less for nothing, or divide by it
)


def as_rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Flatten images to rows.

    Parameters
    ----------
    X : array-like, sparse matrix, data frame or tensor
        Rows, or images of shape (n, height, width) or (n, channels, height, width); a list of
        images will do.

    Returns
    -------
    rows : same kind, or ndarray of shape (n, n_features)
        The rows.
    shape : tuple of int or None
        The shape of one image; None for rows.

    Raises
    ------
    ValueError
        If images seem to have their channels last, or are not of one size.

    Examples
    --------
    >>> rows, shape = as_rows(np.zeros((5, 8, 8)))
    >>> rows.shape, shape
    ((5, 64), (8, 8))
    """
    _check_kind(X)
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        X = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    if getattr(X, "dtype", None) == np.bool_ and isinstance(X, np.ndarray):
        X = X.view(np.uint8)
    if isinstance(X, list | tuple) and X and np.ndim(X[0]) > 1:
        X = _stacked(X)
    if sparse.issparse(X) or getattr(X, "ndim", 2) not in (3, 4):
        return X, None
    X = np.asanyarray(X)
    if X.ndim == 4 and X.shape[1] not in (1, 3, 4) and X.shape[3] in (1, 3, 4):
        raise ValueError(
            f"X of shape {X.shape} looks like images with their channels last; expected "
            "(n_samples, channels, height, width). Use X.transpose(0, 3, 1, 2), or pass flat rows "
            "and image_shape if the second axis really holds the channels."
        )
    return X.reshape(len(X), int(np.prod(X.shape[1:]))), X.shape[1:]


def _check_kind(X: Any) -> None:
    """Say what to pass instead of a thing that holds rows, or names them, but is none."""
    kind = type(X).__name__
    if isinstance(X, str | bytes | os.PathLike):
        raise TypeError(
            f"X is a path, {X!r}; expected rows. Open the file first: numpy.load(path, "
            'mmap_mode="r"), h5py.File(path)[name], zarr.open(path) or '
            "pyarrow.dataset.dataset(path), all of which are read batch by batch."
        )
    if isinstance(X, Dataset | DataLoader):
        raise TypeError(
            f"X is a torch {kind}; expected rows. Stack them: torch.stack([row for row, *_ in "
            "dataset]) if it yields tuples."
        )
    if isinstance(X, torch.Tensor) and X.is_meta:
        raise ValueError('X is a tensor on device "meta", which holds no numbers.')
    if isinstance(X, torch.Tensor) and X.layout != torch.strided:
        raise TypeError(
            "X is a sparse tensor; expected a dense one, X.to_dense(), or a scipy.sparse matrix, "
            "which is densified batch by batch."
        )
    first = _first_value(X)
    if isinstance(first, list | tuple | np.ndarray) and getattr(X, "ndim", 0) in (1, 2):
        raise ValueError(
            f"X is a {kind} whose values are vectors; expected a column for every number. Stack "
            "them: numpy.stack(list(column))."
        )
    if words := _columns_of_words(X):
        some = ", ".join(map(repr, words[:5])) + (", ..." if len(words) > 5 else "")
        raise ValueError(
            f"X has columns of words: {some}; expected numbers. Make them one-hot first, by a "
            "OneHotEncoder in a ColumnTransformer."
        )


def _first_value(X: Any) -> Any:
    """Return the first value of an object array, or of a frame or column that has objects."""
    values = X.iloc[:1].to_numpy() if hasattr(X, "iloc") else X
    is_array = isinstance(values, np.ndarray) and values.dtype.hasobject and values.size
    return values.flat[0] if is_array else None


def _columns_of_words(X: Any) -> list[Any]:
    """Return the names of the columns of a frame that cannot be read as numbers."""
    if getattr(X, "ndim", 0) != 2 or not hasattr(X, "iloc"):
        return []
    kinds = [dtype.kind for dtype in X.dtypes]
    return [
        name
        for place, (name, kind) in enumerate(zip(X.columns, kinds, strict=True))
        if kind == "O" and _are_words(X.iloc[:, place])
    ]


def _are_words(column: Any) -> bool:
    try:
        column.astype(float)
    except ValueError:
        return True
    except TypeError:  # missing values, say, of which scikit-learn tells
        return False
    return False


def canonical(X: Any) -> Any:
    """Return rows whose sparse entries are in order and there once, in a copy if they were not.

    Otherwise scipy puts them in order itself, in place, the first time that it has to: in the
    user's matrix, which other threads may read at that moment, or which may be read-only.

    Parameters
    ----------
    X : ndarray or CSR matrix
        Rows.

    Returns
    -------
    rows : same kind
        `X` itself, if it can be.

    Examples
    --------
    >>> twice = sparse.csr_array(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 1))
    >>> canonical(twice).data, twice.data
    (array([3.]), array([1., 2.]))
    """
    if not sparse.issparse(X) or X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def _stacked(images: Sequence[Any]) -> NDArray[Any]:
    """Return a list of images as one array."""
    shapes = sorted({np.shape(image) for image in images})
    if len(shapes) > 1:
        raise ValueError(
            f"X holds images of {len(shapes)} shapes, such as {shapes[0]} and {shapes[-1]}; "
            "expected one. Resize or crop them first."
        )
    return np.asarray(images)


def check_image_shape(
    image_shape: Sequence[int] | None, row_shape: tuple[int, ...] | None, n_features: int
) -> tuple[int, ...]:
    """Return the shape of one input of the networks.

    Parameters
    ----------
    image_shape : sequence of int or None
        The user's (channels, height, width).
    row_shape : tuple of int or None
        The shape of an image in a 3-d or 4-d array.
    n_features : int
        The length of a flattened row.

    Returns
    -------
    shape : tuple of int
        (n_features,) or (channels, height, width).

    Raises
    ------
    ValueError
        If the shapes contradict each other.

    Examples
    --------
    >>> check_image_shape(None, (8, 8), 64)
    (1, 8, 8)
    """
    own = None if row_shape is None else (1, *row_shape)[-3:]
    if image_shape is None:
        return own or (n_features,)
    sizes: Sequence[Any] = image_shape
    shape = tuple(int(size) for size in sizes if isinstance(size, Integral))
    fits = len(image_shape) == len(shape) == 3 and min(shape) > 0 and np.prod(shape) == n_features
    if not fits or own not in (None, shape):
        expected = own or f"three sizes whose product is {n_features}"
        raise ValueError(
            f"image_shape={tuple(image_shape)!r} does not fit the data: expected (channels, "
            f"height, width) = {expected}."
        )
    return shape


def check_network(
    make: Callable[..., nn.Module],
    name: str,
    arguments: tuple[Any, ...],
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    copies: dict[int, Any] | None = None,
) -> nn.Module:
    """Return a copy of the network that a user's callable makes, after a look at its output.

    Parameters
    ----------
    make : callable
        The user's parameter.
    name : str
        The name of the parameter.
    arguments : tuple
        What it is called with, as the function of `networks` in its place: the shape of a row and
        the number of outputs for an encoder, that of inputs and the shape for a decoder.
    input_shape, output_shape : tuple of int
        Shapes of one input and one output of the network.
    copies : dict, default=None
        Memo of :func:`copy.deepcopy`, shared by networks that may share weights with each other.

    Returns
    -------
    network : nn.Module
        In float32 and in train mode. What the callable keeps, to return it again, is not touched.

    Raises
    ------
    ValueError
        If it takes other arguments, is not a network, fails, or has another output.

    Examples
    --------
    >>> def encoder(shape, n_outputs):
    ...     return nn.Linear(*shape, n_outputs)
    >>> check_network(encoder, "encoder", ((5,), 2), (5,), (2,))
    Linear(in_features=5, out_features=2, bias=True)
    """
    call = f"{name}({', '.join(_ARGUMENTS[name])})"
    if isinstance(make, nn.Module):
        raise ValueError(
            f"{name} must be a callable that makes a new nn.Module for every fit, got an "
            f"nn.Module. Pass a function: {call}."
        )
    if not _takes(make, arguments):
        raise ValueError(
            f"{name} must take {len(arguments)} arguments, as in {call}, and is called with "
            f"{', '.join(map(repr, arguments))}; got {make!r}."
        )
    network = make(*arguments)
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} must return an nn.Module, got {type(network).__name__}.")
    network = _unshared(network, make, name, arguments, {} if copies is None else copies)
    _probe(network.float().eval(), name, (2, *input_shape), (2, *output_shape))
    return network.train()


def _unshared(
    network: nn.Module,
    make: Callable[..., nn.Module],
    name: str,
    arguments: tuple[Any, ...],
    copies: dict[int, Any],
) -> nn.Module:
    """Return a network that no other fit trains: a copy, or a new one that cannot be copied."""
    try:
        return copy.deepcopy(network, copies)
    except Exception as error:  # what a user's network holds can raise any
        with torch.random.fork_rng(devices=[]):
            known = {id(part) for part in make(*arguments).modules()}
        if any(id(part) in known for part in network.modules()):
            raise ValueError(
                f"{name} returns the same nn.Module again, and it cannot be copied ({error}). "
                "Make a new one at every call."
            ) from error
        return network


_ARGUMENTS = {
    "encoder": ("shape", "n_outputs"),
    "decoder": ("n_inputs", "shape"),
    "critic": ("shape",),
}


def _takes(make: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    """Tell whether a callable can be called with arguments, as far as its signature is known."""
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a callable without a signature
        return True
    return True


def _probe(
    network: nn.Module, name: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> None:
    """Try a user's network, rather than leave the explanation to the middle of a training."""
    try:
        with torch.no_grad():
            found = tuple(network(torch.zeros(input_shape, dtype=torch.float32)).shape)
    except Exception as error:  # a user's network can raise any
        raise ValueError(
            f"{name} fails on an input of shape {input_shape}: {error}. Expected a tensor of "
            f"shape {output_shape}."
        ) from error
    if found != output_shape:
        raise ValueError(
            f"{name} maps an input of shape {input_shape} to {found}; expected {output_shape}, as "
            f"the parameter's description has it."
        )


def check_weight(sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    """Return weights with mean 1 over the rows that count, or None.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), float or None
        Weights, not negative.
    X : array of shape (n_samples, n_features)
        The rows.

    Returns
    -------
    weight : ndarray of shape (n_samples,) or None
        Normalised weights. One too small for float32 to know beside the largest is 0.

    Raises
    ------
    ValueError
        If a weight is negative or all are zero.

    Examples
    --------
    >>> check_weight([0, 1, 3], np.zeros((3, 1)))
    array([0. , 0.5, 1.5])
    """
    if sample_weight is None:
        return None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError(
            "sample_weight is zero everywhere: at least one row must have a positive weight."
        )
    weight = weight / weight.max()  # or the sum could overflow
    weight[weight < LEAST_WEIGHT] = 0
    return weight / weight[weight > 0].mean()
