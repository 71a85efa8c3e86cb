"""A Gaussian mixture that depends little on its start."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

from skdeepcluster.metrics import agreement_matrix

from ._spherical import Array, Labels

STARTS = ("k-means++", "k-means++", "k-means++", "kmeans")  # taken in turn
FLOOR = 1e-4  # of the variances, as a share of the mean variance of a column
FIRST_ITER = 10  # of EM, after which only the best quarter of the runs goes on
_LEARNED = (
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "converged_",
    "n_iter_",
    "lower_bound_",
    "lower_bounds_",
)


class SteadyGaussianMixture(GaussianMixture):
    """Gaussian mixture by many diverse runs of EM, of which the best bound is kept.

    One run of EM ends in a local optimum that its start decides. Three quarters of the runs here
    start from k-means++ seeds, the others from a k-means of their own. After ten iterations the
    best quarter goes on, and of these the one with the best lower bound is the mixture. How far
    they agree tells whether there is one answer at all.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, at least 1.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        Shape of the covariances.
    tol : float, default=1e-3
        Gain of the lower bound below which a run ends.
    reg_covar : float or "auto", default="auto"
        Added to the variances, in squared units of the rows. "auto" is a ten-thousandth of the mean
        variance of a column: with less, components collapse onto strings of rows.
    max_iter : int, default=100
        Iterations of a run, after those first ten.
    n_init : int, default=48
        Number of runs.
    random_state : int, RandomState instance or None, default=None
        Seeds the starts.

    Attributes
    ----------
    weights_, means_, covariances_, precisions_, precisions_cholesky_ : ndarray
        The best run's, as in scikit-learn's `GaussianMixture`.
    lower_bound_ : float
        The best run's mean log-likelihood of a row.
    run_bounds_ : ndarray of shape (n_init,)
        Where every run ended, the best first.
    agreement_ : float
        Mean adjusted Rand index between the labels of the runs that went on, at most 1. Below
        about .9 the data does not say which of several clusterings is meant.

    References
    ----------
    C. Biernacki, G. Celeux and G. Govaert, "Choosing starting values for the EM algorithm for
    getting the highest likelihood in multivariate Gaussian mixture models", Computational
    Statistics & Data Analysis 41, 2003: many short runs, then long ones from the best.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster.heads import SteadyGaussianMixture
    >>> X, _ = make_blobs(300, centers=5, random_state=0)
    >>> mixture = SteadyGaussianMixture(5, random_state=0).fit(X)
    >>> mixture.predict(X).shape, mixture.run_bounds_.shape
    ((300,), (48,))
    >>> bool(mixture.lower_bound_ == mixture.run_bounds_[0])
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **GaussianMixture._parameter_constraints,
        "reg_covar": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float | str = "auto",
        max_iter: int = 100,
        n_init: int = 48,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            n_components,
            covariance_type=covariance_type,
            tol=tol,
            reg_covar=reg_covar,
            max_iter=max_iter,
            n_init=n_init,
            random_state=random_state,
        )

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. EM sees as many rows as there are, each as often as its weight
            says: scikit-learn's takes no weights.

        Returns
        -------
        self : object
            Fitted mixture.
        """
        self.fit_predict(X, y, sample_weight)
        return self

    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Labels:
        """Fit the mixture, and return the component of every row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as in :meth:`fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            `predict` of the rows.
        """
        self._validate_params()
        rows = check_array(X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        drawn = rows[self._drawn(sample_weight, rows)]
        with warnings.catch_warnings():
            # Of runs that are stopped early, and of k-means that finds too few different rows.
            warnings.simplefilter("ignore", ConvergenceWarning)
            runs = self._ranked(self._begin(drawn))
            going_on = runs[: max(2, len(runs) // 4)]
            for run in going_on:
                run.set_params(max_iter=self.max_iter).fit(drawn)
        best, *_ = going_on = self._ranked(going_on)
        self.__dict__ |= {name: getattr(best, name) for name in _LEARNED if hasattr(best, name)}
        self.n_features_in_ = rows.shape[1]
        self.run_bounds_ = np.sort([run.lower_bound_ for run in runs])[::-1]
        labels = [run.predict(rows) for run in going_on]
        self.agreement_ = _mean_agreement(labels)
        return labels[0]

    def _begin(self, rows: Array) -> list[GaussianMixture]:
        """Return all runs after their first iterations."""
        rng = check_random_state(self.random_state)
        own = {k: v for k, v in self.get_params().items() if k not in ("n_init", "random_state")}
        own |= {"max_iter": min(FIRST_ITER, self.max_iter), "reg_covar": self._floor(rows)}
        return [
            GaussianMixture(
                **own,
                init_params=STARTS[i % len(STARTS)],
                random_state=rng.randint(2**31 - 1),
                warm_start=True,
            ).fit(rows)
            for i in range(self.n_init)
        ]

    def _drawn(self, sample_weight: ArrayLike | None, rows: Array) -> Any:
        """Return the numbers of the rows that EM sees: systematic resampling by weight."""
        weight = _check_sample_weight(sample_weight, rows, ensure_non_negative=True)
        if np.ptp(weight) == 0:
            return slice(None)
        reach = np.cumsum(weight / weight.max())  # or the sum could overflow
        drawn = np.searchsorted(reach / reach[-1], (np.arange(len(rows)) + 0.5) / len(rows))
        n_seen = len(np.unique(drawn))
        if n_seen >= self.n_components:
            return drawn
        warnings.warn(
            f"{n_seen} of {len(rows)} rows have nearly all of sample_weight, too few for "
            f"{self.n_components} components. EM sees the {self.n_components} heaviest at least "
            "once. Use weights that differ less.",
            ConvergenceWarning,
            stacklevel=3,
        )
        heaviest = np.argsort(-weight, kind="stable")[: self.n_components]
        return np.append(drawn, heaviest[weight[heaviest] > 0])

    def _floor(self, rows: Array) -> Any:
        """Return what is added to the variances."""
        if self.reg_covar != "auto":
            return self.reg_covar
        return max(FLOOR * rows.var(axis=0).mean(), np.finfo(float).eps)

    @staticmethod
    def _ranked(runs: list[GaussianMixture]) -> list[GaussianMixture]:
        return sorted(runs, key=lambda run: -run.lower_bound_)


def _mean_agreement(labelings: list[Labels]) -> float:
    """Return the mean adjusted Rand index of all pairs; 1 of a single labelling."""
    pairs = agreement_matrix(labelings)[np.triu_indices(len(labelings), 1)]
    return float(pairs.mean()) if len(pairs) else 1.0
