"""Whether accuracy stays where rows are shuffled by chunks: ``python -m benchmarks.chunks``.

It prints the accuracy on pendigits of five seeds, in percent, by how the file is sorted and how
much of it the buffer holds.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdeepcluster import AutoencoderClustering, VaDEClustering
from skdeepcluster.datasets import fetch_pendigits
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.sources import ChunkedRows

SMALL = {"hidden_layer_sizes": (64, 64), "device": "cpu"}
MAKERS: dict[str, Callable[[], Any]] = {
    "autoencoder": lambda: AutoencoderClustering(10, max_epochs=20, **SMALL),
    "vade": lambda: VaDEClustering(10, pretrain_epochs=15, max_epochs=10, **SMALL),
}
SHARES = (1.0, 0.1, 0.02)  # of the rows in the buffer; 1 is the full shuffle


class Chunks:
    """Rows in chunks of a hundred, like those of a file."""

    def __init__(self, rows: NDArray[Any]):
        self._rows, self.shape, self.dtype = rows, rows.shape, rows.dtype
        self.chunks = (100, rows.shape[1])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self._rows[rows]


def accuracies(
    model: Any, X: NDArray[Any], y: NDArray[Any], seeds: Sequence[int]
) -> Iterator[tuple[str, float, list[float]]]:
    """Yield the order of the rows, the share of them in the buffer, and an accuracy per seed."""
    orders = {"as it comes": np.arange(len(y)), "by class": np.argsort(y, kind="stable")}
    for name, order in orders.items():
        for share in SHARES:
            rows = ChunkedRows(Chunks(X[order]), buffer_size=int(np.ceil(share * X.nbytes)))
            fits = (model.set_params(random_state=seed).fit_predict(rows) for seed in seeds)
            yield name, share, [clustering_accuracy(y[order], labels) for labels in fits]


def main() -> int:
    warnings.simplefilter("ignore")
    X, y = fetch_pendigits(return_X_y=True)
    for name, make in MAKERS.items():
        rows = np.asarray(X, np.float32), np.asarray(y).astype(int)
        for order, share, found in accuracies(make(), *rows, range(5)):
            mean, deviation = 100 * np.mean(found), 100 * np.std(found, ddof=1)
            print(f"{name:12s} {order:12s} {share:5.0%} {mean:5.1f} ± {deviation:.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
