"""A grid of what the clusters generate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from ._style import NOISE_COLOR, color, figure_and_axes, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SampleGridDisplay"]


class SampleGridDisplay:
    """Grid of generated samples, a row for each cluster.

    It is recommended to use :meth:`from_estimator`. Images are drawn as images, vectors as one
    bar per feature, all on one common scale.

    Parameters
    ----------
    samples : array-like of shape (n_clusters, n_samples, ...)
        The samples of each cluster: vectors, or images of shape (height, width) or
        (channels, height, width).
    labels : array-like of shape (n_clusters,) of int
        The number of each cluster.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes drawn on; set by :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of those axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.plotting import SampleGridDisplay
    >>> display = SampleGridDisplay(np.zeros((3, 5, 8, 8)), labels=[0, 1, 2])
    >>> display.samples.shape
    (3, 5, 8, 8)
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, samples: ArrayLike, labels: ArrayLike) -> None:
        self.samples: NDArray[Any] = np.asarray(samples)
        self.labels: NDArray[Any] = np.asarray(labels)
        if self.samples.ndim not in (3, 4, 5) or len(self.samples) != self.labels.size:
            raise ValueError(
                "samples must have shape (n_clusters, n_samples, ...) with a vector or an image "
                f"in each place; got {self.samples.shape} for {self.labels.size} clusters."
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_samples: int = 10,
        clusters: Sequence[int] | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | None = 0,
        ax: Axes | None = None,
        **plot_params: Any,
    ) -> SampleGridDisplay:
        """Draw samples of every cluster of a fitted estimator.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `sample(n_samples, cluster=..., random_state=...)` and
            `n_clusters_`.
        n_samples : int, default=10
            Samples per cluster.
        clusters : sequence of int, default=None
            The clusters to draw; by default all.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width) of samples that are flattened images; by
            default the estimator's own `image_shape`, where it has one.
        random_state : int or None, default=0
            Seed of the samples.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        **plot_params : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        SampleGridDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator cannot sample.
        """
        require(estimator, "sample", "a sample grid")
        labels = range(estimator.n_clusters_) if clusters is None else clusters
        rng = check_random_state(random_state)  # one stream: no two clusters share their noise
        samples = np.stack(
            [estimator.sample(n_samples, cluster=k, random_state=rng)[0] for k in labels]
        )
        image_shape = image_shape or getattr(estimator, "image_shape", None)
        if image_shape is not None:
            samples = samples.reshape(*samples.shape[:2], *image_shape)
        return cls(samples, list(labels)).plot(ax=ax, **plot_params)

    def plot(self, *, ax: Axes | None = None, cmap: str = "gray") -> SampleGridDisplay:
        """Draw the grid.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        cmap : str, default="gray"
            Colour map of images with one channel.

        Returns
        -------
        SampleGridDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        if self.samples.ndim == 3:
            self._draw_vectors()
        else:
            self._draw_images(cmap)
        n_rows, n_columns = self.samples.shape[:2]
        rows = np.arange(n_rows) + 0.5
        # A strip in the colour of the cluster ties a row to the points of a code map.
        colors = [color(int(label)) for label in self.labels]
        self.ax_.barh(rows, -0.15, height=0.9, left=-0.05, color=colors)
        self.ax_.set_yticks(rows, [str(label) for label in self.labels])
        self.ax_.tick_params(axis="y", length=0)
        self.ax_.spines[:].set_visible(False)
        self.ax_.set(xlim=(-0.2, n_columns), ylim=(n_rows, 0), xticks=[], ylabel="cluster")
        return self

    def _unit_scaled(self, tail: float) -> NDArray[Any]:
        low, high = np.percentile(self.samples, [tail, 100 - tail])
        return np.clip((self.samples - low) / (high - low or 1), 0, 1)

    def _draw_images(self, cmap: str) -> None:
        # A few outlying pixels must not take the contrast from all the others.
        images = self._unit_scaled(tail=1)
        if images.ndim == 4:
            images = images[:, :, None]
        # (row, column, channel, height, width) laid out as one picture of channels-last pixels
        n_rows, n_columns, n_channels, height, width = images.shape
        mosaic = images.transpose(0, 3, 1, 4, 2).reshape(
            n_rows * height, n_columns * width, n_channels
        )
        self.ax_.imshow(
            mosaic[..., 0] if n_channels == 1 else mosaic,
            cmap=cmap,
            vmin=0,
            vmax=1,
            extent=(0, n_columns, n_rows, 0),
            aspect=height / width,
        )
        self.ax_.hlines(range(1, n_rows), 0, n_columns, color="white", linewidth=1.5)
        self.ax_.vlines(range(1, n_columns), 0, n_rows, color="white", linewidth=1.5)

    def _draw_vectors(self) -> None:
        from matplotlib.collections import PolyCollection

        heights = 0.9 * self._unit_scaled(tail=0)
        for row, label in enumerate(self.labels):
            bars = [_bars(values, column, row) for column, values in enumerate(heights[row])]
            self.ax_.add_collection(PolyCollection(bars, facecolors=color(int(label))))
        self.ax_.hlines(
            np.arange(len(heights)) + 1, 0, heights.shape[1], color=NOISE_COLOR, linewidth=0.5
        )


def _bars(heights: NDArray[Any], column: int, row: int) -> NDArray[Any]:
    """Outline of adjoining bars that stand on the floor of one cell of the grid."""
    edges = column + np.linspace(0.05, 0.95, len(heights) + 1)
    x = np.repeat(edges, 2)
    y = row + 1 - np.concatenate([[0], np.repeat(heights, 2), [0]])
    return np.column_stack([x, y])
