"""The data of the benchmarks: rows in [0, 1] and the classes that score them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import minmax_scale
from sklearn.utils import Bunch, shuffle

from skdeepcluster import datasets

_FETCHERS = {
    "mnist": datasets.fetch_mnist,
    "fashion-mnist": datasets.fetch_fashion_mnist,
    "usps": datasets.fetch_usps,
    "pendigits": datasets.fetch_pendigits,
    "har": datasets.fetch_har,
    "coil20": datasets.fetch_coil20_32,
    "cifar10-test": datasets.fetch_cifar10_test,
    "reuters": datasets.fetch_reuters21578_top4,
}
_WITH_TEST_PART = ["mnist", "fashion-mnist", "pendigits", "reuters"]
_VARDAKAS = [
    "synthetic",
    "mnist",
    "mnist-4",
    "fashion-mnist",
    "fashion-mnist-5",
    "pendigits",
    "pendigits-odd",
    "pendigits-even",
]


def mnist_test_14() -> Bunch:
    """Return the test rows of MNIST at 14 x 14: means of 2 x 2 pixels, as Lim (2024) trains on."""
    bunch = datasets.fetch_mnist(subset="test")
    images = bunch.images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return Bunch(data=images.reshape(-1, 196), target=bunch.target, images=images)


def table(load: Callable[[], Bunch]) -> Bunch:
    """Return one of scikit-learn's tables, whose columns have units and so a scale each."""
    bunch = load()
    return Bunch(data=minmax_scale(bunch.data), target=bunch.target)


DATA: dict[str, Callable[[], Any]] = {
    "digits": datasets.load_small_digits,
    "wine": partial(table, load_wine),
    "breast-cancer": partial(table, load_breast_cancer),
    **_FETCHERS,
    **{f"{name}-test": partial(_FETCHERS[name], subset="test") for name in _WITH_TEST_PART},
    "mnist-test-14": mnist_test_14,
    **{
        f"vardakas-{name}": partial(datasets.fetch_vardakas2021, name, random_state=0)
        for name in _VARDAKAS
    },
}


@dataclass(frozen=True)
class Data:
    """Rows in [0, 1], their classes, and the shape of an image if they are images.

    If they are drawn from more, `unseen` are the others and their classes.
    """

    name: str
    X: Any
    y: NDArray[np.int64]
    image_shape: tuple[int, int, int] | None
    unseen: tuple[Any, NDArray[np.int64]] | None = None

    @property
    def n_classes(self) -> int:
        return len(np.unique(self.y))


@lru_cache(maxsize=1)
def load(name: str) -> Data:
    """Load a data set by its name in DATA; ``name:n`` draws n of its rows, always the same."""
    source, _, n_rows = name.partition(":")
    bunch = DATA[source]()
    X, y, unseen = to_unit(bunch.data), bunch.target, None
    if n_rows:
        X, y = shuffle(X, y, random_state=0)
        n = int(n_rows)
        X, y, unseen = X[:n], y[:n], (X[n:], y[n:])
    shape = bunch.images.shape[1:] if "images" in bunch else None
    return Data(name, X, y, shape and (1, *shape)[-3:], unseen)


def to_unit(X: Any) -> Any:
    """Bring rows to float32 in [0, 1] by one map for all columns, which keeps their proportions."""
    if X.dtype == np.uint8:
        return X.astype(np.float32) / np.float32(255)
    X = X.astype(np.float32)
    low, high = X.min(), X.max()
    if low >= 0 and high <= 1:
        return X
    if sparse.issparse(X):
        return X / max(-low, high)
    return (X - low) / (high - low)
