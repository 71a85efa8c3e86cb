"""The model of AAE: its terms by hand, what its players see and move, and where it starts."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.aae import AdversarialAutoencoder, label_by_mixture, learn_labels
from skdeepcluster.networks import make_critic
from skdeepcluster.scaling import Scaling


class Score(torch.nn.Module):
    """A critic whose logit is the first column."""

    def forward(self, codes):
        return codes[:, 0]


def made(critics=None, conditional=False):
    """A model of 2 styles and 2 categories whose encoder gives the 4 columns of a row."""
    encoder, decoder = (torch.nn.Linear(4, 4, bias=False) for _ in range(2))
    torch.nn.init.eye_(encoder.weight)
    torch.nn.init.eye_(decoder.weight)
    widths = (2 + 2 * conditional, 2)
    critics = critics or [make_critic((width,), (4,)) for width in widths]
    return AdversarialAutoencoder(Scaling((4,)), encoder, decoder, critics, 2, 2, conditional)


ROWS = torch.tensor([[1.0, 2.0, log(3), 0.0], [0.0, -1.0, 0.0, 0.0]])
BATCH = {"X": ROWS, "index": torch.arange(2)}


def test_a_code_is_a_style_and_the_probabilities_of_the_categories():
    codes, scores = made().observe(BATCH, torch.arange(2))
    torch.testing.assert_close(codes[0], torch.tensor([1.0, 2.0, 0.75, 0.25]))
    torch.testing.assert_close(scores.exp(), codes[:, 2:])
    torch.testing.assert_close(made().codes(BATCH), codes)


def test_the_encoder_pays_for_being_told_from_the_priors():
    """-log D of a style and of the probabilities, which the critics see in place of a one-hot."""
    terms = made((Score(), Score())).autoencoding(BATCH)
    style, category = torch.tensor([1.0, 0.0]), torch.tensor([0.75, 0.5])
    torch.testing.assert_close(terms["style"], -style.sigmoid().log())
    torch.testing.assert_close(terms["category"], -category.sigmoid().log())


def test_a_style_is_judged_beside_its_category_which_its_game_does_not_move():
    class Both(torch.nn.Module):
        def forward(self, codes):
            return codes[:, 0] + codes[:, 3]

    model = made((Both(), Score()), conditional=True)
    term = model.autoencoding(BATCH)["style"]
    logits = torch.tensor([1.0, 0.0]) + torch.tensor([0.25, 0.5])
    torch.testing.assert_close(term, -logits.sigmoid().log())
    term.sum().backward()
    moved = model.encoder.weight.grad.abs().sum(1)
    assert moved[0] > 0 and (moved[2:] == 0).all()


def test_discriminators_see_draws_of_the_priors_and_codes():
    model = made((Score(), Score()))
    model.shares = torch.tensor([1.0, 0.0])
    terms = model.judgement(BATCH)
    expected = torch.full((2,), -torch.tensor(1.0).sigmoid().log())  # one-hot at the first
    torch.testing.assert_close(terms["category_real"], expected)
    fake = torch.tensor([0.75, 0.5])
    torch.testing.assert_close(terms["category_fake"], -(1 - fake.sigmoid()).log())
    assert terms["style_real"].unique().numel() == 2  # draws of a Gaussian


def test_categories_are_drawn_by_their_shares_and_styles_are_standard():
    model = made()
    model.shares = torch.tensor([0.2, 0.8])
    torch.manual_seed(0)
    style, category = model._drawn(4000, ROWS)
    assert float(category[:, 1].mean()) == pytest.approx(0.8, abs=0.03)
    torch.testing.assert_close(style.std(0), torch.ones(2), atol=0.05, rtol=0)


def test_a_player_moves_its_own_networks_alone():
    model = made()
    players = model.players()
    own, critics = (set(players[name].parameters) for name in ("model", "critic"))
    assert not own & critics and own | critics == set(model.parameters())
    assert critics == set(model.critics.parameters())
    sum(term.sum() for term in model.judgement(BATCH).values()).backward()
    assert all(each.grad is None for each in own)


def test_labels_are_learnt_and_rows_without_one_are_not():
    labels = torch.tensor([1, -1])
    terms = made().learning({**BATCH, "label": labels})
    torch.testing.assert_close(terms["category"], torch.tensor([log(4), 0.0]))


def table_of(rows, **columns):
    model = made()
    trainer = Trainer(model, optimizer=torch.optim.Adam, lr=0.1).initialize()
    return trainer, Table(rows.astype(np.float32), **columns)


def test_given_labels_are_columns_and_shares_of_weight():
    rows = np.zeros((4, 4))
    trainer, table = table_of(rows, weight=torch.tensor([1.0, 2.0, 1.0, 5.0]))
    learn_labels(trainer, table, np.array([0, 1, 0, -1]))
    assert table.columns["label"].tolist() == table.columns["start"].tolist() == [0, 1, 0, -1]
    torch.testing.assert_close(trainer.model.shares, torch.tensor([0.5, 0.5]))


def test_own_labels_are_the_components_of_a_mixture_of_styles():
    """The categories' columns have no say."""
    rng = np.random.RandomState(0)
    rows = rng.normal(size=(90, 4))
    rows[:, 0] += 9.0 * (np.arange(90) < 30)
    rows[:, 2] += 9.0 * (np.arange(90) % 2)
    trainer, table = table_of(rows)
    label_by_mixture(trainer, table, seed=0)
    labels = table.columns["label"]
    assert labels[:30].unique().numel() == labels[30:].unique().numel() == 1
    assert sorted(trainer.model.shares.tolist()) == pytest.approx([1 / 3, 2 / 3])
