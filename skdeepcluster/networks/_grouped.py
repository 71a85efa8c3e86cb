"""Networks of one architecture joined into one: a batched product instead of a loop.

Every layer maps (k, n, ...) to (k, n, ...), the k networks along the first axis, and so do all its
parameters, so that one network is one slice.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity)


def make_grouped(networks: Sequence[nn.Module]) -> nn.Sequential:
    r"""Join networks of one architecture into one network that computes them all.

    It starts with their weights: slice i of its output is the output of network i. What was frozen
    (`requires_grad=False`) stays so.

    Parameters
    ----------
    networks : sequence of nn.Module
        k networks: each a layer, or the same chain of layers in an `nn.Sequential`. Layers are
        linear, convolutional, transposed convolutional, batch normalisation, max-pooling,
        elementwise activations, and flattening and unflattening of all that a row is. A layer of a
        class that inherits from these may compute anything, and is refused.

    Returns
    -------
    grouped : nn.Sequential
        Maps (k, n, \*input_shape) to (k, n, \*output_shape). Every parameter has k slices along
        its first axis.

    Raises
    ------
    ValueError
        If the networks differ in their layers, or a layer is of another kind.

    Examples
    --------
    >>> import torch
    >>> networks = [nn.Sequential(nn.Linear(5, 3), nn.ReLU()) for _ in range(4)]
    >>> rows = torch.rand(7, 5)
    >>> make_grouped(networks)(rows.expand(4, 7, 5)).shape
    torch.Size([4, 7, 3])
    """
    chains = [list(_layers(network)) for network in networks]
    first, *others = [tuple(map(repr, chain)) for chain in chains]
    for number, other in enumerate(others, start=1):
        if other != first:
            raise ValueError(
                f"make_grouped takes networks with equal layers, and network {number} has "
                f"{', '.join(other)} where the first has {', '.join(first)}. Make all of them by "
                "the same call."
            )
    return nn.Sequential(*map(_joined, zip(*chains, strict=True)))


def slots(member: Tensor, n_networks: int) -> tuple[Tensor, Tensor]:
    """Deal rows out to networks, padded to one length, so that each computes its own rows alone.

    Parameters
    ----------
    member : Tensor of int of shape (n,)
        The network of every row.
    n_networks : int
        Number of networks k.

    Returns
    -------
    index : Tensor of int of shape (k, n_most)
        The rows of every network. The padding repeats row 0 and is never read back.
    place : Tensor of int of shape (n,)
        The place of every row among those of its network: ``index[member, place]`` counts 0, 1, ...

    Examples
    --------
    >>> import torch
    >>> slots(torch.tensor([1, 0, 1]), 2)
    (tensor([[1, 0],
            [0, 2]]), tensor([0, 0, 1]))
    """
    own = F.one_hot(member, n_networks)
    place = (own.cumsum(0) * own).sum(1) - 1
    index = member.new_zeros(n_networks, int(own.sum(0).max()))
    index[member, place] = torch.arange(len(member), device=member.device)
    return index, place


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    """Walk through a chain, of which parts may be chains themselves."""
    if type(network) is not nn.Sequential:
        yield network
        return
    for part in network:
        yield from _layers(part)


def _joined(layers: Sequence[nn.Module]) -> nn.Module:
    """Return one layer for the same layer of each network."""
    first, kind = layers[0], type(layers[0])  # a subclass may compute something else
    names = {name for name, _ in first.named_parameters()}
    if kind is nn.Linear and names <= {"weight", "bias"}:
        return GroupedLinear(layers)
    if kind in (nn.Conv2d, nn.ConvTranspose2d) and names <= {"weight", "bias"}:
        return GroupedConvolution(layers)
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d) and first.affine and first.track_running_stats:
        return GroupedBatchNorm(layers)
    if kind is nn.MaxPool2d and not first.return_indices:
        return GroupedPooling(first)
    if isinstance(first, nn.Flatten) and (first.start_dim, first.end_dim) == (1, -1):
        return nn.Flatten(2)
    if isinstance(first, nn.Unflatten) and first.dim == 1:
        return nn.Unflatten(2, first.unflattened_size)
    if kind in _ELEMENTWISE:
        return _out_of_place(first)
    raise ValueError(
        f"The layer {first} cannot be grouped. Use linear and convolutional layers of torch.nn, "
        "batch normalisation, max-pooling, elementwise activations, nn.Flatten() and "
        "nn.Unflatten(1, ...)."
    )


def _out_of_place(activation: nn.Module) -> nn.Module:
    """Return an activation that leaves its input alone, which networks may share."""
    if getattr(activation, "inplace", False):
        activation = copy.copy(activation)
        setattr(activation, "inplace", False)  # noqa: B010 - unknown to the base class
    return activation


class GroupedLinear(nn.Module):
    """The linear maps of k networks, by one batched product.

    Parameters
    ----------
    layers : sequence of nn.Linear
        The k layers whose weights it takes.
    """

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.weight, self.bias = _stacked(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (k, n, in_features) to (k, n, out_features)."""
        weight = self.weight.transpose(1, 2)
        if self.bias is None:
            return torch.bmm(x, weight)
        return torch.baddbmm(self.bias[:, None], x, weight)


class GroupedConvolution(nn.Module):
    """The convolutions of k networks, or their transposes, by one of k groups.

    Parameters
    ----------
    layers : sequence of nn.Conv2d or nn.ConvTranspose2d
        The k layers whose weights and geometry it takes. They have one group each.
    """

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        first: Any = layers[0]
        plain = first.groups == 1 and first.padding_mode == "zeros"
        if not plain or max(first.dilation) > 1 or isinstance(first.padding, str):
            raise ValueError(f"{first} cannot be grouped: only size, stride and padding may vary.")
        self.weight, self.bias = _stacked(layers)
        self.geometry = {"stride": first.stride, "padding": first.padding}
        self.transposed = isinstance(first, nn.ConvTranspose2d)
        if self.transposed:
            self.geometry["output_padding"] = first.output_padding

    def forward(self, x: Tensor) -> Tensor:
        """Map (k, n, channels, height, width) to the same of other sizes."""
        k = len(self.weight)
        bias = None if self.bias is None else self.bias.flatten()
        convolve = F.conv_transpose2d if self.transposed else F.conv2d
        maps = x.transpose(0, 1).flatten(1, 2)  # networks beside one another, as channels
        maps = convolve(maps, self.weight.flatten(0, 1), bias, groups=k, **self.geometry)
        return maps.unflatten(1, (k, -1)).transpose(0, 1)


class GroupedBatchNorm(nn.Module):
    """The batch normalisations of k networks, each by the statistics of its own rows.

    Parameters
    ----------
    layers : sequence of nn.BatchNorm1d or nn.BatchNorm2d
        The k layers whose weights and running statistics it takes.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layers: Sequence[Any]):
        super().__init__()
        first = layers[0]
        self.weight, self.bias = _stacked(layers)
        self.settings = {"momentum": first.momentum, "eps": first.eps}
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """Map (k, n, channels, ...) to the same."""
        k = len(self.weight)
        channels = x.transpose(0, 1).flatten(1, 2)  # networks beside one another
        statistics = self.running_mean.view(-1), self.running_var.view(-1)  # updated in place
        bias = None if self.bias is None else self.bias.flatten()
        affine = self.weight.flatten(), bias
        x = F.batch_norm(channels, *statistics, *affine, self.training, **self.settings)
        return x.unflatten(1, (k, -1)).transpose(0, 1)


class GroupedPooling(nn.Module):
    """Max-pooling, which is the same for all networks.

    Parameters
    ----------
    pooling : nn.MaxPool2d
        What each network does.
    """

    def __init__(self, pooling: nn.Module):
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        """Map (k, n, channels, height, width) to the same of smaller sides."""
        return self.pooling(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _stacked(layers: Sequence[Any]) -> tuple[nn.Parameter, nn.Parameter | None]:
    """Return weights and biases of layers, each along a new first axis."""
    weight = _slices([layer.weight for layer in layers])
    return weight, None if layers[0].bias is None else _slices([layer.bias for layer in layers])


def _slices(parameters: Sequence[Tensor]) -> nn.Parameter:
    """Return parameters as slices of one, frozen if they are."""
    joined = torch.stack([parameter.detach() for parameter in parameters])
    return nn.Parameter(joined, requires_grad=parameters[0].requires_grad)
