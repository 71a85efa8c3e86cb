"""The search for nearest samples, against brute force in NumPy."""

from itertools import permutations

import numpy as np
import pytest
import torch

from skdeepcluster.neighbors import (
    _samples,
    centroids,
    distinct_nearest,
    nearest,
    two_stage_distinct,
    two_stage_nearest,
)


def brute_force(rows, samples, components, n_components):
    """Algorithm 5.2 row by row: the first of the nearest centroids, then of its samples."""
    members = [np.flatnonzero(components == c) for c in range(n_components)]
    found = []
    for row in rows:
        to_centroid = [
            np.square(samples[m].mean(0) - row).sum() if len(m) else np.inf for m in members
        ]
        own = members[int(np.argmin(to_centroid))]
        found.append(own[np.argmin(np.square(samples[own] - row).sum(1))])
    return found


def searched(rows, samples, components, n_components):
    tensors = map(torch.from_numpy, (rows, samples, components))
    return two_stage_nearest(*tensors, n_components).tolist()


@pytest.fixture(params=[_samples.PAIRS, 40], ids=["at once", "in chunks"])
def _pairs(request, monkeypatch):
    monkeypatch.setattr(_samples, "PAIRS", request.param)


@pytest.mark.usefixtures("_pairs")
@pytest.mark.parametrize("n_components", [1, 5, 30], ids=["one", "full", "some empty"])
def test_two_stages_equal_brute_force(n_components):
    rng = np.random.RandomState(n_components)
    for _ in range(5):
        rows, samples = rng.normal(size=(23, 4)), rng.normal(size=(37, 4))
        components = rng.randint(n_components, size=37)
        expected = brute_force(rows, samples, components, n_components)
        assert searched(rows, samples, components, n_components) == expected


@pytest.mark.usefixtures("_pairs")
def test_of_equal_distances_the_first_counts():
    """Whole numbers, half of the samples twice, and components with one and the same centroid."""
    rng = np.random.RandomState(0)
    for _ in range(5):
        half = rng.randint(3, size=(20, 2)).astype(np.float32)
        samples, rows = np.concatenate([half, half]), rng.randint(3, size=(25, 2)).astype("f")
        components = np.arange(40) // 4 % 5  # each component has the same samples in both halves
        expected = brute_force(rows, samples, components, 7)
        assert searched(rows, samples, components, 7) == expected


@pytest.mark.usefixtures("_pairs")
def test_the_global_search_equals_brute_force():
    rng = np.random.RandomState(0)
    rows, samples = rng.normal(size=(23, 2, 3)), rng.normal(size=(37, 2, 3))
    distances = np.square(rows[:, None] - samples).sum((2, 3))
    found = nearest(torch.from_numpy(rows), torch.from_numpy(samples))
    np.testing.assert_array_equal(found, distances.argmin(1))


def test_no_more_distances_than_allowed_are_held(monkeypatch):
    sizes = []
    cdist = torch.cdist

    def spy(rows, samples, **kwargs):
        sizes.append(len(rows) * len(samples))
        return cdist(rows, samples, **kwargs)

    monkeypatch.setattr(torch, "cdist", spy)
    monkeypatch.setattr(_samples, "PAIRS", 50)
    nearest(torch.randn(33, 2), torch.randn(20, 2))
    assert len(sizes) == 17 and max(sizes) <= 50
    nearest(torch.randn(3, 2), torch.randn(70, 2))  # one row at a time is the least there is
    assert max(sizes) == 70


def test_centroids_are_means():
    samples = torch.arange(8.0).reshape(4, 1, 2)
    found = centroids(samples, torch.tensor([2, 0, 2, 2]), 3)
    assert found[0].tolist() == [[2, 3]]
    assert torch.isinf(found[1]).all()
    torch.testing.assert_close(found[2], samples[[0, 2, 3]].mean(0))


def test_distinct_samples_cost_least():
    """Against every way of giving four rows some of six samples."""
    rng = np.random.RandomState(0)
    for _ in range(5):
        rows, samples = rng.normal(size=(4, 2, 1)), rng.normal(size=(6, 2, 1))
        found = distinct_nearest(torch.from_numpy(rows), torch.from_numpy(samples)).tolist()
        ways = [list(way) for way in permutations(range(6), 4)]
        assert found == min(ways, key=lambda way: np.square(samples[way] - rows).sum())


def test_two_stages_of_distinct_samples_cost_least():
    """First the distances to centroids count, then those to samples."""
    rng = np.random.RandomState(0)
    components = np.array([0, 1, 1, 0, 1, 0])
    for _ in range(5):
        rows, samples = rng.normal(size=(4, 2, 1)), rng.normal(size=(6, 2, 1))
        means = np.stack([samples[components == j].mean(0) for j in range(2)])[components]

        def cost(way, rows=rows, samples=samples, means=means):
            return [round(np.square(of[way] - rows).sum(), 9) for of in (means, samples)]

        found = two_stage_distinct(*map(torch.from_numpy, (rows, samples, components)), 2)
        assert found.tolist() == min((list(way) for way in permutations(range(6), 4)), key=cost)


def test_samples_that_are_not_finite_are_the_last_to_be_taken():
    samples = torch.tensor([[torch.nan], [3.0], [torch.inf], [7.0]])
    assert distinct_nearest(torch.zeros(2, 1), samples).sort().values.tolist() == [1, 3]
