"""Small class-balanced subsets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_consistent_length, check_random_state

from skdeepcluster.datasets._bunch import XY, RandomState, Rows, bunch_or_pair, make_bunch
from skdeepcluster.datasets._fetch import SOURCES, TABLE, Folder, fetch
from skdeepcluster.datasets._samples import make_four_gaussians

_SUBSETS: dict[str, dict[str, Any]] = TABLE["vardakas2021"]


def class_subset(
    X: Rows,
    y: ArrayLike,
    *,
    n_per_class: int,
    classes: Sequence[Any] | None = None,
    random_state: RandomState = None,
) -> XY:
    """Draw the same number of rows from each class, without replacement.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...) or CSR matrix of shape (n_samples, n_features)
        The rows.
    y : array-like of shape (n_samples,)
        Their classes, integers or strings.
    n_per_class : int
        Number of rows to draw from each class.
    classes : sequence, default=None
        The classes to keep. A list or tuple among them is merged into one class, from which
        ``n_per_class`` rows are drawn in all: ``[0, (1, 7)]`` has two classes. None keeps them all.
    random_state : int, RandomState instance or None, default=None
        An integer gives the same rows each time.

    Returns
    -------
    X_subset : ndarray or CSR matrix of shape (n_per_class * n_classes, ...)
        The rows drawn, in the order they have in X.
    y_subset : ndarray of shape (n_per_class * n_classes,)
        Their classes, numbered as in ``classes``, or in sorted order if that is None.

    Raises
    ------
    ValueError
        If a class has fewer than ``n_per_class`` rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.datasets import class_subset
    >>> X, y = np.arange(8).reshape(-1, 1), np.array([0, 0, 1, 1, 7, 7, 9, 9])
    >>> X_subset, y_subset = class_subset(X, y, n_per_class=2, classes=[0, (1, 7)], random_state=0)
    >>> y_subset
    array([0, 0, 1, 1])
    """
    check_consistent_length(X, y)
    y = np.asarray(y)
    rng = check_random_state(random_state)
    groups = np.unique(y) if classes is None else classes
    drawn = [_draw(np.flatnonzero(np.isin(y, group)), n_per_class, group, rng) for group in groups]
    rows = np.concatenate(drawn)
    order = np.argsort(rows)
    return X[rows[order]], np.repeat(np.arange(len(groups)), n_per_class)[order]


def _draw(
    rows: NDArray[np.intp], n: int, group: Any, rng: np.random.RandomState
) -> NDArray[np.intp]:
    if len(rows) < n:
        raise ValueError(
            f"Class {group} has {len(rows)} rows, fewer than n_per_class={n}. "
            "Lower n_per_class, or leave the class out of `classes`."
        )
    return rng.choice(rows, n, replace=False)


def fetch_vardakas2021(
    name: str,
    *,
    data_home: Folder | None = None,
    random_state: RandomState = None,
    return_X_y: bool = False,
) -> Bunch | XY:
    """Fetch one of the small class-balanced data sets of Vardakas (2021).

    ================== ======== ========= =====================================================
    name               classes  per class
    ================== ======== ========= =====================================================
    mnist              10       50
    mnist-4            4        50        digits 0, 1, 2, 3
    fashion-mnist      10       50
    fashion-mnist-5    5        100       {T-shirt/top, Dress}, {Trouser}, {Pullover, Coat,
                                          Shirt}, {Bag}, {Sandal, Sneaker, Ankle boot}
    pendigits          10       200
    pendigits-odd      5        400       digits 1, 3, 5, 7, 9
    pendigits-even     5        400       digits 0, 2, 4, 6, 8
    synthetic          4        100       :func:`make_four_gaussians`
    ================== ======== ========= =====================================================

    The rows are drawn at random from the whole source, so they are not the very rows of [1]_.

    Parameters
    ----------
    name : str
        A name of the table above.
    data_home : str or path-like, default=None
        Where the source may lie, as in :func:`fetch_mnist` and :func:`fetch_pendigits`.
    random_state : int, RandomState instance or None, default=None
        An integer gives the same rows each time.
    return_X_y : bool, default=False
        Return only ``(data, target)``.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch` or tuple
        ``data`` of shape (n_samples, n_features), float32 in [0, 1]; ``images``, the same memory,
        where the samples are images; ``target``, integers from 0; ``target_names``; ``DESCR``. The
        tuple ``(data, target)`` if ``return_X_y``.

    Raises
    ------
    ValueError
        If there is no subset of that name.
    FileNotFoundError
        If the source is neither on disk nor within reach.

    References
    ----------
    .. [1] Vardakas, G. "Deep clustering based on implicit likelihood maximization", master's
       thesis, University of Ioannina 2021, section 6.1.

    Examples
    --------
    >>> from skdeepcluster.datasets import fetch_vardakas2021
    >>> fetch_vardakas2021("synthetic", random_state=0).data.shape
    (400, 2)
    """
    names = [*_SUBSETS, "synthetic"]
    if name not in names:
        raise ValueError(f"name={name!r} is not a subset of Vardakas (2021); take one of {names}.")
    descr = f"The subset {name!r} of Vardakas (2021), section 6.1."
    if name == "synthetic":
        X, y = make_four_gaussians(random_state=random_state)
        bunch = make_bunch(X.astype(np.float32), y, [f"component {i}" for i in range(4)], descr)
    else:
        bunch = _draw_subset(_SUBSETS[name], descr, data_home, random_state)
    return bunch_or_pair(bunch, return_X_y)


def _draw_subset(
    spec: dict[str, Any], descr: str, data_home: Folder | None, random_state: RandomState
) -> Bunch:
    source = fetch(spec["source"], data_home, "all")
    classes = spec["classes"]
    X, y = class_subset(
        source.data,
        source.target,
        n_per_class=spec["n_per_class"],
        classes=classes,
        random_state=random_state,
    )
    # One factor for all columns: pixels and pen coordinates start at 0 and share their scale.
    X = X.astype(np.float32) / np.float32(source.data.max())
    names = [" + ".join(source.target_names[np.atleast_1d(group)]) for group in classes]
    return make_bunch(X, y, names, descr, SOURCES[spec["source"]].get("image_shape"))
