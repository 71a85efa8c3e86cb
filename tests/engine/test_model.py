"""The interface of models: one door, through the scaling."""

import pytest
import torch
from toys import Toy, make_rows

from skdeepcluster.engine.model import Model
from skdeepcluster.scaling import Scaling


class Plain(Model):
    """A model that decodes a code as the row."""

    def __init__(self):
        super().__init__(Scaling((2,), offset=10.0, factor=0.5))
        self.weight = torch.nn.Parameter(torch.ones(1))

    def codes(self, batch):
        return self.weight * self.inputs(batch)

    def decode(self, codes):
        return codes / self.weight

    def loss(self, batch):
        return {"size": self.inputs(batch).square().mean(1)}


@pytest.fixture
def batch():
    return {"X": torch.tensor([[12, 10]], dtype=torch.uint8), "index": torch.tensor([3])}


def test_rows_are_scaled_where_they_come_in_and_left_as_they_were(batch):
    model = Plain()
    assert torch.equal(model.inputs(batch), torch.tensor([[1.0, 0.0]]))
    assert torch.equal(model.codes(batch), torch.tensor([[1.0, 0.0]]))
    assert torch.equal(model(batch, "loss")["size"], torch.tensor([0.5]))
    assert batch["X"].dtype == torch.uint8


def test_codes_turn_into_rows_in_the_units_of_the_user(batch):
    model = Plain()
    rows = model.generate(model.codes(batch).double())
    assert torch.equal(rows, torch.tensor([[12.0, 10.0]], dtype=torch.float64))


def test_one_player_owns_everything_unless_the_model_says_otherwise():
    model = Plain()
    (player,) = model.players().values()
    assert list(player.parameters) == [model.weight]
    assert list(Toy().players()) == ["player", "critic"]


@pytest.mark.parametrize("method", ["codes", "decode"])
def test_what_a_model_must_define_is_told(method):
    model = Model(Scaling((4,)))
    with pytest.raises(NotImplementedError):
        getattr(model, method)({"X": torch.from_numpy(make_rows())})
