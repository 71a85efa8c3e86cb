"""Any shape in, the right shape out; the published sizes; every weight learns."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from skdeepcluster.networks import (
    make_critic,
    make_decoder,
    make_encoder,
    make_mlp,
    make_pooled_decoder,
    make_pooled_encoder,
)
from skdeepcluster.networks._ladder import Levels

VECTORS = [(1,), (16,)]
IMAGES = [(1, 1, 1), (6, 1, 1), (1, 1, 9), (2, 3, 2), (3, 5, 7), (1, 8, 8), (1, 28, 28)]
IMAGES += [(3, 32, 32), (2, 64, 48)]
SHAPES = [*VECTORS, *IMAGES]
SMALL = [(16,), (3, 5, 7)]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def all_networks(shape, **options):
    """Return each kind of network for rows of a shape, with some input for it."""
    rows, codes = torch.rand(6, *shape), torch.randn(6, 4)
    return [
        (make_encoder(shape, 4, **options), rows),
        (make_decoder(4, shape, **options), codes),
        (make_critic(shape, **options), rows),
    ]


# -- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (5,), "dense": (7, 6)},
        {"hidden_layer_sizes": (4, 5, 6, 7), "batch_norm": True, "activation": "tanh"},
    ],
    ids=["default", "none", "dense", "deep"],
)
def test_shapes_in_and_out(shape, options):
    (encoder, rows), (decoder, codes), (critic, _) = all_networks(shape, **options)
    assert encoder(rows).shape == (6, 4)
    assert decoder(codes).shape == (6, *shape)
    assert critic(rows).shape == (6,)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_row_trains_without_batch_norm(shape):
    for network, inputs in all_networks(shape):
        assert network(inputs[:1]).isfinite().all()


@pytest.mark.parametrize(
    ("size", "channels"),
    [((1, 1), [32]), ((1, 9), [32]), ((5, 7), [32]), ((8, 8), [32, 64]), ((28, 28), [32, 64, 128])],
)
def test_default_convolutions_stop_before_the_map_vanishes(size, channels):
    convolutions = [layer for layer in make_encoder((1, *size), 2) if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == channels


def test_vector_default_is_decs():
    widths = [layer.out_features for layer in make_encoder((784,), 10)[::2]]
    assert widths == [500, 500, 2000, 10]


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_decoder_mirrors_the_encoder(shape):
    """Maps between the same sizes, in the opposite order."""
    sizes = {"hidden_layer_sizes": (8, 12), "dense": (20, 30)}
    (encoder, rows), (decoder, codes), _ = all_networks(shape, **sizes)

    def sizes_along(network, inputs):
        found = [inputs[0].numel()]
        for layer in network:
            inputs = layer(inputs)
            if not isinstance(layer, nn.ReLU):
                found.append(inputs[0].numel())
        return [size for i, size in enumerate(found) if i == 0 or size != found[i - 1]]

    assert sizes_along(encoder, rows) == sizes_along(decoder, codes)[::-1]


def test_last_hidden_layer_by_slicing():
    encoder = make_encoder((1, 8, 8), 4, (8,), dense=(50,))
    features = encoder[:-1](torch.rand(3, 1, 8, 8))
    assert features.shape == (3, 50)
    assert features.min() >= 0  # after the ReLU
    assert isinstance(encoder[-1], nn.Linear)


# -- published sizes ----------------------------------------------------------------------------


def test_parameters_of_table_6_1():
    options = {"activation": "leaky_relu", "batch_norm": True}
    hidden = 256 * 256 + 256 + 2 * (2 * 256)  # the middle layer, and both batch norms
    generator = make_decoder(14, (2,), (256, 256), **options)
    assert n_parameters(generator) == (14 * 256 + 256) + hidden + (256 * 2 + 2)
    encoder = make_encoder((2,), 14, (256, 256), **options)
    assert n_parameters(encoder) == (2 * 256 + 256) + hidden + (256 * 14 + 14)
    critic = make_critic((2,), (256, 256), **options)
    assert n_parameters(critic) == (2 * 256 + 256) + hidden + (256 * 1 + 1)
    kinds = [type(layer) for layer in generator]
    assert kinds == [nn.Linear, nn.LeakyReLU, nn.BatchNorm1d] * 2 + [nn.Linear]
    assert generator[1].negative_slope == 0.2


def test_parameters_of_table_6_5_generator():
    generator = make_decoder(
        20,
        (1, 28, 28),
        (128, 256),
        dense=(512, 512),
        batch_norm=True,
        output_activation="sigmoid",
    )
    weights = 20 * 512 + 512 * 512 + 512 * 256 * 7 * 7 + 256 * 128 * 4 * 4 + 128 * 1 * 4 * 4
    biases = 512 + 512 + 256 + 128 + 1
    batch_norms = 2 * (512 + 512 + 256 + 128)
    one_bias_per_pixel = 256 * 7 * 7 - 256  # instead of one per channel
    assert n_parameters(generator) == weights + biases + batch_norms + one_bias_per_pixel


def test_parameters_of_table_6_5_encoder_and_discriminator():
    options = {"hidden_layer_sizes": (64, 128), "dense": (1024,), "activation": "leaky_relu"}
    convolutions = (1 * 64 * 4 * 4 + 64) + (64 * 128 * 4 * 4 + 128)
    dense = 128 * 7 * 7 * 1024 + 1024
    encoder = make_encoder((1, 28, 28), 20, **options)
    assert n_parameters(encoder) == convolutions + dense + (1024 * 20 + 20)
    critic = make_critic((1, 28, 28), **options)
    assert n_parameters(critic) == convolutions + dense + (1024 + 1)


# -- learning -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16,), (1, 1, 9), (3, 5, 7), (1, 28, 28)], ids=str)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_reach_every_parameter(shape, batch_norm):
    sizes = {"hidden_layer_sizes": (8, 12), "dense": (20,)}
    for network, inputs in all_networks(shape, batch_norm=batch_norm, **sizes):
        network(inputs).pow(3).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def fans(layer, size):
    """Count the inputs of an output, and the outputs of an input, away from the border."""
    layer = copy.deepcopy(layer).double()
    nn.init.ones_(layer.weight)
    inputs = torch.ones(1, layer.weight.shape[1], dtype=torch.double)
    if not isinstance(layer, nn.Linear):
        inputs = torch.ones(1, layer.in_channels, *size, dtype=torch.double)
    outputs = layer(inputs.requires_grad_())
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    return outputs.max().item(), gradient.max().item()


@pytest.mark.parametrize(
    "layer",
    [
        make_mlp((30, 50))[0],
        make_encoder((3, 16, 16), 1, (24,))[0],
        make_decoder(1, (3, 16, 16), (24,))[-1],
        make_encoder((3, 1, 16), 1, (24,))[0],
        make_decoder(1, (3, 1, 16), (24,))[-1],
    ],
    ids=["linear", "convolution", "transposed", "flat convolution", "flat transposed"],
)
def test_weights_start_from_glorots_uniform_distribution(layer):
    size = (1, 16) if getattr(layer, "kernel_size", (4,))[0] == 1 else (16, 16)
    fan_in, fan_out = fans(layer, size)
    bound = (6 / (fan_in + fan_out)) ** 0.5
    assert 0.9 * bound < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert (layer.bias == 0).all()


@pytest.mark.parametrize("shape", [(64,), (1, 8, 8)], ids=str)
def test_an_autoencoder_learns_digits(shape):
    digits = torch.tensor(load_digits().data[:300], dtype=torch.float32).reshape(-1, *shape) / 16
    network = nn.Sequential(make_encoder(shape, 10, (32, 64)), make_decoder(10, shape, (32, 64)))
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        error = (network(digits) - digits).square().mean()
        error.backward()
        optimizer.step()
    assert error < 0.5 * digits.var(0).mean()  # half of what the mean digit leaves


# -- conduct ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_rows_are_independent_in_eval_mode(shape):
    for network, inputs in all_networks(shape, batch_norm=True):
        network(inputs)  # moves the batch norm statistics from their start
        network.eval().double()
        together = network(inputs.double())
        alone = torch.cat([network(row[None].double()) for row in inputs])
        torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_output_activation():
    codes = 100 * torch.randn(50, 3)
    bounded = make_decoder(3, (2, 5, 5), output_activation="sigmoid")(codes)
    assert bounded.min() >= 0 and bounded.max() <= 1
    free = make_decoder(3, (2, 5, 5))(codes)
    assert free.min() < 0 and free.max() > 1


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_pickle_deepcopy_and_compile(shape):
    for network, inputs in all_networks(shape):
        expected = network(inputs)
        assert pickle.loads(pickle.dumps(network))(inputs).equal(expected)
        assert copy.deepcopy(network)(inputs).equal(expected)
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        assert compiled(inputs).equal(expected)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_critic, lambda s: make_encoder(s, 2)])
@pytest.mark.parametrize("shape", [(), (3, 4), (1, 2, 3, 4)], ids=str)
def test_unknown_kind_of_row(make, shape):
    with pytest.raises(ValueError, match=r"\(features,\) or \(channels, height, width\)"):
        make(shape)


@pytest.mark.parametrize("shape", [(0,), (1, 0, 5)], ids=str)
def test_empty_rows(shape):
    with pytest.raises(ValueError, match="shape of a row must hold positive"):
        make_encoder(shape, 2)


@pytest.mark.parametrize("size", [1.5, "a", [3], None])
def test_sizes_must_be_integers(size):
    with pytest.raises(ValueError, match="hidden_layer_sizes must hold positive integers only"):
        make_encoder((5,), 2, (size,))


def test_sizes_may_be_integers_of_numpy():
    """As a grid over np.arange has them; some layers of torch refuse them."""
    sizes, width = np.array([4, 8]), np.int64(8)
    rows, codes = torch.rand(2, 1, 8, 8), torch.rand(2, 8)
    for encoder, decoder in (
        (make_encoder, make_decoder),
        (make_pooled_encoder, make_pooled_decoder),
    ):
        assert encoder((1, 8, 8), width, sizes)(rows).shape == (2, 8)
        assert decoder(width, (1, 8, 8), sizes)(codes).shape == (2, 1, 8, 8)
    for shape in ((6,), (1, 8, 8)):
        levels = Levels(shape, sizes)
        assert all(type(size) is int for shape in levels.shapes for size in shape)


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_sizes_must_be_positive(shape):
    with pytest.raises(ValueError, match="hidden_layer_sizes must hold positive"):
        make_encoder(shape, 2, (5, 0))
    with pytest.raises(ValueError, match="sizes must hold positive"):
        make_decoder(2, shape, (5,), dense=(-1,))


def test_a_perceptron_needs_two_sizes():
    with pytest.raises(ValueError, match="at least an input and an output"):
        make_mlp([3])


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_unknown_activations(shape):
    with pytest.raises(ValueError, match=r"one of .*relu.*, got 'swoosh'"):
        make_encoder(shape, 2, activation="swoosh")
    with pytest.raises(ValueError, match="'sigmoid' or None, got 'tanh'"):
        make_decoder(2, shape, output_activation="tanh")
