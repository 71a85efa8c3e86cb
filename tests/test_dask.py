"""Searches and predictions on a real Dask cluster of two workers."""

import os

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV

from skdeepcluster import AutoencoderClustering
from skdeepcluster.model_selection import ConsensusClustering

distributed = pytest.importorskip("distributed")

MODEL = AutoencoderClustering(
    2, latent_dim=2, hidden_layer_sizes=(8,), max_epochs=1, batch_size=1000, random_state=0
)
RATES = {"lr": [1e-3, 3e-3, 1e-2, 3e-2]}
pytestmark = pytest.mark.slow  # two processes import torch


@pytest.fixture(scope="module")
def client():
    # Nothing is kept of the scheduler's own pages, which need a port.
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def rows():
    return make_blobs(4000, n_features=60, centers=2, random_state=0)[0].astype(np.float32)


@pytest.fixture
def sent(monkeypatch):
    """Count the bytes that go from here to the workers."""
    tcp, counted = distributed.comm.tcp.TCP, []
    write = tcp.write

    async def write_and_count(self, *args, **kwargs):
        counted.append(await write(self, *args, **kwargs))
        return counted[-1]

    monkeypatch.setattr(tcp, "write", write_and_count)
    return counted


def results(search, X):
    """Return what a search has found, but for the time that it took."""
    found = clone(search).fit(X).cv_results_
    return {name: list(values) for name, values in found.items() if "time" not in name}


def test_a_search_on_workers_equals_a_serial_one(client, rows):
    search = GridSearchCV(MODEL, RATES, cv=2)
    serial = results(search, rows)
    with joblib.parallel_config("dask"):
        assert results(search, rows) == serial


def test_a_search_sends_the_rows_once_to_each_worker(client, rows, sent):
    with joblib.parallel_config("dask"):
        results(GridSearchCV(MODEL, RATES, cv=2), rows)
    assert rows.nbytes <= sum(sent) < 3 * rows.nbytes  # rather than with each of 8 fits


def test_halving_raises_the_epochs_of_the_best(client, rows):
    epochs = {"resource": "max_epochs", "min_resources": 1, "max_resources": 4, "factor": 2}
    search = HalvingGridSearchCV(MODEL, RATES, cv=2, random_state=0, **epochs)
    serial = results(search, rows[:200])
    assert serial["n_resources"] == [1] * 4 + [2] * 2 + [4]
    with joblib.parallel_config("dask"):
        assert results(search, rows[:200]) == serial


def test_many_seeds_on_workers_equal_serial_ones(client, rows):
    vote = ConsensusClustering(MODEL, n_runs=3, random_state=0)
    serial = clone(vote).fit(rows[:200])
    with joblib.parallel_config("dask"):
        together = clone(vote).fit(rows[:200])
    assert np.array_equal(serial.labels_, together.labels_)


def test_a_worker_computes_on_as_many_threads_as_it_was_given(client, rows):
    def threads():
        import torch
        from threadpoolctl import threadpool_info

        clone(MODEL).fit(rows[:200])  # by which every library is loaded, and may start threads
        pools = {pool["num_threads"] for pool in threadpool_info()}
        return pools | {torch.get_num_threads()}, os.getpid()

    told = client.run(threads).values()
    assert [n for n, _ in told] == [{1}, {1}]
    assert len({os.getpid(), *(process for _, process in told)}) == 3
