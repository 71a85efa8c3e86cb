"""Shuffling by chunks: every row once, seeded, mixed, read ahead and no further."""

import threading

import numpy as np
import pytest
import torch

from skdeepcluster.engine.table import Table
from skdeepcluster.sources import ChunkedRows, shuffled

N, WIDTH = 1000, 2
X = np.arange(N * WIDTH, dtype=np.float64).reshape(N, WIDTH)


class Watched:
    """Rows in chunks of 10 that note how they were read."""

    shape, dtype, chunks = X.shape, X.dtype, (10, WIDTH)

    def __init__(self):
        self.reads, self.threads = [], set()

    def __getitem__(self, rows):
        self.reads.append((rows.start, rows.stop))
        self.threads.add(threading.current_thread().name)
        return X[rows]


@pytest.fixture
def watched():
    return Watched()


@pytest.fixture
def source(watched):
    return ChunkedRows(watched, buffer_size=X.nbytes // 5)


def numbers_of(source, sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [numbers for numbers, _ in shuffled(source, sizes, generator)]


def test_every_row_comes_once(source):
    found = list(shuffled(source, [64] * 15 + [40]))
    numbers, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert [len(part) for part, _ in found] == [64] * 15 + [40]
    assert np.array_equal(np.sort(numbers), np.arange(N))
    assert np.array_equal(rows, X[numbers])


def test_a_seed_gives_one_order(source):
    one, again, other = (numbers_of(source, [100] * 10, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_the_generator_stands_alike_wherever_an_epoch_ends(source):
    states = []
    for n_batches in (1, 10):
        generator = torch.Generator().manual_seed(0)
        epoch = shuffled(source, [100] * 10, generator)
        for _ in range(n_batches):
            next(epoch)
        epoch.close()
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_a_batch_holds_rows_from_far_apart(source):
    """Half a buffer holds a tenth of the rows; of a few chunks their places would spread less."""
    spreads = [np.std(numbers) for numbers in numbers_of(source, [50] * 20)]
    assert np.mean(spreads) > 0.8 * np.std(np.arange(N))
    jumps = np.abs(np.diff(np.concatenate(numbers_of(source, [50] * 20))))
    assert np.mean(jumps == 1) < 0.05


def test_chunks_are_read_once_and_as_they_are(source, watched):
    list(shuffled(source, [100] * 10))
    assert sorted(watched.reads) == [(a, a + 10) for a in range(0, N, 10)]
    assert all(name.startswith("rows") for name in watched.threads)


def test_half_a_buffer_is_read_ahead_and_no_more(source, watched):
    epoch = shuffled(source, [10] * 100)
    next(epoch)
    epoch.close()  # waits for the reading that is under way
    assert len(watched.reads) * 10 * 16 <= source.buffer_size
    assert len(watched.reads) > len(source.borders) // 10
    assert not [t for t in threading.enumerate() if t.name.startswith("rows")]


def test_what_is_not_finite_is_told_by_whoever_asks(watched):
    broken = np.where(np.arange(N)[:, None] == 700, np.nan, X)
    source = ChunkedRows(broken, buffer_size=X.nbytes // 5)
    with pytest.raises(ValueError, match="X contains NaN"):
        list(shuffled(source, [100] * 10))


def test_a_table_pairs_rows_with_their_columns(source):
    table = Table(source, weight=torch.arange(N))
    batches = list(table.batches(333))
    assert [len(batch["index"]) for batch in batches] == [333, 333, 334]  # no batch of one row
    for batch in batches:
        assert torch.equal(batch["weight"], batch["index"])
        assert torch.equal(batch["X"], torch.from_numpy(X)[batch["index"]])


def test_neighbouring_tiles_cost_one_read(source, watched):
    for begin in range(0, N, 2):
        Table(source).batch(torch.arange(begin, begin + 2))
    assert len(watched.reads) == N / 10


def test_a_part_of_the_rows_is_loaded_if_it_fits(source):
    table = Table(source, label=torch.arange(N))
    few, many = table.subset(torch.tensor([7, 3, 900])), table.subset(torch.arange(1, N, 2))
    assert not few.on_disk and many.on_disk
    assert few.batch(torch.tensor([1]))["X"].tolist() == [[6, 7]]
    found = torch.cat([batch["X"] for batch in many.batches(64)])
    assert sorted(found[:, 0].tolist()) == X[1::2, 0].tolist()
    assert all(torch.equal(b["label"] * 2.0, b["X"][:, 0]) for b in many.batches(64))
    with pytest.raises(ValueError, match="in their order"):
        table.subset(torch.arange(N).flip(0))
