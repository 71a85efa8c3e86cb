"""Clusters beside classes that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

from skdeepcluster.inspection import check_labels

from ._style import clusters_of, figure_and_axes, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ContingencyDisplay"]

MOST_CELLS = 400  # that are large enough for a number


class ContingencyDisplay:
    """Clusters by known classes: how many rows of each cluster are of each class.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`. Clusters are
    ordered so that those that stand for a class lie on the diagonal, under the matching by which
    :func:`skdeepcluster.metrics.clustering_accuracy` counts. The colour is the share of the
    cluster's rows.

    Parameters
    ----------
    counts : array-like of shape (n_clusters, n_classes)
        Numbers of rows.
    labels : array-like of shape (n_clusters,)
        The number, or name, of each cluster; -1 is noise.
    classes : array-like of shape (n_classes,)
        The names of the classes.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes drawn on; set by :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of those axes.

    Examples
    --------
    >>> from skdeepcluster.plotting import ContingencyDisplay
    >>> display = ContingencyDisplay([[0, 7], [5, 1]], labels=[0, 1], classes=["cat", "dog"])
    >>> display.counts.sum()
    np.int64(13)
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, counts: ArrayLike, labels: ArrayLike, classes: ArrayLike) -> None:
        self.counts: NDArray[Any] = np.asarray(counts)
        self.labels: NDArray[Any] = np.asarray(labels)
        self.classes: NDArray[Any] = np.asarray(classes)
        if self.counts.shape != (self.labels.size, self.classes.size):
            raise ValueError(
                "counts must have one row per label and one column per class; got shape "
                f"{self.counts.shape} for {self.labels.size} labels and {self.classes.size} "
                "classes."
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        ax: Axes | None = None,
        **plot_params: Any,
    ) -> ContingencyDisplay:
        """Draw the clusters that a fitted estimator finds in `X` beside the classes of `X`.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `predict`.
        X : array-like
            Rows, in the form that the estimator was fitted on.
        y : array-like of shape (n_samples,)
            The class of every row.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        **plot_params : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        ContingencyDisplay
            The display, drawn.
        """
        require(estimator, "predict", "a table of clusters and classes")
        return cls.from_predictions(y, estimator.predict(X), ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls, y: ArrayLike, labels: ArrayLike, *, ax: Axes | None = None, **plot_params: Any
    ) -> ContingencyDisplay:
        """Draw clusters beside classes.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            The class of every row.
        labels : array-like of shape (n_samples,)
            The cluster of every row; -1 is noise.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        **plot_params : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        ContingencyDisplay
            The display, drawn.
        """
        y, labels = check_labels(y), check_labels(labels)
        counts, clusters = contingency_matrix(labels, y), np.unique(labels)
        order = _on_the_diagonal(counts, clusters)
        display = cls(counts[order], clusters[order], np.unique(y))
        return display.plot(ax=ax, **plot_params)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        cmap: str = "Blues",
        values: bool | None = None,
        colorbar: bool = True,
    ) -> ContingencyDisplay:
        """Draw the table.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        cmap : str, default="Blues"
            Colour map of the shares.
        values : bool, default=None
            Whether the numbers of rows are written into the cells; by default where there is room.
        colorbar : bool, default=True
            Whether a bar tells what the colours mean.

        Returns
        -------
        ContingencyDisplay
            The display itself.
        """
        n_clusters, n_classes = self.counts.shape
        size = (max(4.5, 2.2 + 0.5 * n_classes), max(2.5, 1.1 + 0.4 * n_clusters))
        self.figure_, self.ax_ = figure_and_axes(ax, size)
        shares = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        image = self.ax_.imshow(shares, cmap=cmap, vmin=0, vmax=1, aspect="auto")
        clusters = clusters_of(self.labels)
        self.ax_.set_yticks(
            range(n_clusters), [clusters[label].name for label in self.labels.tolist()]
        )
        names = [str(name) for name in self.classes.tolist()]
        long = max(map(len, names)) > 4
        turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if long else {}
        self.ax_.set_xticks(range(n_classes), names, **turned)
        self.ax_.tick_params(length=0)
        self.ax_.set(xlabel="known class", ylabel="cluster")
        if values if values is not None else self.counts.size <= MOST_CELLS:
            self._write_counts(shares)
        if colorbar:
            self.figure_.colorbar(image, ax=self.ax_, label="share of the cluster")
        return self

    def _write_counts(self, shares: NDArray[np.float64]) -> None:
        """Write the counts that are not 0 into their cells, in white where the colour is strong."""
        for row, column in np.argwhere(self.counts):
            ink = "white" if shares[row, column] > 0.6 else "black"
            text = str(self.counts[row, column])
            self.ax_.text(column, row, text, ha="center", va="center", size=8, color=ink)


def _on_the_diagonal(counts: NDArray[Any], clusters: NDArray[Any]) -> NDArray[np.intp]:
    """Return the clusters by the class that they stand for, the others after these, noise last."""
    rows, columns = linear_sum_assignment(counts, maximize=True)
    place = counts.argmax(axis=1) + float(counts.shape[1])  # of those that stand for no class
    place[rows] = columns
    if clusters.dtype.kind in "iuf":
        place[clusters == -1] = np.inf
    return np.argsort(place, kind="stable")
