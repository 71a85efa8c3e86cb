"""DCNClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from skdeepcluster import DCNClustering
from skdeepcluster.datasets import load_small_digits

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "pretrain_epochs": 10,
    "max_epochs": 10,
    "device": "cpu",
    "random_state": 0,
}
ASSIGNMENTS = pytest.mark.parametrize("assignment", ["hard", "soft"])


def looseness(model, X):
    """The share of the codes' variance that is within the clusters."""
    codes = model.transform(X)
    within = np.square(codes - model.code_centers_[model.labels_]).sum(1).mean()
    return within / codes.var(0).sum()


@ASSIGNMENTS
def test_training_makes_clusters_compact_and_rows_are_not_forgotten(assignment):
    """On digits, whose clusters are loose before."""
    rows = load_small_digits(return_X_y=True)[0][:500]
    networks = {"latent_dim": 5, "hidden_layer_sizes": (256,), "lr": 2e-3}
    settings = {**SMALL, **networks, "max_epochs": 20, "reconstruction_weight": 2.0}
    base = DCNClustering(10, assignment=assignment, **settings)
    before = clone(base).set_params(max_epochs=0).fit(rows)
    after = clone(base).fit(rows)
    assert looseness(after, rows) < looseness(before, rows) / 2
    assert -after.score(rows) < rows.var(0).mean() / 2


@ASSIGNMENTS
def test_rows_belong_to_the_nearest_centre(blobs, assignment):
    model = DCNClustering(3, assignment=assignment, **SMALL).fit(blobs[0])
    squared = np.square(model.transform(blobs[0])[:, None] - model.code_centers_).sum(2)
    np.testing.assert_array_equal(squared.argmin(1), model.labels_)


def test_soft_assignments_alone_are_memberships(blobs):
    hard, soft = (DCNClustering(3, assignment=a, **SMALL) for a in ("hard", "soft"))
    assert not hasattr(hard, "predict_proba") and hasattr(soft, "predict_proba")
    hard.fit(blobs[0]).set_params(assignment="soft")
    assert not hasattr(hard, "predict_proba")  # the parameter is for the next fit


def test_memberships_are_the_softmax_of_the_last_alpha(blobs):
    model = DCNClustering(3, assignment="soft", **SMALL).fit(blobs[0])
    squared = np.square(model.transform(blobs[0])[:, None] - model.code_centers_).sum(2)
    odds = np.exp(-float(model.module_.alpha) * (squared - squared.min(1, keepdims=True)))
    expected = odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(blobs[0]), expected, atol=1e-4)


def test_alpha_has_grown(blobs):
    model = DCNClustering(3, assignment="soft", **SMALL).fit(blobs[0])
    assert model.module_.alpha > 10 * model.module_.first_alpha


def test_rows_count_by_their_weight(blobs):
    """Three blobs of a size, of which one weighs three times as much."""
    weight = np.where(blobs[1] == 0, 3.0, 1.0)
    sizes = DCNClustering(3, **SMALL).fit(blobs[0], sample_weight=weight).module_.sizes
    np.testing.assert_allclose(sorted(sizes / sizes.sum()), [0.2, 0.2, 0.6], atol=0.01)
    epochs = 1 + SMALL["max_epochs"]  # the first is what k-means saw
    assert float(sizes.sum()) == pytest.approx(epochs * len(weight), rel=1e-4)
