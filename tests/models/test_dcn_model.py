"""The models of DCN and DKM: pulls in closed form, and updates done by hand."""

from __future__ import annotations

from itertools import pairwise
from math import log

import numpy as np
import pytest
import torch

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.dcn import HardKMeans, SoftKMeans, begin, growth
from skdeepcluster.models.dec import place_centers, place_on_labels
from skdeepcluster.scaling import Scaling


def made(kind, centers):
    """A model whose codes are the rows."""
    encoder = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.eye_(encoder.weight)
    model = kind(Scaling((2,)), encoder, torch.nn.Identity(), centers.shape)
    model.centers.data = centers.clone()
    return model


def batch(rows, **columns):
    return {"X": rows, "index": torch.arange(len(rows)), **columns}


CENTERS = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
ROWS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])


def test_a_hard_pull_is_half_the_squared_distance_to_the_nearest_centre():
    terms = made(HardKMeans, CENTERS).both(batch(ROWS))
    torch.testing.assert_close(terms["clustering"], torch.tensor([0.5, 2.0, 0.5]))
    torch.testing.assert_close(terms["reconstruction"], torch.zeros(3))


def one_by_one(centers, sizes, codes, nearest, weight):
    """Equation 2: m <- m - (m - z) / c, one code after the other."""
    centers, sizes = centers.clone(), sizes.clone()
    for code, k, w in zip(codes, nearest, weight, strict=True):
        sizes[k] += w
        centers[k] -= w / sizes[k] * (centers[k] - code)
    return centers, sizes


@pytest.mark.parametrize("weight", [torch.ones(3), torch.tensor([2.0, 0.5, 1.0])])
def test_centers_follow_as_the_paper_has_them_do_one_row_at_a_time(weight):
    model = made(HardKMeans, CENTERS)
    model.sizes = torch.tensor([3.0, 1.0])
    expected = one_by_one(CENTERS, model.sizes, ROWS, [0, 0, 1], weight)
    model.both(batch(ROWS, weight=weight))
    torch.testing.assert_close(model.centers, expected[0])
    torch.testing.assert_close(model.sizes, expected[1])


def test_a_centre_that_gets_no_code_stays():
    model = made(HardKMeans, CENTERS)
    model.both(batch(ROWS[:2]))
    torch.testing.assert_close(model.centers[1], CENTERS[1])


def test_networks_alone_get_gradients_of_a_hard_pull():
    model = made(HardKMeans, CENTERS)
    codes = ROWS.clone().requires_grad_()
    model.pull(codes, codes, torch.ones(3)).sum().backward()
    torch.testing.assert_close(codes.grad, ROWS - CENTERS[[0, 0, 1]])
    assert [name for name, _ in model.named_parameters()] == ["encoder.weight"]


def test_a_soft_pull_is_an_expectation_under_the_softmax():
    model = made(SoftKMeans, CENTERS)
    model.alpha.fill_(log(2) / 8)  # squared distances of 1 and 9: shares of 2/3 and 1/3
    pull = model.pull(ROWS[:1], ROWS[:1], torch.ones(1))
    torch.testing.assert_close(pull, torch.tensor([(2 / 3 * 1 + 1 / 3 * 9) / 2]))
    _, scores = model.observe(batch(ROWS[:1]), torch.arange(2))
    torch.testing.assert_close(scores.softmax(1), torch.tensor([[2 / 3, 1 / 3]]))


def test_a_soft_pull_tends_to_the_hard_one():
    soft, hard = made(SoftKMeans, CENTERS), made(HardKMeans, CENTERS)
    soft.alpha.fill_(1e3)
    weight = torch.ones(3)
    torch.testing.assert_close(soft.pull(ROWS, ROWS, weight), hard.pull(ROWS, ROWS, weight))


def test_the_soft_pull_has_the_derivative_of_its_equation():
    model = made(SoftKMeans, CENTERS).double()
    codes = torch.randn(4, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: model.pull(z, z, torch.ones(4)), codes)


def test_alpha_grows_as_the_paper_has_it():
    assert growth(0) == 1
    second, third = 2 ** (1 / log(2) ** 2), 2 ** (1 / log(3) ** 2)
    assert growth(1 / 40) == pytest.approx(second)
    assert growth(2.5 / 40) == pytest.approx(second * third)
    steps = [growth((n + 0.5) / 40) for n in range(40)]
    assert all(after > before for before, after in pairwise(steps))


def test_a_changed_row_is_pulled_to_the_centre_of_the_row_itself():
    """Which alone moves the centre: T(x) is nearer to another one."""
    model = made(HardKMeans, CENTERS)
    model.sizes = torch.tensor([1.0, 1.0])
    model.augment = lambda rows: rows + torch.tensor([3.0, 0.0])
    terms = model.both(batch(ROWS[:1]))
    torch.testing.assert_close(terms["clustering"], torch.tensor([4.0**2 / 2]))
    torch.testing.assert_close(model.centers, torch.tensor([[0.5, 0.0], [4.0, 0.0]]))


def test_a_changed_row_has_the_softmax_of_the_row_itself():
    model = made(SoftKMeans, CENTERS)
    model.alpha.fill_(log(2) / 8)
    model.augment = lambda rows: rows + torch.tensor([3.0, 0.0])
    terms = model.both(batch(ROWS[:1]))
    torch.testing.assert_close(terms["clustering"], torch.tensor([(2 / 3 * 4**2 + 0) / 2]))


STARTS = {
    "kmeans": {"place": place_centers, "seed": 0},
    "labels": {"place": place_on_labels, "labels": np.repeat([0, -1, 1], [6, 2, 4])},
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("kind", [HardKMeans, SoftKMeans])
def test_the_start_counts_members_or_measures_their_spread(kind, start):
    rows = np.repeat([[0.0, 0.0], [0.0, 2.0], [9.0, 0.0]], [3, 3, 6], axis=0).astype(np.float32)
    weight = torch.tensor([1.0] * 6 + [2.0] * 6)
    trainer = Trainer(made(kind, CENTERS), optimizer=torch.optim.Adam, lr=0.1).initialize()
    table = Table(rows, weight=weight)
    begin(trainer, table, **start)
    model = trainer.model
    assert sorted(model.centers.detach().round().tolist()) == [[0.0, 1.0], [9.0, 0.0]]
    if kind is HardKMeans:
        assert sorted(model.sizes.tolist()) == [6.0, 12.0]
    else:  # six rows of weight 1 lie at a distance of 1, the others at none, in 2 dimensions
        assert float(model.alpha) == pytest.approx(1 / (2 * (6 / 18) / 2))
