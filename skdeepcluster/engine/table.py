"""The data of a training: rows on their device, columns beside them, batches and tiles of both."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.utils.data import Dataset

from skdeepcluster._tiles import TILE, tiles
from skdeepcluster.sources import ChunkedRows, shuffled

__all__ = ["Batch", "Table", "check_codes", "encoded", "tiled"]

Batch = dict[str, Tensor]

STRETCH = 2**16  # codes that are checked together

# Types that torch has, but not all of its operations: rows are selected as others of their size.
SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


class Table(Dataset):
    """Rows and named columns, read in batches.

    Rows are neither copied nor cast as a whole: an array is shared, a memory map is read page by
    page, a CSR matrix is densified batch by batch, a store is read chunk by chunk. On an
    accelerator the rows of an array move there when they fill less than half of its free memory.

    Parameters
    ----------
    source : ndarray, CSR matrix or ChunkedRows of shape (n_rows, n_features)
        The data, of any real type.
    device : str or torch.device, default="cpu"
        Where batches and columns live.
    **columns : Tensor of shape (n_rows, ...)
        Values that belong to rows: weights, labels, targets. Assign new ones to ``columns``.

    Attributes
    ----------
    partners : Tensor of int of shape (n_rows,) or None
        Numbers, on the CPU, of rows that batches bring along, as ``"partner"``.

    Examples
    --------
    >>> import numpy as np
    >>> table = Table(np.arange(6).reshape(3, 2), weight=torch.ones(3))
    >>> table.batch(torch.tensor([2, 0]))["X"]
    tensor([[4, 5],
            [0, 1]])
    """

    def __init__(self, source: Any, device: str | torch.device = "cpu", **columns: Tensor):
        self.device = torch.device(device)
        self.columns = {name: column.to(self.device) for name, column in columns.items()}
        self.partners: Tensor | None = None
        self.on_disk = isinstance(source, ChunkedRows)
        self._source = source if self.on_disk else None
        self._n_rows = source.shape[0]
        self._read = _reader(source, self.device)

    def __len__(self) -> int:
        return self._n_rows

    def batch(self, rows: Tensor) -> Batch:
        """Return the given rows of the data and of every column."""
        here = rows.to(self.device)
        batch = self._beside(here, self._read(rows, here))
        if self.partners is not None:
            others = self.partners[rows]
            batch["partner"] = self._read(others, others.to(self.device))
        return batch

    def _beside(self, here: Tensor, rows: Tensor) -> Batch:
        """Return rows with their columns."""
        columns = {name: column.index_select(0, here) for name, column in self.columns.items()}
        return {"X": rows, "index": here, **columns}

    def first_tile(self) -> Table:
        """Return the rows that a look at a model takes: as many as all inference does at once."""
        return self.subset(torch.arange(min(len(self), TILE)))

    def subset(self, rows: Tensor) -> Table:
        """Return a table of the given rows alone, which reads them from here.

        Parameters
        ----------
        rows : Tensor of int of shape (n_rows,)
            Numbers of rows, on the CPU.

        Returns
        -------
        table : Table
            Its columns are copies.
        """
        here, part = rows.to(self.device), copy.copy(self)
        if self._source is not None:
            part = Table(self._source.subset(rows.numpy()), self.device)
        else:
            part._read = lambda some, some_here: self._read(rows[some], here[some_here])
        part.columns = {name: column[here] for name, column in self.columns.items()}
        part._n_rows, part.partners = len(rows), None  # which may not be among them
        return part

    def bare(self) -> Table:
        """Return a table of the same rows to which other columns can be given."""
        twin = copy.copy(self)
        twin.columns = dict(self.columns)
        return twin

    def array(self, name: str) -> np.ndarray | None:
        """Return a column as an array, or None if there is no such column."""
        return self.columns[name].cpu().numpy() if name in self.columns else None

    def n_batches(self, batch_size: int) -> int:
        """Return the number of batches of an epoch."""
        return len(_cuts(len(self), batch_size)) - 1

    def batches(self, batch_size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yield the rows once, shuffled by a generator of the CPU; None is torch's global one.

        A last batch of one row is joined to the one before: batch norm cannot train on it. Of rows
        on disk the chunks are shuffled, and the rows of several of them.
        """
        cuts = _cuts(len(self), batch_size)
        if self._source is not None:
            for numbers, rows in shuffled(self._source, np.diff(cuts).tolist(), generator):
                here = torch.from_numpy(numbers).to(self.device)
                yield self._beside(here, _moved(rows, self.device))
            return
        # On the CPU, one seed shuffles alike everywhere.
        order = torch.randperm(len(self), generator=generator)
        for begin, end in pairwise(cuts):
            yield self.batch(order[begin:end])


def tiled(function: Callable[[Any], Any], rows: Table | Tensor) -> Any:
    """Apply `function` to rows, tile by tile, without gradients.

    Parameters
    ----------
    function : callable
        Maps n rows to a tensor of n rows, or to several in a tuple. It takes a batch where `rows`
        are a table, and a tensor where they are one.
    rows : Table or Tensor of shape (n_rows, ...)
        The rows.

    Returns
    -------
    result : Tensor of shape (n_rows, ...) or tuple of Tensor
        Where `function` leaves it.

    Examples
    --------
    >>> tiled(lambda codes: codes.sum(1), torch.ones(3, 2))
    tensor([2., 2., 2.])
    """
    result: list[Tensor] = []
    is_tuple = False
    with torch.no_grad():
        for stretch, index in tiles(len(rows)):
            where = torch.from_numpy(index)
            values = function(rows.batch(where) if isinstance(rows, Table) else rows[where])
            is_tuple = isinstance(values, tuple)
            parts = values if is_tuple else (values,)
            if not result:  # one block each: tiles kept apart would fragment the memory
                result = [part.new_empty(len(rows), *part.shape[1:]) for part in parts]
            for whole, part in zip(result, parts, strict=True):
                whole[stretch] = part[: stretch.stop - stretch.start]
    assert result, "there are rows"
    return tuple(result) if is_tuple else result[0]


def encoded(function: Callable[[Batch], Tensor], table: Table) -> Tensor:
    """Apply `function` as :func:`tiled` does, and check the codes that it returns."""
    return check_codes(tiled(function, table))


def check_codes(codes: Tensor) -> Tensor:
    """Return codes, if all are finite and so are their squares.

    Raises
    ------
    ValueError
        If some are not: whoever went on with them would blame the data, or a matrix.
    """
    parts = codes.split(STRETCH)  # squares of all would take as much as the codes
    right = torch.cat([torch.isfinite(part.flatten(1).square().sum(1)) for part in parts])
    wrong = (~right).nonzero().flatten().tolist()
    if wrong:
        some = ", ".join(map(str, wrong[:3])) + (", ..." if len(wrong) > 3 else "")
        raise ValueError(
            f"The encoder gives codes that are not finite (NaN, infinity, or squares that are) for "
            f"{len(wrong)} of {len(codes)} rows: {some}. The rows themselves are finite. If "
            "encoder= is your own, look for logarithms, roots and divisions in it; else scale the "
            "rows, or lower lr."
        )
    return codes


def _cuts(n_rows: int, batch_size: int) -> list[int]:
    """Return the borders of the batches."""
    cuts = [*range(0, n_rows, batch_size), n_rows]
    if len(cuts) > 2 and cuts[-1] - cuts[-2] == 1:
        del cuts[-2]
    return cuts


def _reader(source: Any, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function from row numbers (on the CPU, on the device) to rows on the device."""
    if isinstance(source, ChunkedRows):
        return lambda rows, here: _moved(source.take(rows.numpy()), device)
    if sparse.issparse(source):
        return lambda rows, here: torch.from_numpy(source[rows.numpy()].toarray()).to(device)
    odd = any(stride < 0 or stride % source.itemsize for stride in source.strides)
    if odd or not source.dtype.isnative:  # which torch cannot share: turned batch by batch
        native = source.dtype.newbyteorder("=")
        return lambda rows, here: torch.from_numpy(source[rows.numpy()].astype(native)).to(device)
    tensor = _share(source)
    if device.type == "mps" and tensor.dtype == torch.float64:
        tensor = tensor.float()  # the device knows no float64
    kind, same_size = tensor.dtype, SIGNED.get(tensor.dtype, tensor.dtype)
    tensor = tensor.view(same_size)
    if device.type == "cpu" or _fits(tensor, device):
        tensor = tensor.to(device)
        return lambda rows, here: tensor.index_select(0, here).view(kind)
    return lambda rows, here: tensor.index_select(0, rows).to(device).view(kind)


def _moved(rows: np.ndarray, device: torch.device) -> Tensor:
    """Return rows that were just read on a device."""
    if device.type == "mps" and rows.dtype == np.float64:
        rows = rows.astype(np.float32)  # the device knows no float64
    return torch.from_numpy(rows).to(device)


def _share(source: np.ndarray) -> Tensor:
    """View an array as a tensor, without a copy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")  # nobody writes to it
        return torch.from_numpy(source)


def _fits(tensor: Tensor, device: torch.device) -> bool:
    """Tell whether a tensor takes less than half of an accelerator's free memory."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return tensor.nbytes < free / 2
