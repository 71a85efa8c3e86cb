"""Anchors: pairs of rows that should share a cluster, against searches by hand."""

import numpy as np
import pytest
import torch

from skdeepcluster.neighbors import (
    anchors_among,
    closest_pairs,
    mutual_neighbor_lists,
    mutual_neighbors,
)


@pytest.fixture
def rows():
    return torch.randn(60, 4, generator=torch.Generator().manual_seed(0))


def nearest_by_hand(rows, n_neighbors):
    """The numbers of the nearest neighbours of every row, by a sort of all distances."""
    lists = []
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        others.sort(key=lambda j, row=row: float(((rows[j] - row) ** 2).sum()))
        lists.append(others[:n_neighbors])
    return lists


def test_mutual_neighbors(rows):
    lists = nearest_by_hand(rows, 3)
    expected = [[j in lists[i] and i in lists[j] for j in range(60)] for i in range(60)]
    found = mutual_neighbors(rows, 3)
    assert found.tolist() == expected
    assert found.any()


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_closest_pairs(rows, share):
    edges = [(i, j) for i, near in enumerate(nearest_by_hand(rows, 3)) for j in near]
    edges.sort(key=lambda edge: float(((rows[edge[0]] - rows[edge[1]]) ** 2).sum()))
    expected = torch.zeros(60, 60, dtype=torch.bool)
    for i, j in edges[: int(share * 180)]:
        expected[i, j] = expected[j, i] = True
    # The two directions of an edge tie; the last of those kept brings the other along anyway.
    assert closest_pairs(rows, 3, share).equal(expected)


def test_images_are_compared_as_vectors(rows):
    images = rows.reshape(60, 1, 2, 2)
    assert mutual_neighbors(images, 3).equal(mutual_neighbors(rows, 3))
    assert closest_pairs(images, 3, 0.5).equal(closest_pairs(rows, 3, 0.5))


def test_neighbors_are_as_many_as_there_are():
    pair = torch.tensor([[0.0], [1.0]])
    expected = torch.tensor([[False, True], [True, False]])
    assert mutual_neighbors(pair, 5).equal(expected)
    assert closest_pairs(pair, 5, 0.1).equal(expected)
    assert mutual_neighbor_lists(pair, 5).tolist() == [[1], [0]]


def test_global_anchors_of_a_whole_table_are_those_of_a_batch(rows):
    """In a batch of all rows, in any order, both rules mean the same."""
    lists = torch.from_numpy(mutual_neighbor_lists(rows, 3))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    found = anchors_among(order, lists[order])
    assert found.equal(mutual_neighbors(rows[order], 3))


def test_global_anchors_outside_a_batch_do_not_count(rows):
    lists = torch.from_numpy(mutual_neighbor_lists(rows, 3))
    some = torch.arange(0, 60, 2)
    found = anchors_among(some, lists[some])
    assert found.equal(mutual_neighbors(rows, 3)[some][:, some])
    assert found.equal(found.T)


def test_lists_are_numbers_of_rows_or_nothing(rows):
    lists = mutual_neighbor_lists(rows, 3)
    assert lists.shape == (60, 3)
    assert np.isin(lists, np.arange(-1, 60)).all()
    assert (lists != np.arange(60)[:, None]).all()
