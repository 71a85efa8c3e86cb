"""What the displays share: the look of a cluster, and what they ask of an estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NOISE_COLOR", "color", "figure_and_axes", "marker", "require"]

# Paul Tol's "muted" scheme, made for colour-blind readers, and black. Ten colours times these
# markers tell twenty clusters apart before a style comes back; its grey is left to noise.
_COLORS = (
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933"),
    *("#ddcc77", "#cc6677", "#882255", "#aa4499", "#000000"),
)
_MARKERS = ("o", "^")
NOISE_COLOR = "#bbbbbb"


def color(label: int) -> str:
    """Return the colour of a cluster."""
    return _COLORS[label % len(_COLORS)] if label >= 0 else NOISE_COLOR


def marker(label: int) -> str:
    """Return the marker of a cluster."""
    return _MARKERS[label // len(_COLORS) % len(_MARKERS)] if label >= 0 else "x"


def figure_and_axes(ax: Axes | None) -> tuple[Figure, Axes]:
    """Return the axes to draw on, new ones if there are none."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    return ax.figure, ax  # type: ignore[return-value]


def require(estimator: Any, method: str, purpose: str) -> None:
    """Make sure that an estimator is fitted and has a method."""
    check_is_fitted(estimator)
    if not hasattr(estimator, method):
        raise TypeError(
            f"{type(estimator).__name__} has no method `{method}`, which {purpose} needs. "
            "Use an estimator that has it, or build the display from your own arrays."
        )
