"""What a fitted estimator keeps of its clusters, and how often its networks see a row."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
import torch
from registry import ESTIMATORS
from sklearn.base import clone

from skdeepcluster import HRWAEGANClustering
from skdeepcluster.base import _clusters
from skdeepcluster.base._clusters import Clusters


def test_a_cluster_is_described_by_its_weighted_codes():
    codes = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 4.0], [9.0, 9.0], [7.0, 7.0]])
    labels, weight = np.array([0, 0, 0, 1, -1]), np.array([1.0, 1.0, 2.0, 4.0, 5.0])
    clusters = Clusters(np.array([3, 5])).describe(codes, labels, weight)
    np.testing.assert_array_equal(clusters.live, [3, 5])
    np.testing.assert_allclose(clusters.shares, [0.5, 0.5])
    np.testing.assert_allclose(clusters.means, [[1.0, 2.0], [9.0, 9.0]])
    expected = np.cov(codes[:3].T, aweights=weight[:3], bias=True)
    np.testing.assert_allclose(clusters.roots[0] @ clusters.roots[0].T, expected)
    np.testing.assert_allclose(clusters.roots[1], 0, atol=1e-12)
    drawn = clusters.draw(np.zeros(20_000, dtype=int), np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(0), [1.0, 2.0], atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.1)


def test_what_is_kept_is_arrays_that_nobody_replaces(fitted):
    kept = fitted._clusters
    values = {field.name: getattr(kept, field.name) for field in fields(kept)}
    own = values if values["members"] is not None else {**values, "members": np.empty(0)}
    assert {type(value) for value in own.values()} == {np.ndarray}
    with pytest.raises(FrozenInstanceError):
        kept.live = np.arange(3)


class Passes:
    """Count the rows that go through a network in eval mode."""

    def __init__(self, network: torch.nn.Module):
        self.rows = 0
        network.register_forward_hook(self)

    def __call__(self, network: torch.nn.Module, inputs: Any, output: Any) -> None:
        self.rows += 0 if network.training else inputs[0].shape[-2]

    def during(self, call: Any, *args: Any) -> int:
        before = self.rows
        call(*args)
        return self.rows - before


def test_networks_see_a_row_once_in_a_call(fitted, blobs):
    model = copy.deepcopy(fitted)
    heads = getattr(model.module_, "heads", None)  # of features that nothing encodes
    first = getattr(model.module_, "trunk", None) or getattr(model.module_, "encoder", heads)
    if first is None:
        pytest.skip("codes come from centroids")
    passes, one_tile = Passes(first), 256
    for name in ("predict", "transform", "predict_proba", "score_samples"):
        if hasattr(model, name):
            assert passes.during(getattr(model, name), blobs[0]) == one_tile, name


@pytest.mark.parametrize("name", ["autoencoder", "autoencoder-gmm", "hrwaegan-2", "vade", "dcan"])
def test_a_fit_ends_with_one_look_at_the_rows(name, blobs, monkeypatch):
    """No cluster of the blobs dies, which would take another."""
    estimator = clone(ESTIMATORS[name])
    seen: Counter[str] = Counter()
    apply = type(estimator)._apply

    def counting(self: Any, X: Any, function: Any) -> Any:
        seen["looks"] += 1
        return apply(self, X, function)

    monkeypatch.setattr(type(estimator), "_apply", counting)
    estimator.fit(blobs[0])
    assert seen["looks"] == 1


def test_codes_of_a_group_take_the_decoder_no_further(blobs):
    settings = ESTIMATORS["hrwaegan-2"].get_params()
    for group, cells in ((0, 0), (1, 1)):
        model = HRWAEGANClustering(**{**settings, "max_epochs": 1, "cluster_group": group})
        model.fit(blobs[0])
        passes = [Passes(cell) for cell in model.module_.decoder.cells]
        model.predict(blobs[0])
        assert [p.rows > 0 for p in passes] == [i < cells for i in range(len(passes))]


def test_many_codes_are_decomposed_a_stretch_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)), np.zeros(200, dtype=int)
    weight = rng.random(200)
    clusters = Clusters(np.arange(1))
    whole = clusters.describe(codes, labels, weight).roots[0]
    monkeypatch.setattr(_clusters, "STRETCH", 30)
    parts = clusters.describe(codes, labels, weight).roots[0]
    np.testing.assert_allclose(parts @ parts, whole @ whole, rtol=1e-10)
    np.testing.assert_allclose(parts, whole, rtol=1e-8, atol=1e-10)
