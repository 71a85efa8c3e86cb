"""Many images as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["draw_mosaic", "unit_scaled"]


def unit_scaled(values: NDArray[Any], tail: float) -> NDArray[Any]:
    """Return values in [0, 1] by their range, but for a tail in percent at each end, clipped."""
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return np.clip((values - low) / ((high - low) or 1), 0, 1)


def draw_mosaic(ax: Axes, images: NDArray[Any], left: float = 0.0, cmap: str = "gray") -> None:
    """Draw images of shape (rows, columns, ...) with values in [0, 1], each one unit wide and high.

    Those without channels are (height, width), the others (channels, height, width). NaN leaves a
    place empty.
    """
    if images.ndim == 4:
        images = images[:, :, None]
    # (row, column, channel, height, width) laid out as one picture of channels-last pixels
    if images.shape[2] not in (1, 3, 4):  # no colours: side by side, as one wide image
        images = np.concatenate(np.split(images, images.shape[2], axis=2), axis=4)
    n_rows, n_columns, n_channels, height, width = images.shape
    mosaic = images.transpose(0, 3, 1, 4, 2).reshape(n_rows * height, n_columns * width, n_channels)
    ax.imshow(
        mosaic[..., 0] if n_channels == 1 else np.where(np.isnan(mosaic), 1, mosaic),
        cmap=cmap,
        vmin=0,
        vmax=1,
        extent=(left, left + n_columns, n_rows, 0),
        aspect=height / width,
    )
    ax.hlines(range(1, n_rows), left, left + n_columns, color="white", linewidth=1.5)
    ax.vlines(left + np.arange(1, n_columns), 0, n_rows, color="white", linewidth=1.5)
