"""How much memory predict takes: ``python -m benchmarks.memory ROWS`` prints megabytes.

A process of its own, so that nothing but the interpreter and its imports comes before.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from skdeepcluster import AutoencoderClustering

N_FEATURES = 256  # a copy of a million rows would take 1 GB
CHUNK = 10_000


def predict_peak(n_rows: int) -> float:
    """Return the peak of anonymous memory above the interpreter, in MB, of a fit and a predict."""
    with tempfile.TemporaryDirectory() as folder:
        X = make_memmap(Path(folder, "rows.npy"), n_rows)
        with AnonymousPeak() as peak:
            model = AutoencoderClustering(
                10, hidden_layer_sizes=(64,), max_epochs=1, device="cpu", random_state=0
            )
            model.fit(X[:1000]).predict(X)
    return peak.megabytes


def make_memmap(path: Path, n_rows: int) -> np.ndarray:
    """Write random rows to a file, chunk by chunk, and map it read-only."""
    shape = (n_rows, N_FEATURES)
    writable = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    rng = np.random.default_rng(0)
    for begin in range(0, n_rows, CHUNK):
        rows = writable[begin : begin + CHUNK]
        rng.random(out=rows, dtype=np.float32)
    del writable
    return np.load(path, mmap_mode="r")


class AnonymousPeak:
    """The peak inside a block of memory that belongs to no file, above that at its beginning.

    Pages of a memory map can be dropped at any time and do not count. Linux keeps no peak of the
    rest, so a thread looks every few milliseconds.
    """

    def __enter__(self) -> Self:
        self._begin = self._peak = anonymous_bytes()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watch.join()

    @property
    def megabytes(self) -> float:
        return (self._peak - self._begin) / 1e6

    def _look(self) -> None:
        while not self._over.wait(0.002):
            self._peak = max(self._peak, anonymous_bytes())


def anonymous_bytes() -> int:
    """Return the anonymous memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: this measurement needs Linux 4.5 or later.")


if __name__ == "__main__":
    print(predict_peak(int(sys.argv[1])))
