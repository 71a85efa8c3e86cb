"""What VaDE and k-DVAE share: a start from clusters that somebody else has found."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.table import Table
from skdeepcluster.heads import fit_labels

__all__ = ["InitializedClusterer"]

STAGE = "init"  # its name in the checkpoint


class InitializedClusterer(DeepClusterer):
    """Base of the estimators whose `init` may be a clusterer or labels."""

    init: Any

    def _given_labels(self, table: Table) -> NDArray[np.integer[Any]]:
        """Return the label that `init` gives each row of the table; -1 is none."""
        if hasattr(self.init, "fit"):
            labels, source = self._found_labels(table), f"init={type(self.init).__name__}()"
            advice = "Let it find fewer, or ask for more here."
        else:
            counted = self._fitting.counted
            labels, source = _checked_type(self.init, len(counted))[counted], "init"
            advice = "Number them from 0, or ask for more clusters."
        if labels.min() < -1 or labels.max() >= self.n_clusters:
            raise ValueError(
                f"{source} must give labels in 0..{self.n_clusters - 1}, or -1 for none, got "
                f"{labels.min()}..{labels.max()}. {advice}"
            )
        if labels.max() < 0:
            raise ValueError(
                f"{source} gives no row a label, of those that have a weight: all are -1."
            )
        return labels

    def _found_labels(self, table: Table) -> NDArray[np.integer[Any]]:
        """Return the labels of the clusterer, which is fitted once even if the fit resumes."""
        checkpoint = self._fitting.checkpoint
        saved = checkpoint.of(STAGE) if checkpoint else None
        if saved:
            return saved["labels"].numpy()
        labels = _checked_type(self._fit_init(table), len(table))
        if checkpoint and not self._fitting.interrupted:
            checkpoint.save(STAGE, {"labels": torch.from_numpy(labels.astype(np.int64))})
        return labels

    def _fit_init(self, table: Table) -> NDArray[Any]:
        rows = self._fitting.rows
        if isinstance(self.init, DeepClusterer) and len(self._row_shape) > 1:
            rows = rows.reshape(-1, *self._row_shape)  # images, which others do not know
        return fit_labels(
            self.init,
            rows,
            self.n_clusters,
            sample_weight=table.array("weight"),
            seed=self._fitting.seed,
        )


def _checked_type(labels: ArrayLike, n_rows: int) -> NDArray[np.integer[Any]]:
    """Return labels if they are an integer for each row."""
    found = np.asarray(labels)
    if found.shape != (n_rows,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"init must hold an integer for each of the {n_rows} rows, got shape {found.shape} and "
            f"type {found.dtype}."
        )
    return found
