"""What sets the clusters apart, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skdeepcluster.inspection import check_labels, column_names, effect_sizes

from ._style import clusters_of, figure_and_axes, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ProfileDisplay"]

MOST_CELLS = 200  # that are large enough for a number


class ProfileDisplay:
    """Columns by clusters: how many standard deviations a cluster lies from all other rows.

    It is recommended to use :meth:`from_estimator`. The effect sizes are those of
    :func:`skdeepcluster.inspection.effect_sizes`. Columns stand under the cluster that has the
    most of them, so that the picture reads from one corner to the other.

    Parameters
    ----------
    effects : array-like of shape (n_clusters, n_features)
        How far each cluster lies from all other rows in each column.
    labels : array-like of shape (n_clusters,)
        The number, or name, of each cluster; -1 is noise.
    feature_names : sequence of str
        The names of the columns.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes drawn on; set by :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of those axes.

    Examples
    --------
    >>> from skdeepcluster.plotting import ProfileDisplay
    >>> display = ProfileDisplay([[2.0, -1.0], [-2.0, 1.0]], [0, 1], ["length", "width"])
    >>> display.feature_names
    ['length', 'width']
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, effects: ArrayLike, labels: ArrayLike, feature_names: Sequence[str]) -> None:
        self.effects: NDArray[np.float64] = np.asarray(effects, dtype=np.float64)
        self.labels: NDArray[Any] = np.asarray(labels)
        self.feature_names = [str(name) for name in feature_names]
        if self.effects.shape != (self.labels.size, len(self.feature_names)):
            raise ValueError(
                "effects must have one row per label and one column per name; got shape "
                f"{self.effects.shape} for {self.labels.size} labels and "
                f"{len(self.feature_names)} names."
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        feature_names: Sequence[str] | None = None,
        n_features: int = 20,
        ax: Axes | None = None,
        **plot_params: Any,
    ) -> ProfileDisplay:
        """Draw the profile of the clusters that a fitted estimator finds in `X`.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `predict`, unless `labels` are given.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, in the form that the estimator was fitted on.
        labels : array-like of shape (n_samples,), default=None
            What the rows are grouped by; by default the estimator's own predictions.
        feature_names : sequence of str, default=None
            Names of the columns; by default those of the data frame, or ``x0``, ``x1``, ...
        n_features : int, default=20
            How many columns are drawn: those that set any cluster apart the most.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        **plot_params : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        ProfileDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator cannot predict, and no labels are given.
        """
        if labels is None:
            require(estimator, "predict", "a profile")
            labels = estimator.predict(X)
        labels = check_labels(labels)
        effects = effect_sizes(X, labels)
        names = column_names(X, effects.shape[1], feature_names)
        kept = _in_blocks(effects, n_features)
        display = cls(effects[:, kept], np.unique(labels), [names[column] for column in kept])
        return display.plot(ax=ax, **plot_params)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        cmap: str = "PuOr_r",
        largest: float | None = None,
        values: bool | None = None,
        colorbar: bool = True,
    ) -> ProfileDisplay:
        """Draw the profile.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        cmap : str, default="PuOr_r"
            Colour map whose middle stands for no difference.
        largest : float, default=None
            The effect that has the strongest colour; by default the largest that is finite.
        values : bool, default=None
            Whether the numbers are written into the cells; by default where there is room.
        colorbar : bool, default=True
            Whether a bar tells what the colours mean.

        Returns
        -------
        ProfileDisplay
            The display itself.
        """
        n_clusters, n_features = self.effects.shape
        size = (max(4.0, 2.6 + 0.55 * n_clusters), max(2.0, 0.9 + 0.27 * n_features))
        self.figure_, self.ax_ = figure_and_axes(ax, size)
        largest = largest or float(np.abs(self.effects[np.isfinite(self.effects)]).max(initial=0))
        image = self.ax_.imshow(
            self.effects.T, cmap=cmap, vmin=-(largest or 1), vmax=largest or 1, aspect="auto"
        )
        clusters = clusters_of(self.labels)
        names = [clusters[label].name for label in self.labels.tolist()]
        self.ax_.set_xticks(range(n_clusters), names)
        self.ax_.set_yticks(range(n_features), self.feature_names)
        self.ax_.tick_params(length=0)
        self.ax_.set(xlabel="cluster")
        if values if values is not None else self.effects.size <= MOST_CELLS:
            self._write_values(0.6 * (largest or 1))
        if colorbar:
            label = "standard deviations\nfrom all other rows"
            self.figure_.colorbar(image, ax=self.ax_, label=label)
        return self

    def _write_values(self, strong: float) -> None:
        """Write the effects into their cells, in white where the colour is strong."""
        for (column, row), effect in np.ndenumerate(self.effects):
            ink = "white" if abs(effect) > strong else "black"
            self.ax_.text(column, row, f"{effect:.1f}", ha="center", va="center", size=8, color=ink)


def _in_blocks(effects: NDArray[np.float64], n_features: int) -> list[int]:
    """Return the columns of the largest effects, those that one cluster has most of together."""
    order = np.argsort(-np.abs(effects).max(axis=0), kind="stable")[:n_features]
    owners, most = effects.argmax(axis=0), effects.max(axis=0)
    return sorted(order.tolist(), key=lambda column: (owners[column], -most[column]))
