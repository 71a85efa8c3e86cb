"""A start from clusters that somebody else has found, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import HasMethods, StrOptions
from skorch.callbacks import Callback
from torch import Tensor

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.base._run import Run
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Step
from skdeepcluster.heads import fit_labels
from skdeepcluster.models.starts import (
    agreement,
    as_column,
    current_labels,
    note_start,
    warn_of_departure,
)
from skdeepcluster.scaling import Scaling

__all__ = ["STARTS", "InitializedClusterer", "StartAgreement", "init_constraint", "named_start"]

STARTS = ("n2d", "spc")  # clusterers of this package that every method can start from

_MAKERS: dict[str, Callable[[Any], ClusterMixin]] = {}
Maker = Callable[[Any], ClusterMixin]


def named_start(name: str) -> Callable[[Maker], Maker]:
    """Register what makes the clusterer of a name, given the estimator that starts from it.

    The base cannot import the estimators: those that are a start say so themselves.
    """
    assert name in STARTS

    def register(make: Maker) -> Maker:
        _MAKERS[name] = make
        return make

    return register


def init_constraint(*own: str) -> list[Any]:
    """Return what `init` may be, given the names of a method's own starts."""
    return [StrOptions({*own, *STARTS}), HasMethods(["fit"]), "array-like"]


class InitializedClusterer(DeepClusterer):
    """Base of the estimators whose `init` may be a name, a clusterer or labels.

    A method says how labels become its first clusters: :meth:`_first_step` makes the start of a
    phase of a function ``place(trainer, table, labels)``. A method whose clusters do not start in a
    phase asks for :meth:`_given_labels`, and tells :meth:`_note_start` of what it starts from.
    """

    _tells_departure = True  # whether many rows that leave the start are worth a warning
    init: Any
    start_labels_: NDArray[np.intp]

    def _is_given(self) -> bool:
        """Tell whether the first clusters come from elsewhere, not from the method's own start."""
        return not isinstance(self.init, str) or self.init in STARTS

    def _first_step(
        self,
        run: Run,
        make_model: Callable[[Scaling], Model],
        own: Mapping[str, Callable[..., None]],
        place: Callable[..., None],
    ) -> Step:
        """Return the step that places the first clusters.

        Parameters
        ----------
        run : Run
            The fit.
        make_model : callable
            Makes the model, which is tried before a clusterer takes its time.
        own : dict of str to callable
            The method's own starts by name, ``start(trainer, table, seed)``.
        place : callable
            ``place(trainer, table, labels)`` starts from labels, in which -1 is none.

        Returns
        -------
        step : callable
            The start of a phase.
        """
        noting = partial(note_start, n_clusters=self.n_clusters)
        if not self._is_given():
            return partial(noting, place=partial(own[self.init], seed=run.seed))
        self._check_model(run, make_model)
        labels = self._given_labels(run)
        return partial(noting, place=partial(place, labels=labels), labels=labels)

    def _begin(self, X: Any, weight: NDArray[Any] | None, before: Model | None = None) -> Run:
        run = super()._begin(X, weight, before)
        if run.labels_before is not None:
            self._note_start(run, run.labels_before)
        return run

    def _note_start(self, run: Run, labels: NDArray[np.integer[Any]]) -> None:
        """Note the first clusters of the rows that count, where no phase starts from them."""
        run.table.columns["start"] = as_column(labels, run.table)

    def _given_labels(self, run: Run) -> NDArray[np.integer[Any]]:
        """Return the label that `init` gives each row that counts; -1 is none."""
        init = self._first_clusterer()
        if hasattr(init, "fit"):
            labels = run.once("init", lambda: self._fit_init(init, run))["labels"].numpy()
            source = f"init={type(init).__name__}()"
            advice = "Let it find fewer, or ask for more here."
        else:
            labels, source = _checked_type(init, len(run.counted))[run.counted], "init"
            advice = "Number them from 0, or ask for more clusters."
        most = self.n_clusters if isinstance(self.n_clusters, Integral) else labels.max() + 1
        if labels.min() < -1 or labels.max() >= most:
            raise ValueError(
                f"{source} must give labels in 0..{most - 1}, or -1 for none, got "
                f"{labels.min()}..{labels.max()}. {advice}"
            )
        if labels.max() < 0:
            raise ValueError(
                f"{source} labels none of the rows that have a weight: all are -1. Pass labels, or "
                "a clusterer that finds clusters among them."
            )
        return labels

    def _first_clusterer(self) -> Any:
        """Return the clusterer, or the labels, that `init` stands for."""
        return _MAKERS[self.init](self) if isinstance(self.init, str) else self.init

    def _fit_init(self, init: Any, run: Run) -> dict[str, Tensor]:
        """Return the labels of the clusterer."""
        rows, is_deep = run.rows, isinstance(init, DeepClusterer)
        if not is_deep:
            run.needs_all_rows("A clusterer as init", "Pass labels")
        if is_deep and len(self._row_shape) > 1 and isinstance(rows, np.ndarray):
            rows = rows.reshape(-1, *self._row_shape)  # images, which others do not know
        labels = fit_labels(
            init,
            rows,
            int(self.n_clusters) if isinstance(self.n_clusters, Integral) else None,
            sample_weight=run.table.array("weight"),
            seed=run.seed,
        )
        return {"labels": torch.from_numpy(_checked_type(labels, len(run.table)).astype(np.int64))}

    # -- what became of the start ---------------------------------------------------------------

    def _complete(self, run: Run, X: Any, weight: NDArray[np.float64]) -> None:
        super()._complete(run, X, weight)
        self.__dict__.pop("start_labels_", None)  # of an earlier fit
        start = run.table.array("start")
        if start is None:
            return  # the method has no first clusters
        self.start_labels_ = np.full(len(run.counted), -1)
        self.start_labels_[run.counted] = start
        labels = self.labels_[run.counted]
        if self.history_:
            self.history_[-1]["start_agreement"] = agreement(start, labels)
        if self._tells_departure and not run.interrupted:  # which tells enough
            is_given = self._is_given() or run.labels_before is not None
            warn_of_departure(start, labels, is_given)


class StartAgreement(Callback):
    """Note in the last record of every phase how far clusters agree with those of the start.

    For methods that go on in further phases; the last record of a fit has it anyway.

    Parameters
    ----------
    n_clusters : int
        Clusters of the model.
    """

    def __init__(self, n_clusters: int):
        self.n_clusters = n_clusters

    def on_train_end(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Compare, if the clusters have started and the phase has trained."""
        record = net.history[-1] if net.history else {}
        if "start" in X.columns and record.get("phase") == net.phase_.name:
            labels = current_labels(net, X, self.n_clusters).cpu().numpy()
            record["start_agreement"] = agreement(X.array("start"), labels)


def _checked_type(labels: ArrayLike, n_rows: int) -> NDArray[np.integer[Any]]:
    """Return labels if they are an integer for each row."""
    found = np.asarray(labels)
    if found.shape != (n_rows,) or found.dtype.kind not in "iu":
        raise ValueError(
            f"init must hold an integer for each of the {n_rows} rows, got shape {found.shape} and "
            f"type {found.dtype}. Pass the number of its cluster for each, and -1 for none."
        )
    return found
