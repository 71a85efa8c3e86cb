"""Every kind of store gives the rows that were written to it, and says what it cannot give."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from skdeepcluster import AutoencoderClustering
from skdeepcluster.sources import ChunkedRows, open_source

X = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
NAMES = list("abcd")


class Pairs(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, number):
        return X[number], 0


class Slices:
    """Anything with a shape, a type and slices of rows."""

    shape, dtype = X.shape, X.dtype

    def __getitem__(self, rows):
        return X[rows].tolist()


def hdf5(folder, chunks=(7, 4)):
    h5py = pytest.importorskip("h5py")
    return h5py.File(folder / "rows.h5", "w").create_dataset("X", data=X, chunks=chunks)


def hdf5_by_column(folder):
    return hdf5(folder, chunks=(60, 1))


def hdf5_without_chunks(folder):
    return hdf5(folder, chunks=None)


def zarr_array(folder):
    zarr = pytest.importorskip("zarr")
    return zarr.create_array(str(folder / "rows.zarr"), data=X, chunks=(7, 2))


def parquet(folder):
    pyarrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({name: X[:, i] for i, name in enumerate(NAMES)})
    files.write_table(table, folder / "rows.parquet", row_group_size=7)
    return files.ParquetFile(folder / "rows.parquet")


def parquet_of_vectors(folder):
    pyarrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.ravel()), 4)
    files.write_table(pyarrow.table({"code": vectors}), folder / "v.parquet", row_group_size=7)
    return files.ParquetFile(folder / "v.parquet")


def arrow_dataset(folder):
    parquet(folder)
    return pytest.importorskip("pyarrow.dataset").dataset(folder / "rows.parquet")


def csv_dataset(folder):
    pd.DataFrame(X, columns=NAMES).to_csv(folder / "rows.csv", index=False)
    return pytest.importorskip("pyarrow.dataset").dataset(folder / "rows.csv", format="csv")


def dask_array(folder):
    return pytest.importorskip("dask.array").from_array(X, chunks=(7, 4))


def dask_frame(folder):
    frame = pd.DataFrame(X, columns=NAMES)
    return pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=8)


STORES = [
    hdf5,
    hdf5_by_column,
    hdf5_without_chunks,
    zarr_array,
    parquet,
    parquet_of_vectors,
    arrow_dataset,
    csv_dataset,
    dask_array,
    dask_frame,
    lambda folder: Pairs(),
    lambda folder: TensorDataset(torch.from_numpy(X).bfloat16().float()),
    lambda folder: Slices(),
]


@pytest.fixture(params=STORES, ids=lambda make: make.__name__)
def store(request, tmp_path):
    return request.param(tmp_path)


def test_a_store_gives_its_rows(store):
    rows, exact = open_source(store), not isinstance(store, TensorDataset)
    assert rows.shape == X.shape
    assert np.allclose(rows[:], X, rtol=1e-6 if exact else 0.01)
    assert np.array_equal(rows.take(np.array([59, 0, 30, 0])), rows[:][[59, 0, 30, 0]])
    assert np.array_equal(rows[5:20], rows[:][5:20])


@pytest.mark.parametrize("make", [hdf5, zarr_array, parquet, parquet_of_vectors, dask_array])
def test_blocks_are_whole_chunks(make, tmp_path):
    store = make(tmp_path)
    rows = ChunkedRows(store, buffer_size=64 * 16 * 10)  # ten rows a block at most, if it can be
    assert rows.borders.tolist() == [0, 7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert ChunkedRows(store, buffer_size=64 * 16 * 14).borders.tolist() == [0, 14, 28, 42, 56, 60]


def test_a_small_store_is_no_different_from_an_array(store):
    model = AutoencoderClustering(
        2, latent_dim=2, hidden_layer_sizes=(8,), max_epochs=1, device="cpu", random_state=0
    )
    rows = open_source(store)[:]
    codes = model.fit(rows).transform(rows)
    assert np.array_equal(model.fit(store).transform(rows), codes)
    assert np.array_equal(model.predict(store), model.labels_)


@pytest.mark.parametrize("make", [parquet, arrow_dataset, dask_frame])
def test_columns_keep_their_names(make, tmp_path):
    model = AutoencoderClustering(2, latent_dim=2, hidden_layer_sizes=(8,), max_epochs=0)
    assert model.fit(make(tmp_path)).feature_names_in_.tolist() == NAMES


def test_a_dask_frame_may_have_flags_and_integers():
    frame = pd.DataFrame(X[:, :2].astype(np.float32), columns=["a", "b"])
    frame = frame.assign(flag=X[:, 2] > 0, short=np.arange(len(X), dtype=np.int16))
    store = pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=3)
    rows = open_source(store)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[:], frame.astype(np.float32))


def test_images_are_flattened():
    rows = ChunkedRows(X.reshape(60, 2, 2))
    assert rows.shape == X.shape and rows.row_shape == (2, 2)
    assert np.array_equal(rows[:], X)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


def table_of(column):
    pyarrow = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    return dataset.dataset(pyarrow.table({"a": [1.0, 2.0], "b": column}))


def frame_of(column):
    frame = pd.DataFrame({"a": 1.0, "b": column})
    return pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=1)


def unknown_rows():
    frame = pytest.importorskip("dask.dataframe").from_pandas(pd.DataFrame(X), npartitions=2)
    return frame.to_dask_array()


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: DataLoader(Pairs()), TypeError, "DataLoader.*Pass its dataset"),
        (Stream, TypeError, "Stream, which is read from front to back alone"),
        (lambda: TensorDataset(torch.empty(0, 4)), ValueError, "TensorDataset without rows"),
        (lambda: table_of(["x", "y"]), ValueError, "column 'b' of type string"),
        (lambda: table_of([[1.0], [2.0]]), ValueError, "fixed_size_list"),
        (lambda: table_of([1.0, None]), ValueError, "without a value in column 'b'"),
        (lambda: frame_of(["x", "y"]), ValueError, "column 'b' of type"),
        (lambda: frame_of(pd.Categorical(["x", "y"])), ValueError, "'b' of type category"),
        (unknown_rows, ValueError, "compute_chunk_sizes"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(make, kind, message):
    with pytest.raises(kind, match=message):
        open_source(make())[:]


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        (X[0], TypeError, "no shape, dtype and slices"),
        (X.tolist(), TypeError, "a list cannot be read by chunks"),
        (X.astype(complex), ValueError, "complex128; expected real numbers"),
        (X.astype(object), ValueError, "type object"),
        (np.zeros((2, 2, 2, 2, 2)), ValueError, "5 dimensions"),
    ],
)
def test_what_holds_no_rows_is_refused(source, kind, message):
    with pytest.raises(kind, match=message):
        ChunkedRows(source)


def test_a_buffer_has_a_size():
    with pytest.raises(ValueError, match="buffer_size=0"):
        ChunkedRows(X, buffer_size=0)


def test_rows_are_asked_for_by_slices():
    with pytest.raises(TypeError, match="by slices, and not by a list"):
        ChunkedRows(X)[[1, 2]]


def test_what_is_in_memory_is_no_store():
    frames = [pd.DataFrame(X), pd.Series(X[0]), torch.from_numpy(X), X, X.tolist()]
    assert [open_source(frame) for frame in frames] == [None] * 5
