"""Small, fully convolutional networks with max-pooling: no dense layer, so few parameters.

A block of the encoder is a 3 x 3 convolution, ReLU, batch normalisation and max-pooling, as in
[1]_. The last one, which makes the code, has no ReLU and normalises after pooling: the largest of
several values is positive on average, and codes should be centred. The decoder goes back by
nearest-neighbour up-sampling and convolutions with ReLU and batch normalisation; its last
convolution is linear. Weights keep their channels together, which halves the time of a training
step on a processor.

References
----------
.. [1] E. Tzoreff, O. Kogan and Y. Choukroun, "Deep discriminative latent space for clustering",
   2018, section 3.3 and Figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from ._networks import Size, check_positive, initialised, map_sizes

__all__ = ["make_pooled_decoder", "make_pooled_encoder"]

_PAPER = (6, 8)  # 3262 parameters in all for 28 x 28 pixels and a code of 60


def make_pooled_encoder(
    input_shape: Sequence[int], out_features: int, hidden_layer_sizes: Sequence[int] = _PAPER
) -> nn.Sequential:
    r"""Network from images to linear codes.

    Parameters
    ----------
    input_shape : (channels, height, width)
        Shape of one row.
    out_features : int
        Width of the code: maps of 2 x 2 pixels if it is a multiple of four, else of one pixel.
    hidden_layer_sizes : sequence of int, default=(6, 8)
        Channels of the convolutions before the one that makes the code; each halves the map.

    Returns
    -------
    encoder : nn.Sequential
        Maps (n, \*input_shape) to (n, out_features).

    Raises
    ------
    ValueError
        If a size is not positive.

    See Also
    --------
    make_pooled_decoder : The mirror image.

    Examples
    --------
    >>> import torch
    >>> encoder = make_pooled_encoder((1, 28, 28), 60)
    >>> encoder(torch.rand(3, 1, 28, 28)).shape
    torch.Size([3, 60])
    """
    channels, maps = _plan(input_shape, out_features, hidden_layer_sizes)
    layers: list[nn.Module] = []
    *hidden, code = zip(pairwise(channels), pairwise(maps), strict=True)
    for (before, after), sizes in hidden:
        norm = nn.BatchNorm2d(after)
        layers += [_convolution(before, after), nn.ReLU(), norm, _pooling(*sizes)]
    (before, after), sizes = code
    layers += [_convolution(before, after), _pooling(*sizes), nn.BatchNorm2d(after)]
    return _close_channels([*layers, nn.Flatten()])


def make_pooled_decoder(
    in_features: int, output_shape: Sequence[int], hidden_layer_sizes: Sequence[int] = _PAPER
) -> nn.Sequential:
    r"""Network from codes to images: `make_pooled_encoder` with the same arguments, mirrored.

    Parameters
    ----------
    in_features : int
        Width of the code.
    output_shape : (channels, height, width)
        Shape of one row.
    hidden_layer_sizes : sequence of int, default=(6, 8)
        Those of the encoder, in the encoder's order.

    Returns
    -------
    decoder : nn.Sequential
        Maps (n, in_features) to (n, \*output_shape).

    Raises
    ------
    ValueError
        If a size is not positive.

    See Also
    --------
    make_pooled_encoder : The mirror image.

    Examples
    --------
    >>> import torch
    >>> decoder = make_pooled_decoder(60, (1, 28, 28))
    >>> decoder(torch.rand(3, 60)).shape
    torch.Size([3, 1, 28, 28])
    """
    channels, maps = _plan(output_shape, in_features, hidden_layer_sizes)
    layers: list[nn.Module] = [nn.Unflatten(1, (channels[-1], *maps[-1]))]
    for (before, after), size in zip(pairwise(channels[::-1]), maps[-2::-1], strict=True):
        convolution = _convolution(before, after)
        layers += [nn.Upsample(size), convolution, nn.ReLU(), nn.BatchNorm2d(after)]
    return _close_channels(layers[:-2])


def _plan(
    shape: Sequence[int], code: int, hidden: Sequence[int]
) -> tuple[tuple[int, ...], list[Size]]:
    """Return the channels and the sizes of all maps, from the image to the code."""
    check_positive("The shape of a row", shape)
    hidden = check_positive("hidden_layer_sizes", hidden)
    (code,) = check_positive("The width of the code", [code])
    maps = map_sizes(shape[1:], len(hidden))
    height, width = (min(side, 2) for side in maps[-1])
    if code % (height * width):
        height = width = 1
    return (shape[0], *hidden, code // (height * width)), [*maps, (height, width)]


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel_size=3, padding=1)


def _pooling(before: Size, after: Size) -> nn.MaxPool2d:
    """Pool a map to a size, by windows that cover it and overlap by at most a pixel."""
    strides = [old // new for old, new in zip(before, after, strict=True)]
    kernel = [
        old - (new - 1) * stride for old, new, stride in zip(before, after, strides, strict=True)
    ]
    return nn.MaxPool2d(tuple(kernel), tuple(strides))


def _close_channels(layers: Sequence[nn.Module]) -> nn.Sequential:
    network = initialised(layers)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
