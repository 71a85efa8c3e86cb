"""What VaDE and k-DVAE share: a start from clusters that somebody else has found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.interruption import on_ctrl_c
from skdeepcluster.engine.table import Table
from skdeepcluster.heads import fit_labels

__all__ = ["InitializedClusterer"]


class InitializedClusterer(DeepClusterer):
    """Base of the estimators whose `init` may be a clusterer or labels."""

    init: Any

    def _given_labels(self, table: Table) -> NDArray[np.integer[Any]]:
        """Return the label that `init` gives each row of the table; -1 is none."""
        if not hasattr(self.init, "fit"):
            counted = self._fitting.counted
            return _checked_labels(self.init, len(counted), self.n_clusters)[counted]
        with on_ctrl_c(self._note_ctrl_c):
            labels = fit_labels(
                self.init,
                self._fitting.rows,
                self.n_clusters,
                sample_weight=table.array("weight"),
                seed=self._fitting.seed,
            )
        return _checked_labels(labels, len(table), self.n_clusters)

    def _note_ctrl_c(self) -> bool:
        """Remember Ctrl-C: a clusterer of this package would end its own fit alone."""
        self._fitting.interrupted = True
        return True


def _checked_labels(labels: ArrayLike, n_rows: int, n_clusters: int) -> NDArray[np.integer[Any]]:
    """Return labels given as a start, if they can be one."""
    found = np.asarray(labels)
    if found.shape != (n_rows,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"init must hold an integer for each of the {n_rows} rows, got shape {found.shape} and "
            f"type {found.dtype}."
        )
    if found.min() < -1 or found.max() >= n_clusters:
        raise ValueError(
            f"init must hold labels in 0..{n_clusters - 1}, or -1 for none, got "
            f"{found.min()}..{found.max()}. Number them from 0, or ask for more clusters."
        )
    if found.max() < 0:
        raise ValueError("init gives no row a label: all are -1. Give some of them one in 0..k-1.")
    return found
