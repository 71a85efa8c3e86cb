"""The model of IMSAT: how rows are moved, what is paid, and which head is chosen."""

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.information import InformationMaximizer, choose_head, measure_radii, unit


def make_model(perturbation="adversarial", n_heads=1, n_over=0):
    torch.manual_seed(0)
    scaling = nn.Identity()
    encoder = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    return InformationMaximizer(scaling, encoder, 3, 2, n_heads, n_over, perturbation)


def batch_of(n=50, radius=0.5):
    torch.manual_seed(1)
    return {"X": torch.randn(n, 4), "radius": torch.full((n,), radius)}


@pytest.mark.parametrize("perturbation", ["adversarial", "random"])
def test_a_row_moves_as_far_as_its_radius(perturbation):
    model, batch = make_model(perturbation), batch_of()
    batch["radius"] = torch.linspace(0.1, 2, 50)
    moved = model.moved(batch["X"], model.by_head(batch).detach(), batch)
    torch.testing.assert_close((moved - batch["X"]).norm(dim=1), batch["radius"])


def test_an_adversarial_step_changes_more_than_a_random_one():
    batch, terms = batch_of(200, radius=0.2), {}
    for perturbation in ("adversarial", "random"):
        terms[perturbation] = make_model(perturbation).informing(batch)["invariance"].mean()
    assert terms["adversarial"] > 1.5 * terms["random"]


def test_no_gradient_flows_through_where_rows_were():
    model = make_model(lambda rows: rows)  # nothing moves, so that nothing is to be gained
    model.informing(batch_of())["invariance"].sum().backward()
    assert all(p.grad is None or p.grad.abs().max() < 1e-6 for p in model.parameters())


def test_a_callable_changes_the_rows():
    model, batch = make_model(lambda rows: rows + 1), batch_of()
    torch.testing.assert_close(model.moved(batch["X"], torch.empty(0), batch), batch["X"] + 1)


def test_further_heads_pay_in_a_term_of_their_own():
    assert set(make_model(n_over=6).pairing(batch_of())) == {"information", "over_information"}
    assert set(make_model().pairing(batch_of())) == {"information"}


def test_directions_have_length_one_and_zero_stays():
    directions = unit(torch.stack([torch.full((4,), 3.0), torch.zeros(4)]))
    torch.testing.assert_close(directions.norm(dim=1), torch.tensor([1.0, 0.0]))


def trainer_of(model):
    return Trainer(model, stage="test", device="cpu", batch_size=10, lr=1e-3)


def test_radii_are_shares_of_the_distance_to_a_neighbour():
    table, model = Table(torch.randn(30, 4).numpy()), make_model()
    measure_radii(trainer_of(model), table, share=0.25, n_neighbors=3)
    rows = table.batch(torch.arange(30))["X"].numpy()
    distance = NearestNeighbors(n_neighbors=3).fit(rows).kneighbors()[0][:, -1]
    torch.testing.assert_close(table.columns["radius"], torch.from_numpy(0.25 * distance).float())


def test_the_head_that_says_most_is_chosen():
    model = make_model(n_heads=2)
    with torch.no_grad():  # the first head says the same of all rows
        model.heads.weight[:2], model.heads.bias[:2] = 0, 0
        model.heads.weight[2:] *= 20
    choose_head(trainer_of(model), Table(torch.randn(40, 4).numpy()))
    assert model.head == 1
