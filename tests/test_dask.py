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
array = pytest.importorskip("dask.array")

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


# -- predictions over what is elsewhere --------------------------------------------------------

METHODS = ["predict", "predict_proba", "transform", "score_samples", "outlier_scores"]


@pytest.fixture(scope="module")
def fitted(rows):
    """Two that have all methods between them."""
    common = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
    heads = {"gmm": 2, "hdbscan": "auto"}
    return [AutoencoderClustering(k, head=h, **common).fit(rows[:300]) for h, k in heads.items()]


def answers(fitted, method):
    """The bound methods of those who have it."""
    found = [getattr(model, method) for model in fitted if hasattr(model, method)]
    assert found
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_over_an_array_are_lazy_and_equal(fitted, rows, method, dtype):
    X = rows[:300].astype(dtype)
    for answer in answers(fitted, method):
        lazy, now = answer(array.from_array(X, chunks=(70, 25))), answer(X)
        assert isinstance(lazy, array.Array)
        assert (lazy.shape, lazy.dtype, lazy.ndim) == (now.shape, now.dtype, lazy._meta.ndim)
        computed = lazy.compute()
        assert computed.dtype == now.dtype
        np.testing.assert_array_equal(computed, now)


@pytest.mark.parametrize("method", METHODS[:4])
def test_predictions_over_a_frame_keep_the_names(rows, method, recwarn):
    pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(rows[:200, :3], columns=["a", "b", "c"])
    model = clone(MODEL).set_params(head="gmm").fit(frame)
    lazy = getattr(model, method)(frames.from_pandas(frame, npartitions=3))
    np.testing.assert_array_equal(lazy.compute(), getattr(model, method)(frame))
    assert not [w for w in recwarn if "feature names" in str(w.message)]


def test_nothing_is_computed_before_somebody_asks(fitted, rows):
    seen = []
    X = array.from_array(rows[:300], chunks=(100, -1)).map_blocks(
        lambda block: (seen.append(len(block)), block)[1], dtype=rows.dtype, meta=rows[:0]
    )
    lazy = fitted[0].predict(X)
    assert not seen
    lazy[:50].compute(scheduler="sync")
    assert seen == [100]


def test_a_partition_may_be_empty(fitted, rows):
    X = array.from_array(rows[:300], chunks=(100, -1))
    some = X[array.from_array(np.arange(300) < 100, chunks=100)]
    assert fitted[0].predict(some).compute().shape == (100,)


def test_images_of_an_array_are_predicted(rows):
    images = rows[:60].reshape(60, 1, 6, 10)
    model = clone(MODEL).set_params(hidden_layer_sizes=(4,)).fit(images)
    lazy = model.transform(array.from_array(images, chunks=(20, 1, 3, 5)))
    np.testing.assert_array_equal(lazy.compute(), model.transform(images))


def test_rows_of_another_width_are_refused_at_once(fitted, rows):
    with pytest.raises(ValueError, match="59 features"):
        fitted[0].predict(array.from_array(rows[:, :59], chunks=(100, -1)))


def test_workers_predict_by_a_model_that_is_sent_once(client, fitted, rows):
    lazy = fitted[0].predict(array.from_array(rows[:300], chunks=(100, -1)))
    np.testing.assert_array_equal(client.compute(lazy).result(), fitted[0].predict(rows[:300]))
    graph = lazy.__dask_graph__()
    models = [key for key in graph if "AutoencoderClustering" in str(key)]
    assert len(models) == 1
