"""Which pairs of rows a rule for anchors picks, and how often they share a class.

This looks at classes to describe the rules on known data; no method does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.data import Data
from skdeepcluster.neighbors import closest_pairs, mutual_neighbors

HEADER = ["data", "rule", "pairs per row", "same class", "most frequent class", "its share"]
SHARES = (0.02, 0.1, 0.25, 0.5, 1.0)


def measure_anchors(
    data: Data, batch_size: int = 1000, n_neighbors: int = 3, n_batches: int = 10
) -> list[list[str]]:
    """Return a row for every rule, over a few random batches, under a header."""
    rules: dict[str, Callable[[Tensor], Tensor]] = {
        f"shortest {share:.0%}": partial(closest_pairs, n_neighbors=n_neighbors, share=share)
        for share in SHARES
    }
    rules["mutual neighbours"] = partial(mutual_neighbors, n_neighbors=n_neighbors)
    rng, size = np.random.RandomState(0), min(batch_size, len(data.y))
    batches = [rng.choice(len(data.y), size, replace=False) for _ in range(n_batches)]
    return [HEADER, *(_row(data, batches, name, rule) for name, rule in rules.items())]


def _row(
    data: Data, batches: list[NDArray[np.intp]], name: str, rule: Callable[[Tensor], Tensor]
) -> list[str]:
    pairs = np.concatenate([_classes(data, rows, rule) for rows in batches])
    n_rows = sum(len(rows) for rows in batches)
    classes, counts = np.unique(pairs[:, 0], return_counts=True)
    return [
        data.name,
        name,
        f"{len(pairs) / n_rows:.2f}",
        f"{(pairs[:, 0] == pairs[:, 1]).mean():.3f}",
        str(classes[counts.argmax()]),
        f"{counts.max() / len(pairs):.3f}",
    ]


def _classes(
    data: Data, rows: NDArray[np.intp], rule: Callable[[Tensor], Tensor]
) -> NDArray[np.int64]:
    """Return the classes of both rows of every ordered pair."""
    first, second = np.nonzero(rule(torch.from_numpy(data.X[rows])).numpy())
    return np.stack([data.y[rows][first], data.y[rows][second]], axis=1)
