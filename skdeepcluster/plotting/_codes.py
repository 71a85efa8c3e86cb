"""A map of the codes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA

from skdeepcluster._isolation import restored_threads, seeded_eigenvectors
from skdeepcluster.inspection import check_labels

from ._style import N_STYLES, Cluster, clusters_of, color, figure_and_axes, marker, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CodeMapDisplay"]


class CodeMapDisplay:
    """Map of the codes in two dimensions, coloured by cluster.

    It is recommended to use :meth:`from_estimator`. Clusters are told apart by colour and marker
    and carry their number, or name, beside their median; noise (label -1) is drawn in grey. Of more
    than twenty clusters the styles come back, so that no legend would tell them apart: it is left
    out.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2)
        Where each row is drawn.
    labels : array-like of shape (n_samples,)
        The cluster of each row, -1 for noise; or any other labels, such as names of classes.

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
        self.labels: NDArray[Any] = check_labels(labels)
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
        labels : array-like of shape (n_samples,), default=None
            What colours the points; by default the estimator's own predictions.
        reducer : {"pca", "umap"} or transformer, default="pca"
            What brings the codes down to two dimensions: a linear projection, UMAP, or any object
            whose `fit_transform` returns two columns. Codes of two dimensions are drawn as they
            are, unless `reducer` is an object, and UMAP of one or two rows is a projection.
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
        require(estimator, "transform", "a code map")
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
            Whether a legend stands beside the map, of up to twenty clusters.

        Returns
        -------
        CodeMapDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        clusters = clusters_of(self.labels)
        for label, cluster in clusters.items():  # noise comes first and so lies under the clusters
            self._scatter(self._rows(label), cluster, point_size)
        if legend and len(clusters) <= N_STYLES + 1:
            self._legend(len(clusters))
        self.ax_.set(xticks=[], yticks=[], xlabel="first coordinate", ylabel="second coordinate")
        if numbers:
            named = {k: cluster for k, cluster in clusters.items() if cluster.number >= 0}
            medians = [np.median(self._rows(label), axis=0) for label in named]
            self._number(medians, [cluster.name for cluster in named.values()])
        return self

    def _rows(self, label: Any) -> NDArray[Any]:
        return self.coordinates[self.labels == label]

    def _scatter(self, rows: NDArray[Any], cluster: Cluster, point_size: float) -> None:
        x, y = rows.T
        self.ax_.scatter(
            x,
            y,
            s=point_size,
            color=color(cluster.number),
            marker=marker(cluster.number),
            linewidths=0.6 if cluster.number < 0 else 0,
            label=cluster.name,
        )

    def _number(self, medians: list[NDArray[Any]], names: list[str]) -> None:
        from matplotlib.patheffects import withStroke

        size = 10.0 if len(names) <= N_STYLES else 7.0
        self.figure_.draw_without_rendering()  # or the legend would still change the map's width
        scale = 72 / self.figure_.dpi  # from pixels to points
        spots = [self.ax_.transData.transform(median) * scale for median in medians]
        frame = self.ax_.bbox.get_points() * scale
        offsets = apart(spots, names, size, frame)
        for name, median, offset in zip(names, medians, offsets, strict=True):
            moved = np.hypot(*offset) > 1.5 * size
            self.ax_.annotate(
                name,
                (median[0], median[1]),
                xytext=offset,
                textcoords="offset points",
                weight="bold",
                size=size,
                path_effects=[withStroke(linewidth=size / 4, foreground="white")],
                arrowprops={"arrowstyle": "-", "linewidth": 0.6} if moved else None,
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


def apart(
    spots: list[NDArray[Any]], names: list[str], size: float, frame: NDArray[Any]
) -> list[tuple[float, float]]:
    """Return where names stand beside their spots, in points, so that none covers another.

    A name goes to the first free place on a spiral around its spot, within the frame.
    """
    taken: list[NDArray[Any]] = []
    offsets = []
    for spot, name in zip(spots, names, strict=True):
        box = np.array([0.75 * size * len(name), 1.1 * size])
        for turn in np.arange(0.0, 60.0, 0.4):
            way = 4 + 0.2 * size * turn * np.array([np.cos(turn), np.sin(turn)])
            corner = (spot + way).clip(frame[0], np.maximum(frame[0], frame[1] - box))
            if all((corner + box <= o[:2]).any() or (o[2:] <= corner).any() for o in taken):
                break
        taken.append(np.concatenate([corner, corner + box]))
        offsets.append((float(corner[0] - spot[0]), float(corner[1] - spot[1])))
    return offsets


def _in_two_dimensions(codes: NDArray[Any], reducer: Any) -> NDArray[Any]:
    if not isinstance(reducer, str):
        with restored_threads():
            return reducer.fit_transform(codes)
    if reducer not in ("pca", "umap"):
        raise ValueError(
            f"reducer must be 'pca', 'umap' or an object with fit_transform; got {reducer!r}."
        )
    n_rows, width = codes.shape
    if width > 2 and reducer == "umap" and n_rows > 2:
        return _embedded(codes)
    if width > 2 and n_rows == 1:
        return np.zeros((1, 2))
    if width > 2:
        codes = PCA(n_components=2, random_state=0).fit_transform(codes)
    return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1])))


def _embedded(codes: NDArray[Any]) -> NDArray[Any]:
    """Return UMAP's coordinates, of as few as three rows."""
    n_neighbors = min(15, len(codes) - 1)
    few = {"init": "random"} if len(codes) <= 3 else {}  # too few for a spectrum
    with restored_threads(), seeded_eigenvectors(0), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap import UMAP

        umap = UMAP(n_components=2, n_neighbors=n_neighbors, random_state=0, n_jobs=1, **few)
        return umap.fit_transform(codes)
