"""Networks of a hierarchy of latent groups, in the manner of a ladder.

Encoder cells halve the row step by step; the last of their maps gives the first group z_0. Decoder
cells double it again, and between two of them a further group z_l may enter: the map h that the
decoder has come to is the summary of all earlier groups. Beside it, the encoder's map of the same
size tells what is still missing.

A shape of one number is a vector and gives dense cells; three numbers are an image, padded to a
square whose side is a power of two, and give convolutional cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, log2, prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ._networks import _hidden_sizes, check_positive, initialised, is_auto, make_mlp

__all__ = [
    "Choice",
    "Discriminator",
    "HierarchicalDecoder",
    "HierarchicalEncoder",
    "Levels",
    "OwnDiscriminator",
]

_VECTOR_WIDTHS = (512, 256, 128)
_MOST_CHANNELS = 64

# From the number of a group, the decoder's map and the parameters of its prior: a code.
Choice = Callable[[int, Tensor, Tensor], Tensor]


class Levels:
    """Shapes of a row on its way down the cells.

    Parameters
    ----------
    row_shape : (d,) or (channels, height, width)
        Shape of one row.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the cells, or channels. "auto": 512, 256 and 128; for images as many cells as
        leave maps of 2 x 2 (equation 3.7 of [1]_), with 16 channels, then twice as many each, at
        most 64.

    Attributes
    ----------
    shapes : list of tuple of int
        Shapes of the padded row and of every cell's map, from the row down.
    padding : tuple of int
        What is added on the left, the right, the top and the bottom of an image; empty for vectors.

    References
    ----------
    .. [1] G. Toscano Morais, "Generative deep clustering with the hierarchical and relativistic
       Wasserstein autoencoder GAN", MSc thesis, 2021, section 3.1.3.

    Examples
    --------
    >>> Levels((1, 28, 28)).shapes
    [(1, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4), (64, 2, 2)]
    >>> Levels((784,)).shapes
    [(784,), (512,), (256,), (128,)]
    """

    def __init__(self, row_shape: Sequence[int], hidden_layer_sizes: str | Sequence[int] = "auto"):
        checked = _hidden_sizes(row_shape, hidden_layer_sizes)
        own = None if is_auto(hidden_layer_sizes) else checked  # which has others' defaults
        if len(row_shape) == 1:
            sizes = _VECTOR_WIDTHS if own is None else own
            self.padding: tuple[int, ...] = ()
            self.shapes = [tuple(row_shape), *((size,) for size in sizes)]
        else:
            channels, height, width = row_shape
            exponent = max(ceil(log2(max(height, width))), len(own or ()), 2)
            if own is None:
                own = tuple(min(16 << n, _MOST_CHANNELS) for n in range(exponent - 1))
            side = 1 << exponent
            self.padding = (*_halves(side - width), *_halves(side - height))
            self.shapes = [(size, side >> n, side >> n) for n, size in enumerate((channels, *own))]

    @property
    def n_cells(self) -> int:
        """Number N of cells, which is the largest number of groups."""
        return len(self.shapes) - 1

    def of_group(self, group: int) -> tuple[int, ...]:
        """Return the shape of the maps where a group enters."""
        return self.shapes[self.n_cells - group]


class HierarchicalEncoder(nn.Module):
    r"""The way up: maps of all cells, and the parameters of z_0.

    Parameters
    ----------
    levels : Levels
        Shapes of the maps.
    out_features : int
        Number of parameters of a posterior.
    n_groups : int
        Number of groups, from 1 to ``levels.n_cells``.
    network : nn.Module, default=None
        Maps rows (n, \*row_shape) to the parameters of z_0, in place of the cells; these are then
        there for the maps alone.
    """

    def __init__(
        self, levels: Levels, out_features: int, n_groups: int, network: nn.Module | None = None
    ):
        super().__init__()
        self.is_own = network is None
        deepest = 0 if self.is_own else 1  # the first group whose map is needed
        n_cells = levels.n_cells - deepest if n_groups > deepest else 0
        self.pad = _padding(levels.padding)
        steps = list(pairwise(levels.shapes))[:n_cells]
        self.cells = nn.ModuleList(_down(before, after) for before, after in steps)
        self.combiners = nn.ModuleList(
            _combiner(levels.of_group(group), out_features) for group in range(1, n_groups)
        )
        self.n_levels = levels.n_cells
        self.top = network or _parameters(levels.of_group(0), out_features)

    def forward(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the parameters of z_0, shape (n, out_features), and the maps of the cells."""
        maps, x = [], self.pad(rows)
        for cell in self.cells:
            maps.append(x := cell(x))
        return self.top(x if self.is_own else rows), maps

    def map_of(self, group: int, maps: Sequence[Tensor]) -> Tensor:
        """Return the map that a group after the first sees."""
        return maps[self.n_levels - group - 1]


class HierarchicalDecoder(nn.Module):
    r"""The way down: from z_0 to a row, further groups entering between the cells.

    Parameters
    ----------
    levels : Levels
        Shapes of the maps.
    latent_dim : int
        Width of every group's code.
    n_groups : int
        Number of groups, from 1 to ``levels.n_cells``.
    network : nn.Module, default=None
        Maps z_0 to rows (n, \*row_shape), in place of the cells; there is one group then.
    """

    def __init__(
        self, levels: Levels, latent_dim: int, n_groups: int, network: nn.Module | None = None
    ):
        super().__init__()
        self.entries = nn.ModuleList()  # of every group into the decoder's map
        self.priors = nn.ModuleList()
        if network is not None:
            self.cells, self.crop = nn.ModuleList([network]), _padding(())
            self.entries.append(nn.Identity())
            return
        steps = list(pairwise(levels.shapes[::-1]))
        self.cells = nn.ModuleList(_up(*step, last=step is steps[-1]) for step in steps)
        self.crop = _padding([-pixels for pixels in levels.padding])
        for group in range(n_groups):
            shape = levels.of_group(group)
            self.entries.append(_entry(latent_dim, shape))
            if group:
                self.priors.append(_prior(shape, 2 * latent_dim))

    def forward(self, z_0: Tensor, choose: Choice) -> Tensor:
        """Decode z_0 and what is chosen of the further groups.

        Parameters
        ----------
        z_0 : Tensor of shape (n, latent_dim)
            Codes of the first group.
        choose : callable
            ``choose(group, map, prior)`` returns the codes of a further group, given the map that
            the decoder has come to and the parameters of the group's prior, (n, 2 * latent_dim).

        Returns
        -------
        rows : Tensor of shape (n, *row_shape)
            Unbounded.
        """
        x = self.enter(z_0, choose, len(self.entries))
        for cell in self.cells[len(self.entries) - 1 :]:
            x = cell(x)
        return self.crop(x)

    def enter(self, z_0: Tensor, choose: Choice, n_groups: int) -> Tensor:
        """Go down until the first `n_groups` groups have entered; return the map there."""
        x = self.entries[0](z_0)
        for group, cell in enumerate(self.cells[: n_groups - 1], start=1):
            x = cell(x)
            # Priors learn by themselves: nothing else is to move for their sake.
            z = choose(group, x, self.priors[group - 1](x.detach()))
            x = x + self.entries[group](z)
        return x


class Discriminator(nn.Module):
    """Score of codes, given the map of the earlier groups if there are any.

    Spectral normalisation bounds its slope. Batch normalisation would standardise real and fake
    codes apart, and so hide how their means and scales differ.

    Parameters
    ----------
    latent_dim : int
        Width of a code.
    map_shape : tuple of int, default=None
        Shape of the map; None for the first group.
    hidden_layer_sizes : sequence of int, default=(128, 128)
        Widths of the hidden layers, at least one.
    """

    def __init__(
        self,
        latent_dim: int,
        map_shape: Sequence[int] | None = None,
        hidden_layer_sizes: Sequence[int] = (128, 128),
    ):
        super().__init__()
        sizes = check_positive("critic_hidden_layer_sizes", hidden_layer_sizes)
        if not sizes:
            raise ValueError(
                "critic_hidden_layer_sizes must hold at least one width, got (). Use (128,), say."
            )
        width = sizes[0]
        self.of_code = nn.Linear(latent_dim, width)
        self.of_map = None if map_shape is None else nn.Linear(prod(map_shape), width, bias=False)
        self.score = make_mlp((*sizes, 1), activation="leaky_relu")
        for layer in list(self.modules()):
            if isinstance(layer, nn.Linear):
                spectral_norm(layer)

    def forward(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the scores of codes (n, latent_dim), shape (n,), higher for real ones."""
        x = self.of_code(z)
        if self.of_map is not None and features is not None:
            x = x + self.of_map(features.flatten(1))
        return self.score(nn.functional.leaky_relu(x, 0.2)).squeeze(1)


class OwnDiscriminator(nn.Module):
    """A user's discriminator, which sees codes and the map of the earlier groups side by side.

    Parameters
    ----------
    critic : nn.Module
        Maps (n, latent_dim + size of the map) to (n,).
    """

    def __init__(self, critic: nn.Module):
        super().__init__()
        self.critic = critic

    def forward(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the scores of codes (n, latent_dim), shape (n,), higher for real ones."""
        scores: Tensor = self.critic(
            z if features is None else torch.cat([z, features.flatten(1)], 1)
        )
        return scores


def _halves(pixels: int) -> tuple[int, int]:
    return pixels // 2, pixels - pixels // 2


def _padding(pixels: Sequence[int]) -> nn.Module:
    """Add pixels of zero around an image, or take away as many as are negative."""
    left, right, top, bottom = pixels or (0, 0, 0, 0)
    return nn.ZeroPad2d((left, right, top, bottom)) if any(pixels) else nn.Identity()


def _down(before: Sequence[int], after: Sequence[int]) -> nn.Sequential:
    """Return an encoder cell."""
    if len(after) == 1:
        return _dense(before[0], after[0])
    return _convolutional(nn.Conv2d(before[0], after[0], kernel_size=4, stride=2, padding=1))


def _up(before: Sequence[int], after: Sequence[int], last: bool) -> nn.Sequential:
    """Return a decoder cell; the last one is linear."""
    if len(after) == 1:
        cell = _dense(before[0], after[0])
    else:
        cell = _convolutional(
            nn.ConvTranspose2d(before[0], after[0], kernel_size=4, stride=2, padding=1)
        )
    return nn.Sequential(cell[0]) if last else cell


def _combiner(shape: Sequence[int], out_features: int) -> nn.Sequential:
    """Return the network from an encoder's and a decoder's map to a posterior's parameters."""
    return nn.Sequential(*_level(2 * shape[0], shape), *_parameters(shape, out_features))


def _prior(shape: Sequence[int], out_features: int) -> nn.Sequential:
    """Return the network from a decoder's map to a prior's parameters: standard normal at first."""
    layer, activation, _ = _level(shape[0], shape)  # without batch norm
    flatten, linear = _parameters(shape, out_features)
    nn.init.zeros_(linear.weight)
    return nn.Sequential(layer, activation, flatten, linear)


def _level(channels: int, shape: Sequence[int]) -> nn.Sequential:
    """Return a cell that leaves the size of a map alone."""
    if len(shape) == 1:
        return _dense(channels, shape[0])
    return _convolutional(nn.Conv2d(channels, shape[0], kernel_size=3, padding=1))


def _dense(before: int, after: int) -> nn.Sequential:
    return initialised([nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)])


def _convolutional(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return initialised([convolution, nn.ReLU(), nn.BatchNorm2d(convolution.out_channels)])


def _parameters(shape: Sequence[int], out_features: int) -> Any:
    """Return the linear map from a map to the parameters of a distribution."""
    return nn.Sequential(nn.Flatten(), *initialised([nn.Linear(prod(shape), out_features)]))


def _entry(latent_dim: int, shape: Sequence[int]) -> nn.Sequential:
    """Return the linear map from a code to what it adds to the decoder's map."""
    linear = initialised([nn.Linear(latent_dim, prod(shape))])
    return nn.Sequential(*linear, nn.Unflatten(1, tuple(shape)))
