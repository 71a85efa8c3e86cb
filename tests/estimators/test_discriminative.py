"""DiscriminativeClustering: what is its own."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize
from torch.nn import functional as F

from skdeepcluster import DiscriminativeClustering
from skdeepcluster.datasets import load_digits
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.models.discriminative import (
    DiscriminativeAutoencoder,
    anchors_of,
    list_neighbors,
    place_centers,
    update_clusters,
)
from skdeepcluster.neighbors import closest_pairs, mutual_neighbors
from skdeepcluster.scaling import Scaling

SMALL = {
    "latent_dim": 8,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "clustering_lr": 1e-3,
    "pretrain_epochs": 10,
    "stage1_epochs": 3,
    "max_epochs": 3,
    "device": "cpu",
    "random_state": 0,
}


def phase(model, name):
    return [record for record in model.history_ if record["phase"] == name]


def no_anchors(x, batch):
    n_rows = len(x)
    return torch.zeros(n_rows, n_rows, dtype=torch.bool)


@pytest.fixture
def model() -> DiscriminativeAutoencoder:
    """Identity networks and two centroids in the plane."""
    identity = torch.nn.Identity()
    model = DiscriminativeAutoencoder(Scaling((2,)), identity, identity, (2, 2), no_anchors, 0.0)
    model.centers.copy_(torch.eye(2))
    return model


@pytest.fixture
def trainer(model) -> Trainer:
    parameter = torch.nn.Parameter(torch.zeros(()))
    model.register_parameter("idle", parameter)  # an optimizer must have something
    return Trainer(model, optimizer=torch.optim.Adam, lr=0.1).initialize()


@pytest.fixture
def table() -> Table:
    """Rows along two rays, of all lengths."""
    lengths = np.linspace(0.1, 9, 20, dtype=np.float32)[:, None]
    rays = np.where(np.arange(20)[:, None] % 2, [[1.0, 0.1]], [[0.1, 1.0]]).astype(np.float32)
    return Table(lengths * rays, label=torch.full((20,), -1))


# -- networks -----------------------------------------------------------------------------------


def test_the_tiny_network_has_the_papers_number_of_parameters():
    """About 3.2 thousand, section 4.2; the centroids are no parameters."""
    images = np.random.RandomState(0).uniform(size=(20, 28, 28)).astype(np.float32)
    none = {"pretrain_epochs": 0, "stage1_epochs": 0, "max_epochs": 0}
    counts = {}
    for size in ("tiny", "large"):
        fit = DiscriminativeClustering(2, hidden_layer_sizes=size, random_state=0, **none)
        counts[size] = sum(p.numel() for p in fit.fit(images).module_.parameters())
    assert counts["tiny"] == 3262
    assert 10_000 < counts["large"] < 30_000


def test_codes_are_signed():
    """A rectified code would make every cosine positive, and its absolute value idle."""
    images = np.random.RandomState(0).uniform(size=(40, 9, 7)).astype(np.float32)
    for X in (images, images.reshape(40, 63)):
        fit = DiscriminativeClustering(2, random_state=0, max_epochs=1).fit(X)
        codes = fit.transform(X)
        assert (codes > 0).any() and (codes < 0).any()


# -- losses -------------------------------------------------------------------------------------


def test_stages_have_the_terms_of_their_equations(model):
    batch = {
        "X": torch.tensor([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
        "index": torch.arange(3),
        "label": torch.tensor([0, 1, 1]),
    }
    root = 0.5**0.5
    first, second = model(batch, "stage1"), model(batch, "stage2")
    assert first.keys() == {"alignment", "discrimination", "reconstruction"}
    assert second.keys() == {"alignment", "between", "within", "reconstruction"}
    assert model(batch, "pretraining").keys() == {"discrimination", "reconstruction"}
    torch.testing.assert_close(first["alignment"], torch.tensor([1.0, 1.0, root]))
    assert first["discrimination"].item() == pytest.approx((3 + 4 * root) / 9, abs=1e-6)
    assert second["between"].item() == pytest.approx(root / 2, abs=1e-6)
    assert second["within"].item() == pytest.approx(1 + (2 + 2 * root) / 4, abs=1e-6)
    assert not second["reconstruction"].any()  # the decoder takes the raw code


def test_phases_pull_the_terms_the_right_way(blobs):
    """What is maximised rises and what is minimised falls."""
    fit = DiscriminativeClustering(3, **{**SMALL, "stage1_epochs": 10, "max_epochs": 10, "tol": 0})
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
    settings = {**SMALL, "stage1_epochs": 3, "max_epochs": 0, "tol": 0, "batch_size": 150}
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


# -- clusters -----------------------------------------------------------------------------------


def test_centroids_are_the_directions_of_their_members(trainer, table):
    place_centers(trainer, table, seed=0)
    assert (table.columns["label"] == -1).all()
    assert update_clusters(trainer, table) == {}
    labels, units = table.columns["label"], F.normalize(trainer.encode(table))
    for label in (0, 1):
        expected = F.normalize(units[labels == label].sum(0), dim=0)
        torch.testing.assert_close(trainer.model.centers[label], expected)
    assert update_clusters(trainer, table) == {"label_change": 0.0}
    assert len(set(labels[::2].tolist())) == len(set(labels[1::2].tolist())) == 1


def test_an_empty_cluster_is_started_anew(trainer, table):
    trainer.model.centers.copy_(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]) / 2**0.5)
    with pytest.warns(ConvergenceWarning, match="started anew"):
        update_clusters(trainer, table)
    update_clusters(trainer, table)
    assert set(table.columns["label"].tolist()) == {0, 1}


def test_weights_move_the_centroids(trainer):
    rows = np.array([[1, 0], [0.8, 0.6], [0, 2]], dtype=np.float32)
    table = Table(rows, label=torch.full((3,), -1), weight=torch.tensor([1.0, 9.0, 1.0]))
    update_clusters(trainer, table)
    expected = torch.tensor([[1 + 9 * 0.8, 9 * 0.6], [0.0, 1.0]])
    torch.testing.assert_close(trainer.model.centers, F.normalize(expected))


def test_stages_end_when_labels_do(blobs):
    settings = {**SMALL, "stage1_epochs": 50, "max_epochs": 50}
    fit = DiscriminativeClustering(3, **settings).fit(blobs[0])
    for name in ("stage1", "stage2"):
        records = phase(fit, name)
        assert 2 <= len(records) < 50
        assert records[-1]["label_change"] < fit.tol
    endless = DiscriminativeClustering(3, **{**SMALL, "tol": 0}).fit(blobs[0])
    assert endless.n_iter_ == 16


def test_labels_are_the_nearest_centroids(blobs):
    fit = DiscriminativeClustering(3, **SMALL).fit(blobs[0])
    np.testing.assert_allclose(np.linalg.norm(fit.cluster_centers_, axis=1), 1, rtol=1e-5)
    cosines = fit.transform(blobs[0]) @ fit.cluster_centers_.T
    np.testing.assert_array_equal(cosines.argmax(1), fit.labels_)
    assert not hasattr(fit, "predict_proba")


# -- anchors ------------------------------------------------------------------------------------


def test_rules_of_anchors(trainer, table):
    trainer.model.anchors = no_anchors
    list_neighbors(trainer, table, n_neighbors=2)
    batch = table.batch(torch.arange(20))
    rows = batch["X"]
    torch.testing.assert_close(anchors_of(rows, batch, "global", 2), mutual_neighbors(rows, 2))
    torch.testing.assert_close(anchors_of(rows, batch, "mutual", 2), mutual_neighbors(rows, 2))
    torch.testing.assert_close(anchors_of(rows, batch, 0.5, 2), closest_pairs(rows, 2, 0.5))


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


def test_bfloat16_trains(model, table):
    """The graph of neighbours keeps its digits, and all terms stay finite."""
    model.anchors = partial(anchors_of, rule="mutual", n_neighbors=2)
    batch = table.batch(torch.arange(20))
    batch["label"] = torch.arange(20) % 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.anchors(batch["X"], batch).equal(mutual_neighbors(batch["X"], 2))
        for loss in ("pretraining", "stage1", "stage2"):
            assert all(term.isfinite().all() for term in model(batch, loss).values())


# -- quality ------------------------------------------------------------------------------------


def test_digits():
    """Above k-means, which is at .79, in far fewer updates than the defaults make."""
    X, y = load_digits(return_X_y=True)
    brief = {"batch_size": 250, "pretrain_epochs": 30, "stage1_epochs": 5, "max_epochs": 5}
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
    model = DiscriminativeClustering(3, **SMALL, alpha=0.25).fit(blobs[0])
    assert model.module_.alpha == 0.25
    units = normalize(model.transform(blobs[0]))
    means = [normalize(units[model.labels_ == i].sum(0)[None])[0] for i in range(3)]
    np.testing.assert_allclose(model.cluster_centers_, means, atol=1e-5)


def test_the_number_of_neighbors_is_heeded(blobs):
    batch = {"X": torch.from_numpy(blobs[0][:40])}
    found = []
    for n_neighbors in (1, 5):
        none = {"pretrain_epochs": 0, "stage1_epochs": 0, "max_epochs": 0}
        model = DiscriminativeClustering(3, **{**SMALL, **none}, n_neighbors=n_neighbors)
        found.append(int(model.fit(blobs[0]).module_.anchors(batch["X"], batch).sum()))
    assert found[0] < found[1]


def test_weights_count_in_the_pairs(model):
    """A row of weight 0 is no part of any pair."""
    rows = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    weight, label = torch.tensor([1.5, 1.5, 0.0]), torch.tensor([0, 1, 1])
    with_it = {"X": rows, "index": torch.arange(3), "weight": weight, "label": label}
    without = {"X": rows[:2], "index": torch.arange(2), "label": label[:2]}
    for loss, names in (("pretraining", ["discrimination"]), ("stage2", ["between", "within"])):
        for name in names:
            one, other = (model(batch, loss)[name] for batch in (with_it, without))
            torch.testing.assert_close(one, other)


def test_weights_move_the_first_centroids(trainer):
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-1.0, 0.1]], dtype=np.float32)
    weight = torch.tensor([1e6, 1e6, 1.0, 1.0])
    place_centers(trainer, Table(rows, weight=weight), seed=0)
    cosines = rows @ trainer.model.centers.numpy().T
    np.testing.assert_allclose(cosines[:2].max(axis=1), 1, atol=1e-3)
