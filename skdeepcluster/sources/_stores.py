"""The kinds of stores that rows are read from, and what each says of itself.

A store is only looked at here: h5py, zarr, pyarrow and dask are the user's, who has opened it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

__all__ = ["Store", "store_of"]

PIECE = 2**16  # bytes of rows that are read together where the store has no chunks
LARGEST_PIECE = 2**24  # bytes of a chunk that is cut, where the store can be read by any rows


@dataclass(frozen=True)
class Store:
    """Rows that are read by stretches.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, ...), as the store has it.
    dtype : dtype
        Of the rows, in any byte order.
    borders : ndarray of int
        Where its chunks begin, and where the last ends. Within them reading would be a waste.
    read : callable
        ``read(begin, stop)`` returns the rows between two borders as an array.
    names : data frame, default=None
        One without rows, whose columns have the names of the features, if these have names.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    borders: NDArray[np.intp]
    read: Callable[[int, int], NDArray[Any]]
    names: Any = None


def store_of(X: Any) -> Store | None:
    """Return how to read rows from a store, or None if `X` is none: rows in memory, say.

    Raises
    ------
    TypeError, ValueError
        If it is one that rows cannot be read from.
    """
    if isinstance(X, Dataset):
        return _of_dataset(X)
    if isinstance(X, DataLoader):
        raise TypeError(
            "X is a torch DataLoader, whose rows have no numbers. Pass its dataset; batch_size= "
            "says how many rows an update takes."
        )
    root = type(X).__module__.partition(".")[0]
    if root == "dask":
        return _of_dask(X)
    if root == "pyarrow":
        return _of_arrow(X)
    return _of_array(X) if _is_on_demand(X) else None


def _is_on_demand(X: Any) -> bool:
    """Tell whether something has rows and a type, and hands out its rows rather than memory."""
    has_rows = all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__"))
    in_memory = ("__array_interface__", "__dlpack__", "iloc", "tocsr")
    return has_rows and len(X.shape) > 1 and not any(hasattr(X, name) for name in in_memory)


# -- arrays: HDF5, zarr, netCDF, and whatever else has a shape, a type and slices -----------------


def _of_array(X: Any) -> Store:
    shape, dtype = tuple(map(int, X.shape)), np.dtype(X.dtype)
    chunks: Any = getattr(X, "chunks", None)
    n_bytes = max(1, dtype.itemsize * int(np.prod(shape[1:])))
    step = int(chunks[0]) if chunks else max(1, PIECE // n_bytes)
    # A chunk may span all rows, of some columns.
    step = max(1, min(step, LARGEST_PIECE // n_bytes))
    borders = np.append(np.arange(0, shape[0], step), shape[0])
    return Store(shape, dtype, borders, lambda begin, stop: np.asarray(X[begin:stop]))


# -- torch --------------------------------------------------------------------------------------


def _of_dataset(X: Any) -> Store:
    if isinstance(X, IterableDataset) or not hasattr(X, "__len__"):
        raise TypeError(
            f"X is a torch {type(X).__name__}, which is read from front to back alone; expected a "
            "dataset with __len__ and __getitem__. Write its rows to a file, or collect them."
        )
    if not len(X):
        raise ValueError(f"X is a torch {type(X).__name__} without rows.")
    first = _rows_of(X, 0, 1)
    n_bytes = max(1, first.nbytes)
    borders = np.append(np.arange(0, len(X), max(1, PIECE // n_bytes)), len(X))
    shape = (len(X), *first.shape[1:])
    return Store(shape, first.dtype, borders, lambda begin, stop: _rows_of(X, begin, stop))


def _rows_of(dataset: Any, begin: int, stop: int) -> NDArray[Any]:
    """Return rows of a dataset: what it yields, or the first of it, as it is with labels."""
    rows = default_collate([dataset[number] for number in range(begin, stop)])
    rows = rows[0] if isinstance(rows, list | tuple) else rows
    if not isinstance(rows, torch.Tensor):
        raise TypeError(
            f"X is a torch {type(dataset).__name__} whose rows are no tensors; expected a tensor "
            "or array for each, or a tuple that begins with one."
        )
    if rows.dtype == torch.bfloat16:
        rows = rows.float()
    return rows.detach().cpu().numpy()


# -- dask ---------------------------------------------------------------------------------------


def _of_dask(X: Any) -> Store:
    names = None
    if hasattr(X, "to_dask_array") and getattr(X, "ndim", 0) == 2:
        names = X._meta
        dtype = np.result_type(*map(_of_column, names, names.dtypes))
        X = X.astype(dtype).to_dask_array(lengths=True)
    if not hasattr(X, "chunks"):
        raise TypeError(
            f"X is a dask {type(X).__name__}; expected a dask array or data frame of rows."
        )
    if any(np.isnan(size) for size in X.shape):
        raise ValueError(
            "X is a dask array that does not know how many rows it has. Call "
            "X.compute_chunk_sizes() first."
        )
    borders = np.cumsum([0, *X.chunks[0]])
    return Store(X.shape, X.dtype, borders, lambda a, b: np.asarray(X[a:b].compute()), names)


def _of_column(name: Any, dtype: Any) -> np.dtype[Any]:
    """Return the type of a data frame's column of numbers; flags become numbers beside others."""
    kind = getattr(dtype, "numpy_dtype", dtype)
    if not isinstance(kind, np.dtype) or kind.kind not in "fiub":
        raise ValueError(
            f"X has a column {name!r} of type {dtype}; expected numbers. Leave it out, encode it, "
            "or cast it."
        )
    return np.dtype(np.uint8) if kind.kind == "b" else kind


# -- Arrow --------------------------------------------------------------------------------------


def _of_arrow(X: Any) -> Store | None:
    """Return the rows of a parquet file or of a dataset of files; tables are in memory."""
    if hasattr(X, "num_row_groups"):
        counts = [X.metadata.row_group(i).num_rows for i in range(X.num_row_groups)]
        return _of_pieces(X.schema_arrow, counts, lambda some: X.read_row_groups(some))
    if hasattr(X, "get_fragments"):
        pieces = [piece for fragment in X.get_fragments() for piece in _split(fragment)]
        counts = [_count(piece) for piece in pieces]

        def read(some: Sequence[int]) -> Any:
            import pyarrow

            return pyarrow.concat_tables([pieces[i].to_table(schema=X.schema) for i in some])

        return _of_pieces(X.schema, counts, read)
    return None


def _split(fragment: Any) -> list[Any]:
    """Return the row groups of a parquet file, or a file of another format as a whole."""
    by_group = getattr(fragment, "split_by_row_group", None)
    return list(by_group()) if by_group else [fragment]


def _count(piece: Any) -> int:
    """Return the rows of a piece; of a row group `count_rows` would count the whole file."""
    groups = getattr(piece, "row_groups", None)
    return sum(group.num_rows for group in groups) if groups else int(piece.count_rows())


def _of_pieces(schema: Any, counts: Sequence[int], read: Callable[[Sequence[int]], Any]) -> Store:
    """Return a store of tables, read by whole pieces of them."""
    widths = [_width(field) for field in schema]
    dtype = np.result_type(*(_number(field).to_pandas_dtype() for field in schema))
    borders = np.cumsum([0, *counts])

    def rows(begin: int, stop: int) -> NDArray[Any]:
        first, last = np.searchsorted(borders, [begin, stop])
        return _as_array(read(range(first, last)), dtype)

    named = all(not width for width in widths)
    names = schema.empty_table() if named else None
    return Store((int(borders[-1]), sum(w or 1 for w in widths)), dtype, borders, rows, names)


def _width(field: Any) -> int:
    """Return the length of the vectors in a column of vectors, and 0 for numbers."""
    return getattr(field.type, "list_size", 0)


def _number(field: Any) -> Any:
    """Return the type of a column's numbers."""
    import pyarrow

    kind = field.type.value_type if _width(field) else field.type
    is_number = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)
    if not is_number and not pyarrow.types.is_boolean(kind):
        raise ValueError(
            f"X has a column {field.name!r} of type {field.type}; expected numbers, or vectors of "
            "one length (fixed_size_list). Leave it out, encode it, or cast it."
        )
    return pyarrow.uint8() if pyarrow.types.is_boolean(kind) else kind


def _as_array(table: Any, dtype: Any) -> NDArray[Any]:
    """Return the columns of a table side by side."""
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise ValueError(
                f"X has rows without a value in column {name!r}. Fill them, or leave them out."
            )
        width = _width(column)
        flat = column.combine_chunks().flatten() if width else column
        columns.append(flat.to_numpy().reshape(table.num_rows, -1))
    return np.concatenate(columns, axis=1, dtype=dtype)
