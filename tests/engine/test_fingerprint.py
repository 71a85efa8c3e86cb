"""A checkpoint knows what it belongs to, in every process and after every fit."""

import functools
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import EpochTimer

import skdeepcluster.engine.fingerprint as fingerprint_module
from skdeepcluster import AutoencoderClustering
from skdeepcluster.engine.fingerprint import architecture, fingerprint

X = np.arange(24, dtype=np.float32).reshape(4, 6)
PARAMS = {"lr": 0.1, "names": {"b", "a", "c"}, "head": KMeans(3), "build": np.mean, "none": None}


def test_a_fingerprint_does_not_depend_on_how_rows_are_held(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert fingerprint(PARAMS, X) == fingerprint(PARAMS, X.copy()) == fingerprint(PARAMS, mapped)
    for same in (np.asfortranarray(X), X.astype(">f4"), X[::-1].copy()[::-1], pd.DataFrame(X)):
        assert fingerprint(PARAMS, same) == fingerprint(PARAMS, X)
    assert fingerprint({"init": pd.Series([0, 1])}) == fingerprint({"init": np.array([0, 1])})
    assert fingerprint({"seed": np.int64(3)}) == fingerprint({"seed": 3})


def test_a_fingerprint_does_not_depend_on_how_a_matrix_is_held():
    matrix = sparse.csr_array((X + 3) * (X % 3 == 0))
    wide, jumbled = matrix.copy(), matrix.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    jumbled.indices[:2], jumbled.data[:2] = jumbled.indices[1::-1], jumbled.data[1::-1]
    jumbled.has_sorted_indices = False
    before = jumbled.indices.copy()
    for same in (matrix.copy(), wide, jumbled, sparse.csr_matrix(matrix), matrix.tocsc()):
        assert fingerprint(same) == fingerprint(matrix)
    np.testing.assert_array_equal(jumbled.indices, before)


def test_large_data_is_read_in_chunks(monkeypatch):
    expected = fingerprint(X), fingerprint(np.asfortranarray(X))
    monkeypatch.setattr(fingerprint_module, "CHUNK", 30)
    assert (fingerprint(X), fingerprint(np.asfortranarray(X))) == expected
    others = [sparse.csr_array(rows) for rows in (X, X + 1, X[:-1])]
    assert len({fingerprint(other) for other in others}) == 3


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


SOURCE = """
import torch
from torch import nn

SLOPE = 1.0

def activate(x):
    return torch.relu(x)

class Base(nn.Module):
    power = 1

    def forward(self, x):
        return activate(self.layer(x)) ** self.power * SLOPE

class Encoder(Base):
    '''An encoder.'''

    def __init__(self, shape, width=8):
        super().__init__()
        self.layer, self.share = nn.Linear(*shape, width), 0.5

def make(shape):
    return nn.Sequential(Encoder(shape), nn.Dropout(0.1))
"""


def edition(old="", new=""):
    """The names of a user's script, after an edit."""
    assert old in SOURCE
    names = {"__name__": "users_script"}
    exec(SOURCE.replace(old, new), names)
    return names


EDITS = [
    ("torch.relu(x)", "torch.tanh(x)"),
    ("self.power *", "self.power -"),
    ("power = 1", "power = 2"),
    ("SLOPE = 1.0", "SLOPE = 0.5"),
    ("width=8", "width=9"),
    ("0.5", "0.25"),
    ("Dropout(0.1)", "Dropout(0.2)"),
    ("Dropout(0.1)", "Identity()"),
]


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_an_edit_of_a_users_network_is_seen(old, new):
    """In the class, what it is derived from, or what it calls; by its recipe and as it is built."""
    one, same, other = edition(), edition("import torch", "\n\nimport torch"), edition(old, new)
    prints = [fingerprint({"encoder": names["make"]}) for names in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]
    prints = [architecture(names["make"]((3,))) for names in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_an_architecture_has_no_weights():
    one, other = (edition()["make"]((3,)) for _ in range(2))
    assert not torch.equal(one[0].layer.weight, other[0].layer.weight)
    assert architecture(one) == architecture(other)


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
