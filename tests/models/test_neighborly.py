"""SCAN's heads: the loss in closed form, neighbours that are found, and partners that are drawn."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.table import Table, tiled
from skdeepcluster.models.neighborly import NeighborHeads, draw_partners, find_neighbors
from skdeepcluster.scaling import Scaling

ROWS = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0], [0.1, 1.0], [9.0, 1.0]])


def make(n_heads=2, n_clusters=3):
    torch.manual_seed(0)
    return NeighborHeads(Scaling((2,)), n_clusters, n_heads)


def training(model):
    return SimpleNamespace(model=model, apply=tiled)


def test_the_loss_is_that_of_the_paper():
    """Equation 2, written out by loops."""
    model = make()
    x, partner = torch.from_numpy(ROWS), torch.from_numpy(ROWS[::-1].copy())
    weight = torch.tensor([1.0, 2.0, 0.5, 0.0, 1.0])
    terms = model.agreeing({"X": x, "partner": partner, "weight": weight})
    proba, others = (
        model.heads(each.float()).detach().view(5, 2, 3).softmax(2) for each in (x, partner)
    )
    for row in range(5):
        agreed = [math.log(float(proba[row, head] @ others[row, head])) for head in range(2)]
        assert terms["disagreement"][row].item() == pytest.approx(-np.mean(agreed), abs=1e-5)
    mean = (weight[:, None, None] * proba).sum(0) / weight.sum()
    balance = (mean * mean.log()).sum(1).mean()
    assert terms["balance"].item() == pytest.approx(float(balance), abs=1e-5)


def test_rows_that_agree_with_their_partners_cost_nothing():
    model = make(n_heads=1, n_clusters=2)
    with torch.no_grad():
        model.heads.weight.copy_(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
        model.heads.bias.zero_()
    x = torch.eye(2, dtype=torch.float64)
    terms = model.agreeing({"X": x, "partner": x})
    assert terms["disagreement"].abs().max() < 1e-6
    assert terms["balance"].item() == pytest.approx(-math.log(2))
    assert model.agreeing({"X": x, "partner": x.flip(0)})["disagreement"].min() > 40


@pytest.mark.parametrize(
    ("metric", "first"), [("cosine", [1, 0, 3, 2, 1]), ("euclidean", [1, 0, 3, 0, 1])]
)
def test_neighbours_are_near_by_the_metric_and_never_the_row_itself(metric, first):
    table, model = Table(ROWS), make()
    find_neighbors(training(model), table, n_neighbors=1, metric=metric)
    assert table.columns["neighbors"].flatten().tolist() == first
    find_neighbors(training(model), table, n_neighbors=99, metric=metric)
    found = table.columns["neighbors"]
    assert found.shape == (5, 4)
    assert all(row not in found[row] for row in range(5))


def test_partners_are_neighbours_drawn_anew_and_come_with_batches():
    table = Table(ROWS)
    table.columns["neighbors"] = torch.tensor([[1, 2], [0, 4], [3, 0], [2, 1], [1, 3]])
    draws = Draws(0, torch.device("cpu"))
    drawn = []
    for _ in range(40):
        with draws.as_global():
            draw_partners(training(None), table)
        drawn.append(table.partners.clone())
    for row, seen in enumerate(torch.stack(drawn, dim=1)):
        assert set(seen.tolist()) == set(table.columns["neighbors"][row].tolist())
    batch = table.batch(torch.tensor([4, 0]))
    expected = ROWS[table.partners[[4, 0]]]
    np.testing.assert_array_equal(batch["partner"].numpy(), expected)
    assert "partner" not in table.subset(torch.tensor([1, 2])).batch(torch.tensor([0]))


def test_codes_are_the_memberships_of_all_heads():
    codes = make(n_heads=4, n_clusters=3).codes({"X": torch.from_numpy(ROWS)})
    assert codes.shape == (5, 12)
    torch.testing.assert_close(codes.view(5, 4, 3).sum(2), torch.ones(5, 4))
