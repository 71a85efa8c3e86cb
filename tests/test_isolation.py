"""No reducer and no clusterer changes the number of threads of the process."""

from __future__ import annotations

import subprocess
import sys

import numba
import numpy as np
import pytest
import torch
import umap
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from skdeepcluster._isolation import restored_threads
from skdeepcluster.heads import fit_labels, make_head
from skdeepcluster.plotting import CodeMapDisplay

ROWS = np.random.default_rng(0).normal(size=(40, 5))


def take_threads():
    """Do what numba's thread pool does when it starts."""
    threadpool_limits(torch.get_num_threads() + 1, user_api="openmp")


class Greedy(ClusterMixin, BaseEstimator):
    """A reducer and a clusterer that takes threads."""

    def __init__(self, random_state=None, **settings):
        self.random_state = random_state

    def fit(self, X, y=None):
        take_threads()
        self.labels_ = np.arange(len(X)) % 2
        return self

    def transform(self, X):
        take_threads()
        return X[:, :2]

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)

    def predict(self, X):
        return np.arange(len(X)) % 2


def mapped(reducer):
    model = make_pipeline("passthrough").fit(ROWS)
    CodeMapDisplay.from_estimator(model, ROWS, labels=np.zeros(40, int), reducer=reducer)


@pytest.mark.parametrize(
    "work",
    [
        lambda: mapped("umap"),
        lambda: mapped(Greedy()),
        lambda: make_head("kmeans", 2, manifold="umap").fit(ROWS).predict(ROWS),
        lambda: make_head(Greedy()).fit(ROWS).predict(ROWS),
        lambda: make_head(make_pipeline(Greedy(), KMeans(2))).fit(ROWS).predict(ROWS),
        lambda: fit_labels(make_pipeline(Greedy(), KMeans(2)), ROWS),
    ],
    ids=["map", "own map", "manifold", "clusterer", "pipeline", "first clusters"],
)
def test_other_libraries_leave_the_number_of_threads_alone(monkeypatch, work):
    monkeypatch.setattr(umap, "UMAP", Greedy)
    before = torch.get_num_threads()
    work()
    assert torch.get_num_threads() == before


def test_the_threads_are_restored_after_an_error():
    threads, own = torch.get_num_threads(), numba.get_num_threads()
    with pytest.raises(RuntimeError), restored_threads():
        numba.set_num_threads(1)
        take_threads()
        raise RuntimeError
    assert (torch.get_num_threads(), numba.get_num_threads()) == (threads, own)


def test_the_pool_of_numba_leaves_the_threads_of_torch_alone():
    """In a process of its own: the pool starts once, and by then numba may not be imported yet."""
    code = (
        "import torch, numpy as np; torch.set_num_threads(1)\n"
        "from skdeepcluster._isolation import restored_threads\n"
        "with restored_threads():\n"
        "    import numba\n"
        "    total = numba.njit(parallel=True)(lambda x: np.sum(np.sqrt(x)))\n"
        "    total(np.ones(1000))\n"
        "print(torch.get_num_threads())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "1", run.stderr
