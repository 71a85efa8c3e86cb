"""Networks joined into one compute what each computes alone, and learn apart."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from skdeepcluster.networks import make_decoder, make_encoder, make_grouped, slots

SHAPES = [(16,), (1, 8, 8), (3, 5, 7), (2, 1, 9)]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def pairs(shape, k=3, **options):
    """Networks of both kinds, with inputs of their own."""
    encoders = [make_encoder(shape, 4, (5, 6), **options) for _ in range(k)]
    decoders = [make_decoder(4, shape, (5, 6), **options) for _ in range(k)]
    return [(encoders, torch.randn(k, 7, *shape)), (decoders, torch.randn(k, 7, 4))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_each_slice_is_its_network(shape, activation):
    for networks, inputs in pairs(shape, activation=activation):
        expected = torch.stack([net(x) for net, x in zip(networks, inputs, strict=True)])
        torch.testing.assert_close(make_grouped(networks)(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_reach_their_own_slices(shape):
    for networks, inputs in pairs(shape):
        grouped = make_grouped(networks)
        grouped(inputs)[1].square().sum().backward()
        assert all(len(p) == 3 for p in grouped.parameters())
        for parameter in grouped.parameters():
            assert not parameter.grad[[0, 2]].any()
        networks[1](inputs[1]).square().sum().backward()
        for one, many in zip(networks[1].parameters(), grouped.parameters(), strict=True):
            torch.testing.assert_close(many.grad[1], one.grad, rtol=1e-3, atol=1e-4)


def test_gradients_are_right():
    for networks, inputs in pairs((2, 4, 3), activation="tanh"):
        grouped = make_grouped(networks).double()
        assert torch.autograd.gradcheck(grouped, inputs[:, :2].double().requires_grad_())


def test_the_networks_are_copied():
    networks = [nn.Linear(2, 2) for _ in range(2)]
    grouped = make_grouped(networks)
    networks[0].weight.data.zero_()
    assert grouped[0].weight[0].abs().sum() > 0
    assert pickle.loads(pickle.dumps(grouped))(torch.zeros(2, 1, 2)).shape == (2, 1, 2)


def test_layers_without_bias():
    linear = [nn.Linear(3, 2, bias=False) for _ in range(2)]
    x = torch.randn(2, 5, 3)
    expected = torch.stack([layer(rows) for layer, rows in zip(linear, x, strict=True)])
    torch.testing.assert_close(make_grouped(linear)(x), expected)
    convolutions = [nn.Sequential(nn.Conv2d(1, 2, 3, bias=False)) for _ in range(2)]
    assert make_grouped(convolutions)(torch.randn(2, 4, 1, 5, 5)).shape == (2, 4, 2, 3, 3)


def test_each_network_has_statistics_of_its_own():
    """In training and afterwards, and pooling between."""

    def network():
        convolution = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.MaxPool2d(2, ceil_mode=True))
        return nn.Sequential(
            convolution, nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2)
        )

    networks = [network() for _ in range(2)]
    grouped = make_grouped(networks)
    rows = torch.randn(2, 6, 1, 5, 5) * torch.tensor([1.0, 9.0])[:, None, None, None, None]
    for train in (True, False):
        expected = [net.train(train)(x) for net, x in zip(networks, rows, strict=True)]
        found = grouped.train(train)(rows)
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_chains_within_chains_are_one_chain():
    def network():
        inner = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 4))
        return nn.Sequential(nn.Flatten(), inner, nn.Unflatten(1, (2, 2)))

    networks, x = [network(), network()], torch.randn(5, 1, 3)
    rows = x.expand(2, 5, 1, 3)  # shared, and left as they are
    expected = torch.stack([net(x.clone()) for net in networks])
    torch.testing.assert_close(make_grouped(networks)(rows), expected)


def test_what_is_frozen_stays_frozen():
    networks = [nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))] * 2
    frozen = [not p.requires_grad for p in make_grouped(networks).parameters()]
    assert frozen == [True, True, False, False]


class Doubled(nn.Linear):
    """A layer that computes something else than its parent."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            [nn.Linear(2, 2), nn.Linear(2, 3)],
            "network 1 has Linear.*out_features=3.*where the first has",
        ),
        ([nn.LSTM(2, 2)] * 2, "LSTM.*cannot be grouped"),
        ([nn.BatchNorm1d(2, track_running_stats=False)] * 2, "BatchNorm1d"),
        ([nn.Conv2d(2, 2, 3, groups=2)] * 2, "stride and padding"),
        ([Doubled(2, 2)] * 2, "Doubled"),
        ([nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))] * 2, "cannot be grouped"),
        ([nn.Flatten(2)] * 2, "start_dim=2"),
        ([nn.Unflatten(2, (1, 2))] * 2, "dim=2"),
    ],
    ids=[
        "different",
        "recurrent",
        "statistics of the batch alone",
        "groups",
        "subclass",
        "parametrized",
        "flatten",
        "unflatten",
    ],
)
def test_what_cannot_be_grouped_is_refused(networks, message):
    with pytest.raises(ValueError, match=message):
        make_grouped(networks)


def testslots_hold_every_row_once():
    winner = torch.tensor([2, 0, 2, 2, 0])
    index, place = slots(winner, 3)
    assert index.shape == (3, 3)
    assert index[winner, place].tolist() == [0, 1, 2, 3, 4]
