"""Encoders for classifiers: batch-normalised, with features rich enough to be clustered again.

A block for images is a 3 x 3 convolution, max-pooling, batch normalisation and ReLU. Pooling
straight after the convolution gives almost what pooling at the end would, for a quarter of the
normalisation and activation: an update on 28 x 28 pixels takes two thirds of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from ._networks import check_positive, initialised, is_auto, make_mlp

__all__ = ["make_feature_encoder"]

_VECTOR_WIDTHS = (256, 256, 256)
_FIRST_CHANNELS, _CHANNELS = 32, 64
_LAST_SIDE = 4  # pixels of the smallest map


def make_feature_encoder(
    input_shape: Sequence[int], out_features: int, hidden_layer_sizes: str | Sequence[int] = "auto"
) -> nn.Sequential:
    r"""Network from rows to codes whose last hidden layer tells classes apart.

    ``encoder[:-1]`` gives these features: 64 maps of at most 4 x 4 pixels for images, 256 numbers
    for vectors. The last layer is linear and makes the code of them.

    Parameters
    ----------
    input_shape : (d,) or (channels, height, width)
        Shape of one row.
    out_features : int
        Width of the code.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        For vectors the widths of the hidden layers; "auto" is 256, 256, 256. For images the
        channels of the convolutions; "auto" is 32, 64, 64, and 64 more for each halving that
        images of more than 32 pixels need. The last ones halve the map, down to 4 x 4 pixels.

    Returns
    -------
    encoder : nn.Sequential
        Maps (n, \*input_shape) to (n, out_features).

    Raises
    ------
    ValueError
        If the shape has neither one nor three dimensions, or a size is not positive.

    See Also
    --------
    make_encoder : Without pooling or batch normalisation, and mirrored by a decoder.

    Examples
    --------
    >>> import torch
    >>> encoder = make_feature_encoder((1, 28, 28), 10)
    >>> rows = torch.rand(3, 1, 28, 28)
    >>> encoder[:-1](rows).shape, encoder(rows).shape
    (torch.Size([3, 1024]), torch.Size([3, 10]))
    """
    shape = check_positive("The shape of a row", input_shape)
    own = (
        None
        if is_auto(hidden_layer_sizes)
        else check_positive("hidden_layer_sizes", hidden_layer_sizes)
    )
    if len(shape) == 1:
        sizes = (*shape, *(own or _VECTOR_WIDTHS), out_features)
        return make_mlp(sizes, batch_norm=True)
    if len(shape) != 3:
        raise ValueError(
            f"The shape of a row must be (features,) or (channels, height, width), got {shape}."
        )
    return _convolutional(shape, out_features, own)


def _convolutional(
    shape: tuple[int, ...], out_features: int, hidden: tuple[int, ...] | None
) -> nn.Sequential:
    n_halvings = max(0, math.ceil(math.log2(min(shape[1:]) / _LAST_SIDE)))
    channels = hidden or (_FIRST_CHANNELS, *[_CHANNELS] * max(2, n_halvings - 1))
    height, width = shape[1:]
    layers: list[nn.Module] = []
    for block, (before, after) in enumerate(pairwise((shape[0], *channels))):
        layers.append(nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False))
        if len(channels) - block <= n_halvings:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            height, width = -(-height // 2), -(-width // 2)
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(channels[-1] * height * width, out_features)]
    network = initialised(layers)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
