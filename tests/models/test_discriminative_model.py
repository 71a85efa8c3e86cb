"""The model of DiscriminativeClustering and its steps over the whole data."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch.nn import functional as F

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.discriminative import (
    DiscriminativeAutoencoder,
    anchors_of,
    list_neighbors,
    place_centers,
    update_clusters,
)
from skdeepcluster.neighbors import closest_pairs, mutual_neighbors
from skdeepcluster.scaling import Scaling


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


# -- anchors ------------------------------------------------------------------------------------


def test_rules_of_anchors(trainer, table):
    trainer.model.anchors = no_anchors
    list_neighbors(trainer, table, n_neighbors=2)
    batch = table.batch(torch.arange(20))
    rows = batch["X"]
    torch.testing.assert_close(anchors_of(rows, batch, "global", 2), mutual_neighbors(rows, 2))
    torch.testing.assert_close(anchors_of(rows, batch, "mutual", 2), mutual_neighbors(rows, 2))
    torch.testing.assert_close(anchors_of(rows, batch, 0.5, 2), closest_pairs(rows, 2, 0.5))


def test_bfloat16_trains(model, table):
    """The graph of neighbours keeps its digits, and all terms stay finite."""
    model.anchors = partial(anchors_of, rule="mutual", n_neighbors=2)
    batch = table.batch(torch.arange(20))
    batch["label"] = torch.arange(20) % 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.anchors(batch["X"], batch).equal(mutual_neighbors(batch["X"], 2))
        for loss in ("pretraining", "stage1", "stage2"):
            assert all(term.isfinite().all() for term in model(batch, loss).values())


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
