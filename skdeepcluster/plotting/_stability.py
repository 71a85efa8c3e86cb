"""How stable clusters are, over their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skdeepcluster.model_selection import stability_curve

from ._style import NOISE_COLOR, color, figure_and_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from skdeepcluster.model_selection import StabilityCurve

__all__ = ["StabilityDisplay"]

NAMES = {"columns": "shuffled columns", "gaussian": "one Gaussian"}


class StabilityDisplay:
    """Agreement of clusterings of resamples over the number of clusters, beside the nulls.

    It is recommended to use :meth:`from_estimator`. Points are means over the pairs of fits, bars
    the middle 90 % of them, and bands the middle 90 % of the null data sets. A filled point is
    significant, and a line marks the number that exceeds the nulls most.

    Parameters
    ----------
    curve : StabilityCurve
        What :func:`skdeepcluster.model_selection.stability_curve` returns.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes drawn on; set by :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of those axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.model_selection import StabilityCurve
    >>> from skdeepcluster.plotting import StabilityDisplay
    >>> curve = StabilityCurve(np.array([2]), np.array([[0.9]]), {"columns": np.array([[0.4]])})
    >>> StabilityDisplay(curve).curve.best_n_clusters
    2
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, curve: StabilityCurve) -> None:
        self.curve = curve

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, *, ax: Axes | None = None, **params: Any
    ) -> StabilityDisplay:
        """Compute how stable the clusters of `X` are, and draw it.

        Parameters
        ----------
        estimator : object
            A clusterer with `fit_predict`. It need not be fitted: clones of it are.
        X : array-like
            Rows, in a form that the estimator takes.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        **params : dict
            Passed on to :func:`~skdeepcluster.model_selection.stability_curve`.

        Returns
        -------
        StabilityDisplay
            The display, drawn.
        """
        return cls(stability_curve(estimator, X, **params)).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> StabilityDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        StabilityDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        curve, best = self.curve, self.curve.best_n_clusters
        for number, (null, values) in enumerate(curve.null_agreement.items()):
            line = ["--", ":"][number % 2]
            self.ax_.plot(
                curve.n_clusters,
                values.mean(axis=1),
                label=NAMES.get(null, null),
                color="#888888",
                linestyle=line,
            )
            low, high = np.quantile(values, [0.05, 0.95], axis=1)
            self.ax_.fill_between(curve.n_clusters, low, high, color=NOISE_COLOR, alpha=0.25, lw=0)
        self._plot_observed()
        if best is not None:
            self.ax_.axvline(best, color=color(6), linewidth=1, zorder=0)
        title = "no clusters shown" if best is None else f"{best} clusters"
        self.ax_.set(title=title, xlabel="number of clusters", ylabel="agreement (ARI)")
        self.ax_.set_xticks(curve.n_clusters)
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(frameon=False)
        return self

    def _plot_observed(self) -> None:
        curve, ink = self.curve, color(0)
        mean = curve.agreement.mean(axis=1)
        low, high = np.quantile(curve.agreement, [0.05, 0.95], axis=1)
        bars = np.maximum([mean - low, high - mean], 0)
        self.ax_.errorbar(curve.n_clusters, mean, bars, color=ink, capsize=2, label="resamples")
        fills = np.where(curve.significant, ink, "white")
        self.ax_.scatter(curve.n_clusters, mean, c=fills, edgecolors=ink, zorder=3)
