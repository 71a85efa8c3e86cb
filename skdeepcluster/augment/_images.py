"""Random changes of images that keep what they show."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RandomAffine(nn.Module):
    """Turn, stretch, slant and shift images.

    Pixels from beyond the edge are those at the edge. Amounts are uniform within their bounds.

    Parameters
    ----------
    degrees : float, default=10.0
        Largest turn to either side.
    scale : float, default=0.1
        Largest change of size, as a share.
    shear : float, default=0.15
        Largest slant: how far a row of pixels moves sideways, as a share of its height above the
        middle.
    translate : float, default=0.07
        Largest shift along either axis, as a share of the image's side.

    Examples
    --------
    >>> import torch
    >>> from skdeepcluster.augment import RandomAffine
    >>> RandomAffine()(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self,
        degrees: float = 10.0,
        scale: float = 0.1,
        shear: float = 0.15,
        translate: float = 0.07,
    ) -> None:
        super().__init__()
        self.degrees = degrees
        self.scale = scale
        self.shear = shear
        self.translate = translate

    def forward(self, images: Tensor) -> Tensor:
        """Return changed images.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
            The batch.

        Returns
        -------
        images : Tensor of shape (n, channels, height, width)
            Their changed copies.
        """
        maps = self._maps(images)
        grid = F.affine_grid(maps, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _maps(self, images: Tensor) -> Tensor:
        """Draw a map from the place of each new pixel to its place in the old image.

        Places are counted from the middle in half sides, so a turn of an image that is not square
        has to know how much longer one side is.
        """
        angle, size, slant, *shift = _uniform(len(images), 5, images)
        angle, slant = angle * math.radians(self.degrees), slant * self.shear
        zoom, aspect = 1 + size * self.scale, images.shape[2] / images.shape[3]
        cos, sin = angle.cos(), angle.sin()
        across = [cos, aspect * (slant * cos - sin), 2 * self.translate * shift[0] / zoom]
        down = [sin / aspect, slant * sin + cos, 2 * self.translate * shift[1] / zoom]
        rows = [torch.stack(row, 1) for row in (across, down)]
        return torch.stack(rows, 1) * zoom[:, None, None]


class RandomFlip(nn.Module):
    """Mirror images from left to right, each with probability one half.

    Examples
    --------
    >>> import torch
    >>> from skdeepcluster.augment import RandomFlip
    >>> image = torch.tensor([[[[1.0, 2.0]]]])
    >>> sorted({tuple(RandomFlip()(image).flatten().tolist()) for _ in range(50)})
    [(1.0, 2.0), (2.0, 1.0)]
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return images of which about half are mirrored, shape (n, channels, height, width)."""
        mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        return torch.where(mirrored, images.flip(3), images)


class RandomErasing(nn.Module):
    """Hide a rectangle of each image behind the image's mean.

    Parameters
    ----------
    share : float, default=0.5
        Largest side of the rectangle, as a share of the image's side.

    References
    ----------
    Z. Zhong et al., "Random erasing data augmentation", AAAI 2020.

    Examples
    --------
    >>> import torch
    >>> from skdeepcluster.augment import RandomErasing
    >>> image = torch.arange(64.0).reshape(1, 1, 8, 8)
    >>> bool((RandomErasing()(image) == image).any())
    True
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor) -> Tensor:
        """Return images with a rectangle hidden, shape (n, channels, height, width)."""
        hidden = torch.ones(len(images), 1, 1, 1, dtype=torch.bool, device=images.device)
        for axis in (2, 3):
            side = images.shape[axis]
            middle, reach = torch.rand(2, len(images), 1, device=images.device)
            place = (torch.arange(side, device=images.device) + 0.5) / side
            inside = (place - middle).abs() <= reach * self.share / 2
            hidden = hidden & inside[:, None, :, None].movedim(2, axis)
        return torch.where(hidden, images.mean((2, 3), keepdim=True), images)


class ColorJitter(nn.Module):
    """Change the brightness, contrast and saturation of images.

    Parameters
    ----------
    brightness, contrast, saturation : float, default=0.2
        Largest change of each, as a share. Saturation means nothing where there is one channel.

    Examples
    --------
    >>> import torch
    >>> from skdeepcluster.augment import ColorJitter
    >>> ColorJitter()(torch.rand(5, 3, 8, 8)).shape
    torch.Size([5, 3, 8, 8])
    """

    def __init__(
        self, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2
    ) -> None:
        super().__init__()
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation

    def forward(self, images: Tensor) -> Tensor:
        """Return images of other colours, shape (n, channels, height, width)."""
        drawn = _uniform(len(images), 3, images)
        bounds = (self.brightness, self.contrast, self.saturation)
        bright, contrast, saturation = (
            1 + bound * amount[:, None, None, None]
            for bound, amount in zip(bounds, drawn, strict=True)
        )
        images = images * bright
        mean = images.mean((1, 2, 3), keepdim=True)
        images = mean + (images - mean) * contrast
        grey = images.mean(1, keepdim=True)
        return grey + (images - grey) * saturation


def _uniform(n_rows: int, n_amounts: int, like: Tensor) -> Tensor:
    """Draw amounts in [-1, 1], shape (n_amounts, n_rows)."""
    return 2 * torch.rand(n_amounts, n_rows, device=like.device, dtype=like.dtype) - 1
