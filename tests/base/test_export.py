"""Fitted estimators as programs of torch.export."""

import json

import numpy as np
import pytest
import torch
from registry import ESTIMATORS, ONE_OF_EACH
from sklearn.base import clone
from sklearn.cluster import DBSCAN, Birch, KMeans
from sklearn.exceptions import NotFittedError
from test_continuing import small

from skdeepcluster.heads import Placement

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def program_of(model, tmp_path):
    path = tmp_path / "model.pt2"
    model.export(path)
    return torch.export.load(path).module()


def assert_says_the_same(model, program, X):
    """Of many rows, of few and of one, up to rounding."""
    labels, codes = model.predict(X), model.transform(X)
    for rows in (X, X[:7], X[:1]):
        found = program(torch.from_numpy(rows))
        n = len(rows)
        np.testing.assert_array_equal(found["label"].numpy(), labels[:n])
        np.testing.assert_allclose(found["code"].numpy(), codes[:n], rtol=1e-4, atol=1e-5)
        assert ("probabilities" in found) == hasattr(model, "predict_proba")
        if "probabilities" in found:
            expected = model.predict_proba(X)[:n]
            np.testing.assert_allclose(found["probabilities"].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", [*ONE_OF_EACH, "dkm", "hrwaegan-2"])
def test_a_program_says_what_the_estimator_does(name, fitted, blobs, tmp_path):
    assert_says_the_same(fitted, program_of(fitted, tmp_path), blobs[0])


@pytest.mark.parametrize(
    "params",
    [
        {"head": "spherical"},
        {"head": "gmm"},
        {"head": "agglomerative"},
        {"head": "hdbscan", "n_clusters": "auto", "min_cluster_size": 40},
        {"head": DBSCAN(eps=0.5), "n_clusters": "auto", "noise": "nearest"},
        {"head": KMeans(3, n_init=1)},
    ],
    ids=lambda params: str(params["head"]),
)
def test_every_head_that_is_known(params, blobs, tmp_path):
    model = small(**params).fit(blobs[0])
    assert_says_the_same(model, program_of(model, tmp_path), blobs[0])


@pytest.mark.parametrize("head", ["gmm", "agglomerative"])
def test_coordinates_are_those_of_nearest_codes(head, blobs, tmp_path):
    model = small(head=head).fit(blobs[0])
    codes = model.transform(blobs[0]).astype(np.float64)
    model.head_._placement = Placement(codes[::2], codes[::2].astype(np.float32))  # as of UMAP
    assert_says_the_same(model, program_of(model, tmp_path), blobs[0])


def test_noise_of_a_classifier(blobs, tmp_path):
    start = np.where(blobs[1] == 2, -1, blobs[1])
    quick = {"n_clusters": 2, "noise": "keep", "max_rounds": 0, "recluster": None}
    model = clone(ESTIMATORS["spc-members"]).set_params(init=start, **quick).fit(blobs[0])
    assert -1 in model.labels_
    assert_says_the_same(model, program_of(model, tmp_path), blobs[0])


def test_rows_come_as_in_the_fit(blobs, tmp_path):
    images = np.random.RandomState(0).uniform(size=(40, 8, 8))
    model = small(hidden_layer_sizes=(4,)).fit(images)
    assert_says_the_same(model, program_of(model, tmp_path), images)
    extra = {"skdeepcluster.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    about = {"estimator": "AutoencoderClustering", "n_clusters": 3, "row_shape": [8, 8]}
    assert json.loads(extra["skdeepcluster.json"]) == about


def test_units_are_the_users(blobs, tmp_path):
    model = small().fit(blobs[0] * 1000 + 5)
    assert_says_the_same(model, program_of(model, tmp_path), blobs[0] * 1000 + 5)


def test_clusters_that_died_are_left_out(blobs, tmp_path):
    model = clone(ESTIMATORS["kdae"]).set_params(
        n_clusters=4, init=blobs[1], init_epochs=5, max_epochs=0
    )
    model.fit(blobs[0])
    assert model.n_clusters_ == 3
    assert_says_the_same(model, program_of(model, tmp_path), blobs[0])


def test_what_is_no_function_of_tensors_is_refused(blobs, tmp_path):
    model = small(head=Birch(n_clusters=3)).fit(blobs[0])
    with pytest.raises(ValueError, match=r"Birch.* is a clusterer of your own.*Use a head that is"):
        model.export(tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists()
    with pytest.raises(NotFittedError):
        small().export(tmp_path / "model.pt2")


def test_exporting_leaves_the_estimator_alone(blobs, tmp_path):
    model = small().fit(blobs[0])
    before = model.transform(blobs[0])
    program = program_of(model, tmp_path)
    for value in program.state_dict().values():
        value.zero_()
    np.testing.assert_array_equal(model.transform(blobs[0]), before)
