"""A map of the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA

from skdeepcluster.isolation import restored_threads

from ._style import color, figure_and_axes, marker, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CodeMapDisplay"]


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
            Whether a legend stands beside the map.

        Returns
        -------
        CodeMapDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
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
            color=color(label),
            marker=marker(label),
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
        with restored_threads():
            return reducer.fit_transform(codes)
    if reducer not in ("pca", "umap"):
        raise ValueError(
            f"reducer must be 'pca', 'umap' or an object with fit_transform; got {reducer!r}."
        )
    if codes.shape[1] <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1])))
    if reducer == "pca":
        return PCA(n_components=2, random_state=0).fit_transform(codes)
    with restored_threads():
        from umap import UMAP

        return UMAP(n_components=2, random_state=0, n_jobs=1).fit_transform(codes)
