"""How far a cluster lies from all other rows, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.sparsefuncs import mean_variance_axis

from skdeepcluster._validation import as_rows

from ._clusters import check_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["effect_sizes"]

ROUNDING = 1e-10  # of a column's largest mean; a difference or a spread below it is none


def effect_sizes(X: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    r"""Return how many standard deviations each label lies from all other rows, in each column.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows. All columns are numbers.
    labels : array-like of shape (n_samples,)
        The cluster of every row, -1 for noise; or any other labels.

    Returns
    -------
    effects : ndarray of shape (n_labels, n_features)
        One row for each label, in the order of ``np.unique(labels)``.

    Notes
    -----
    This is Cohen's d [1]_, the difference of means in pooled standard deviations,

    .. math:: d = \frac{\bar x_1 - \bar x_2}{s}, \qquad
              s^2 = \frac{(n_1 - 1) s_1^2 + (n_2 - 1) s_2^2}{n_1 + n_2 - 2}

    between the rows of the label (1) and all others (2). It is positive where the label lies
    higher, infinite where both sides are constant and differ, and 0 of the only label.

    References
    ----------
    .. [1] Cohen, J. "Statistical Power Analysis for the Behavioral Sciences", Academic Press 1988,
       chapter 2.

    Examples
    --------
    >>> from skdeepcluster.inspection import effect_sizes
    >>> effect_sizes([[0, 5], [1, 5], [2, 6], [9, 5], [11, 6]], [0, 0, 0, 1, 1]).round(2)
    array([[-7.79, -0.27],
           [ 7.79,  0.27]])
    """
    rows = check_array(as_rows(X)[0], accept_sparse="csr")
    labels = check_labels(labels)
    check_consistent_length(rows, labels)
    clusters, counts = np.unique(labels, return_counts=True)
    moments = [_mean_and_variance(rows[np.flatnonzero(labels == k)]) for k in clusters]
    means, variances = (np.stack(each) for each in zip(*moments, strict=True))
    within = counts[:, None] * variances  # sums of squares about the mean of each label
    return np.stack([_cohens_d(k, counts, means, within) for k in range(len(clusters))])


def _mean_and_variance(rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = rows.astype(np.float64)
    if sparse.issparse(rows):
        mean, variance = mean_variance_axis(rows, axis=0)
        return mean, variance
    return rows.mean(axis=0), rows.var(axis=0)


def _cohens_d(
    cluster: int, counts: NDArray[Any], means: NDArray[Any], within: NDArray[Any]
) -> NDArray[np.float64]:
    """Return d of one label against the others, whose sums of squares are merged."""
    others = np.arange(len(counts)) != cluster
    if not others.any():
        return np.zeros(means.shape[1])
    mean = np.average(means[others], axis=0, weights=counts[others])
    between = counts[others] @ (means[others] - mean) ** 2
    squares = within[cluster] + within[others].sum(axis=0) + between
    spread = np.sqrt(squares / max(counts.sum() - 2, 1))
    difference = means[cluster] - mean
    least = ROUNDING * np.abs(means).max(axis=0)
    difference = np.where(np.abs(difference) <= least, 0.0, difference)
    spread = np.where(spread <= least, 0.0, spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / spread)
