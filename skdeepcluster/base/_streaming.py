"""Rows that come a few at a time: a fitted model learns from them, and keeps its clusters."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if

from skdeepcluster._validation import check_weight
from skdeepcluster.base._clusters import mean_rows
from skdeepcluster.base._conditions import check_conditions
from skdeepcluster.base._continuing import Continuing
from skdeepcluster.base._run import Run
from skdeepcluster.engine.device import alone, settled
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.notices import gathered
from skdeepcluster.engine.schedule import Phase
from skdeepcluster.engine.table import check_codes

__all__ = ["Streaming", "once_through"]

# Of the learning rate. What a model knows of all rows shall not be lost to a few of them.
GENTLE = 0.03


def _streams(self: Streaming) -> bool:
    if self._streams_not:
        raise AttributeError(f"rows are not taken in a few at a time: {self._streams_not}.")
    return True


class Streaming(Continuing):
    """Base of what may learn from rows a few at a time.

    A method defines :meth:`_stream`, or says in `_streams_not` why it does not.
    """

    _streams_not: ClassVar[str] = "its training needs all of them"  # why not; "" where it does
    n_samples_seen_: int
    _n_counted: int  # rows of the fit that have a weight
    cluster_centers_: NDArray[Any]
    labels_: NDArray[np.intp]
    n_iter_: int

    def _stream(self, run: Run, model: Model) -> Model:
        """Train a fitted model on new rows, for one epoch; return it."""
        raise NotImplementedError

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the networks and find the clusters."""

    @abstractmethod
    def _begin(
        self, X: Any, weight: NDArray[np.float64] | None, before: Model | None = None
    ) -> Run:
        """Gather what the stages of a fit share."""

    @abstractmethod
    def _end(self, run: Run) -> None:
        """End a fit: tell of an interruption."""

    @abstractmethod
    def _code_centers(self) -> NDArray[Any]:
        """Return the centres of the clusters."""

    @available_if(_streams)
    @settled()
    @gathered()
    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from new rows, for one epoch at 3 % of the learning rate.

        The first call is `fit`, and should have rows of every kind. Later ones keep the clusters
        and their numbers, whatever kinds are among the rows. Then `labels_` are those of the new
        rows, and `cluster_centers_` and what `sample` draws from are of all rows so far.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`; at least two.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, sample_weight=sample_weight)
        with alone(self), self._all_or_nothing():
            self._validate_params()
            before = self._networks_before()
            X = self._check_rows(X, reset=False)
            check_conditions(self)
            weight = check_weight(sample_weight, X)
            if X.shape[0] < 2 or (weight is not None and (weight > 0).sum() < 2):
                raise ValueError("partial_fit takes at least 2 rows of a positive weight.")
            run = self._begin(X, weight, before)
            self.history_, self.timings_ = run.history, run.timings
            with run.under_way():
                self.module_ = self._stream(run, before)
                self._take_in(run, X, np.ones(X.shape[0]) if weight is None else weight)
            self._end(run)
        return self

    def _take_in(self, run: Run, X: Any, weight: NDArray[np.float64]) -> None:
        """Derive what follows from the model, and from the new rows beside those of before."""
        self.module_.eval().zero_grad(set_to_none=True)
        self.n_iter_ = len(self.history_)
        codes, labels = self._seen(X)
        check_codes(torch.from_numpy(codes[run.counted]))
        before = self._weights_seen()
        self._clusters = self._clusters.take_in(codes, labels, weight, before)
        now = np.array([weight[labels == label].sum() for label in range(self.n_clusters_)])
        share = (now / np.maximum(before + now, np.finfo(float).tiny))[:, None]
        means = mean_rows(X, labels, self.n_clusters_, weight)
        centers = (1 - share) * self.cluster_centers_ + share * means
        self.cluster_centers_ = centers.astype(self._row_dtype, copy=False)
        self.code_centers_ = self._code_centers()
        self.n_samples_seen_ = self._n_seen() + int(run.counted.sum())
        if "start_labels_" in vars(self):
            self.start_labels_ = np.full(X.shape[0], -1)
            self.start_labels_[run.counted] = run.labels_before
        self.labels_ = labels

    def _n_seen(self) -> int:
        of_fit = vars(self).get("_n_counted", len(self.labels_))  # or of a file from before
        return vars(self).get("n_samples_seen_", of_fit)

    def _weights_seen(self) -> NDArray[np.float64]:
        """Return how much each cluster has of the rows so far."""
        weights: NDArray[np.float64] = self._clusters.shares * self._n_seen()
        return weights


def once_through(phase: Phase) -> Phase:
    """Return a phase as rows of a stream go through it: once, and gently."""
    players = {turn.player for turn in phase.turns}
    return replace(phase, epochs=1, until=None, lr=dict.fromkeys(players, GENTLE))
