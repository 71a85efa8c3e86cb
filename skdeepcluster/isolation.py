"""Other libraries' work in this process, without what it leaves behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["restored_threads"]


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
