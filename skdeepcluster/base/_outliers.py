"""What the estimators share that tell how far out a row lies, because HDBSCAN does."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.base._decoding import has
from skdeepcluster.base._lazy import lazily
from skdeepcluster.base._run import Run
from skdeepcluster.engine.device import settled
from skdeepcluster.heads import Judgement, NeighborRule

__all__ = ["EarlyOutlierScorer", "OutlierScorer"]


class OutlierScorer(DeepClusterer):
    """Base of the estimators that have outlier scores where HDBSCAN is the head."""

    outlier_scores_: Any  # arrays
    probabilities_: Any

    @abstractmethod
    def _judge(self, codes: NDArray[Any]) -> Judgement:
        """Return what HDBSCAN says of codes, where it is the head."""

    @abstractmethod
    def _will_score_outliers(self) -> bool:
        """Tell, before a fit, whether HDBSCAN is the head."""

    @property
    def _scores_outliers(self) -> bool:
        if self.__sklearn_is_fitted__():
            return hasattr(self, "outlier_scores_")
        return self._will_score_outliers()

    @has("_scores_outliers")
    @lazily(dtype=np.float64)
    @settled()
    def outlier_scores(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return how far every row lies outside of the clusters; with HDBSCAN as the head alone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Strengths in [0, 1], higher farther out: HDBSCAN's own for training rows, and for others
            the mean of those of the nearest training codes, weighted by nearness.
        """
        scores: Any = self._judge(self._infer(X, self._codes)[0]).outlier_scores
        return scores

    def _keep_judgement(self, judged: Judgement | None) -> None:
        """Keep what HDBSCAN says of the training rows, if it is the head."""
        for name in ("outlier_scores_", "probabilities_"):
            self.__dict__.pop(name, None)  # of an earlier fit with another head
        if judged is not None:
            self.outlier_scores_, self.probabilities_ = judged.outlier_scores, judged.strengths

    def _keep_scores(self, run: Run) -> None:
        super()._keep_scores(run)
        self.__dict__.pop("_counted_outlier_scores", None)  # of an earlier fit
        if self._scores_outliers and not run.counted.all():
            self._counted_outlier_scores = self.outlier_scores_[run.counted]


class EarlyOutlierScorer(OutlierScorer):
    """Base of an estimator whose networks train on after HDBSCAN has seen the codes.

    What it said stays with the training rows, and others are judged by the rows whose codes are the
    nearest in the end.
    """

    latent_dim_: int
    _said: Judgement | None = None  # while a fit lasts, of the rows that count
    _judged: NeighborRule | None

    def _note_judgement(self, found: Mapping[str, Tensor]) -> None:
        """Note what HDBSCAN says of the rows that count, if it is the head."""
        told = [found[name].numpy() for name in Judgement._fields if name in found]
        self._said = Judgement(*told) if len(told) > 1 else None

    def _settle(
        self, run: Run, X: Any, weight: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        codes, labels = super()._settle(run, X, weight)
        said = self.__dict__.pop("_said", None)
        own = codes[run.counted, : self.latent_dim_]
        if run.labels_before is None:  # or the rule of the fit before stays
            self._judged = None if said is None else NeighborRule(own, *said)
        self._keep_judgement(None if self._judged is None else self._judge(codes))
        return codes, labels

    def _judge(self, codes: NDArray[Any]) -> Judgement:
        assert self._judged is not None  # or there would be no outlier_scores
        return self._judged.judge(codes[:, : self.latent_dim_])
