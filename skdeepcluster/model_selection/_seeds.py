"""Clones of an estimator that differ in their seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

__all__ = ["named", "reseeded"]


def named(estimator: Any, name: str) -> dict[str, Any]:
    """Return the parameters of a name, of an estimator and of its parts."""
    return {k: v for k, v in estimator.get_params().items() if k.split("__")[-1] == name}


def reseeded(estimator: Any, random: np.random.RandomState) -> Any:
    """Return a clone whose seeds, if it has any, are drawn anew."""
    names = list(named(estimator, "random_state"))
    seeds = random.randint(np.iinfo(np.int32).max, size=len(names)).tolist()
    return clone(estimator).set_params(**dict(zip(names, seeds, strict=True)))
