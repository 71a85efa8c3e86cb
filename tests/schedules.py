"""Look at what an estimator trains by: its phases, and the sums of its losses."""

from __future__ import annotations

from typing import Any

import pytest

from skdeepcluster.base import Run
from skdeepcluster.engine.schedule import Phase


def phases_of(estimator: Any, X: Any, **fit_params: Any) -> dict[str, Phase]:
    """Fit, and return the phases by their names."""
    found: dict[str, Phase] = {}
    train = Run.train

    def noting(self: Run, stage: str, model: Any, phases: Any, *args: Any, **kwargs: Any) -> Any:
        found.update({phase.name: phase for phase in phases})
        return train(self, stage, model, phases, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "train", noting)
        estimator.fit(X, **fit_params)
    return found


def assert_loss_is(record: dict[str, Any], loss: str = "train_loss", **weights: float) -> None:
    """Check that an epoch's loss is the weighted sum of its terms."""
    total = sum(weight * record[term] for term, weight in weights.items())
    assert record[loss] == pytest.approx(total, rel=1e-4)
