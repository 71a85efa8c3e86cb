"""What every estimator computed once, so that a change of the numbers is noticed.

Two epochs are too few for rounding to grow: other processors and versions agree to two digits,
while a changed loss, schedule or order of random draws does not. Where rounding decides which
sample is the nearest, or passes through many layers, two updates are the most that can be asked.
A change that is meant is written down by ``python tests/test_golden.py NAME ...`` (all if none is
named) and explained in its commit.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from registry import ESTIMATORS
from sklearn.base import clone

GOLDEN = Path(__file__).with_name("golden.json")
N_ROWS, BRIEF_EPOCHS, BRIEF_BATCH = 60, 2, 8
UMAP = {"spc"}  # whose coordinates hang on the last digits
ROUGH = {"hrwaegan-2", "imle", "imle-centroid"}  # an update an epoch


def computed(name: str) -> dict[str, Any]:
    """Train briefly on fixed rows, and return some of the results."""
    X = np.random.RandomState(0).normal(size=(N_ROWS, 4))
    X[:30] += 3
    estimator = clone(ESTIMATORS[name])
    epochs = [p for p in estimator.get_params() if p.endswith("epochs")]
    batch_size = N_ROWS if name in ROUGH else BRIEF_BATCH
    estimator.set_params(batch_size=batch_size, **dict.fromkeys(epochs, BRIEF_EPOCHS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X)
    found = {
        "codes": estimator.transform(X[::20]).tolist(),
        "loss": [record["train_loss"] for record in estimator.history_],
    }
    if not hasattr(estimator, "sample"):  # nothing decodes
        return found | {"memberships": estimator.predict_proba(X[::20]).tolist()}
    sample = estimator.sample(2, random_state=0)[0].tolist()
    return found | {"sample": sample, "score": estimator.score(X)}


@pytest.mark.parametrize("name", sorted(ESTIMATORS.keys() - UMAP))
def test_golden_run(name):
    golden = json.loads(GOLDEN.read_text()).get(name)
    assert golden, f"{name} has no numbers yet: run `python tests/test_golden.py {name}`"
    found = computed(name)
    assert golden.keys() == found.keys()
    for key, value in golden.items():
        np.testing.assert_allclose(found[key], value, rtol=2e-2, atol=2e-2, err_msg=key)


if __name__ == "__main__":
    torch.set_num_threads(1)
    known = json.loads(GOLDEN.read_text())
    renewed = {name: computed(name) for name in sys.argv[1:] or ESTIMATORS.keys() - UMAP}
    kept = {name: known[name] for name in ESTIMATORS if name in known and name not in renewed}
    GOLDEN.write_text(json.dumps({**kept, **renewed}, indent=1, sort_keys=True) + "\n")
