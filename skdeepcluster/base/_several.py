"""Several fits with different seeds, of which one is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdeepcluster.base._run import Run
from skdeepcluster.engine.callbacks import tell
from skdeepcluster.metrics import mean_agreement

__all__ = ["fit_several"]


def fit_several(estimator: Any, run: Run, fit: Callable[[Any, Run], None]) -> None:
    """Fit copies of an estimator, and let it become the one that agrees most with the others.

    Parameters
    ----------
    estimator : DeepClusterer
        What is fitted, as many times as its `n_init` says.
    run : Run
        The first fit; the others share its rows, its scaling and its checkpoint.
    fit : callable
        ``fit(copy, run)`` fits a copy.
    """
    fitted = []
    for number, each in enumerate(_runs(run, estimator.n_init)):
        tell(f"fit {number + 1} of {estimator.n_init}", estimator.verbose)
        fit(twin := copy.copy(estimator), each)
        fitted.append(twin)
        if each.interrupted:
            run.interrupted = True
            break
    agreement = mean_agreement([twin.labels_ for twin in fitted])
    best = _best(fitted, agreement, run)
    kept = {**vars(fitted[best]), "run_agreement_": agreement}
    for stale in vars(estimator).keys() - kept.keys():  # of an earlier fit
        delattr(estimator, stale)
    vars(estimator).update(kept)
    tell(f"fit {best + 1} is kept, whose agreement is {agreement[best]:.2f}", estimator.verbose)


def _best(fitted: list[Any], agreement: NDArray[np.float64], run: Run) -> int:
    """Return the fit that agrees most; of equal ones, that which explains the rows best."""
    (equal,) = np.nonzero(np.isclose(agreement, agreement.max(), rtol=0, atol=1e-9))
    if len(equal) == 1 or not hasattr(fitted[0], "score"):
        return int(equal[0])
    weight = run.table.array("weight")
    return int(max(equal, key=lambda i: fitted[i].score(run.rows, sample_weight=weight)))


def _runs(first: Run, n_runs: int) -> list[Run]:
    """Return the first run and others like it, each with a seed of its own."""
    seeds = np.random.RandomState(first.seed).randint(np.iinfo(np.int32).max, size=n_runs - 1)
    others = enumerate(seeds.tolist(), start=2)
    return [first, *(first.another(seed, f"fit {number}") for number, seed in others)]
