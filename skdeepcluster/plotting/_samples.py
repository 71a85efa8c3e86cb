"""A grid of what the clusters generate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from ._images import draw_mosaic, unit_scaled
from ._style import (
    NOISE_COLOR,
    clusters_of,
    color,
    figure_and_axes,
    name_rows,
    require,
    require_clusters,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SampleGridDisplay"]


UNITS = 10  # times the middle range that one feature may have, if all are to share a scale


class SampleGridDisplay:
    """Grid of generated samples, a row for each cluster.

    It is recommended to use :meth:`from_estimator`. Images are drawn as images, the channels of one
    that has neither one, three nor four side by side. Vectors are drawn as one bar per feature, on
    one common scale; or each feature on its own where the largest range is more than ten times the
    middle one, as in a table of several units.

    Parameters
    ----------
    samples : array-like of shape (n_clusters, n_samples, ...)
        The samples of each cluster: vectors, or images of shape (height, width) or
        (channels, height, width).
    labels : array-like of shape (n_clusters,)
        The number, or name, of each cluster.

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
        labels = list(range(estimator.n_clusters_) if clusters is None else clusters)
        require_clusters(labels)
        rng = check_random_state(random_state)  # one stream: no two clusters share their noise
        samples = np.stack(
            [estimator.sample(n_samples, cluster=k, random_state=rng)[0] for k in labels]
        )
        image_shape = image_shape or getattr(estimator, "image_shape", None)
        if image_shape is not None:
            samples = samples.reshape(*samples.shape[:2], *image_shape)
        return cls(samples, labels).plot(ax=ax, **plot_params)

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
        self.figure_, self.ax_ = figure_and_axes(ax, self._size())
        clusters = clusters_of(self.labels)
        drawn = [clusters[label] for label in self.labels.tolist()]
        if self.samples.ndim == 3:
            self._draw_vectors([color(cluster.number) for cluster in drawn])
        else:
            # A few outlying pixels must not take the contrast from all the others.
            draw_mosaic(self.ax_, unit_scaled(self.samples, tail=1), cmap=cmap)
        name_rows(self.ax_, drawn, self.samples.shape[1])
        return self

    def _size(self) -> tuple[float, float] | None:
        """Return the size in inches of a figure whose many rows can still be read."""
        n_rows, n_columns, *shape = self.samples.shape
        if n_rows <= 20:
            return None
        height, width = shape[-2:] if len(shape) > 1 else (1, 2)
        return 1 + 0.25 * n_columns * width / height, 0.25 * n_rows

    def _feature_scaled(self) -> NDArray[Any]:
        """Return values in [0, 1], by the range of all features or, if these differ, by its own."""
        low, high = self.samples.min(axis=(0, 1)), self.samples.max(axis=(0, 1))
        ranges = high - low
        if ranges.max() <= UNITS * np.median(ranges) or not np.median(ranges):
            return unit_scaled(self.samples, tail=0)
        return (self.samples - low) / np.where(ranges > 0, ranges, 1)

    def _draw_vectors(self, colors: list[str]) -> None:
        from matplotlib.collections import PolyCollection

        heights = 0.9 * self._feature_scaled()
        for row, filling in enumerate(colors):
            bars = [_bars(values, column, row) for column, values in enumerate(heights[row])]
            self.ax_.add_collection(PolyCollection(bars, facecolors=filling))
        self.ax_.hlines(
            np.arange(len(heights)) + 1, 0, heights.shape[1], color=NOISE_COLOR, linewidth=0.5
        )


def _bars(heights: NDArray[Any], column: int, row: int) -> NDArray[Any]:
    """Outline of adjoining bars that stand on the floor of one cell of the grid."""
    edges = column + np.linspace(0.05, 0.95, len(heights) + 1)
    x = np.repeat(edges, 2)
    y = row + 1 - np.concatenate([[0], np.repeat(heights, 2), [0]])
    return np.column_stack([x, y])
