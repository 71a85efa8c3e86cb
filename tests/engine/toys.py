"""A model small enough to calculate by hand, and what the tests of the engine share."""

import itertools

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from skdeepcluster.engine.model import Model, Player
from skdeepcluster.engine.schedule import Turn
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.scaling import Scaling

WIDTH = 4
PLAY, JUDGE = Turn("player", "play"), Turn("critic", "judge")


class Toy(Model):
    """A linear autoencoder and its critic, whose losses reach the parameters of both.

    It logs the losses that it was asked for and the rows that it saw in train mode.
    """

    def __init__(self, width=WIDTH, normed=False):
        super().__init__(Scaling((width,)))
        norm = nn.BatchNorm1d(2) if normed else nn.Identity()
        self.encoder = nn.Sequential(nn.Linear(width, 2), norm)
        self.decoder = nn.Linear(2, width)
        self.critic = nn.Linear(width, 1)
        self.asked = []
        self.seen = []

    def players(self):
        return {
            "player": Player([*self.encoder.parameters(), *self.decoder.parameters()]),
            "critic": Player(self.critic.parameters()),
        }

    def forward(self, batch, loss):
        if self.training:
            self.asked.append(loss)
            self.seen.append(batch["index"].tolist())
        return super().forward(batch, loss)

    def codes(self, batch):
        return self.encoder(self.inputs(batch))

    def decode(self, codes):
        return self.decoder(codes)

    def play(self, batch):
        found = self.decode(self.codes(batch))
        return {
            "error": (found - self.inputs(batch)).square().mean(1),
            "shame": self.critic(found).squeeze(1),
        }

    def judge(self, batch):
        fake = self.decode(self.codes(batch))
        gap = self.critic(fake) - self.critic(self.inputs(batch))
        return {"gap": gap.squeeze(1).square(), "size": self.critic.weight.square().sum()}

    def fit_target(self, batch):
        return {"miss": (self.codes(batch) - batch["target"]).square().mean(1)}


def make_rows(n=24, width=WIDTH, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def make_trainer(model=None, kind=Trainer, **options):
    """A trainer of a toy that is the same every time."""
    if model is None:
        torch.manual_seed(0)
    defaults = {"optimizer": torch.optim.Adam, "lr": 0.01, "batch_size": 8}
    return kind(Toy() if model is None else model, **{**defaults, **options})


def train(phases, X=None, model=None, columns=None, checkpoint=None, **options):
    """Train a toy through phases."""
    trainer = make_trainer(model, **options)
    table = Table(make_rows() if X is None else X, **(columns or {}))
    return trainer.run(table, phases, checkpoint)


def weights(model):
    """A copy of everything in a model's state."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def moments(trainer, player):
    """A copy of an optimizer's state, in the order of its parameters."""
    state = trainer.optimizer_of(player).state_dict()["state"]
    return {f"{i}.{k}": v.clone() for i, entry in state.items() for k, v in entry.items()}


def same(a, b):
    """Whether two dicts of tensors are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def on(event, action):
    """A callback that calls ``action(net)`` at an event."""
    return type("On", (Callback,), {event: lambda self, net, *args, **kwargs: action(net)})()


def nth(count, action):
    """A function that calls `action` when it is called for the count-th time, from 1."""
    calls = itertools.count(1)
    return lambda *args: action(*args) if next(calls) == count else None
