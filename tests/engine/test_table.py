"""Rows of every kind are read alike; batches and tiles keep their promises."""

import warnings
import weakref

import numpy as np
import pytest
import torch
from scipy import sparse
from toys import make_rows

from skdeepcluster._tiles import TILE
from skdeepcluster.engine.table import Table, encoded, tiled

N, WIDTH = 23, 4


def read(table):
    """All rows of a table in order."""
    return table.batch(torch.arange(len(table)))["X"]


def packed_field(X):
    """The rows as one field of records, so that strides are no multiple of the item size."""
    records = np.zeros(X.shape, dtype=[("flag", np.uint8), ("value", X.dtype)])
    records["value"] = X
    return records["value"]


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "rows reversed": lambda X: X[::-1].copy()[::-1],
    "columns reversed": lambda X: X[:, ::-1].copy()[:, ::-1],
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "field of records": packed_field,
    "other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "CSR": sparse.csr_array,
    "CSR matrix": sparse.csr_matrix,
}


@pytest.fixture
def X():
    rows = make_rows(N, WIDTH)
    rows[rows < 0] = 0  # something for sparse matrices to leave out
    return rows


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_reads_as_the_same_rows(X, layout):
    source = layout(X)
    if not sparse.issparse(source):
        np.testing.assert_array_equal(source, X)
    rows = torch.tensor([3, 0, 3, 22])
    assert torch.equal(Table(source).batch(rows)["X"], torch.from_numpy(X)[rows])


@pytest.mark.parametrize(
    "dtype", ["f8", ">f8", "f4", "f2", ">f2", "u1", "u2", ">u4", "u8", "i1", "i2", ">i4", "i8"]
)
def test_types_are_kept_until_the_model_scales_them(X, dtype):
    source = (X * 40).astype(dtype)
    found = read(Table(source))
    assert found.element_size() == source.itemsize
    np.testing.assert_array_equal(found.numpy(), source)


def test_arrays_are_shared_and_never_written_to(X):
    X.flags.writeable = False
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        table = Table(X)
    assert not shown
    assert torch.equal(read(table), torch.from_numpy(X.copy()))
    shared = make_rows(N)
    table = Table(shared)
    shared[5] = 7.0
    assert (read(table)[5] == 7).all()


def test_a_read_only_memory_map_reads_as_its_array(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert torch.equal(read(Table(mapped)), torch.from_numpy(X))


def test_columns_travel_with_their_rows():
    table = Table(make_rows(N), weight=torch.arange(N), pair=torch.randn(N, 2))
    rows = torch.tensor([4, 1, 1])
    batch = table.batch(rows)
    assert batch.keys() == {"X", "index", "weight", "pair"}
    assert torch.equal(batch["index"], rows)
    assert torch.equal(batch["weight"], rows)
    assert torch.equal(batch["pair"], table.columns["pair"][rows])
    table.columns["label"] = -torch.arange(N)
    assert torch.equal(table.batch(rows)["label"], -rows)


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (24, 8, [8, 8, 8]),
        (23, 8, [8, 8, 7]),
        (25, 8, [8, 8, 9]),  # a last batch of one row is joined to the one before
        (9, 8, [9]),
        (5, 8, [5]),
        (1, 8, [1]),
        (2, 1, [2]),
        (4, 1, [1, 1, 2]),
    ],
)
def test_batches_cover_the_rows_once_and_a_single_last_row_is_joined(n, batch_size, sizes):
    table = Table(make_rows(n))
    batches = list(table.batches(batch_size))
    assert [len(batch["X"]) for batch in batches] == sizes
    assert table.n_batches(batch_size) == len(sizes)
    rows = torch.cat([batch["index"] for batch in batches])
    assert torch.equal(rows.sort().values, torch.arange(n))


def test_batches_are_shuffled_anew_by_the_generator_of_torch():
    table = Table(make_rows(N))

    def orders(n):
        torch.manual_seed(3)
        return [torch.cat([b["index"] for b in table.batches(4)]).tolist() for _ in range(n)]

    first, second = orders(2)
    assert first != second
    assert orders(2) == [first, second]


@pytest.mark.parametrize("n", [1, 9, TILE - 1, TILE, TILE + 1, 2 * TILE + 5])
def test_a_function_sees_every_row_in_tiles_of_few_sizes(n):
    X, seen = make_rows(n), []

    def function(batch):
        seen.append(len(batch["X"]))
        return batch["X"]

    assert torch.equal(tiled(function, Table(X)), torch.from_numpy(X))
    assert set(seen) <= {8, 16, 32, 64, 128, TILE}


def test_tiles_are_not_kept():
    """Each is written into the result and freed, before the next but one is read."""
    seen = []

    def function(batch):
        assert all(tile() is None for tile in seen[:-1])
        memory = batch["X"].numpy() + 1  # which lives as long as a tensor shows it
        seen.append(weakref.ref(memory))
        return torch.from_numpy(memory)

    assert tiled(function, Table(make_rows(5 * TILE))).shape == (5 * TILE, WIDTH)
    assert len(seen) == 5


@pytest.mark.parametrize("layout", [np.ascontiguousarray, sparse.csr_array])
def test_a_subset_reads_its_rows_from_the_whole(X, layout):
    rows = torch.tensor([20, 3, 7])
    whole = Table(layout(X), weight=torch.arange(N).float())
    part = whole.subset(rows)
    assert len(part) == 3
    batch = part.batch(torch.tensor([2, 0]))
    assert torch.equal(batch["X"], torch.from_numpy(X)[[7, 20]])
    assert batch["weight"].tolist() == [7, 20]
    assert batch["index"].tolist() == [2, 0]
    part.columns["label"] = torch.zeros(3)
    part.columns["weight"].zero_()
    assert set(whole.columns) == {"weight"} and len(whole) == N
    assert whole.array("weight").tolist() == list(range(N))
    assert torch.equal(read(part.subset(torch.tensor([1]))), torch.from_numpy(X)[[3]])


def test_tiles_are_calculated_without_gradients():
    weight = torch.ones(WIDTH, requires_grad=True)
    assert not tiled(lambda batch: batch["X"] @ weight, Table(make_rows(N))).requires_grad


def make_network(kind):
    torch.manual_seed(0)
    if kind == "mlp":
        layers = [torch.nn.Linear(36, 50), torch.nn.ReLU(), torch.nn.Linear(50, 3)]
    else:
        convolution = torch.nn.Conv2d(1, 8, 3, padding=1)
        layers = [torch.nn.Unflatten(1, (1, 6, 6)), convolution, torch.nn.ReLU()]
        layers += [torch.nn.Flatten(), torch.nn.Linear(288, 3)]
    return torch.nn.Sequential(*layers).eval()


@pytest.mark.parametrize("kind", ["mlp", "convolutional"])
def test_the_result_of_a_row_depends_on_nothing_beside_it(kind):
    """Subsets, order, position in a tile, and a row all by itself.

    Bit for bit where the processor's kernels treat all places in a tile alike. Those of AVX2 alone
    round a row by its place, if a layer's width leaves their registers partly empty.
    """
    network, X = make_network(kind), make_rows(TILE + 70, 36)

    def apply(rows):
        return tiled(lambda batch: network(batch["X"]), Table(X[rows]))

    rng = np.random.default_rng(1)
    whole = apply(slice(None))
    for size in (1, 2, 7, TILE, TILE + 3):
        rows = rng.permutation(len(X))[:size]
        torch.testing.assert_close(apply(rows), whole[torch.from_numpy(rows)], rtol=1e-6, atol=1e-6)


def test_codes_that_are_not_finite_are_counted_and_named():
    X = make_rows(TILE + 70, 3)
    X[[4, TILE + 9], 1] = 0
    table = Table(X)
    with pytest.raises(ValueError, match=rf"for 2 of {TILE + 70} rows: 4, {TILE + 9}\. The rows"):
        encoded(lambda batch: 1 / batch["X"], table)
    assert encoded(lambda batch: batch["X"], table).shape == X.shape
