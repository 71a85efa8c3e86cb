"""Predictions over what Dask has elsewhere: nothing is computed before somebody asks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["lazily"]


def lazily(width: str | None = None, dtype: Any = None) -> Callable[[Any], Any]:
    """Let a method return a lazy array where it is given one of Dask's, or a frame.

    Since a row's result does not depend on the rows beside it, blocks are a matter of their own.

    Parameters
    ----------
    width : str, default=None
        The attribute that tells the number of the result's columns; None if it has none.
    dtype : dtype, default=None
        Of the result; None is float64 for float64 rows and float32 otherwise.

    Returns
    -------
    decorator : callable
        Of a method that takes rows.
    """

    def decorate(method: Any) -> Any:
        @functools.wraps(method)
        def either(self: Any, X: Any) -> Any:
            if type(X).__module__.partition(".")[0] != "dask":
                return method(self, X)
            return _mapped(functools.partial(_on_block, method.__name__), self, X, width, dtype)

        return either

    return decorate


def _mapped(on_block: Any, model: Any, X: Any, width: str | None, dtype: Any) -> Any:
    """Apply a method to every block of an array, or to every partition of a frame."""
    import dask

    check_is_fitted(model)
    is_frame = hasattr(X, "map_partitions")
    _check_columns(model, X, is_frame)
    rows = X._meta.to_numpy() if is_frame else X
    columns = () if width is None else (int(getattr(model, width)),)
    if dtype is None:
        dtype = np.float64 if rows.dtype == np.float64 else np.float32
    # As one object of the graph: a network is not sent with every block.
    given = {"model": dask.delayed(model, pure=False), "empty": np.empty((0, *columns), dtype)}
    if is_frame:
        return X.map_partitions(on_block, **given, meta=given["empty"])
    others = range(1, X.ndim)
    return X.rechunk({axis: -1 for axis in others}).map_blocks(
        on_block,
        **given,
        dtype=dtype,
        drop_axis=list(others),
        new_axis=[1] if columns else None,
        chunks=(X.chunks[0], *((size,) for size in columns)),
        meta=given["empty"],
    )


def _check_columns(model: Any, X: Any, is_frame: bool) -> None:
    """Refuse rows of another width or with other names before the work begins."""
    flat = X._meta if is_frame else np.empty((0, int(np.prod(X.shape[1:]))))
    validate_data(model, flat, reset=False, skip_check_array=True)


def _on_block(method: str, block: Any, model: Any, empty: Any) -> Any:
    """Apply a method to the rows of a block; a filter may have left none."""
    return getattr(model, method)(block) if len(block) else empty
