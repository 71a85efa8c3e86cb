"""What the displays share: the look of a cluster, and what they ask of an estimator."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = [
    "NOISE_COLOR",
    "N_STYLES",
    "Cluster",
    "clusters_of",
    "color",
    "figure_and_axes",
    "marker",
    "name_rows",
    "require",
    "require_clusters",
]

# Paul Tol's "muted" scheme, made for colour-blind readers, and black. Ten colours times these
# markers tell twenty clusters apart before a style comes back; its grey is left to noise.
_COLORS = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#000000"),
)
_MARKERS = ("o", "^")
N_STYLES = len(_COLORS) * len(_MARKERS)
NOISE_COLOR = "#bbbbbb"


class Cluster(NamedTuple):
    """A label as it is drawn."""

    number: int  # which decides its style; -1 is noise
    name: str


def clusters_of(labels: NDArray[Any]) -> dict[Hashable, Cluster]:
    """Return how each label is drawn, noise first.

    A number is its own, so that one cluster looks alike in all displays; class names, and numbers
    that count no clusters, are numbered in order.
    """
    present = np.unique(labels).tolist()
    if all(not isinstance(label, str) and float(label).is_integer() for label in present):
        numbers = [max(int(label), -1) for label in present]
        return {
            k: Cluster(n, str(n) if n >= 0 else "noise")
            for k, n in zip(present, numbers, strict=True)
        }
    return {label: Cluster(number, str(label)) for number, label in enumerate(present)}


def require_clusters(labels: Sequence[Any]) -> None:
    """Refuse to draw a row of images for each cluster where there is none."""
    if not labels:
        raise ValueError(
            "There are no clusters to draw: all rows are noise, or clusters=[]. Fit clusters first,"
            " by a smaller min_cluster_size or another head."
        )


def color(label: int) -> str:
    """Return the colour of a cluster."""
    return _COLORS[label % len(_COLORS)] if label >= 0 else NOISE_COLOR


def marker(label: int) -> str:
    """Return the marker of a cluster."""
    return _MARKERS[label // len(_COLORS) % len(_MARKERS)] if label >= 0 else "x"


def figure_and_axes(
    ax: Axes | None, size: tuple[float, float] | None = None
) -> tuple[Figure, Axes]:
    """Return the axes to draw on; if there are none new ones, of a size in inches."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(layout="constrained", figsize=size)
    return ax.figure, ax  # type: ignore[return-value]


def name_rows(ax: Axes, clusters: Sequence[Cluster], n_columns: float) -> None:
    """Name the rows of a grid, one unit high, by the clusters that they show."""
    rows = np.arange(len(clusters)) + 0.5
    # A strip in the colour of the cluster ties a row to the points of a code map.
    colors = [color(cluster.number) for cluster in clusters]
    ax.barh(rows, -0.15, height=0.9, left=-0.05, color=colors)
    ax.set_yticks(rows, [cluster.name for cluster in clusters])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlim=(-0.2, n_columns), ylim=(len(clusters), 0), xticks=[], ylabel="cluster")


def require(estimator: Any, method: str, purpose: str) -> None:
    """Make sure that an estimator is fitted and has a method."""
    check_is_fitted(estimator)
    if not hasattr(estimator, method):
        raise TypeError(
            f"{type(estimator).__name__} has no method `{method}`, which {purpose} needs. "
            "Use an estimator that has it, or build the display from your own arrays."
        )
