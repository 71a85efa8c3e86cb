"""Shared by all tests."""

from __future__ import annotations

import os
import signal
from typing import Any

# Small matrices gain nothing from threads, and lose a lot where cores are shared. Libraries read
# this when they are loaded, and so do the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from registry import ESTIMATORS
from sklearn.base import clone
from sklearn.datasets import make_blobs


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    """Small matrices gain nothing from threads, and lose a lot where cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _hear_ctrl_c() -> None:
    """Let Ctrl-C interrupt, also where a shell started the tests in the background, deaf to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three blobs that any clusterer should tell apart."""
    X, y = make_blobs(150, n_features=6, centers=3, cluster_std=0.6, random_state=3)
    return X.astype(np.float32), y


@pytest.fixture(params=sorted(ESTIMATORS))
def name(request: pytest.FixtureRequest) -> str:
    """Every public estimator in turn."""
    return request.param


@pytest.fixture
def decoding(name: str) -> None:
    """Leave out methods that turn no codes into rows."""
    if not ESTIMATORS[name]._decodes:
        pytest.skip("nothing decodes")


@pytest.fixture
def encoding(name: str) -> None:
    """Leave out methods that take no network of one's own."""
    if not hasattr(ESTIMATORS[name], "encoder"):
        pytest.skip("has no encoder")


@pytest.fixture
def estimator(name: str) -> Any:
    """A fresh copy of the estimator."""
    return clone(ESTIMATORS[name])


_FITTED: dict[str, Any] = {}


@pytest.fixture
def fitted(name: str, blobs: tuple[np.ndarray, np.ndarray]) -> Any:
    """The estimator fitted on the blobs; tests must not change it."""
    if name not in _FITTED:
        _FITTED[name] = clone(ESTIMATORS[name]).fit(blobs[0])
    return _FITTED[name]
