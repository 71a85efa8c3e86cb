"""Labels, codes and centres of the rows that a fitted clusterer is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_is_fitted

from skdeepcluster._validation import as_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["NOISE", "by_distance", "clustered", "column_names", "nearest_first"]

NOISE = -1


def nearest_first(model: Any, X: ArrayLike) -> dict[Any, NDArray[np.intp]]:
    """Return the rows of every cluster, the most typical first.

    Distances are among codes, to `code_centers_`, where the model is of this package; of any other
    clusterer they are among rows, to the mean of the cluster. Of a pipeline the last step is asked.

    Parameters
    ----------
    model : object
        A fitted clusterer with `predict`; or with `labels_` alone, and then `X` must be the rows
        it was fitted on.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows, in the form that the model was fitted on.

    Returns
    -------
    rows : dict of int to ndarray
        Positions in `X` for every cluster that has members, in the order of the clusters. Noise
        has no centre and takes no part.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeepcluster.inspection import nearest_first
    >>> X = [[0], [1], [9], [5]]
    >>> rows = nearest_first(KMeans(1).fit(X), X)
    >>> rows[0].tolist()
    [3, 1, 0, 2]
    """
    _, labels, codes, centers = clustered(model, X)
    return {label: by_distance(codes, labels, centers, label) for label in centers}


def _last_step(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the clusterer at the end of a pipeline, and the rows that it is given."""
    check_is_fitted(model)
    if not isinstance(model, Pipeline):
        return model, X
    return _last_step(model[-1], model[:-1].transform(X) if len(model) > 1 else X)


def clustered(model: Any, X: Any) -> tuple[Any, NDArray[Any], Any, dict[Any, NDArray[Any]]]:
    """Return the clusterer, labels and codes of rows, and the centres of the clusters there."""
    model, X = _last_step(model, X)
    rows = check_array(as_rows(X)[0], accept_sparse="csr")
    labels = _labels(model, X, rows.shape[0])
    present = [label for label in np.unique(labels).tolist() if label != NOISE]
    if hasattr(model, "code_centers_"):
        codes = np.asarray(model.transform(X))
        return model, labels, codes, {label: model.code_centers_[label] for label in present}
    means = [rows[np.flatnonzero(labels == label)].mean(axis=0) for label in present]
    return (
        model,
        labels,
        rows,
        dict(zip(present, map(np.ravel, map(np.asarray, means)), strict=True)),
    )


def _labels(model: Any, X: Any, n_rows: int) -> NDArray[Any]:
    """Return the labels of rows; without `predict`, those of the fit."""
    if hasattr(model, "predict"):
        return np.asarray(model.predict(X))
    if not hasattr(model, "labels_"):
        raise TypeError(
            f"{type(model).__name__} has neither `predict` nor `labels_`. Use a fitted clusterer."
        )
    if len(model.labels_) != n_rows:
        raise ValueError(
            f"{type(model).__name__} has no `predict`, and labels of {len(model.labels_)} rows; X "
            f"has {n_rows}. Pass the rows it was fitted on."
        )
    return np.asarray(model.labels_)


def check_labels(labels: Any) -> NDArray[Any]:
    """Return labels of one dimension, which can be told apart and put in order.

    Raises
    ------
    ValueError
        If some are missing, or numbers are among strings.
    """
    found = column_or_1d(labels)
    try:
        np.unique(found)
        is_missing = found.dtype.kind == "f" and np.isnan(found).any()
    except TypeError:  # None and NA, or numbers and strings
        is_missing = True
    if is_missing:
        raise ValueError(
            "Labels must be all numbers or all strings, and none missing. Leave out the rows that "
            "have none, or give these a label of their own."
        )
    return found


def column_names(X: Any, n_columns: int, given: Sequence[str] | None) -> list[str]:
    """Return the names of the columns: the user's, the data frame's, or numbers."""
    if given is None:
        given = getattr(X, "columns", [f"x{column}" for column in range(n_columns)])
    names = [str(name) for name in given]
    if len(names) != n_columns:
        raise ValueError(
            f"feature_names has {len(names)} names for {n_columns} columns; expected one for each."
        )
    return names


def by_distance(
    codes: Any, labels: NDArray[Any], centers: dict[Any, NDArray[Any]], label: Any
) -> NDArray[np.intp]:
    """Return the rows of a label, the nearest to its centre first; none if it has no centre."""
    if label not in centers:
        return np.empty(0, dtype=np.intp)
    members = np.flatnonzero(labels == label)
    away = euclidean_distances(codes[members], centers[label][None]).ravel()
    return members[np.argsort(away, kind="stable")]
