"""Members that learn labels, and the steps between two trainings."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.labelings import (
    Labeling,
    calibrated_temperature,
    confident_rows,
    matched,
    numbered,
    sure_rows,
    vote,
)
from skdeepcluster.models.self_labels import SelfLabeler, place_classifiers
from skdeepcluster.scaling import Scaling


def make(n_members=1, **settings):
    settings = {"augment": None, "decoder": None, "label_smoothing": 0.0, "joint": False} | settings
    trunks = [nn.Sequential(nn.Linear(4, 6), nn.ReLU()) for _ in range(n_members)]
    code_layers = [nn.Linear(6, 2) for _ in range(n_members)]
    return SelfLabeler(Scaling((4,)), trunks, code_layers, 3, 2, **settings)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return {"X": torch.randn(5, 4), "label": torch.tensor([0, 1, 2, 1, 0])}


@pytest.mark.parametrize("n_members", [1, 3])
def test_the_loss_is_the_mean_cross_entropy_of_the_members(batch, n_members):
    model = make(n_members, label_smoothing=0.1)
    loss = model.labeling(batch)["classification"]
    logits = model.member_logits(batch)
    each = [
        F.cross_entropy(logits[:, m], batch["label"], label_smoothing=0.1, reduction="none")
        for m in range(n_members)
    ]
    torch.testing.assert_close(loss, torch.stack(each).mean(0))
    assert model.features(batch).shape == (5, n_members, 6)
    assert model.member_codes(batch).shape == (5, n_members, 2)


def test_probabilities_are_the_mean_of_the_members_at_the_temperature(batch):
    model = make(3)
    model.log_temperature.fill_(np.log(2.0))
    codes, log_proba = model.observe(batch)
    expected = (model.member_logits(batch) / 2).softmax(2).mean(1)
    torch.testing.assert_close(log_proba.exp(), expected)
    torch.testing.assert_close(codes, model.member_codes(batch)[:, 0])


def test_members_see_changes_of_their_own(batch):
    seen = []
    model = make(2, augment=lambda rows: seen.append(rows) or rows + torch.randn_like(rows))
    model.labeling(batch)
    assert seen[0].shape == (10, 4)
    model.observe(batch)
    assert len(seen) == 1  # rows are looked at as they are


def test_rows_in_doubt_weigh_nothing_and_are_reconstructed(batch):
    model = make(decoder=nn.Linear(2, 4), joint=True)
    confident = torch.tensor([1.0, 0, 1, 0, 0])
    terms = model.labeling({**batch, "confident": confident})
    assert (terms["classification"] > 0).tolist() == confident.bool().tolist()
    assert (terms["reconstruction"] > 0).all()


def test_the_decoder_learns_from_codes_that_stay(batch):
    model = make(decoder=nn.Linear(2, 4))
    model.reconstruction(batch)["reconstruction"].mean().backward()
    assert all(p.grad is None for p in model.trunk.parameters())
    assert model.decoder.weight.grad.abs().sum() > 0
    assert list(model.players()) == ["model", "decoder"]


@pytest.mark.parametrize("n_members", [1, 2])
def test_classifiers_start_as_the_nearest_mean_code(n_members):
    torch.manual_seed(0)
    label = torch.arange(60) % 3
    rows = torch.eye(3, 4)[label] * 9 + torch.randn(60, 4) / 9
    table = Table(rows.numpy(), label=label)
    model = make(n_members)
    place_classifiers(Trainer(model).initialize(), table)
    codes = model.member_codes({"X": rows})
    means = torch.stack([codes[label == j].mean(0) for j in range(3)], 1)
    for member in range(n_members):
        nearest = torch.cdist(codes[:, member], means[member]).argmin(1)
        assert torch.equal(model.member_logits({"X": rows})[:, member].argmax(1), nearest)
    assert 0.5 < model.member_logits({"X": rows}).std() < 2


def test_matched_labels_agree_as_often_as_they_can():
    rng = np.random.default_rng(0)
    reference = rng.integers(4, size=200)
    number = rng.permutation(4)
    np.testing.assert_array_equal(matched(number[reference], reference, 4), reference)
    noisy = np.where(np.arange(200) % 9 == 0, -1, number[reference])
    assert (matched(noisy, reference, 4) == np.where(noisy < 0, -1, reference)).all()


def test_votes():
    labels, unanimous = vote(np.array([[0, 1, 2], [0, 2, 2], [0, 2, 1]]))
    assert labels.tolist() == [0, 2, 2]
    assert unanimous.tolist() == [True, False, False]


def test_confident_rows_agree_and_are_not_in_doubt():
    guess = np.repeat([0, 1], 50)
    labels, probability = guess.copy(), np.linspace(0, 1, 100)
    labels[60:70] = 0
    confident = confident_rows(labels, guess, probability)
    assert not confident[60:70].any()
    assert not confident[:9].any()
    assert confident[20:60].all()


def test_where_little_agrees_all_rows_are_learnt_from():
    labels, guess = np.zeros(10, dtype=int), np.arange(10) % 2
    assert confident_rows(labels, guess, np.ones(10)).all()


def test_no_cluster_is_forgotten():
    guess = np.zeros(100, dtype=int)
    labels = np.where(np.arange(100) < 10, 1, 0)
    confident = confident_rows(labels, guess, np.ones(100))
    assert confident[:10].all()
    responsibility = np.where(np.arange(100) < 10, 0.4, 0.999)
    sure = sure_rows(labels, responsibility)
    assert sure[:10].sum() >= 5
    assert sure[10:].all()


@pytest.mark.parametrize("accuracy", [0.4, 0.7, 0.95])
def test_the_temperature_makes_probabilities_as_large_as_they_shall_be(accuracy):
    torch.manual_seed(0)
    logits = (torch.randn(200, 1, 5) + 0.1 * torch.randn(200, 2, 5)) * 7
    temperature = calibrated_temperature(logits, accuracy)
    mean = (logits / temperature).softmax(2).mean(1).amax(1).mean()
    assert mean == pytest.approx(accuracy, abs=1e-3)


def test_a_labeling_survives_as_tensors():
    labeling = Labeling(np.array([0, -1]), np.array([True, False]), 0.5, 0.25)
    again = Labeling.of(labeling.tensors())
    assert again.labels.tolist() == [0, -1]
    assert again.confident.tolist() == [True, False]
    assert (again.agreement, again.classifier_agreement) == (0.5, 0.25)


def test_clusters_are_numbered_by_their_first_rows():
    found = numbered(np.array([2, -1, 0, 2, 1]))
    assert found.tolist() == [0, -1, 1, 0, 2]
