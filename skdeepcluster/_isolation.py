"""Other libraries' work in this process, without what it leaves behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature

import scipy.sparse.linalg
from threadpoolctl import threadpool_limits

__all__ = ["restored_threads", "seeded_eigenvectors"]


@contextmanager
def restored_threads() -> Iterator[None]:
    """Leave the numbers of threads as they were.

    numba's thread pool, when it starts, raises the number of OpenMP threads of the whole process,
    PyTorch's and scikit-learn's with it: small matrices then take many times as long. UMAP forgets
    numba's own number after an error. Any reducer or clusterer may use them.

    Examples
    --------
    >>> import torch
    >>> before = torch.get_num_threads()
    >>> with restored_threads():
    ...     torch.set_num_threads(before + 1)
    >>> torch.get_num_threads() == before
    True
    """
    with threadpool_limits(limits=None):  # limits nothing, and on leaving restores all
        numba = sys.modules.get("numba")
        threads = numba.get_num_threads() if numba else None  # which starts the pool as well
        try:
            yield
        finally:
            if threads:
                sys.modules["numba"].set_num_threads(threads)


@contextmanager
def seeded_eigenvectors(seed: int) -> Iterator[None]:
    """Let scipy's `eigsh` draw from a seed inside the block, as UMAP does not.

    Where the vectors that it searches among are exhausted, as in a graph of equal rows, it goes on
    from a random one, which since scipy 1.17 comes from the entropy of the system.

    Parameters
    ----------
    seed : int
        At least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import linalg
    >>> with seeded_eigenvectors(0):
    ...     linalg.eigsh(np.diag([2.0, 1.0, 0.0]), 1, return_eigenvectors=False).round(6)
    array([2.])
    """
    eigsh = scipy.sparse.linalg.eigsh
    if "rng" in signature(eigsh).parameters:
        scipy.sparse.linalg.eigsh = partial(eigsh, rng=seed)
    try:
        yield
    finally:
        scipy.sparse.linalg.eigsh = eigsh
