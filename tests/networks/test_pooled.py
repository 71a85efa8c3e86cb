"""Pooled convolutional networks: any image in, the right shapes out, few parameters."""

import copy
import pickle

import pytest
import torch
from torch import nn

from skdeepcluster.networks import make_pooled_decoder, make_pooled_encoder

SHAPES = [(1, 28, 28), (1, 8, 8), (3, 9, 7), (2, 1, 5), (1, 1, 1)]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def pair(shape, code, *sizes):
    return make_pooled_encoder(shape, code, *sizes), make_pooled_decoder(code, shape, *sizes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("code", [1, 2, 8, 60])
def test_shapes_in_and_out(shape, code):
    encoder, decoder = pair(shape, code, (4, 5))
    assert encoder(torch.rand(3, *shape)).shape == (3, code)
    assert decoder(torch.rand(3, code)).shape == (3, *shape)


def test_the_papers_network_for_mnist():
    """Section 4.2: a code of 60, about 3.2 thousand parameters; maps of 28, 14, 7 and 2 pixels."""
    networks = pair((1, 28, 28), 60)
    assert sum(p.numel() for network in networks for p in network.parameters()) == 3262
    maps, values = [], torch.rand(2, 1, 28, 28)
    for layer in networks[0]:
        values = layer(values)
        if isinstance(layer, nn.MaxPool2d):
            maps.append(tuple(values.shape[1:]))
    assert maps == [(6, 14, 14), (8, 7, 7), (15, 2, 2)]


@pytest.mark.parametrize("side", [4, 5, 7, 9, 13])
def test_pooling_sees_every_pixel(side):
    """A single bright pixel reaches the code, wherever it is."""
    pools = [m for m in make_pooled_encoder((1, side, side), 4) if isinstance(m, nn.MaxPool2d)]
    images = torch.eye(side * side).reshape(-1, 1, side, side)
    assert (nn.Sequential(*pools)(images).flatten(1).amax(1) == 1).all()


def test_decoder_mirrors_the_encoder():
    encoder, decoder = pair((1, 28, 28), 60, (5, 9))
    channels = [
        [(c.in_channels, c.out_channels) for c in network if isinstance(c, nn.Conv2d)]
        for network in (encoder, decoder)
    ]
    assert channels[0] == [(b, a) for a, b in channels[1]][::-1]


def test_ends_are_linear():
    encoder, decoder = pair((1, 8, 8), 8)
    assert sum(isinstance(layer, nn.ReLU) for layer in encoder) == 2
    assert isinstance(decoder[-1], nn.Conv2d)
    assert encoder(torch.rand(50, 1, 8, 8)).min() < 0


def test_every_weight_learns():
    encoder, decoder = pair((1, 8, 8), 8)
    decoder(encoder(torch.rand(20, 1, 8, 8))).square().sum().backward()
    gradients = [p.grad for network in (encoder, decoder) for p in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert all(g.any() for g in gradients if g.ndim > 1)


def test_copies_compute_alike():
    encoder, _ = pair((1, 28, 28), 60)
    rows = torch.rand(5, 1, 28, 28)
    expected = encoder.eval()(rows)
    assert copy.deepcopy(encoder)(rows).equal(expected)
    assert pickle.loads(pickle.dumps(encoder))(rows).equal(expected)


@pytest.mark.parametrize(("shape", "sizes"), [((1, 0, 8), (4,)), ((1, 8, 8), (4, 0))])
def test_sizes_are_positive(shape, sizes):
    for make in (
        lambda: make_pooled_encoder(shape, 4, sizes),
        lambda: make_pooled_decoder(4, shape, sizes),
    ):
        with pytest.raises(ValueError, match="positive"):
            make()
