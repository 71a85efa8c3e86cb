"""How often the number of clusters is found, on data where it is known and where there are none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_blobs
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import scale

from skdeepcluster.datasets import fetch_pendigits
from skdeepcluster.model_selection import stability_curve

Rows = NDArray[np.float64]

NUMBERS = range(2, 13)
NONE = 0


def _pendigits(random: np.random.RandomState) -> Rows:
    rows = np.asarray(fetch_pendigits().data, dtype=float)
    return rows[random.permutation(len(rows))[:1500]]


def _uneven(random: np.random.RandomState) -> Rows:
    """Return four blobs of 400, 100, 50 and 50 rows, one of them tight."""
    sizes, spreads = (400, 100, 50, 50), (1, 1, 0.5, 1)
    centers = [[0, 0, 0, 0], [5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 6, 0]]
    parts = zip(centers, spreads, sizes, strict=True)
    return np.vstack([random.normal(mean, spread, (n, 4)) for mean, spread, n in parts])


def _pair(random: np.random.RandomState) -> Rows:
    return np.vstack([random.normal(shift, 1, (150, 10)) for shift in (0, 1.5)])


def _blobs(n_rows: int, n_columns: int, k: int, spread: float) -> Callable[..., Rows]:
    shape = {"n_samples": n_rows, "n_features": n_columns, "centers": k, "cluster_std": spread}
    return lambda random: make_blobs(**shape, random_state=random)[0]


def _shuffled(load: Callable[[], tuple[Rows, Rows]]) -> Callable[..., Rows]:
    return lambda random: np.column_stack([random.permutation(c) for c in load().data.T])


# What it is, how many clusters it has, and how it is drawn. Columns are standardised later, but
# for the digits, whose columns share a unit.
DATA: dict[str, tuple[int, Callable[[np.random.RandomState], Rows]]] = {
    "3 blobs, 5 columns": (3, _blobs(300, 5, 3, 2.0)),
    "5 blobs, 8 columns": (5, _blobs(500, 8, 5, 3.0)),
    "8 blobs, 2 columns": (8, _blobs(800, 2, 8, 0.6)),
    "4 uneven blobs": (4, _uneven),
    "2 blobs that touch": (2, _pair),
    "iris": (3, lambda random: load_iris().data),
    "wine": (3, lambda random: load_wine().data),
    "breast-cancer": (2, lambda random: load_breast_cancer().data),
    "uniform, 2 columns": (NONE, lambda random: random.uniform(size=(400, 2))),
    "uniform, 4 columns": (NONE, lambda random: random.uniform(size=(400, 4))),
    "one Gaussian": (NONE, lambda random: random.normal(size=(400, 8))),
    "one correlated Gaussian": (
        NONE,
        lambda random: random.normal(size=(400, 8)) @ random.normal(size=(8, 8)),
    ),
    "one long Gaussian": (
        NONE,
        lambda random: random.normal(size=(400, 3)) @ [[10, 5, 2], [0, 1, 0], [0, 0, 1]],
    ),
    "one log-normal cloud": (NONE, lambda random: np.exp(0.7 * random.normal(size=(400, 5)))),
    "wine, shuffled": (NONE, _shuffled(load_wine)),
    "breast-cancer, shuffled": (NONE, _shuffled(load_breast_cancer)),
    "digits": (10, lambda random: load_digits().data),
    "pendigits, 1500 rows": (10, _pendigits),
    "digits, shuffled": (NONE, _shuffled(load_digits)),
}


def _stability(X: Rows, seed: int) -> int:
    options = {"n_clusters": NUMBERS, "n_null_pairs": 2, "random_state": seed}
    curve = stability_curve(KMeans(n_init=3), X, **options)
    return curve.best_n_clusters or NONE


def _silhouette(X: Rows, seed: int) -> int:
    fits = [KMeans(k, n_init=3, random_state=seed).fit(X).labels_ for k in NUMBERS]
    return NUMBERS[int(np.argmax([silhouette_score(X, labels) for labels in fits]))]


def _bic(X: Rows, seed: int) -> int:
    numbers = [1, *NUMBERS]
    fits = [GaussianMixture(k, reg_covar=1e-3, random_state=seed).fit(X) for k in numbers]
    best = numbers[int(np.argmin([fit.bic(X) for fit in fits]))]
    return NONE if best == 1 else best


def _hdbscan(X: Rows, seed: int) -> int:
    found = int(HDBSCAN(copy=True).fit(X).labels_.max()) + 1
    return NONE if found < 2 else found


METHODS = {
    "stability": _stability,
    "silhouette": _silhouette,
    "BIC": _bic,
    "HDBSCAN": _hdbscan,
}


def measure_numbers(seeds: Sequence[int]) -> Iterator[list[str]]:
    """Yield a header, and for every data set the numbers that each method found, by seed."""
    yield ["data", "rows", "columns", "k", *METHODS]
    for name, (k, draw) in DATA.items():
        found: dict[str, list[str]] = {method: [] for method in METHODS}
        for seed in seeds:
            X = draw(np.random.RandomState(seed))
            X = X if name.startswith("digits") else scale(X)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for method, find in METHODS.items():
                    found[method].append(str(find(X, seed) or "none"))
        told = [" ".join(each) for each in found.values()]
        yield [name, str(X.shape[0]), str(X.shape[1]), str(k or "none"), *told]
