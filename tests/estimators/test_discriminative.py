"""DiscriminativeClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from sklearn.base import clone
from sklearn.preprocessing import normalize

from skdeepcluster import DiscriminativeClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy

SMALL = {
    "latent_dim": 8,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "clustering_lr": 1e-3,
    "pretrain_epochs": 10,
    "init_epochs": 3,
    "max_epochs": 3,
    "device": "cpu",
    "random_state": 0,
}


def phase(model, name):
    return [record for record in model.history_ if record["phase"] == name]


# -- networks -----------------------------------------------------------------------------------


def test_the_tiny_network_has_the_papers_number_of_parameters():
    """About 3.2 thousand, section 4.2; the centroids are no parameters."""
    images = np.random.RandomState(0).uniform(size=(20, 28, 28)).astype(np.float32)
    none = {"pretrain_epochs": 0, "init_epochs": 0, "max_epochs": 0}
    counts = {}
    for name, size in {"tiny": "auto", "large": (16, 32)}.items():
        fit = DiscriminativeClustering(2, hidden_layer_sizes=size, random_state=0, **none)
        counts[name] = sum(p.numel() for p in fit.fit(images).module_.parameters())
    assert counts["tiny"] == 3262
    assert 10_000 < counts["large"] < 30_000


def test_codes_are_signed():
    """A rectified code would make every cosine positive, and its absolute value idle."""
    images = np.random.RandomState(0).uniform(size=(40, 9, 7)).astype(np.float32)
    for X in (images, images.reshape(40, 63)):
        fit = DiscriminativeClustering(2, random_state=0, max_epochs=1).fit(X)
        codes = fit.transform(X)
        assert (codes > 0).any() and (codes < 0).any()


def test_phases_pull_the_terms_the_right_way(blobs):
    """What is maximised rises and what is minimised falls."""
    fit = DiscriminativeClustering(3, **{**SMALL, "init_epochs": 10, "max_epochs": 10, "tol": 0})
    fit.fit(blobs[0])
    pretraining = phase(fit, "pretraining")
    assert pretraining[-1]["discrimination"] < pretraining[0]["discrimination"] - 0.03
    assert pretraining[-1]["reconstruction"] < pretraining[0]["reconstruction"] / 2
    for name in ("stage1", "stage2"):
        records = phase(fit, name)
        assert records[-1]["alignment"] > records[0]["alignment"]
    second = phase(fit, "stage2")
    assert second[-1]["within"] > second[0]["within"]


def test_a_pair_of_weights_is_a_way_from_one_to_the_other(blobs):
    """With one update per epoch, the weight of each is told by the loss."""
    settings = {**SMALL, "init_epochs": 3, "max_epochs": 0, "tol": 0, "batch_size": 150}
    fit = DiscriminativeClustering(3, **settings, discrimination_weight=(4.0, 1.0)).fit(blobs[0])
    found = [
        (r["train_loss"] + r["alignment"] - r["reconstruction"]) / r["discrimination"]
        for r in phase(fit, "stage1")
    ]
    assert found == pytest.approx([4.0, 3.0, 2.0], rel=1e-3)


@pytest.mark.parametrize("weight", [(1.0, -1.0), (1.0, 2.0, 3.0), (), ("a", 1)])
def test_other_weights_are_refused(blobs, weight):
    with pytest.raises(ValueError, match="must be a number or a pair"):
        DiscriminativeClustering(3, **SMALL, discrimination_weight=weight).fit(blobs[0])


def test_stages_end_when_labels_do(blobs):
    settings = {**SMALL, "init_epochs": 50, "max_epochs": 50}
    fit = DiscriminativeClustering(3, **settings).fit(blobs[0])
    for name in ("stage1", "stage2"):
        records = phase(fit, name)
        assert 2 <= len(records) < 50
        assert records[-1]["label_change"] < fit.tol
    endless = DiscriminativeClustering(3, **{**SMALL, "tol": 0}).fit(blobs[0])
    assert endless.n_iter_ == 16


def test_labels_are_the_nearest_centroids(blobs):
    fit = DiscriminativeClustering(3, **SMALL).fit(blobs[0])
    np.testing.assert_allclose(np.linalg.norm(fit.code_centers_, axis=1), 1, rtol=1e-5)
    cosines = fit.transform(blobs[0]) @ fit.code_centers_.T
    np.testing.assert_array_equal(cosines.argmax(1), fit.labels_)
    assert not hasattr(fit, "predict_proba")


def test_global_anchors_survive_a_crash(blobs, tmp_path):
    from interruption import Crash

    fit = DiscriminativeClustering(3, anchors="global", **SMALL)
    expected = clone(fit).fit(blobs[0]).transform(blobs[0])
    fit.set_params(checkpoint=tmp_path / "progress.pt")
    with pytest.raises(RuntimeError, match="crash"):
        clone(fit).set_params(callbacks=[Crash(after=5)]).fit(blobs[0])
    np.testing.assert_array_equal(fit.fit(blobs[0]).transform(blobs[0]), expected)


def test_anchors_are_of_scaled_rows(blobs):
    """A column in other units changes nothing where columns are standardised."""
    X = blobs[0].astype(np.float64)
    other = X * [1, 1, 1, 1, 1, 1024]
    for rule in ("mutual", "global", 0.25):
        fit = DiscriminativeClustering(3, anchors=rule, scaling="standard", **SMALL)
        codes = [clone(fit).fit(rows).transform(rows) for rows in (X, other)]
        np.testing.assert_allclose(*codes, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("anchors", ["nearest", 0.0, 1.5])
def test_unknown_anchors_are_refused(blobs, anchors):
    with pytest.raises(ValueError, match="anchors"):
        DiscriminativeClustering(3, **SMALL, anchors=anchors).fit(blobs[0])


# -- quality ------------------------------------------------------------------------------------


def test_digits():
    """Above k-means, which is at .79, in far fewer updates than the defaults make."""
    X, y = load_small_digits(return_X_y=True)
    brief = {"batch_size": 250, "pretrain_epochs": 30, "init_epochs": 5, "max_epochs": 5}
    fits = [DiscriminativeClustering(10, **brief, random_state=seed).fit(X / 16) for seed in (0, 1)]
    assert np.mean([clustering_accuracy(y, fit.labels_) for fit in fits]) > 0.8


def test_the_loss_is_the_weighted_sum_of_the_terms(blobs):
    weights = {"between_weight": 3.0, "within_weight": 0.4, "reconstruction_weight": 0.7}
    model = DiscriminativeClustering(3, **SMALL, **weights, discrimination_weight=2.0, tol=0.0)
    phases = phases_of(model, blobs[0])
    for record in phase(model, "pretraining"):
        assert_loss_is(record, discrimination=1.0, reconstruction=0.7)
    for record in phase(model, "stage1"):
        assert_loss_is(record, alignment=-1.0, discrimination=2.0, reconstruction=0.7)
    for record in phase(model, "stage2"):
        assert_loss_is(record, alignment=-1.0, between=3.0, within=-0.4, reconstruction=0.7)
    for name in ("stage1", "stage2"):
        assert phases[name].lr == {"model": pytest.approx(0.1)}


def test_centroids_follow_the_last_update(blobs):
    model = DiscriminativeClustering(3, **SMALL, anchor_weight=0.75).fit(blobs[0])
    assert model.module_.anchor_weight == 0.75
    units = normalize(model.transform(blobs[0]))
    means = [normalize(units[model.labels_ == i].sum(0)[None])[0] for i in range(3)]
    np.testing.assert_allclose(model.code_centers_, means, atol=1e-5)


def test_the_number_of_neighbors_is_heeded(blobs):
    batch = {"X": torch.from_numpy(blobs[0][:40])}
    found = []
    for n_neighbors in (1, 5):
        none = {"pretrain_epochs": 0, "init_epochs": 0, "max_epochs": 0}
        model = DiscriminativeClustering(3, **{**SMALL, **none}, n_neighbors=n_neighbors)
        found.append(int(model.fit(blobs[0]).module_.anchors(batch["X"], batch).sum()))
    assert found[0] < found[1]
