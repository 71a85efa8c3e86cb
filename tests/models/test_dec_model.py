"""The model of DEC and its steps over the whole data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.dec import DEC, update_target
from skdeepcluster.objectives import target_distribution
from skdeepcluster.scaling import Scaling


@pytest.fixture
def trainer() -> Trainer:
    """A trainer of an identity network with two centres, the second far from all rows."""
    model = DEC(Scaling((2,)), torch.nn.Identity(), torch.nn.Identity(), (2, 2))
    model.centers.data = torch.tensor([[0.0, 0.0], [1e4, 1e4]])
    trainer = Trainer(model, optimizer=torch.optim.Adam, lr=0.1)
    return trainer.initialize()


@pytest.fixture
def table() -> Table:
    rows = np.random.RandomState(0).normal(size=(20, 2)).astype(np.float32)
    return Table(rows, label=torch.full((20,), -1))


def test_the_target_is_that_of_the_whole_data(trainer, table):
    trainer.model.centers.data[1] = torch.ones(2)
    assert update_target(trainer, table) == {}
    q = trainer.apply(trainer.model.log_memberships, table).exp()
    torch.testing.assert_close(table.columns["target"], target_distribution(q))
    assert update_target(trainer, table) == {"label_change": 0.0}
    assert len(table.columns["target"]) == len(table)


def test_a_dead_centre_is_started_anew(trainer, table):
    with pytest.warns(ConvergenceWarning, match="started anew"):
        update_target(trainer, table)
    assert set(table.columns["label"].tolist()) == {0, 1}
