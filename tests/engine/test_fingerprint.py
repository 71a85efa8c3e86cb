"""A checkpoint knows what it belongs to, in every process and after every fit."""

import functools
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import EpochTimer

from skdeepcluster import AutoencoderClustering
from skdeepcluster.engine.fingerprint import fingerprint

X = np.arange(24, dtype=np.float32).reshape(4, 6)
PARAMS = {"lr": 0.1, "names": {"b", "a", "c"}, "head": KMeans(3), "build": np.mean, "none": None}


def test_a_fingerprint_does_not_depend_on_how_rows_are_held(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert fingerprint(PARAMS, X) == fingerprint(PARAMS, X.copy()) == fingerprint(PARAMS, mapped)
    assert fingerprint(sparse.csr_array(X)) == fingerprint(sparse.csr_array(X).copy())


@pytest.mark.parametrize(
    "changed",
    [
        {"lr": 0.2},
        {"names": {"a", "b"}},
        {"head": KMeans(4)},
        {"build": np.median},
        {"none": 0},
        {"more": 1},
    ],
)
def test_a_fingerprint_changes_with_every_parameter(changed):
    assert fingerprint({**PARAMS, **changed}, X) != fingerprint(PARAMS, X)


@pytest.mark.parametrize("kind", [np.array, sparse.csr_array])
def test_a_fingerprint_changes_with_the_rows(kind):
    other = X.copy()
    other[-1, -1] += 1
    prints = [fingerprint(kind(rows)) for rows in (X, other, X[:-1], X.astype(np.float64))]
    assert len(set(prints)) == 4


def build(shape, width):
    """An encoder's recipe, for the next test."""


def test_a_fingerprint_takes_what_constructors_take():
    def local(shape):
        return None

    values = [local, build, functools.partial(build, width=3), functools.partial(build, width=4)]
    values += [functools.partial(local, 3), functools.partial(lambda width: None, 3)]
    values += [torch.optim.Adam, torch.device("cpu"), lambda shape: None, [1, (2, 3)], "text"]
    prints = [fingerprint({"value": value}) for value in values]
    assert prints == [fingerprint({"value": value}) for value in values]
    assert len(set(prints)) == len(values)


def make(value):
    """Make functions of one name."""
    return lambda shape: (shape, value)


def test_a_fingerprint_looks_into_functions():
    def counting(n):
        return counting(n - 1) if n else 0  # closes over itself

    class Maker:
        def __init__(self, width):
            self.params = {"width": width}

        def get_params(self):
            return self.params

        def build(self, shape):
            return shape

    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))
    assert fingerprint(make(make(1))) != fingerprint(make(make(2)))
    assert fingerprint(Maker(1).build) == fingerprint(Maker(1).build) != fingerprint(Maker(2).build)
    one, other = (lambda shape: shape in {"a", "b"}), (lambda shape: shape in {"a", "c"})
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(counting) == fingerprint(counting)


def test_a_fingerprint_tells_what_a_clusterer_learned():
    fits = [FrozenEstimator(KMeans(2, random_state=0).fit(rows)) for rows in (X, X, X + 1)]
    assert fingerprint(fits[0]) == fingerprint(fits[1]) != fingerprint(fits[2])


@pytest.mark.parametrize("options", [{}, {"manifold": "umap", "head": "gmm"}], ids=["ae", "n2d"])
def test_a_fingerprint_outlives_a_fitted_estimator(options):
    """Fitted again or loaded, with other callbacks; of its networks, not of how long they took."""
    rows = np.random.RandomState(0).standard_normal((40, 3))
    settings = {"hidden_layer_sizes": (4,), "latent_dim": 2, "max_epochs": 2, "device": "cpu"}
    model = AutoencoderClustering(2, **settings, **options, random_state=0).fit(rows)
    again = clone(model).set_params(verbose=2, callbacks=[EpochTimer()]).fit(rows)
    loaded = pickle.loads(pickle.dumps(model))
    prints = [fingerprint({"init": FrozenEstimator(m)}) for m in (model, again, loaded)]
    assert len(set(prints)) == 1
    other = clone(model).fit(rows + rows**2)
    assert fingerprint({"init": FrozenEstimator(other)}) != prints[0]


def test_a_fingerprint_is_the_same_in_another_process():
    code = (
        "import numpy as np; from sklearn.cluster import KMeans\n"
        "from skdeepcluster.engine.fingerprint import fingerprint\n"
        "X = np.arange(24, dtype=np.float32).reshape(4, 6)\n"
        "names = {'c', 'b', 'a'}\n"
        "print(fingerprint({'none': None, 'build': np.mean, 'head': KMeans(3), 'names': names,"
        " 'lr': 0.1}, X))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == fingerprint(PARAMS, X), result.stderr
