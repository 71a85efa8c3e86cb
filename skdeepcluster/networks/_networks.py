"""Encoders, decoders and critics, built from the shape of one row alone.

A shape of one number is a vector and gives a multilayer perceptron; three numbers,
(channels, height, width), are an image of any size and give a convolutional network.
Every function returns a plain `torch.nn.Sequential` without a loss, so that a network can be
sliced: the last layer of an encoder is its linear code layer, and ``encoder[:-1]`` gives the
activations of its last hidden layer.

Three choices hold throughout:

- A hidden layer is the linear or convolutional map, then the activation, then batch
  normalisation, in the order in which the tables of [1]_ print them.
- A convolution has a 4 x 4 kernel, stride 2 and padding 1: it halves the map, rounding down, and
  each output pixel of its transpose is made of equally many inputs, which avoids checkerboards.
  [1]_ gives that padding for the generator only; here the encoder has it too, so that encoder
  and decoder mirror each other at every size.
- Weights start from Glorot's uniform distribution [2]_ and biases from zero. It scales by the
  fans of both sides of a layer, which suits autoencoders whose widths leap from 2000 to 10 and
  back: without layer-wise pre-training, 784-500-500-2000-10 learns to reconstruct clearly faster
  from it than from PyTorch's default or from He's, which ignore one side.

References
----------
.. [1] G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
   University of Ioannina, 2021, Tables 6.1 to 6.7.
.. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
   neural networks", AISTATS 2010, equation 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from operator import index
from typing import Literal

from torch import nn

__all__ = ["make_critic", "make_decoder", "make_encoder", "make_mlp"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "tanh": nn.Tanh,
}
Size = tuple[int, int]
_VECTOR_WIDTHS = (500, 500, 2000)
_IMAGE_CHANNELS = (32, 64, 128)


def make_mlp(
    sizes: Sequence[int], *, activation: str = "relu", batch_norm: bool = False
) -> nn.Sequential:
    """Multilayer perceptron whose last layer is linear.

    Parameters
    ----------
    sizes : sequence of int
        Widths of all layers, input and output included; at least two.
    activation : {"relu", "leaky_relu", "tanh"}, default="relu"
        Activation of the hidden layers. The leaky ReLU has a slope of 0.2.
    batch_norm : bool, default=False
        Whether batch normalisation follows each hidden activation. Training it takes batches of
        at least two rows.

    Returns
    -------
    mlp : nn.Sequential
        Maps (n, sizes[0]) to (n, sizes[-1]).

    Raises
    ------
    ValueError
        If there are fewer than two sizes, a size is not positive, or the activation is unknown.

    Examples
    --------
    >>> make_mlp([2, 16, 3], activation="tanh")
    Sequential(
      (0): Linear(in_features=2, out_features=16, bias=True)
      (1): Tanh()
      (2): Linear(in_features=16, out_features=3, bias=True)
    )
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must hold at least an input and an output width, got {sizes!r}.")
    sizes = check_positive("sizes", sizes)
    *hidden, last = (nn.Linear(*widths) for widths in pairwise(sizes))
    layers: list[nn.Module] = []
    for linear in hidden:
        norm = nn.BatchNorm1d(linear.out_features) if batch_norm else None
        layers += [linear, *_after(activation, norm)]
    return initialised([*layers, last])


def make_encoder(
    input_shape: Sequence[int],
    out_features: int,
    hidden_layer_sizes: str | Sequence[int] = "auto",
    *,
    activation: str = "relu",
    batch_norm: bool = False,
    dense: Sequence[int] = (),
) -> nn.Sequential:
    r"""Network from rows to codes, with a linear code layer.

    Parameters
    ----------
    input_shape : (d,) or (channels, height, width)
        Shape of one row.
    out_features : int
        Width of the code.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        For vectors the widths of the hidden layers; "auto" is 500, 500, 2000 as in DEC [1]_. For
        images the channels of the convolutions, each of which halves the map (a side of one pixel
        stays); "auto" is as many of 32, 64, 128 as leave sides of at least two pixels, and at
        least the first.
    activation : {"relu", "leaky_relu", "tanh"}, default="relu"
        Activation of the hidden layers. The leaky ReLU has a slope of 0.2.
    batch_norm : bool, default=False
        Whether batch normalisation follows each hidden activation.
    dense : sequence of int, default=()
        Widths of fully connected hidden layers between `hidden_layer_sizes` and the code.

    Returns
    -------
    encoder : nn.Sequential
        Maps (n, \*input_shape) to (n, out_features).

    Raises
    ------
    ValueError
        If the shape has neither one nor three dimensions, a size is not positive, or the
        activation is unknown.

    See Also
    --------
    make_decoder : The mirror image.

    References
    ----------
    .. [1] J. Xie, R. Girshick and A. Farhadi, "Unsupervised deep embedding for clustering
       analysis", ICML 2016, section 4.3.

    Examples
    --------
    >>> import torch
    >>> make_encoder((784,), 10)(torch.rand(3, 784)).shape
    torch.Size([3, 10])
    >>> make_encoder((3, 5, 7), 10, (64, 128), dense=(1024,))(torch.rand(4, 3, 5, 7)).shape
    torch.Size([4, 10])
    """
    hidden = _hidden_sizes(input_shape, hidden_layer_sizes)
    if len(input_shape) == 1:
        sizes = (*input_shape, *hidden, *dense, out_features)
        return make_mlp(sizes, activation=activation, batch_norm=batch_norm)
    channels, maps = (input_shape[0], *hidden), map_sizes(input_shape[1:], len(hidden))
    layers: list[nn.Module] = []
    for (before, after), size in zip(pairwise(channels), maps[:-1], strict=True):
        norm = nn.BatchNorm2d(after) if batch_norm else None
        layers += [nn.Conv2d(before, after, *_geometry(size)), *_after(activation, norm)]
    flat = channels[-1] * math.prod(maps[-1])
    head = make_mlp((flat, *dense, out_features), activation=activation, batch_norm=batch_norm)
    return nn.Sequential(*initialised(layers), nn.Flatten(), *head)


def make_decoder(
    in_features: int,
    output_shape: Sequence[int],
    hidden_layer_sizes: str | Sequence[int] = "auto",
    *,
    activation: str = "relu",
    batch_norm: bool = False,
    dense: Sequence[int] = (),
    output_activation: Literal["sigmoid"] | None = None,
) -> nn.Sequential:
    r"""Network from codes to rows: `make_encoder` with the same arguments, mirrored.

    A transposed convolution over a whole map of one pixel is the fully connected projection from
    the last dense layer to the smallest map, so the generator of [1]_, Table 6.5 (512 and 512 of
    1 x 1, 256 of 7 x 7, then 128 and 1 of 4 x 4 with stride 2) is
    ``make_decoder(20, (1, 28, 28), (128, 256), dense=(512, 512), batch_norm=True,
    output_activation="sigmoid")``. The projection has a bias per pixel where the convolution has
    one per channel, and is faster.

    Parameters
    ----------
    in_features : int
        Width of the code.
    output_shape : (d,) or (channels, height, width)
        Shape of one row. Images of any size come out exactly.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Those of the encoder, in the encoder's order, mirrored here; "auto" is the same.
    activation : {"relu", "leaky_relu", "tanh"}, default="relu"
        Activation of the hidden layers. The leaky ReLU has a slope of 0.2.
    batch_norm : bool, default=False
        Whether batch normalisation follows each hidden activation.
    dense : sequence of int, default=()
        Widths of the encoder's fully connected hidden layers, in the encoder's order.
    output_activation : {"sigmoid"}, default=None
        ``"sigmoid"`` for rows in [0, 1]. None gives a linear output.

    Returns
    -------
    decoder : nn.Sequential
        Maps (n, in_features) to (n, \*output_shape).

    Raises
    ------
    ValueError
        If the shape has neither one nor three dimensions, a size is not positive, or an
        activation is unknown.

    See Also
    --------
    make_encoder : The mirror image.

    References
    ----------
    .. [1] G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
       University of Ioannina, 2021, Table 6.5.

    Examples
    --------
    >>> import torch
    >>> decoder = make_decoder(10, (3, 5, 7), output_activation="sigmoid")
    >>> decoder(torch.randn(4, 10)).shape
    torch.Size([4, 3, 5, 7])
    """
    if output_activation not in (None, "sigmoid"):
        raise ValueError(f"output_activation must be 'sigmoid' or None, got {output_activation!r}.")
    output = [nn.Sigmoid()] if output_activation == "sigmoid" else []
    hidden = _hidden_sizes(output_shape, hidden_layer_sizes)
    if len(output_shape) == 1:
        sizes = (in_features, *reversed(dense), *reversed(hidden), *output_shape)
        return make_mlp(sizes, activation=activation, batch_norm=batch_norm).extend(output)
    channels = (*reversed(hidden), output_shape[0])
    maps = map_sizes(output_shape[1:], len(hidden))[::-1]
    smallest = (channels[0], *maps[0])
    sizes = (in_features, *reversed(dense), math.prod(smallest))
    head = make_mlp(sizes, activation=activation, batch_norm=batch_norm)
    layers: list[nn.Module] = []
    for (before, after), size in zip(pairwise(channels), maps[1:], strict=True):
        norm = nn.BatchNorm2d(before) if batch_norm else None
        convolution = nn.ConvTranspose2d(before, after, *_geometry(size), _lost_pixels(size))
        layers += [*_after(activation, norm), convolution]
    return nn.Sequential(*head, nn.Unflatten(1, smallest), *initialised(layers), *output)


def make_critic(
    input_shape: Sequence[int],
    hidden_layer_sizes: str | Sequence[int] = "auto",
    *,
    activation: str = "leaky_relu",
    batch_norm: bool = False,
    dense: Sequence[int] = (),
) -> nn.Sequential:
    r"""Network that scores each row with one unbounded number, the logit of a discriminator.

    Parameters
    ----------
    input_shape : (d,) or (channels, height, width)
        Shape of one row.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        As in `make_encoder`.
    activation : {"relu", "leaky_relu", "tanh"}, default="leaky_relu"
        Activation of the hidden layers. The leaky ReLU has a slope of 0.2.
    batch_norm : bool, default=False
        Whether batch normalisation follows each hidden activation. It makes a row's score depend
        on its batch, so leave it out wherever a penalty is taken on the gradient of each row.
    dense : sequence of int, default=()
        Widths of fully connected hidden layers between `hidden_layer_sizes` and the score.

    Returns
    -------
    critic : nn.Sequential
        Maps (n, \*input_shape) to (n,).

    Raises
    ------
    ValueError
        If the shape has neither one nor three dimensions, a size is not positive, or the
        activation is unknown.

    Examples
    --------
    >>> import torch
    >>> make_critic((1, 8, 8), (64, 128), dense=(1024,))(torch.rand(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    scores = make_encoder(
        input_shape,
        1,
        hidden_layer_sizes,
        activation=activation,
        batch_norm=batch_norm,
        dense=dense,
    )
    return scores.append(nn.Flatten(0))


def _hidden_sizes(shape: Sequence[int], sizes: str | Sequence[int]) -> tuple[int, ...]:
    """Hidden layer sizes for rows of this shape, checked, or the defaults."""
    if len(shape) not in (1, 3):
        raise ValueError(
            "The shape of a row must be (features,) or (channels, height, width), "
            f"got {tuple(shape)}."
        )
    check_positive("The shape of a row", shape)
    if not is_auto(sizes):
        return check_positive("hidden_layer_sizes", sizes)
    if len(shape) == 1:
        return _VECTOR_WIDTHS
    halvings_to_two_pixels = int(math.log2(min(shape[1:]))) - 1
    return _IMAGE_CHANNELS[: max(halvings_to_two_pixels, 1)]


def is_auto(sizes: str | Sequence[int]) -> bool:
    """Tell whether sizes are left to be chosen."""
    return isinstance(sizes, str) and sizes == "auto"


def check_positive(name: str, sizes: str | Sequence[int]) -> tuple[int, ...]:
    """Return sizes as plain integers, which some layers insist on."""
    try:
        found = tuple(index(size) for size in sizes)  # type: ignore[arg-type]
    except TypeError:  # no integer of any library
        found = (0,)
    if any(size < 1 for size in found):
        raise ValueError(f"{name} must hold positive integers only, got {tuple(sizes)}.")
    return found


def _after(activation: str, norm: nn.Module | None) -> list[nn.Module]:
    """Return what follows the linear part of a hidden layer."""
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {list(_ACTIVATIONS)}, got {activation!r}.")
    return [_ACTIVATIONS[activation](), *([norm] if norm else [])]


def map_sizes(image_size: Sequence[int], n_halvings: int) -> list[Size]:
    """Heights and widths from the image down to the smallest map."""
    height, width = image_size
    return [(max(height >> n, 1), max(width >> n, 1)) for n in range(n_halvings + 1)]


def _geometry(size: Size) -> tuple[Size, Size, Size]:
    """Kernel, stride and padding that halve a map: 4, 2, 1, or 1, 1, 0 along a single pixel."""
    tall, wide = size[0] > 1, size[1] > 1
    return (1 + 3 * tall, 1 + 3 * wide), (1 + tall, 1 + wide), (int(tall), int(wide))


def _lost_pixels(size: Size) -> Size:
    """Rows and columns that halving drops, because it rounds odd sides down."""
    height, width = size
    return height % 2 if height > 1 else 0, width % 2 if width > 1 else 0


def initialised(layers: Sequence[nn.Module]) -> nn.Sequential:
    """Chain the layers, Glorot-uniform weights and zero biases in those that have a kernel.

    PyTorch's own `xavier_uniform_` counts a strided convolution as if it had stride one, which
    makes its weights too small: with stride s, each pixel of the larger map meets only one s-th
    of the kernel. The weight's second axis belongs to the larger map in both directions.
    """
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            rows, columns, *kernel = layer.weight.shape
            stride = 1 if isinstance(layer, nn.Linear) else math.prod(layer.stride)
            bound = math.sqrt(6 / (math.prod(kernel) * (columns + rows / stride)))
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
