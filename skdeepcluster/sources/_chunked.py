"""Rows of a store as what looks like an array, and is read block by block."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite

from ._stores import Store, _of_array, store_of

__all__ = ["BUFFER", "ChunkedRows", "open_source"]

BUFFER = 2**28  # bytes
SHARES = 64  # blocks of a buffer: the more there are, the better the rows of the data are mixed


def open_source(X: Any) -> ChunkedRows | None:
    """Return a store as rows that are read by chunks, or None if `X` is no store.

    Parameters
    ----------
    X : object
        Whatever a user takes for rows.

    Returns
    -------
    rows : ChunkedRows or None
        `X` itself if it is one.
    """
    if isinstance(X, ChunkedRows):
        return X
    store = store_of(X)
    return None if store is None else ChunkedRows(store)


class ChunkedRows:
    """Rows that are read from a store by chunks, whatever their number.

    Estimators make one of every store themselves; make it to choose the buffer, or to have an
    array or a memory map read by chunks. In training, chunks are shuffled, and the rows of as many
    as fit into half of the buffer, while the other half is read ahead. A source that fits into the
    buffer as a whole is loaded, and then no different from an array.

    Parameters
    ----------
    source : object
        A dataset of h5py, an array of zarr or dask, a parquet file or dataset of pyarrow, a
        map-style dataset of torch, a memory map, or anything else that has a shape, a type and
        slices of rows. Rows of more than one dimension are images.
    buffer_size : int, default=268435456
        Bytes of rows that a fit holds in memory, 256 MB.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_features).
    dtype : dtype
        Of the rows, in the byte order of this machine.
    row_shape : tuple of int or None
        The shape of an image, or None for rows.
    nbytes : int
        Of all rows.

    Raises
    ------
    TypeError
        If the source is none, or does not hold numbers.

    Examples
    --------
    >>> import numpy as np
    >>> rows = ChunkedRows(np.arange(12).reshape(6, 2), buffer_size=2**20)
    >>> rows.shape, rows[2:4]
    ((6, 2), array([[4, 5],
           [6, 7]]))
    """

    ndim = 2

    def __init__(self, source: Any, buffer_size: int = BUFFER):
        if buffer_size < 1:
            raise ValueError(f"buffer_size={buffer_size} must be a positive number of bytes.")
        self.buffer_size = int(buffer_size)
        self._store = source if isinstance(source, Store) else _known(source)
        shape = self._store.shape
        if len(shape) not in (2, 3, 4):
            raise ValueError(
                f"X has {len(shape)} dimensions; expected (n_samples, n_features), or images."
            )
        self.row_shape = shape[1:] if len(shape) > 2 else None
        self.shape = (shape[0], int(np.prod(shape[1:])))
        self.dtype = _number_type(self._store.dtype)
        self.borders = _joined(self._store.borders, self.buffer_size // SHARES, self.n_row_bytes)
        self._alone = threading.Lock()  # few stores say whether threads may share them
        self._last: tuple[int, NDArray[Any]] = -1, np.empty(0)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return consecutive rows."""
        if not isinstance(rows, slice):
            raise TypeError(f"rows on disk are read by slices, and not by a {type(rows).__name__}.")
        return self.take(np.arange(*rows.indices(len(self))))

    @property
    def n_row_bytes(self) -> int:
        """The bytes of a row."""
        return max(1, self.shape[1] * self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """The bytes of all rows."""
        return len(self) * self.n_row_bytes

    @property
    def fits(self) -> bool:
        """Whether all rows fit into the buffer."""
        return self.nbytes <= self.buffer_size

    @property
    def named(self) -> Any:
        """What tells scikit-learn the number of columns, and their names if they have some."""
        return self if self._store.names is None else self._store.names

    def read(self, block: int) -> NDArray[Any]:
        """Return the rows of a block.

        Raises
        ------
        ValueError
            If some value is not finite.
        """
        begin, stop = map(int, self.borders[block : block + 2])
        with self._alone:
            rows = self._store.read(begin, stop).reshape(stop - begin, -1)
        rows = rows.astype(self.dtype, copy=False)
        assert_all_finite(rows, input_name="X")
        return rows

    def take(self, rows: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return the rows of the given numbers, in their order; neighbours cost one read."""
        result = np.empty((len(rows), self.shape[1]), self.dtype)
        blocks = np.searchsorted(self.borders, rows, side="right") - 1
        for block in np.unique(blocks):
            here = blocks == block
            result[here] = self._block(int(block))[rows[here] - self.borders[block]]
        return result

    def subset(self, rows: NDArray[np.integer[Any]]) -> NDArray[Any] | ChunkedRows:
        """Return some of the rows: in memory if they fit into the buffer, else read by chunks.

        Parameters
        ----------
        rows : ndarray of int of shape (n,)
            Their numbers; rising, if they do not fit.
        """
        if len(rows) * self.n_row_bytes <= self.buffer_size:
            return self.take(rows)
        if (np.diff(rows) < 0).any():
            raise ValueError("rows on disk that do not fit into the buffer stay in their order.")
        places = np.searchsorted(rows, self.borders)

        def read(begin: int, stop: int) -> NDArray[Any]:
            return self.take(rows[begin:stop])

        part = Store((len(rows), *self._store.shape[1:]), self.dtype, np.unique(places), read)
        return ChunkedRows(part, self.buffer_size)

    def _block(self, number: int) -> NDArray[Any]:
        """Return a block, the same as before if it is asked for again."""
        last, rows = self._last  # one object, as several threads may read
        if last != number:
            rows = self.read(number)
            self._last = number, rows
        return rows


def _known(source: Any) -> Store:
    """Return how to read a source that a user has named."""
    store = store_of(source)
    if store is not None:
        return store
    if isinstance(source, np.ndarray) and source.ndim > 1:
        return _of_array(source)
    raise TypeError(
        f"a {type(source).__name__} cannot be read by chunks: it has no shape, dtype and slices of "
        "rows. An estimator takes rows in memory as they are."
    )


def _number_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that rows are read in."""
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise ValueError(f"X holds values of type {dtype}; expected real numbers of up to 64 bits.")
    return dtype.newbyteorder("=")


def _joined(borders: NDArray[np.intp], n_bytes: int, n_row_bytes: int) -> NDArray[np.intp]:
    """Return the borders of blocks of whole chunks, each of so many bytes or of one chunk."""
    least, kept = max(1, n_bytes // n_row_bytes), [0]
    while kept[-1] < borders[-1]:
        last = np.searchsorted(borders, kept[-1] + least, side="right") - 1
        if borders[last] <= kept[-1]:  # a chunk that is larger
            last = np.searchsorted(borders, kept[-1], side="right")
        kept.append(int(borders[last]))
    return np.asarray(kept, dtype=np.intp)
