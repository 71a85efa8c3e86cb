"""What the estimators share whose codes a head clusters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from torch import Tensor

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.base._clusters import Clusters
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.base._export import Program
from skdeepcluster.base._outliers import OutlierScorer
from skdeepcluster.base._run import Run
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.table import Batch, check_codes
from skdeepcluster.heads import (
    HEADS,
    ClusteringHead,
    Judgement,
    describe_head,
    head_module,
    make_head,
    of_share,
    rule_module,
)

__all__ = [
    "MANIFOLD",
    "NOISE",
    "HeadedClusterer",
    "HeadingClusterer",
    "OneHeadClusterer",
    "label_codes",
    "needs_density",
]


MANIFOLD = MattersIf(
    ("manifold_params",),
    lambda self: self.manifold is not None,
    "they are UMAP's, and {manifold}",
    "Use manifold='umap'",
)


NOISE = MattersIf(
    ("noise",),
    lambda self: describe_head(self.head).finds_noise,
    "no row is noise with {head}",
    "Use head='hdbscan'",
)


def needs_density(self: HeadingClusterer) -> bool:
    """Tell whether HDBSCAN takes part in the head."""
    counts = self.n_clusters == "auto" and not self._finds_n_clusters()
    return counts or describe_head(self.head).takes_min_cluster_size


class HeadingClusterer(DeepClusterer):
    """Base of the estimators that are told a head, and what the codes go through before it."""

    head: str | ClusterMixin
    head_params: dict[str, Any] | None
    min_cluster_size: int | float
    max_samples: int | None
    manifold: str | None
    manifold_params: dict[str, Any] | None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "head": [StrOptions(set(HEADS)), HasMethods(["fit"])],
        "head_params": [dict, None],
        "min_cluster_size": [
            Interval(Integral, 2, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "max_samples": [Interval(Integral, 2, None, closed="left"), None],
        "manifold": [StrOptions({"umap"}), None],
        "manifold_params": [dict, None],
    }
    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *DeepClusterer._conditions,
        MANIFOLD,
        MattersIf(
            ("min_cluster_size",),
            needs_density,
            "it is HDBSCAN's, which takes no part with {head} and {n_clusters}",
            "Use head='hdbscan' or n_clusters='auto'",
        ),
    )

    def _make_head(
        self,
        seed: int,
        head: str | None = None,
        manifold_params: Mapping[str, Any] | None = None,
        share: float = 1.0,
    ) -> ClusteringHead:
        """Make the user's head, or that of a name, given the share of the rows that it sees."""
        density = of_share({"min_cluster_size": self.min_cluster_size}, share)
        params: dict[str, Any] = {}
        noise = "keep"
        if head is None:
            head, params = self.head, self._checked_head_params()
            noise = getattr(self, "noise", noise)
        if describe_head(head).takes_min_cluster_size:
            params = density | params
        return make_head(
            head,
            self.n_clusters,
            manifold=self.manifold,
            manifold_params={**(manifold_params or {}), **(self.manifold_params or {})},
            head_params=params,
            count_params=density,
            noise=noise,
            max_samples=self.max_samples,
            random_state=seed,
        )

    def _checked_head_params(self) -> dict[str, Any]:
        params = dict(self.head_params or {})
        if isinstance(self.head, str) and "min_cluster_size" in params:
            raise ValueError(
                f"head_params cannot set 'min_cluster_size' (got {params['min_cluster_size']!r}): "
                "use the estimator's min_cluster_size=."
            )
        return params

    def _finds_n_clusters(self) -> bool:
        return describe_head(self.head).finds_n_clusters

    def _tell_of_n_clusters(self) -> None:
        """Warn of a number of clusters that the head does not look at."""
        own = getattr(self.head, "n_clusters", getattr(self.head, "n_components", None))
        if self.n_clusters in ("auto", own) or not self._finds_n_clusters():
            return
        notice(
            f"n_clusters={self.n_clusters} has no effect: head={self.head!r} finds the number of "
            "clusters, or has its own. Use n_clusters='auto', or a head that takes a number, such "
            "as 'gmm'.",
            UserWarning,
        )

    def _n_clusters_asked(self) -> Any:
        return "auto" if self._finds_n_clusters() else self.n_clusters


class HeadedClusterer(HeadingClusterer, OutlierScorer):
    """Base of the estimators whose labels are those of a head, once the networks are trained."""

    _streams_not = "its head clusters the codes of all rows together; use warm_start=True"
    _may_change = frozenset(
        {
            *("n_clusters", "head", "head_params", "min_cluster_size"),
            *("manifold", "manifold_params", "noise"),
        }
    )
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **HeadingClusterer._parameter_constraints,
        "noise": [StrOptions({"nearest", "keep"})],
    }
    _conditions: ClassVar[tuple[MattersIf, ...]] = (*HeadingClusterer._conditions, NOISE)
    noise: str

    @property
    @abstractmethod
    def _head(self) -> ClusteringHead:
        """The fitted head whose labels are labels_."""

    def _judge(self, codes: NDArray[Any]) -> Judgement:
        judged: Judgement = self._head.judge(codes)
        return judged

    def _will_score_outliers(self) -> bool:
        return describe_head(self.head).scores_outliers

    def _training_labels(self, codes: NDArray[Any]) -> NDArray[np.intp]:
        """Return the labels of the training codes, and keep what else HDBSCAN says of them."""
        judged = self._judge(codes) if hasattr(self._head, "judge") else None
        self._keep_judgement(judged)
        return label_codes(self._head, codes) if judged is None else judged.labels

    def _code_centers(self) -> NDArray[Any]:
        """Return the head's own centres, or mean codes where it has none or clusters elsewhere."""
        return self._head.cluster_centers_.astype(np.float32)

    def _look(self, batch: Batch) -> tuple[Tensor, Tensor]:
        codes = self.module_.codes(batch)
        return codes, codes  # by which the head tells the clusters

    def _memberships(self, scores: Tensor) -> Tensor:
        return torch.from_numpy(memberships_of(self._head, scores.cpu().numpy()))

    def _label(self, scores: Tensor) -> Tensor:
        return torch.from_numpy(label_codes(self._head, scores.cpu().numpy()))

    def _program(self) -> Program:
        return Program(self.module_, head=head_module(self._head))

    def _network_parts(self, tells_memberships: bool) -> dict[str, Any]:
        return {"live": None, "rule": rule_module(self._head) if tells_memberships else None}

    @property
    def _has_memberships(self) -> bool:  # type: ignore[override]
        if self.__sklearn_is_fitted__():
            return hasattr(self._head, "predict_proba")
        return describe_head(self.head).has_proba

    def _n_candidates(self) -> int:
        return self._head.n_clusters_  # a head has dropped its dead clusters


class OneHeadClusterer(HeadedClusterer):
    """Base of the estimators whose head clusters the codes once, after all training."""

    head_: ClusteringHead

    def _settle(
        self, run: Run, X: Any, weight: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        codes = self._apply(X, self.module_.codes).cpu().numpy()
        counted = codes if run.counted.all() else codes[run.counted]
        check_codes(torch.from_numpy(counted))
        self.head_ = self._make_head(run.seed).fit(counted, run.table.array("weight"))
        if run.labels_before is not None:
            self.head_.follow(run.labels_before)
        self._clusters = Clusters(np.arange(self._n_candidates()))
        return codes, self._training_labels(codes)

    def _used_after_training(self) -> set[str]:
        heads = {"head", "head_params", "max_samples", "min_cluster_size", "noise"}
        return {"n_clusters", "manifold", "manifold_params"} | heads

    @property
    def _head(self) -> ClusteringHead:
        return self.head_


def memberships_of(head: ClusteringHead, codes: NDArray[Any]) -> NDArray[np.float32]:
    """Return memberships as they are shown."""
    return head.predict_proba(codes).astype(np.float32)


def label_codes(head: ClusteringHead, codes: NDArray[Any]) -> NDArray[np.intp]:
    """Label codes, by the memberships as they are shown where there are any."""
    if hasattr(head, "predict_proba"):
        return memberships_of(head, codes).argmax(1)
    return head.predict(codes)
