"""Data that need no file: bundled with scikit-learn, or generated."""

import numpy as np
import sklearn.datasets
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skdeepcluster.datasets._bunch import XY, RandomState, bunch_or_pair, make_bunch


def load_small_digits(*, return_X_y: bool = False) -> Bunch | XY:
    """Load scikit-learn's handwritten digits as small images with values in [0, 1].

    The 1,797 images of 8 x 8 pixels of :func:`sklearn.datasets.load_digits`, divided by their
    largest value, 16. No download.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return only ``(data, target)``.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch` or tuple
        ``data`` of shape (1797, 64), float32 in [0, 1]; ``images`` of shape (1797, 8, 8), the same
        memory; ``target`` of shape (1797,), integers from 0 to 9; ``target_names``; ``DESCR``. The
        tuple ``(data, target)`` if ``return_X_y``.

    References
    ----------
    .. [1] Alpaydin, E., Kaynak, C. "Optical recognition of handwritten digits", UCI Machine
       Learning Repository 1998.

    Examples
    --------
    >>> from skdeepcluster.datasets import load_small_digits
    >>> digits = load_small_digits()
    >>> digits.images.shape, float(digits.data.max())
    ((1797, 8, 8), 1.0)
    """
    digits = sklearn.datasets.load_digits()
    data = (digits.data / 16).astype(np.float32)
    bunch = make_bunch(data, digits.target, digits.target_names, digits.DESCR, (8, 8))
    return bunch_or_pair(bunch, return_X_y)


def make_four_gaussians(
    n_samples: int = 400, *, random_state: RandomState = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw points from four well separated Gaussians in the unit square.

    The synthetic data of [1]_ are a mixture of four Gaussians in two dimensions with 100 points
    each, in [0, 1]. Means and variances are not given there. Here the means are (.25, .25),
    (.25, .75), (.75, .25) and (.75, .75), the standard deviation is .05, and the rare point beyond
    the square is moved to its border.

    Parameters
    ----------
    n_samples : int, default=400
        Number of points, spread evenly over the four components.
    random_state : int, RandomState instance or None, default=None
        An integer gives the same points each time.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The points, in [0, 1].
    y : ndarray of shape (n_samples,)
        The component of each point, 0 to 3.

    References
    ----------
    .. [1] Vardakas, G. "Deep clustering based on implicit likelihood maximization", master's
       thesis, University of Ioannina 2021, section 6.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.datasets import make_four_gaussians
    >>> X, y = make_four_gaussians(random_state=0)
    >>> X.shape, np.bincount(y).tolist()
    ((400, 2), [100, 100, 100, 100])
    """
    means = [(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)]
    X, y = sklearn.datasets.make_blobs(
        n_samples, centers=means, cluster_std=0.05, random_state=random_state
    )
    return np.clip(X, 0.0, 1.0), y
