"""An epoch over rows on disk: chunks are shuffled, and the rows of several of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._chunked import ChunkedRows

__all__ = ["shuffled"]

Numbered = tuple[NDArray[np.intp], NDArray[Any]]  # numbers of rows, and the rows


def shuffled(
    source: ChunkedRows, sizes: Sequence[int], generator: torch.Generator | None = None
) -> Iterator[Numbered]:
    """Yield all rows once, in batches; the next half of the buffer is read meanwhile.

    All that is random is drawn from `generator` before the first batch, so that it stands the same
    wherever an epoch ends.

    Parameters
    ----------
    source : ChunkedRows
        The rows.
    sizes : sequence of int
        Of the batches; they sum to the number of rows.
    generator : torch.Generator, default=None
        Of the CPU; None is torch's global one.

    Yields
    ------
    numbers : ndarray of int of shape (size,)
        Which rows they are.
    rows : ndarray of shape (size, n_features)
        The rows.

    Examples
    --------
    >>> rows = ChunkedRows(np.arange(10.0).reshape(5, 2))
    >>> [len(numbers) for numbers, _ in shuffled(rows, [2, 3])]
    [2, 3]
    """
    order = torch.randperm(len(source.borders) - 1, generator=generator).numpy()
    seed = int(torch.randint(2**62, (), generator=generator))
    own, pieces, wanted = np.random.default_rng(seed), list[Numbered](), list(sizes)[::-1]
    for numbers, rows in _pools(source, order):
        drawn = own.permutation(len(numbers))
        while len(drawn):
            now, drawn = drawn[: wanted[-1]], drawn[wanted[-1] :]
            pieces.append((numbers[now], rows[now]))
            wanted[-1] -= len(now)
            if not wanted[-1]:
                yield _joined(pieces)
                pieces.clear()
                wanted.pop()


def _pools(source: ChunkedRows, order: NDArray[np.intp]) -> Iterator[Numbered]:
    """Yield the rows of some blocks together, while a thread reads those of the next."""
    shares = iter(_shares(source, order))
    with ThreadPoolExecutor(1, thread_name_prefix="rows") as reader:
        ahead = reader.submit(_read, source, next(shares))
        for blocks in shares:
            pool, ahead = ahead.result(), reader.submit(_read, source, blocks)
            yield pool
        yield ahead.result()


def _shares(source: ChunkedRows, order: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Divide the blocks into pools of half a buffer, or of one block that is larger."""
    sizes = np.diff(source.borders)[order] * source.n_row_bytes
    shares, total, begin = [], 0, 0
    for i, size in enumerate(sizes):
        if i > begin and total + size > source.buffer_size // 2:
            shares.append(order[begin:i])
            begin, total = i, 0
        total += int(size)
    return [*shares, order[begin:]]


def _read(source: ChunkedRows, blocks: NDArray[np.intp]) -> Numbered:
    """Return the rows of some blocks, one after the other."""
    begins, counts = source.borders[blocks], np.diff(source.borders)[blocks]
    numbers = np.concatenate([np.arange(b, b + n) for b, n in zip(begins, counts, strict=True)])
    rows, place = np.empty((len(numbers), source.shape[1]), source.dtype), 0
    for block, count in zip(blocks, counts, strict=True):
        rows[place : place + count] = source.read(int(block))
        place += int(count)
    return numbers, rows


def _joined(pieces: Sequence[Numbered]) -> Numbered:
    """Return the pieces of a batch as one; it may lie in two pools."""
    if len(pieces) == 1:
        return pieces[0]
    numbers, rows = zip(*pieces, strict=True)
    return np.concatenate(numbers), np.concatenate(rows)
