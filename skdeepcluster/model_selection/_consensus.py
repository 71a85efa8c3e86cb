"""One clustering of several runs, and how far they agree."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator, ClusterMixin, MetaEstimatorMixin, _fit_context
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skdeepcluster.metrics import mean_agreement

from ._seeds import named, reseeded

__all__ = ["ConsensusClustering"]

NOISE = -1
NO_VOTE = -2  # of a run whose cluster has no counterpart


class ConsensusClustering(ClusterMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Vote of several runs of one clusterer, which differ in their seed alone.

    Many clusterers, deep ones above all, find other clusters with another seed. Here `n_runs`
    clones are fitted. The run that agrees most with the others, by the mean adjusted Rand index, is
    the reference. The clusters of every other run are matched with those of the reference one to
    one, so that the most rows agree [1]_, and each row gets the cluster that most runs vote for
    [2]_. How many they are says where the result is not to be trusted.

    Parameters
    ----------
    estimator : object
        A clusterer with `fit`, `predict` and a `random_state`, its own or that of a part; or a
        pipeline that ends in one. Clones of it are fitted.
    n_runs : int, default=5
        Number of runs, at least 2.
    random_state : int, RandomState or None, default=None
        Draws the seeds of the runs.
    n_jobs : int, default=None
        Number of runs that are fitted at the same time, in processes; None is 1, -1 all processors.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        The cluster of every row; -1 is noise.
    n_clusters_ : int
        Number of clusters.
    agreement_ : float
        Mean adjusted Rand index of all pairs of runs: 1 if all found the same, about 0 if they have
        no more in common than chance.
    row_agreement_ : ndarray of shape (n_samples,)
        Share of the runs that vote for the label of a row.
    cluster_agreement_ : ndarray of shape (n_clusters_,)
        Mean of `row_agreement_` over the rows of a cluster.
    estimators_ : list of object
        The fitted clones.
    reference_ : int
        Which of them is the reference.
    n_features_in_ : int
        Number of columns; where the clones have it.
    feature_names_in_ : ndarray of str
        Names of the columns; where the clones have them.

    Notes
    -----
    Runs may find different numbers of clusters. A cluster without a counterpart in the reference
    votes for none. Noise (label -1) stands for noise in every run. Where two labels have as many
    votes, that of the reference wins, or else the lower one. A cluster that wins no row of the fit
    is dropped. A later row for which no run has a vote is noise.

    Runs that agree need not be right: a clusterer may make the same mistake every time. Runs that
    disagree cannot all be right. Shuffle the columns, each by itself, to see what agreement comes
    to where there are no clusters.

    References
    ----------
    .. [1] Kuhn, H. W. "The Hungarian method for the assignment problem", Naval Research Logistics
       Quarterly 2, 1955.
    .. [2] Dudoit, S., Fridlyand, J. "Bagging to improve the accuracy of a clustering procedure",
       Bioinformatics 19, 2003. Votes of runs after a matching, there on resampled rows.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster.model_selection import ConsensusClustering
    >>> X, _ = make_blobs(100, centers=3, random_state=1)
    >>> consensus = ConsensusClustering(KMeans(3, n_init=1), random_state=0).fit(X)
    >>> consensus.labels_.shape, consensus.n_clusters_
    ((100,), 3)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_runs": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self, estimator: Any, n_runs: int = 5, random_state: Any = None, n_jobs: int | None = None
    ) -> None:
        self.estimator = estimator
        self.n_runs = n_runs
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: Any = None, **fit_params: Any) -> Self:
        """Fit the clones and let them vote.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, in a form that the estimator takes.
        y : Ignored
            Present for API consistency.
        **fit_params : dict
            Passed on to every `fit`, such as `sample_weight`.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        runs = self._seeded()
        fitted = Parallel(n_jobs=self.n_jobs)(delayed(_fitted)(run, X, fit_params) for run in runs)
        self.estimators_, found = (list(each) for each in zip(*fitted, strict=True))
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)  # of an earlier fit
            if hasattr(self.estimators_[0], name):
                setattr(self, name, getattr(self.estimators_[0], name))
        self._agree(found)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Return the cluster that most runs vote for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, in the form of those of :meth:`fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Labels in 0..n_clusters_-1; -1 is noise.
        """
        check_is_fitted(self)
        return self._elected([np.asarray(run.predict(X)) for run in self.estimators_])[0]

    def _seeded(self) -> list[Any]:
        """Return clones that differ in their seeds."""
        if not named(self.estimator, "random_state"):
            raise ValueError(
                f"{type(self.estimator).__name__} has no random_state, so that all runs would be "
                "the same. Use it alone, or another estimator."
            )
        files = [f"{k}={v!r}" for k, v in named(self.estimator, "checkpoint").items() if v]
        if files:
            raise ValueError(f"{files[0]} would be one file for all runs. Leave it out.")
        random = check_random_state(self.random_state)
        return [reseeded(self.estimator, random) for _ in range(self.n_runs)]

    def _agree(self, found: list[NDArray[Any]]) -> None:
        """Match the labels of all runs, and derive what the votes say."""
        others = mean_agreement(found)
        self.agreement_ = float(others.mean())
        self.reference_ = int(others.argmax())
        self._counterparts = [_matched(labels, found[self.reference_]) for labels in found]
        labels, _ = self._elected(found)
        live = np.unique(labels[labels != NOISE]).tolist()
        kept = {k: number for number, k in enumerate(live)} | {NOISE: NOISE}
        self._counterparts = [
            {own: kept.get(label, NO_VOTE) for own, label in each.items()}
            for each in self._counterparts
        ]
        self.n_clusters_ = len(live)
        self.labels_, self.row_agreement_ = self._elected(found)
        own = [self.row_agreement_[self.labels_ == k] for k in range(self.n_clusters_)]
        self.cluster_agreement_ = np.array([shares.mean() for shares in own])

    def _elected(self, found: list[NDArray[Any]]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the label with the most votes for every row, and its share of the runs."""
        votes = np.stack([_renamed(*each) for each in zip(found, self._counterparts, strict=True)])
        candidates = np.unique([NOISE, *(k for each in self._counterparts for k in each.values())])
        candidates = candidates[candidates != NO_VOTE]
        candidates = np.roll(candidates, -1)  # noise last, so that a cluster wins a tie
        counts = np.stack([(votes == k).sum(axis=0) for k in candidates])
        favour = 0.5 * (votes[self.reference_] == candidates[:, None])
        winners = (counts + favour).argmax(axis=0)
        shares = counts[winners, np.arange(votes.shape[1])] / len(found)
        return np.where(shares > 0, candidates[winners], NOISE).astype(np.intp), shares

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _fitted(run: Any, X: Any, fit_params: dict[str, Any]) -> tuple[Any, NDArray[Any]]:
    """Fit a run and return it with its labels, by `predict`, which those of later rows are by."""
    run.fit(X, **fit_params)
    return run, np.asarray(run.predict(X))


def _matched(labels: NDArray[Any], reference: NDArray[Any]) -> dict[Any, int]:
    """Return the number of the reference's cluster for every label of a run."""
    known = np.unique(reference[reference != NOISE])
    found = {k: NO_VOTE for k in np.unique(labels).tolist()} | {NOISE: NOISE}
    both = (labels != NOISE) & (reference != NOISE)
    if not both.any():
        return found
    own, others = np.unique(labels[both]), np.unique(reference[both])
    counts = contingency_matrix(labels[both], reference[both])
    for row, column in zip(*linear_sum_assignment(counts, maximize=True), strict=True):
        if counts[row, column]:
            found[own[row].item()] = int(np.searchsorted(known, others[column]))
    return found


def _renamed(labels: NDArray[Any], counterparts: dict[Any, int]) -> NDArray[np.intp]:
    """Return labels of a run as those of the reference."""
    present, index = np.unique(labels, return_inverse=True)
    return np.array([counterparts.get(k, NO_VOTE) for k in present.tolist()], dtype=np.intp)[index]
