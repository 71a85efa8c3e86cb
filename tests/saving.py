"""What it means that a fitted estimator is the same again."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdeepcluster.base import DeepClusterer

ASKS = ("predict", "transform", "predict_proba", "score_samples", "reconstruct", "outlier_scores")


def told(model: DeepClusterer, X: Any) -> dict[str, Any]:
    """Everything that a fitted estimator says, makes and shows."""
    found = {name: getattr(model, name)(X) for name in ASKS if hasattr(model, name)}
    if hasattr(model, "sample"):
        found["sample"], found["source"] = model.sample(9, random_state=0)
    shown = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    return found | {
        name: value for name, value in shown.items() if name not in ("module_", "head_")
    }


def assert_equal(one: DeepClusterer, other: DeepClusterer, X: Any) -> None:
    """Compare two fitted estimators bit for bit, and their parameters and networks."""
    a, b = told(one, X), told(other, X)
    assert a.keys() == b.keys()
    for name, value in a.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, b[name])
            assert value.dtype == b[name].dtype
        else:
            assert repr(value) == repr(b[name])
    assert repr(one.get_params()) == repr(other.get_params())
    assert repr(one.module_) == repr(other.module_)
    assert vars(one).keys() == vars(other).keys()
