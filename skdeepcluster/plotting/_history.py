"""What a training did."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ._style import NOISE_COLOR, require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["HistoryDisplay"]

NO_TERMS = {"epoch", "stage", "phase", "phase_epoch", "seconds"}
N_COLUMNS = 3  # of panels
SOME = 30  # epochs of a term that is known of a few alone, whose points would not show as a line


class HistoryDisplay:
    """Every term of the loss over the epochs, a panel for each stage and term.

    It is recommended to use :meth:`from_estimator`. A line down a panel is where a phase ends; the
    first panel of a stage names them. Of one player ``train_loss`` is ``model_loss`` and is left
    out, as it is wherever it repeats another.

    Parameters
    ----------
    history : sequence of dict
        The record of each epoch, as `history_` holds them.

    Attributes
    ----------
    axes_ : list of matplotlib.axes.Axes
        The panels drawn on; set by :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of those axes.

    Examples
    --------
    >>> from skdeepcluster.plotting import HistoryDisplay
    >>> record = {"stage": "ae", "phase": "reconstruction", "epoch": 1, "reconstruction": 0.5}
    >>> HistoryDisplay([record]).terms
    [('ae', 'reconstruction')]
    """

    axes_: list[Axes]
    figure_: Figure

    def __init__(self, history: Sequence[Mapping[str, Any]]) -> None:
        if not history:
            raise ValueError("history has no epochs: nothing was trained that could be drawn.")
        self.history = [dict(record) for record in history]
        stages = dict.fromkeys(record["stage"] for record in self.history)
        self.terms = [(stage, term) for stage in stages for term in _terms(self._of(stage))]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        terms: Sequence[str] | None = None,
        axes: Sequence[Axes] | None = None,
    ) -> HistoryDisplay:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : object
            A fitted estimator of this package.
        terms : sequence of str, default=None
            The terms to draw; by default all.
        axes : sequence of matplotlib.axes.Axes, default=None
            Axes to draw on, one for each stage and term; by default those of a new figure.

        Returns
        -------
        HistoryDisplay
            The display, drawn.
        """
        require(estimator, "history_", "a history")
        return cls(estimator.history_).plot(terms=terms, axes=axes)

    def plot(
        self, *, terms: Sequence[str] | None = None, axes: Sequence[Axes] | None = None
    ) -> HistoryDisplay:
        """Draw the history.

        Parameters
        ----------
        terms : sequence of str, default=None
            The terms to draw; by default all.
        axes : sequence of matplotlib.axes.Axes, default=None
            Axes to draw on, one for each stage and term; by default those of a new figure.

        Returns
        -------
        HistoryDisplay
            The display itself.
        """
        drawn = [each for each in self.terms if terms is None or each[1] in terms]
        if not drawn:
            known = ", ".join(sorted({term for _, term in self.terms}))
            raise ValueError(f"No epoch has any of the terms {terms}; there are {known}.")
        self.axes_ = _panels(len(drawn)) if axes is None else list(axes)
        if len(self.axes_) != len(drawn):
            raise ValueError(f"axes has {len(self.axes_)} axes; expected {len(drawn)}: {drawn}.")
        self.figure_ = self.axes_[0].figure  # type: ignore[assignment]
        named: set[str] = set()
        for ax, (stage, term) in zip(self.axes_, drawn, strict=True):
            self._draw(ax, stage, term, name_phases=stage not in named)
            named.add(stage)
        return self

    def _of(self, stage: str) -> list[dict[str, Any]]:
        return [record for record in self.history if record["stage"] == stage]

    def _draw(self, ax: Axes, stage: str, term: str, name_phases: bool) -> None:
        records = self._of(stage)
        values = _values(records, term)
        epochs = np.arange(1, len(records) + 1)
        few = np.isfinite(values).sum() <= SOME
        ax.plot(epochs, values, color="#332288", linewidth=1.2, marker="." if few else None)
        several = len({stage for stage, _ in self.terms}) > 1
        ax.set_title(f"{stage}: {term}" if several else term, size=10)
        ax.set(xlabel="epoch", xlim=(0.5 - 0.02 * len(records), 0.5 + 1.02 * len(records)))
        ax.margins(y=0.15)
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        _mark_phases(ax, [record.get("phase", "") for record in records], name_phases)


def _terms(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the numeric keys of some records, without a `train_loss` that repeats another."""
    keys = dict.fromkeys(key for record in records for key in record if key not in NO_TERMS)
    terms = [key for key in keys if np.isfinite(_values(records, key)).any()]
    if "train_loss" not in terms:
        return terms
    train = _values(records, "train_loss")
    others = [term for term in terms if term != "train_loss"]
    same = any(np.array_equal(train, _values(records, term)) for term in others)
    return others if same else terms


def _values(records: Sequence[Mapping[str, Any]], term: str) -> NDArray[np.float64]:
    """Return a term of every record, NaN where it is not there or no number."""
    values = [record.get(term, np.nan) for record in records]
    numbers = (int, float, np.number)
    return np.array([float(v) if isinstance(v, numbers) else np.nan for v in values])


def _panels(n_panels: int) -> list[Axes]:
    import matplotlib.pyplot as plt

    n_columns = min(n_panels, N_COLUMNS)
    n_rows = -(-n_panels // n_columns)
    size = (3.2 * n_columns, 2.3 * n_rows)
    _, grid = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    for unused in grid.flat[n_panels:]:
        unused.remove()
    return list(grid.flat[:n_panels])


def _mark_phases(ax: Axes, phases: list[str], named: bool) -> None:
    """Draw a line where a phase ends, and write its name at the top of its part."""
    begin = 0
    for number, (name, records) in enumerate(groupby(phases)):
        if number:
            ax.axvline(begin + 0.5, color=NOISE_COLOR, linewidth=0.8)
        if named:
            ax.annotate(
                name,
                (begin + 0.5, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -2 - 9 * number),  # names of short phases would cover one another
                textcoords="offset points",
                va="top",
                size=7,
                color="#555555",
            )
        begin += len(list(records))
