"""What the estimators share whose codes a head clusters."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.engine.table import Batch
from skdeepcluster.heads import ClusteringHead, describe_head

__all__ = ["HeadedClusterer", "label_codes"]


class HeadedClusterer(DeepClusterer):
    """Base of the estimators whose codes a head clusters, once the networks are trained."""

    head: Any

    @property
    @abstractmethod
    def _head(self) -> ClusteringHead:
        """The fitted head whose labels are labels_."""

    def _look(self, batch: Batch) -> tuple[Tensor, Tensor]:
        codes = self.module_.codes(batch)
        return codes, codes  # by which the head tells the clusters

    def _memberships(self, scores: Tensor) -> Tensor:
        return torch.from_numpy(memberships_of(self._head, scores.cpu().numpy()))

    def _label(self, scores: Tensor) -> Tensor:
        return torch.from_numpy(label_codes(self._head, scores.cpu().numpy()))

    @property
    def _has_memberships(self) -> bool:  # type: ignore[override]
        if self.__sklearn_is_fitted__():
            return hasattr(self._head, "predict_proba")
        return describe_head(self.head).has_proba

    def _n_candidates(self) -> int:
        return self._head.n_clusters_  # a head has dropped its dead clusters


def memberships_of(head: ClusteringHead, codes: NDArray[Any]) -> NDArray[np.float32]:
    """Return memberships as they are shown."""
    return head.predict_proba(codes).astype(np.float32)


def label_codes(head: ClusteringHead, codes: NDArray[Any]) -> NDArray[np.intp]:
    """Label codes, by the memberships as they are shown where there are any."""
    if hasattr(head, "predict_proba"):
        return memberships_of(head, codes).argmax(1)
    return head.predict(codes)
