"""Values as JSON and arrays, and back."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering, KMeans
from torch import nn

from skdeepcluster.engine.model import Model
from skdeepcluster.files import Foreign, Missing, Reader, Writer, descendants
from skdeepcluster.files._modules import _is_ours, kind_named, name_of_kind


class Rule:
    """What a file may name, in these tests."""

    def __init__(self, centers):
        self.centers = centers


def double(x):
    return 2 * x


KNOWN = {"Rule": Rule, "double": double}


def there_and_back(value, **options):
    writer = Writer(KNOWN, **options)
    tree = json.loads(json.dumps(writer.write(value, "x"), allow_nan=False))
    return Reader(writer.arrays, KNOWN).read(tree, "x")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**70,
        0.1,
        -0.0,
        float("inf"),
        "text",
        [1, [2.5, None]],
        (1, ("a", [2])),
        {"a": 1, "b": {"c": (2,)}},
        {1: "one", "1": "text", (2, 3): "tuple"},
        np.float32,
        np.float64,
        torch.device("cuda", 1),
        Path("a", "b"),
        np.float32(0.1),
        np.int64(3),
    ],
    ids=repr,
)
def test_plain_values(value):
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number():
    assert np.isnan(there_and_back({"x": float("nan")})["x"])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array(2.5, dtype=np.float16),
        np.zeros((0, 3), dtype=np.uint8),
        np.array([True, False]),
        np.array(["a", "bc"], dtype=object),
        np.array(["a", "bc"]),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays(array):
    found = there_and_back(array)
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.flags.writeable


def test_keys_of_two_types_do_not_share_a_place():
    found = there_and_back({1: np.zeros(2), "1": np.ones(2)})
    np.testing.assert_array_equal(found[1], np.zeros(2))
    np.testing.assert_array_equal(found["1"], np.ones(2))


def test_tensors_that_are_gone_are_not_taken_for_others():
    """A number of an object is given again to another one, once the first is gone."""
    writer = Writer()
    trees = [writer.write(torch.full((2,), float(i)), f"t{i}") for i in range(20)]
    reader = Reader(writer.arrays)
    assert [float(reader.read(tree)[0]) for tree in trees] == list(range(20))


def test_types_that_numpy_does_not_know():
    found = there_and_back(before := torch.tensor([1.5, -2.25], dtype=torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, before)


def test_objects_and_functions_that_are_known():
    found = there_and_back({"rule": Rule(np.arange(3)), "f": partial(double, x=4), "g": double})
    np.testing.assert_array_equal(found["rule"].centers, np.arange(3))
    assert found["f"]() == 8
    assert found["g"] is double


@pytest.mark.parametrize(
    "value",
    [object(), print, Rule, {1, 2}, b"bytes", 1j, np.array([object()]), np.array([1j])],
    ids=lambda value: type(value).__name__,
)
def test_all_else_is_refused(value):
    with pytest.raises(TypeError):
        Writer({"double": double}).write({"x": value})


def test_estimators_are_written_before_their_fit():
    kinds = {"AgglomerativeClustering": AgglomerativeClustering, "KMeans": KMeans}
    writer = Writer(clusterers=kinds)
    tree = writer.write(KMeans(3))
    assert repr(Reader({}, clusterers=kinds).read(tree)) == "KMeans(n_clusters=3)"
    with pytest.raises(TypeError, match="fitted KMeans"):
        writer.write(KMeans(2).fit(np.eye(3)))
    tree = writer.write(AgglomerativeClustering())
    tree["params"]["memory"] = "/tmp/planted"
    with pytest.raises(Foreign, match="folder of pickles"):
        Reader({}, clusterers=kinds).read(tree)


def test_what_fails_leaves_no_arrays():
    writer = Writer()
    with pytest.raises(TypeError):
        writer.attempt({"a": np.zeros(3), "b": object()}, "x")
    assert writer.arrays == {}


# -- networks -------------------------------------------------------------------------------------


class Network(Model):
    """A model of nobody's package."""


def networks():
    shared = nn.Linear(3, 3)
    frozen = nn.Linear(3, 2).requires_grad_(False)
    return nn.Sequential(
        nn.Sequential(shared, nn.ReLU(), shared),
        nn.BatchNorm1d(3),
        nn.LeakyReLU(0.3),
        frozen,
        nn.Unflatten(1, (1, 1, 2)),
        nn.Conv2d(1, 2, 3, padding=2),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


def test_networks_compute_what_they_did():
    before = networks()
    before(torch.randn(9, 3))  # which moves the statistics of batch norm
    before.eval()
    after = there_and_back(before)
    rows = torch.randn(5, 3)
    assert torch.equal(after(rows), before(rows))
    assert repr(after) == repr(before)
    assert not after.training
    learning = {name: p.requires_grad for name, p in before.named_parameters()}
    assert {name: p.requires_grad for name, p in after.named_parameters()} == learning
    assert after[0][0] is after[0][2]
    (after(rows).sum() + after[0][0].weight.sum()).backward()


def test_parameters_that_are_tied_stay_so():
    before = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    before[1].weight = before[0].weight
    after = there_and_back(before)
    assert after[1].weight is after[0].weight


def test_buffers_that_do_not_last_are_kept_as_such():
    before = nn.Linear(2, 2)
    before.register_buffer("idle", torch.ones(2), persistent=False)
    before.register_buffer("none", None)
    after = there_and_back(before)
    assert torch.equal(after.idle, torch.ones(2))
    assert list(after.state_dict()) == ["weight", "bias"]


def test_what_is_no_data_is_refused():
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(print)
    function = nn.Linear(2, 2)
    function.function = print
    for module in (hooked, function, Network(nn.Identity())):
        with pytest.raises(TypeError):
            Writer().write(module)
    assert there_and_back(function, names_others=True).function is None


@pytest.mark.parametrize(
    "tree",
    [
        {"module": "os.system"},
        {"module": "nn.functional"},
        {"module": "nn.Parameter"},
        {"module": "Network"},
        {"known": "os.system"},
        {"object": "Popen", "state": {}},
        {"estimator": "Pipeline", "params": {}},
        {"partial": [{"known": "print"}, [], {}]},
        {"array": "nowhere"},
        {"again": "nowhere"},
        {"eval": "print()"},
        {},
    ],
    ids=repr,
)
def test_nothing_else_is_looked_up(tree):
    with pytest.raises(Foreign):
        Reader({}, KNOWN).read(tree)


def test_settings_reach_no_hooks_and_no_tensors():
    tree = Writer().write(nn.ReLU())
    for name in ("_forward_hooks", "_parameters", "training"):
        tree["settings"] = {name: {"map": {}}}
        with pytest.raises(ValueError, match="settings that it cannot have"):
            Reader({}).read(tree)


def test_what_is_missing_is_named():
    assert Reader({}).read({"missing": "a.b"}) == Missing("a.b")


def test_every_class_of_ours_has_a_name_of_its_own():
    ours = [kind for kind in descendants(nn.Module) if _is_ours(kind)]
    assert len({kind.__name__ for kind in ours}) == len(set(ours))
    assert all(kind_named(name_of_kind(kind)) is kind for kind in (*ours, nn.Linear))
