"""Rows that do not belong: thresholds of the scores of training rows, kept with the model."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeepcluster.base._run import Run
from skdeepcluster.engine.table import Batch, tiled
from skdeepcluster.heads import drawn_rows

__all__ = ["Outlying", "explained"]

# Shares of the rows, of two digits each, for which the quantile of the scores is kept.
SHARES = np.unique(np.round(np.outer(10.0 ** np.arange(-5, 0), np.arange(1, 10, 0.1)), 6))
SHARES = SHARES[SHARES <= 0.5]
SCORES = ("score_samples", "outlier_scores")
SCORED = 10_000  # rows at most whose scores the quantiles are of


def _finds_outliers(self: Outlying) -> bool:
    return self._decodes or self._scores_outliers


class Outlying:
    """Base of what tells which rows are unlike those that it was fitted on."""

    _decodes: bool
    _scores_outliers: ClassVar[Any] = False  # whether a head says how far out a row is
    _low_scores: NDArray[np.float64]
    outlier_scores_: NDArray[np.float64]
    _counted_outlier_scores: NDArray[np.float64]  # where some rows have no weight

    @abstractmethod
    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """Return how well the model explains every row."""

    @abstractmethod
    def _score_rows(self, batch: Batch) -> Tensor:
        """Return the score of every row."""

    @available_if(_finds_outliers)
    def is_outlier(
        self, X: ArrayLike, contamination: float = 0.01, score: str = "auto"
    ) -> NDArray[np.bool_]:
        """Tell which rows are odder than most that the model was fitted on.

        `predict` gives them a cluster all the same, if it does not call them noise.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.
        contamination : float, default=0.01
            The share of the training rows that count as odd, in (0, 0.5]. Scores are known of
            10 000 of them at most.
        score : {"auto", "score_samples", "outlier_scores"}, default="auto"
            What tells: how well the network explains a row, or how far a head with HDBSCAN sees it
            out of the clusters. "auto" is the first where there is one.

        Returns
        -------
        is_outlier : ndarray of bool of shape (n_samples,)
            Whether the score is beyond :meth:`outlier_threshold`.
        """
        chosen = self._chosen_score(score)
        threshold = self.outlier_threshold(contamination, chosen)
        found = getattr(self, chosen)(X)
        odd: NDArray[np.bool_]
        odd = found < threshold if chosen == "score_samples" else found > threshold
        return odd

    @available_if(_finds_outliers)
    def outlier_threshold(self, contamination: float = 0.01, score: str = "auto") -> float:
        """Return the score beyond which a share of the training rows is.

        For `score_samples` it is what scikit-learn's outlier detectors call `offset_`:
        ``score_samples(X) - threshold`` is their `decision_function`, negative for outliers.

        Parameters
        ----------
        contamination : float, default=0.01
            The share, in (0, 0.5].
        score : {"auto", "score_samples", "outlier_scores"}, default="auto"
            Which score, as in :meth:`is_outlier`.

        Returns
        -------
        threshold : float
            Rows below it, of `outlier_scores` above it, are outliers.
        """
        check_is_fitted(self)
        if not _is_share(contamination):
            raise ValueError(f"contamination={contamination!r} must be a share in (0, 0.5].")
        if self._chosen_score(score) == "outlier_scores":
            told = vars(self).get("_counted_outlier_scores", self.outlier_scores_)
            return float(np.quantile(told, 1 - contamination, method="lower"))
        if "_low_scores" not in vars(self):
            raise ValueError(
                "This model was saved before thresholds were kept with models. Fit it anew, or "
                "take a quantile of score_samples of its training rows."
            )
        return float(np.interp(contamination, SHARES, self._low_scores))

    def _keep_scores(self, run: Run) -> None:
        """Keep what tells the oddest rows, if the model explains rows.

        Of many rows a sample tells it: all of them would be decoded once more.
        """
        self.__dict__.pop("_low_scores", None)  # of an earlier fit with other settings
        if self._decodes:
            drawn = torch.from_numpy(drawn_rows(len(run.table), SCORED, run.seed))
            scores = tiled(self._score_rows, run.table.subset(drawn)).cpu().numpy()
            self._low_scores = _low_quantiles(explained(scores))

    def _chosen_score(self, score: str) -> str:
        has = dict(zip(SCORES, (self._decodes, self._scores_outliers), strict=True))
        known = [name for name in SCORES if has[name]]
        if score == "auto":
            return known[0]
        if score not in known:
            raise ValueError(
                f"score={score!r} is none of what {type(self).__name__} has as it is set: "
                f"{', '.join(known)}."
            )
        return score


def explained(scores: NDArray[Any]) -> NDArray[Any]:
    """Return scores; a row so far away that its squares overflow is not explained at all."""
    return np.where(np.isnan(scores), -np.inf, scores)


def _is_share(value: Any) -> bool:
    return isinstance(value, Real) and bool(0 < value <= 0.5)  # type: ignore[operator]


def _low_quantiles(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return the scores below which the shares of rows are, of those that are kept."""
    found: NDArray[np.float64]
    found = np.quantile(scores.astype(np.float64), SHARES, method="higher")
    return found
