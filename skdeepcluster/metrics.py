"""Scores of a clustering against known classes, aware of noise; and how far clusterings agree.

The scores take ``(labels_true, labels_pred)`` as those of scikit-learn do, and go into
:func:`sklearn.metrics.make_scorer`. Labels may be integers or strings. The number of clusters need
not be the number of classes. The label -1 among the predictions means noise: a row that belongs to
no cluster, and so can never be right. So does -1.0 or "-1", and NaN, None or an empty text, by
which tables say that there is none. Among the true labels, -1 is a class like any other, and so is
nothing.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_consistent_length, column_or_1d

NOISE, NOTHING = "-1", ""  # among labels that are text
MISSING = {NOTHING, "nan", "NaN", "NaT", "None", "<NA>"}  # what other libraries write for none

__all__ = [
    "agreement_matrix",
    "clustering_accuracy",
    "labeled_accuracy",
    "labeled_fraction",
    "purity_score",
]


def agreement_matrix(labelings: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """How far each of several clusterings of the same rows agrees with every other one.

    Parameters
    ----------
    labelings : sequence of array-like of shape (n_samples,)
        The clusters of the rows, one sequence for each clustering. Noise counts as a cluster.

    Returns
    -------
    agreement : ndarray of shape (n_labelings, n_labelings)
        Adjusted Rand indices: 1 where two agree, as each does with itself, and about 0 where they
        have no more in common than chance.

    Examples
    --------
    >>> from skdeepcluster.metrics import agreement_matrix
    >>> agreement_matrix([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]]).round(2)
    array([[ 1. ,  1. , -0.5],
           [ 1. ,  1. , -0.5],
           [-0.5, -0.5,  1. ]])
    """
    agreement = np.eye(len(labelings))
    for (i, one), (j, other) in combinations(enumerate(labelings), 2):
        agreement[i, j] = agreement[j, i] = adjusted_rand_score(one, other)
    return agreement


def mean_agreement(labelings: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Return how far each labelling agrees with the others, in the mean; 1 of a single one."""
    if len(labelings) == 1:
        return np.ones(1)
    matrix = agreement_matrix(labelings)
    means: NDArray[np.float64] = (matrix.sum(axis=0) - 1) / (len(labelings) - 1)  # 1: with itself
    return means


def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    r"""Share of rows whose cluster stands for their class, under the best matching.

    Clusters are matched with classes one to one so that the most rows agree:

    .. math:: \max_{m} \frac{1}{n} \sum_{i=1}^{n} [\, y_i = m(c_i) \,]

    over all one-to-one maps :math:`m` from clusters to classes. With more clusters than classes the
    surplus clusters count as errors; with fewer, the surplus classes do. Noise counts as an error.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        The classes, integers or strings.
    labels_pred : array-like of shape (n_samples,)
        The clusters, integers or strings; -1 is noise, and so is NaN or None.

    Returns
    -------
    accuracy : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional or of unequal length.

    See Also
    --------
    labeled_accuracy : The same over the rows that are not noise.
    purity_score : Several clusters may stand for one class.

    References
    ----------
    .. [1] Xie, J., Girshick, R., Farhadi, A. "Unsupervised deep embedding for clustering analysis",
       International Conference on Machine Learning 2016.
    .. [2] Kuhn, H. W. "The Hungarian method for the assignment problem", Naval Research Logistics
       Quarterly 2, 1955.

    Examples
    --------
    >>> from skdeepcluster.metrics import clustering_accuracy
    >>> clustering_accuracy(["cat", "cat", "dog", "dog"], [1, 1, 0, 0])
    1.0
    >>> clustering_accuracy(["cat", "cat", "dog", "dog"], [1, -1, 0, 0])
    0.75
    """
    counts, n_samples = _count_labeled(labels_true, labels_pred)
    return _count_matched(counts) / n_samples


def labeled_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Hungarian-matched accuracy over the rows that are not noise.

    Read it together with :func:`labeled_fraction`: a clustering that keeps only its easiest rows
    scores high here. The product of the two is :func:`clustering_accuracy`.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        The classes, integers or strings.
    labels_pred : array-like of shape (n_samples,)
        The clusters, integers or strings; -1 is noise, and so is NaN or None.

    Returns
    -------
    accuracy : float
        Between 0 and 1, higher is better. 0 if every row is noise, so that a clustering that finds
        nothing is never selected.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional or of unequal length.

    See Also
    --------
    clustering_accuracy : Noise counts as an error.

    Examples
    --------
    >>> from skdeepcluster.metrics import labeled_accuracy
    >>> labeled_accuracy(["cat", "cat", "dog", "dog"], [1, -1, 0, 0])
    1.0
    """
    counts, _ = _count_labeled(labels_true, labels_pred)
    return _count_matched(counts) / max(int(counts.sum()), 1)


def purity_score(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    r"""Share of rows that belong to the most frequent class of their cluster.

    .. math:: \frac{1}{n} \sum_{k} \max_{j} \, |\{i : c_i = k, \; y_i = j\}|

    Never below :func:`clustering_accuracy`, and 1 when every row is a cluster of its own: compare
    it only between clusterings with the same number of clusters. Noise counts as an error.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        The classes, integers or strings.
    labels_pred : array-like of shape (n_samples,)
        The clusters, integers or strings; -1 is noise, and so is NaN or None.

    Returns
    -------
    purity : float
        Between 0 and 1, higher is better.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional or of unequal length.

    See Also
    --------
    clustering_accuracy : At most one cluster stands for a class.

    References
    ----------
    .. [1] Manning, C. D., Raghavan, P., Schütze, H. "Introduction to Information Retrieval",
       Cambridge University Press 2008, section 16.3.

    Examples
    --------
    >>> from skdeepcluster.metrics import purity_score
    >>> purity_score(["cat", "cat", "dog", "dog"], [0, 1, 2, 2])
    1.0
    """
    counts, n_samples = _count_labeled(labels_true, labels_pred)
    return int(counts.max(axis=0, initial=0).sum()) / n_samples


def labeled_fraction(labels_true: ArrayLike | None, labels_pred: ArrayLike) -> float:
    """Share of rows that belong to a cluster, that is, are not noise.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,) or None
        Ignored. It is there so that the function has the signature of a score.
    labels_pred : array-like of shape (n_samples,)
        The clusters, integers or strings; -1 is noise, and so is NaN or None.

    Returns
    -------
    fraction : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the predicted labels are empty or not one-dimensional.

    See Also
    --------
    labeled_accuracy : How right the labelled rows are.

    Examples
    --------
    >>> from skdeepcluster.metrics import labeled_fraction
    >>> labeled_fraction(None, [1, -1, 0, 0])
    0.75
    """
    return float(np.mean(_labeled_rows(_as_labels(labels_pred))))


def _as_labels(labels: ArrayLike) -> NDArray[Any]:
    """Check one column of labels; whatever is not a number is text."""
    column = column_or_1d(labels)
    if column.size == 0:
        raise ValueError("There are no labels: a score needs at least one row.")
    return column if column.dtype.kind in "biuf" else np.array([_as_text(x) for x in column])


def _as_text(label: Any) -> str:
    """Return a label as text, the same for equal numbers, and for -1 and for none in any type."""
    text = str(label)
    if text in MISSING:
        return NOTHING
    try:
        number = float(label)
    except (TypeError, ValueError):
        return text
    if isinstance(label, str) and number != -1:
        return text  # "01" need not be "1"
    return f"{number:.17g}"


def _labeled_rows(labels_pred: NDArray[Any]) -> NDArray[np.bool_]:
    if labels_pred.dtype.kind == "U":
        return ~np.isin(labels_pred, [NOISE, NOTHING])
    return (labels_pred != -1) & ~np.isnan(labels_pred)


def _count_labeled(labels_true: ArrayLike, labels_pred: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Count rows per class and cluster without the noise, and all rows with it."""
    true, pred = _as_labels(labels_true), _as_labels(labels_pred)
    check_consistent_length(true, pred)
    labeled = _labeled_rows(pred)
    return contingency_matrix(true[labeled], pred[labeled]), len(true)


def _count_matched(counts: NDArray[np.int64]) -> int:
    """Count the rows that agree under the best one-to-one matching of columns with rows."""
    return int(counts[linear_sum_assignment(counts, maximize=True)].sum())
