"""What VaDE and k-DVAE share: a start from clusters that somebody else has found."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.base._run import Run
from skdeepcluster.heads import fit_labels

__all__ = ["InitializedClusterer"]


class InitializedClusterer(DeepClusterer):
    """Base of the estimators whose `init` may be a clusterer or labels."""

    init: Any

    def _given_labels(self, run: Run) -> NDArray[np.integer[Any]]:
        """Return the label that `init` gives each row that counts; -1 is none."""
        init = self._first_clusterer()
        if hasattr(init, "fit"):
            labels = run.once("init", lambda: self._fit_init(init, run))["labels"].numpy()
            source = f"init={type(init).__name__}()"
            advice = "Let it find fewer, or ask for more here."
        else:
            labels, source = _checked_type(init, len(run.counted))[run.counted], "init"
            advice = "Number them from 0, or ask for more clusters."
        most = self.n_clusters if isinstance(self.n_clusters, Integral) else labels.max() + 1
        if labels.min() < -1 or labels.max() >= most:
            raise ValueError(
                f"{source} must give labels in 0..{most - 1}, or -1 for none, got "
                f"{labels.min()}..{labels.max()}. {advice}"
            )
        if labels.max() < 0:
            raise ValueError(
                f"{source} gives no row a label, of those that have a weight: all are -1."
            )
        return labels

    def _first_clusterer(self) -> Any:
        """Return the clusterer, or the labels, that `init` stands for."""
        return self.init

    def _fit_init(self, init: Any, run: Run) -> dict[str, Tensor]:
        """Return the labels of the clusterer."""
        rows = run.rows
        if isinstance(init, DeepClusterer) and len(self._row_shape) > 1:
            rows = rows.reshape(-1, *self._row_shape)  # images, which others do not know
        labels = fit_labels(
            init,
            rows,
            int(self.n_clusters) if isinstance(self.n_clusters, Integral) else None,
            sample_weight=run.table.array("weight"),
            seed=run.seed,
        )
        return {"labels": torch.from_numpy(_checked_type(labels, len(run.table)).astype(np.int64))}


def _checked_type(labels: ArrayLike, n_rows: int) -> NDArray[np.integer[Any]]:
    """Return labels if they are an integer for each row."""
    found = np.asarray(labels)
    if found.shape != (n_rows,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"init must hold an integer for each of the {n_rows} rows, got shape {found.shape} and "
            f"type {found.dtype}."
        )
    return found
