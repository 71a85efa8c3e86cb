"""Displays of fitted estimators, in the manner of :mod:`sklearn`'s Display classes.

A display holds arrays and draws them; ``from_estimator`` computes those arrays from anything that
has the methods it needs. matplotlib is imported when something is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CodeMapDisplay", "SampleGridDisplay"]

# Paul Tol's "muted" scheme, made for colour-blind readers, and black. Ten colours times these
# markers tell twenty clusters apart before a style comes back; its grey is left to noise.
_COLORS = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#000000"),
)
_MARKERS = ("o", "^")
_NOISE_COLOR = "#bbbbbb"


def _color(label: int) -> str:
    return _COLORS[label % len(_COLORS)] if label >= 0 else _NOISE_COLOR


def _marker(label: int) -> str:
    return _MARKERS[label // len(_COLORS) % len(_MARKERS)] if label >= 0 else "x"


def _figure_and_axes(ax: Axes | None) -> tuple[Figure, Axes]:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    return ax.figure, ax  # type: ignore[return-value]


def _require(estimator: Any, method: str, purpose: str) -> None:
    check_is_fitted(estimator)
    if not hasattr(estimator, method):
        raise TypeError(
            f"{type(estimator).__name__} has no method `{method}`, which {purpose} needs. "
            "Use an estimator that has it, or build the display from your own arrays."
        )


class CodeMapDisplay:
    """Map of the codes in two dimensions, coloured by cluster.

    It is recommended to use :meth:`from_estimator`. Clusters are told apart by colour and marker
    and carry their number beside their median; noise (label -1) is drawn in grey.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2)
        Where each row is drawn.
    labels : array-like of shape (n_samples,) of int
        The cluster of each row, -1 for noise.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes drawn on; set by :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of those axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.plotting import CodeMapDisplay
    >>> display = CodeMapDisplay(np.eye(2), labels=[0, 1])
    >>> display.labels
    array([0, 1])
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, coordinates: ArrayLike, labels: ArrayLike) -> None:
        self.coordinates: NDArray[Any] = np.asarray(coordinates)
        self.labels: NDArray[Any] = np.asarray(labels)
        if self.coordinates.shape != (self.labels.size, 2):
            raise ValueError(
                "coordinates must have two columns and one row per label; got shape "
                f"{self.coordinates.shape} for {self.labels.size} labels."
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        reducer: Any = "pca",
        ax: Axes | None = None,
        **plot_params: Any,
    ) -> CodeMapDisplay:
        """Draw the codes that a fitted estimator gives to `X`.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `transform`, and `predict` unless `labels` are given.
        X : array-like
            Rows to draw, in the form that the estimator was fitted on.
        labels : array-like of shape (n_samples,) of int, default=None
            What colours the points; by default the estimator's own predictions.
        reducer : {"pca", "umap"} or transformer, default="pca"
            What brings the codes down to two dimensions: a linear projection, UMAP, or any object
            whose `fit_transform` returns two columns. Codes of two dimensions are drawn as they
            are, unless `reducer` is an object.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        **plot_params : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        CodeMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator cannot transform.
        """
        _require(estimator, "transform", "a code map")
        codes = np.asarray(estimator.transform(X))
        labels = estimator.predict(X) if labels is None else labels
        return cls(_in_two_dimensions(codes, reducer), labels).plot(ax=ax, **plot_params)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        point_size: float = 9.0,
        numbers: bool = True,
        legend: bool = True,
    ) -> CodeMapDisplay:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        point_size : float, default=9.0
            Area of a point in square typographic points.
        numbers : bool, default=True
            Whether each cluster carries its number.
        legend : bool, default=True
            Whether a legend stands beside the map.

        Returns
        -------
        CodeMapDisplay
            The display itself.
        """
        self.figure_, self.ax_ = _figure_and_axes(ax)
        present = np.unique(self.labels)
        for label in present:  # noise, -1, comes first and so lies under the clusters
            self._scatter(int(label), point_size)
            if numbers and label >= 0:
                self._number(int(label))
        if legend:
            self._legend(len(present))
        self.ax_.set(xticks=[], yticks=[], xlabel="first coordinate", ylabel="second coordinate")
        return self

    def _rows(self, label: int) -> NDArray[Any]:
        return self.coordinates[self.labels == label]

    def _scatter(self, label: int, point_size: float) -> None:
        x, y = self._rows(label).T
        self.ax_.scatter(
            x,
            y,
            s=point_size,
            color=_color(label),
            marker=_marker(label),
            linewidths=0.6 if label < 0 else 0,
            label=str(label) if label >= 0 else "noise",
        )

    def _number(self, label: int) -> None:
        from matplotlib.patheffects import withStroke

        self.ax_.annotate(
            str(label),
            np.median(self._rows(label), axis=0),
            xytext=(4, 4),  # beside a cluster of one spot, not over it
            textcoords="offset points",
            weight="bold",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )

    def _legend(self, n_entries: int) -> None:
        # Handles of one readable size, however small the points of the map are.
        legend = self.ax_.legend(
            title="cluster",
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            borderaxespad=0.0,
            frameon=False,
            handletextpad=0.2,
            ncols=-(-n_entries // 12),
        )
        for handle in legend.legend_handles:
            handle.set_sizes([40.0])  # type: ignore[union-attr]


def _in_two_dimensions(codes: NDArray[Any], reducer: Any) -> NDArray[Any]:
    if not isinstance(reducer, str):
        return reducer.fit_transform(codes)
    if reducer not in ("pca", "umap"):
        raise ValueError(
            f"reducer must be 'pca', 'umap' or an object with fit_transform; got {reducer!r}."
        )
    if codes.shape[1] <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1])))
    if reducer == "pca":
        return PCA(n_components=2, random_state=0).fit_transform(codes)
    from umap import UMAP

    return UMAP(n_components=2, random_state=0, n_jobs=1).fit_transform(codes)


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
        _require(estimator, "sample", "a sample grid")
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
        self.figure_, self.ax_ = _figure_and_axes(ax)
        if self.samples.ndim == 3:
            self._draw_vectors()
        else:
            self._draw_images(cmap)
        n_rows, n_columns = self.samples.shape[:2]
        rows = np.arange(n_rows) + 0.5
        # A strip in the colour of the cluster ties a row to the points of a code map.
        colors = [_color(int(label)) for label in self.labels]
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
            self.ax_.add_collection(PolyCollection(bars, facecolors=_color(int(label))))
        self.ax_.hlines(
            np.arange(len(heights)) + 1, 0, heights.shape[1], color=_NOISE_COLOR, linewidth=0.5
        )


def _bars(heights: NDArray[Any], column: int, row: int) -> NDArray[Any]:
    """Outline of adjoining bars that stand on the floor of one cell of the grid."""
    edges = column + np.linspace(0.05, 0.95, len(heights) + 1)
    x = np.repeat(edges, 2)
    y = row + 1 - np.concatenate([[0], np.repeat(heights, 2), [0]])
    return np.column_stack([x, y])
