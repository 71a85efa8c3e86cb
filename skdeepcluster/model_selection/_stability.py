"""How many clusters: those that other rows of the same kind would show again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import check_array, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from ._seeds import reseeded

__all__ = ["StabilityCurve", "stability_curve"]

LEVEL = 0.05  # share of the null data sets whose mean agreement may reach the observed one
LEAST = 0.05  # excess that is worth a name


@dataclass(frozen=True)
class StabilityCurve:
    """How far clusterings of resamples agree, for every number of clusters.

    Parameters
    ----------
    n_clusters : ndarray of shape (n_numbers,)
        The numbers of clusters that were tried.
    agreement : ndarray of shape (n_numbers, n_pairs)
        Adjusted Rand index of every pair of fits on the rows that they share.
    null_agreement : dict of str to ndarray of shape (n_numbers, n_nulls)
        The mean of a few pairs on each data set without clusters, for every kind of them.

    Attributes
    ----------
    excess : ndarray of shape (n_numbers,)
        Mean agreement, less that of the null which agrees most.
    significant : ndarray of bool of shape (n_numbers,)
        Where at most 5 % of the data sets of each null reach the mean agreement, and the excess is
        at least 0.05.
    best_n_clusters : int or None
        The number with the largest excess of those that are significant; None if none is: then no
        clusters were shown.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.model_selection import StabilityCurve
    >>> null = {"columns": np.full((2, 20), 0.4)}
    >>> StabilityCurve(np.array([2, 3]), np.array([20 * [0.5], 20 * [0.9]]), null).best_n_clusters
    3
    """

    n_clusters: NDArray[np.int_]
    agreement: NDArray[np.float64] = field(repr=False)  # a screenful each
    null_agreement: dict[str, NDArray[np.float64]] = field(repr=False)
    excess: NDArray[np.float64] = field(init=False)
    significant: NDArray[np.bool_] = field(init=False)
    best_n_clusters: int | None = field(init=False)

    def __post_init__(self) -> None:
        """Compare with the nulls."""
        mean, nulls = self.agreement.mean(axis=1), list(self.null_agreement.values())
        excess = mean - np.max([null.mean(axis=1) for null in nulls], axis=0)
        reached = np.max([(null >= mean[:, None]).mean(axis=1) for null in nulls], axis=0)
        significant = (reached <= LEVEL) & (excess >= LEAST)
        best = np.where(significant, excess, -np.inf).argmax()
        found = int(self.n_clusters[best]) if significant.any() else None
        for name, value in [("excess", excess), ("significant", significant)]:
            object.__setattr__(self, name, value)
        object.__setattr__(self, "best_n_clusters", found)


def stability_curve(
    estimator: Any,
    X: ArrayLike,
    *,
    n_clusters: Sequence[int] = range(2, 11),
    param_name: str = "n_clusters",
    embedding: Any = None,
    n_pairs: int = 20,
    subsample: float = 0.7,
    nulls: Sequence[str] = ("columns", "gaussian"),
    n_nulls: int = 20,
    n_null_pairs: int = 4,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> StabilityCurve:
    r"""Tell for which numbers of clusters a clusterer finds the same clusters in other rows.

    For every number of clusters, pairs of clones are fitted on random parts of the rows, and their
    labels of the rows in both parts are compared [1]_. Some agreement comes without any clusters:
    two halves of one long cloud are found again in every part of it. So the same is done with data
    that has none, and a number of clusters counts by how far it exceeds that [2]_. If none exceeds
    it, no clusters were shown, and `best_n_clusters` is None.

    Parameters
    ----------
    estimator : object
        A clusterer with `fit_predict`, such as those of this package and of scikit-learn; or a
        pipeline that ends in one.
    X : array-like of shape (n_samples, n_features) or (n_samples, *image)
        Rows.
    n_clusters : sequence of int, default=range(2, 11)
        Numbers of clusters to try.
    param_name : str, default="n_clusters"
        The parameter that they are set to, ``"n_components"`` of a mixture or
        ``"kmeans__n_clusters"`` of a pipeline.
    embedding : transformer, default=None
        Fitted once on all rows, and once on every null data set; the clusterer is then fitted on
        parts of the codes. That is cheap where the embedding is a deep clusterer's or UMAP's, and
        says how stable the clusters of these codes are, not how stable the embedding is.
    n_pairs : int, default=20
        Pairs of fits for every number of clusters.
    subsample : float, default=0.7
        Share of the rows in each part.
    nulls : sequence of {"columns", "gaussian"}, default=("columns", "gaussian")
        Data without clusters. "columns" shuffles every column by itself: each keeps its
        distribution, and what ties them is gone. "gaussian" is one Gaussian with the mean and the
        covariance of the rows: one cloud, as long and as flat as they are. Agreement must exceed
        both. See Notes.
    n_nulls : int, default=20
        Data sets of every null. With an embedding, which is fitted on each of them, 5 may have to
        do: then none of the 5 may agree as well.
    n_null_pairs : int, default=4
        Pairs of fits on each of them.
    random_state : int, RandomState or None, default=None
        Draws the parts, the nulls and the seeds of the clones.
    n_jobs : int, default=None
        Number of pairs that are fitted at the same time, in processes; None is 1, -1 all
        processors.

    Returns
    -------
    curve : StabilityCurve
        The agreements, and what they say.

    Raises
    ------
    ValueError
        If a null is unknown, a number of clusters is below 2, there are too few rows, or a
        clusterer finds more clusters than it was told to.

    Notes
    -----
    The rule is that of Clest [2]_ with its constants: among the numbers of clusters whose mean
    agreement is reached by at most 5 % of the null data sets and exceeds their mean by at least
    0.05, the one with the largest excess. Clest predicts labels by a classifier where we fit
    two clones, and its null is uniform.

    Every number is tested by itself. The more are tried, the more often one of them passes by
    chance: doubt one that stands alone and exceeds the nulls by little.

    Each of the two nulls errs alone. Columns that are shuffled are no longer correlated, and one
    correlated cloud exceeds them. A Gaussian is symmetric, and one skewed cloud exceeds it. With
    both, few clusters that lie along one line, such as two, can be missed: a single long cloud is
    cut in the same places.

    References
    ----------
    .. [1] Ben-Hur, A., Elisseeff, A., Guyon, I. "A stability based method for discovering structure
       in clustered data", Pacific Symposium on Biocomputing 2002.
    .. [2] Dudoit, S., Fridlyand, J. "A prediction-based resampling method for estimating the number
       of clusters in a dataset", Genome Biology 3(7), 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster.model_selection import stability_curve
    >>> X, _ = make_blobs(200, centers=5 * np.eye(4, 5), random_state=0)
    >>> curve = stability_curve(KMeans(n_init=2), X, n_clusters=range(3, 6), random_state=0)
    >>> curve.best_n_clusters
    4
    """
    rows = check_array(X, allow_nd=True)
    fewest = min(n_pairs, n_nulls, n_null_pairs)
    numbers = _checked(n_clusters, nulls, fewest, subsample, len(rows))
    random = check_random_state(random_state)
    task = _Task(estimator, param_name, numbers, int(subsample * len(rows)), embedding)
    codes = task.embedded(rows, random)
    jobs = [delayed(task.of_codes)(codes, 1, seed) for seed in _seeds(random, n_pairs)]
    for null in nulls:
        make = NULLS[null]
        seeds = _seeds(random, n_nulls)
        jobs += [delayed(task.of_null)(rows, make, n_null_pairs, seed) for seed in seeds]
    found = iter(Parallel(n_jobs=n_jobs)(jobs))
    agreement = np.column_stack([next(found) for _ in range(n_pairs)])
    of_nulls = {null: np.column_stack([next(found) for _ in range(n_nulls)]) for null in nulls}
    return StabilityCurve(np.array(numbers), agreement, of_nulls)


def _checked(
    n_clusters: Sequence[int], nulls: Sequence[str], fewest: int, subsample: float, n: int
) -> list[int]:
    """Return the numbers of clusters, once everything else is known to work."""
    numbers: list[Any] = list(n_clusters) if np.iterable(n_clusters) else []
    if not numbers or not all(isinstance(k, Integral) and int(k) >= 2 for k in numbers):
        raise ValueError(f"n_clusters must be a list of integers from 2 on; got {n_clusters}.")
    if not 0 < subsample <= 1:
        raise ValueError(f"subsample={subsample} must be a share of the rows in (0, 1].")
    if not nulls or set(nulls) - set(NULLS):
        raise ValueError(f"nulls must be one or more of {', '.join(NULLS)}; got {tuple(nulls)}.")
    if fewest < 1:
        raise ValueError("n_pairs, n_nulls and n_null_pairs must be at least 1.")
    if (n_rows := int(subsample * n)) <= max(numbers):
        raise ValueError(
            f"Each part has {n_rows} rows, too few for {max(numbers)} clusters. Try fewer, "
            "or a larger subsample."
        )
    return [int(number) for number in numbers]


def _seeds(random: np.random.RandomState, n_seeds: int) -> list[int]:
    return random.randint(np.iinfo(np.int32).max, size=n_seeds).tolist()


@dataclass(frozen=True)
class _Task:
    """What is done for every pair of fits."""

    estimator: Any
    param_name: str
    n_clusters: list[int]
    n_rows: int
    embedding: Any

    def embedded(self, rows: NDArray[Any], random: np.random.RandomState) -> NDArray[Any]:
        """Return the codes of rows by an embedding of their own, or the rows."""
        if self.embedding is None:
            return rows
        return np.asarray(reseeded(self.embedding, random).fit_transform(rows))

    def of_null(
        self, rows: NDArray[Any], null: Callable[..., NDArray[Any]], n_pairs: int, seed: int
    ) -> NDArray[np.float64]:
        """Return the mean agreements on one data set without clusters."""
        random = np.random.RandomState(seed)
        flat = null(rows.reshape(len(rows), -1), random)
        codes = self.embedded(flat.reshape(rows.shape), random)
        return self.of_codes(codes, n_pairs, int(random.randint(2**31)))

    def of_codes(self, codes: NDArray[Any], n_pairs: int, seed: int) -> NDArray[np.float64]:
        """Return the mean agreement of pairs of fits for every number of clusters."""
        random = np.random.RandomState(seed)
        pairs = range(n_pairs)
        means = [
            np.mean([self._agreement(codes, k, random) for _ in pairs]) for k in self.n_clusters
        ]
        return np.array(means)

    def _told(self, labels: NDArray[Any], k: int) -> NDArray[Any]:
        """Return labels, unless the clusterer has not listened to the number that it was given."""
        n_found = len(np.setdiff1d(labels, [-1]))
        if n_found > k:
            raise ValueError(
                f"{self.param_name}={k} gave {n_found} clusters, so it does not set their number. "
                "Pass a clusterer that is told how many to find, or the param_name that tells it."
            )
        return labels

    def _agreement(self, codes: NDArray[Any], k: int, random: np.random.RandomState) -> float:
        """Return how far two fits on parts of the codes agree on what is in both."""
        found = []
        for _ in range(2):
            rows = np.sort(random.permutation(len(codes))[: self.n_rows])
            model = reseeded(self.estimator, random).set_params(**{self.param_name: k})
            labels = np.full(len(codes), -2)
            labels[rows] = self._told(model.fit_predict(codes[rows]), k)
            found.append(labels)
        both = (found[0] > -2) & (found[1] > -2)
        return float(adjusted_rand_score(found[0][both], found[1][both]))


def _shuffled_columns(rows: NDArray[Any], random: np.random.RandomState) -> NDArray[Any]:
    return np.column_stack([random.permutation(column) for column in rows.T])


def _one_gaussian(rows: NDArray[Any], random: np.random.RandomState) -> NDArray[Any]:
    """Return draws of a Gaussian with the mean and the covariance of some rows."""
    mean = rows.mean(axis=0)
    _, scales, axes = np.linalg.svd(rows - mean, full_matrices=False)
    noise = random.normal(size=(len(rows), len(scales)))
    drawn = mean + noise @ (scales[:, None] * axes) / np.sqrt(max(len(rows) - 1, 1))
    if np.issubdtype(rows.dtype, np.integer):
        limits = np.iinfo(rows.dtype)
        drawn = np.rint(drawn).clip(limits.min, limits.max)
    return drawn.astype(rows.dtype)


NULLS: dict[str, Callable[..., NDArray[Any]]] = {
    "columns": _shuffled_columns,
    "gaussian": _one_gaussian,
}
