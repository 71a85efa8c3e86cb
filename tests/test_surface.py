"""What all public estimators look like: constructors, and the words of their docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.utils._param_validation import StrOptions
from vocabulary import ATTRIBUTES, DEFAULTS, OFF_BESIDE_AUTO, TYPES

import skdeepcluster

PUBLIC = [getattr(skdeepcluster, name) for name in skdeepcluster.__all__]

# Entries that mean the same everywhere, and so are worded alike. `trainer_params` names another
# example where there is a critic; others may go on with what the method adds.
SHARED = {
    "decoder",
    "encoder",
    "n_init",
    "image_shape",
    "scaling",
    "optimizer",
    "device",
    "precision",
    "checkpoint",
    "warm_start",
    "callbacks",
    "trainer_params",
    "random_state",
    "verbose",
    "cluster_centers_",
    "run_agreement_",
    "timings_",
    "device_",
    "n_iter_",
    "n_features_in_",
    "n_samples_seen_",
    "feature_names_in_",
}
MAY_GO_ON = {"decoder", "encoder", "scaling", "optimizer"}

# What has names for users or for authors of methods; the others are listed by their files.
ROOMS = ["augment", "base", "datasets", "features", "files", "heads", "inspection", "metrics"]
ROOMS += ["model_selection", "neighbors", "networks", "objectives", "plotting", "priors"]
ROOMS += ["scaling"]

# The order of a signature: what everybody chooses; the method's own, by importance; networks and
# data; how it runs.
FRONT = ["n_clusters", "latent_dim", "init", "n_init", "max_epochs", "batch_size", "lr"]
NETWORKS = ["hidden_layer_sizes", "critic_hidden_layer_sizes", "encoder", "decoder", "critic"]
NETWORKS += ["image_shape", "scaling"]
RUNNING = [
    "optimizer",
    "device",
    "precision",
    "warm_start",
    "checkpoint",
    "callbacks",
    "trainer_params",
]
RUNNING += ["random_state", "verbose"]


@pytest.fixture(params=PUBLIC, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type:
    return request.param


def own_subclass(kind: type) -> type:
    """What a user may write: a constructor of one's own that calls that of the estimator."""

    def __init__(self: Any, n_clusters: int = 4, *, extra: int = 1, lr: float = 1e-3) -> None:
        kind.__init__(self, n_clusters, lr=lr)
        self.extra = extra

    return type("Own", (kind,), {"__init__": __init__})


def entries(kind: type) -> Iterator[tuple[str, str]]:
    """The names and the text of the entries of a numpydoc docstring."""
    doc = inspect.getdoc(kind) or ""
    for section in ("Parameters", "Attributes"):
        begin = re.search(rf"^{section}\n-+\n", doc, re.M)
        assert begin, f"{kind.__name__} has no section {section}"
        body = re.split(r"\n\n[A-Z][A-Za-z ]+\n-+\n", doc[begin.end() :])[0]
        for entry in re.findall(r"^\S.*(?:\n .*)*", body, re.M):
            names, _, text = entry.partition(" : ")
            yield from ((name, text) for name in names.split(", "))


def test_a_constructor_keeps_its_arguments_as_they_are_and_nothing_else(kind):
    arguments = {name: object() for name in inspect.signature(kind).parameters}
    estimator = kind(**arguments)
    assert vars(estimator) == arguments
    assert all(estimator.get_params(deep=False)[name] is arguments[name] for name in arguments)


def test_a_signature_has_a_front_row_and_a_back_row(kind):
    names = list(inspect.signature(kind).parameters)
    shared = [*FRONT, *NETWORKS, *RUNNING]
    own = [name for name in names if name not in shared]
    rows = [[name for name in row if name in names] for row in (FRONT, own, NETWORKS, RUNNING)]
    assert names == [name for row in rows for name in row]


def test_entries_are_in_the_order_of_the_signature(kind):
    described = [name for name, _ in entries(kind) if not name.endswith("_")]
    assert described == list(inspect.signature(kind).parameters)


def told_apart(of: Callable[[type, str], Any]) -> dict[str, dict[str, set[str]]]:
    """Return the parameters of which estimators differ, and what each has."""
    found: dict[str, dict[str, set[str]]] = {}
    for kind in PUBLIC:
        for name in inspect.signature(kind).parameters:
            found.setdefault(name, {}).setdefault(of(kind, name), set()).add(kind.__name__)
    return {name: values for name, values in found.items() if len(values) > 1}


def test_a_parameter_has_one_default_or_a_reason():
    """The reasons are those of `vocabulary.DEFAULTS`; one that is no longer needed goes."""
    different = told_apart(
        lambda kind, name: repr(inspect.signature(kind).parameters[name].default)
    )
    assert different.keys() == DEFAULTS.keys(), different


def test_a_parameter_has_one_type_or_a_reason():
    """Likewise, by what the constraints take: `vocabulary.TYPES`."""
    different = told_apart(
        lambda kind, name: repr(sorted(str(each) for each in kind._parameter_constraints[name]))
    )
    assert different.keys() == TYPES.keys(), different


def test_an_attribute_has_one_meaning():
    """Whatever several estimators have: one type, and one beginning of the description."""
    owners: dict[str, dict[str, str]] = {}
    for kind in PUBLIC:
        for name, text in entries(kind):
            if name.endswith("_"):
                owners.setdefault(name, {})[kind.__name__] = text
    several = {name: texts for name, texts in owners.items() if len(texts) > 1}
    assert several.keys() - SHARED == ATTRIBUTES.keys()
    for name, texts in several.items():
        assert len({text.partition("\n")[0] for text in texts.values()}) == 1, name
        for owner, text in texts.items():
            description = " ".join(text.partition("\n")[2].split()) + " "
            assert description.startswith(ATTRIBUTES.get(name, "")), f"{owner}.{name}: {text}"


TOGETHER = [
    {"critic", "critic_lr", "critic_hidden_layer_sizes", "n_critic"},
    {"head", "head_params", "min_cluster_size", "manifold"},
]


@pytest.mark.parametrize("group", TOGETHER, ids=lambda group: min(group))
def test_parameters_that_go_together_do(kind, group):
    assert group & set(inspect.signature(kind).parameters) in (group, set())


def test_auto_chooses_and_none_is_off(kind):
    """Whatever takes "auto" has no other word for it."""
    for name, constraint in kind._parameter_constraints.items():
        words = [each for each in constraint if isinstance(each, StrOptions)]
        if any("auto" in each.options for each in words):
            assert None not in constraint or name in OFF_BESIDE_AUTO, name


def test_everything_but_the_number_of_clusters_is_named(kind):
    first, *others = inspect.signature(kind).parameters.values()
    assert first.name == "n_clusters" and first.kind is first.POSITIONAL_OR_KEYWORD
    assert {parameter.kind for parameter in others} == {inspect.Parameter.KEYWORD_ONLY}


def test_every_parameter_has_its_constraint_and_its_entry(kind):
    parameters = set(inspect.signature(kind).parameters)
    assert parameters == set(kind._parameter_constraints)
    described = [name for name, _ in entries(kind) if not name.endswith("_")]
    assert sorted(described) == sorted(parameters)


def test_defaults_are_told_as_they_are(kind):
    told = dict(entries(kind))
    for name, parameter in inspect.signature(kind).parameters.items():
        defaults = re.search(r"default=(.*)", told[name].partition("\n")[0]).group(1)
        assert repr(parameter.default) in {repr(_value(default)) for default in _split(defaults)}


def _split(defaults: str) -> list[str]:
    """Tell the defaults of several names in one entry apart."""
    return defaults.split(", ") if "(" not in defaults else [defaults]


def _value(text: str) -> Any:
    return eval(text, {})  # a literal of our own docstrings


def test_a_plain_subclass_of_a_user_works(kind):
    estimator = own_subclass(kind)(5, extra=2)
    assert estimator.get_params() == {"n_clusters": 5, "extra": 2, "lr": 1e-3}
    assert estimator.batch_size == inspect.signature(kind).parameters["batch_size"].default


@pytest.mark.parametrize("name", sorted(SHARED))
def test_shared_entries_have_one_wording(name):
    texts = {kind.__name__: told[name] for kind in PUBLIC if name in (told := dict(entries(kind)))}
    if name == "encoder":  # told together with the decoder, where there is one
        texts = {owner: text for owner, text in texts.items() if "decoder" in text}
    if name == "trainer_params":
        texts = {owner: text.replace('"critic_', '"') for owner, text in texts.items()}
    common = min(texts.values(), key=len)
    for owner, text in texts.items():
        same = " ".join(text.split()).startswith(" ".join(common.split()))
        assert same and (name in MAY_GO_ON or text == common), f"{owner}.{name}: {text}"


API = Path(skdeepcluster.__file__).parents[1] / "docs" / "api.rst"


def documented() -> dict[str, set[str]]:
    """The names that the API reference lists, by module."""
    found: dict[str, set[str]] = {}
    module = ""
    for line in API.read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif entry := re.fullmatch(r"   ([A-Za-z_][\w.]*)", line):
            owner, _, name = f"{module}.{entry[1]}".rpartition(".")
            found.setdefault(owner, set()).add(name)
    return found


@pytest.mark.skipif(not API.exists(), reason="without the documentation")
@pytest.mark.parametrize("room", ROOMS)
def test_a_room_offers_what_the_reference_lists(room):
    """What rooms import of each other beside it is written ``from ... import name as name``."""
    module = importlib.import_module(f"skdeepcluster.{room}")
    assert set(module.__all__) == documented()[module.__name__]


def test_submodules_are_there_when_asked_for():
    assert {"datasets", "metrics", "plotting"} <= set(dir(skdeepcluster))
    assert skdeepcluster.metrics.clustering_accuracy([0, 1], [1, 0]) == 1
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        skdeepcluster.nothing  # noqa: B018 - asking is what is tested
