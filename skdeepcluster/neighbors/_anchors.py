"""Anchors: pairs of rows that are so alike in the raw data that they should share a cluster."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

__all__ = ["anchors_among", "closest_pairs", "mutual_neighbor_lists", "mutual_neighbors"]


def mutual_neighbors(rows: Tensor, n_neighbors: int) -> Tensor:
    """Pair the rows that are among each other's nearest neighbours.

    Every row has a say in its own pairs, so that dense regions do not take them all, as they do
    with :func:`closest_pairs`.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        Rows of the raw data; Euclidean distances count.
    n_neighbors : int
        Neighbours of a row, at least 1; n - 1 if there are not so many.

    Returns
    -------
    anchors : Tensor of bool, shape (n, n)
        Symmetric, False on the diagonal.

    Examples
    --------
    >>> import torch
    >>> mutual_neighbors(torch.tensor([[0.0], [1.0], [3.0]]), n_neighbors=1)
    tensor([[False,  True, False],
            [ True, False, False],
            [False, False, False]])
    """
    _, nearest = _nearest(rows, n_neighbors)
    graph = _adjacency(nearest)
    return graph & graph.T


def closest_pairs(rows: Tensor, n_neighbors: int, share: float) -> Tensor:
    """Pair the rows that are joined by the shortest edges of the graph of nearest neighbours.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        Rows of the raw data; Euclidean distances count.
    n_neighbors : int
        Neighbours of a row in the graph, at least 1; n - 1 if there are not so many.
    share : float
        Share of the edges that are kept, in (0, 1]; at least one is.

    Returns
    -------
    anchors : Tensor of bool, shape (n, n)
        Symmetric, False on the diagonal.

    References
    ----------
    E. Tzoreff, O. Kogan and Y. Choukroun, "Deep discriminative latent space for clustering", 2018,
    section 3.1.

    Examples
    --------
    >>> import torch
    >>> closest_pairs(torch.tensor([[0.0], [1.0], [3.0]]), n_neighbors=1, share=0.5)
    tensor([[False,  True, False],
            [ True, False, False],
            [False, False, False]])
    """
    distances, nearest = _nearest(rows, n_neighbors)
    n_kept = max(1, int(round(share * distances.numel(), 9)))  # .29 * 100 < 29
    longest = distances.flatten().kthvalue(n_kept).values
    graph = _adjacency(nearest, distances <= longest)
    return graph | graph.T


def mutual_neighbor_lists(rows: ArrayLike, n_neighbors: int) -> NDArray[np.intp]:
    """List the mutual nearest neighbours of every row of a whole data set.

    Parameters
    ----------
    rows : array-like of shape (n, d)
        Rows of the raw data; Euclidean distances count.
    n_neighbors : int
        Neighbours of a row, at least 1; n - 1 if there are not so many.

    Returns
    -------
    neighbors : ndarray of shape (n, n_neighbors)
        Their row numbers, nearest first; -1 where a neighbour is not mutual.

    Examples
    --------
    >>> mutual_neighbor_lists([[0.0], [1.0], [3.0]], n_neighbors=1).ravel()
    array([ 1,  0, -1])
    """
    rows = np.asarray(rows)
    search = NearestNeighbors(n_neighbors=min(n_neighbors, len(rows) - 1)).fit(rows)
    nearest = search.kneighbors(return_distance=False)
    back = (nearest[nearest] == np.arange(len(rows))[:, None, None]).any(axis=2)
    return np.where(back, nearest, -1)


def anchors_among(numbers: Tensor, neighbors: Tensor) -> Tensor:
    """Pair the rows of a batch that :func:`mutual_neighbor_lists` joins.

    Parameters
    ----------
    numbers : Tensor of int, shape (n,)
        Row numbers of the batch.
    neighbors : Tensor of int, shape (n, n_neighbors)
        The lists of these rows.

    Returns
    -------
    anchors : Tensor of bool, shape (n, n)
        Symmetric, False on the diagonal.

    Examples
    --------
    >>> import torch
    >>> anchors_among(torch.tensor([5, 8]), torch.tensor([[8, -1], [5, 3]]))
    tensor([[False,  True],
            [ True, False]])
    """
    return (neighbors[:, :, None] == numbers).any(1)


def _nearest(rows: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
    """Return the distances to the nearest neighbours of every row, and their places."""
    rows = rows.detach().flatten(1).float()
    with torch.autocast(rows.device.type, enabled=False):  # ranks need the digits
        distances = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    found = distances.topk(min(n_neighbors, len(rows) - 1), largest=False)
    return found.values, found.indices


def _adjacency(nearest: Tensor, kept: Tensor | None = None) -> Tensor:
    """Return the graph with edges from every row to its nearest ones, or those that are kept."""
    edges = torch.ones_like(nearest, dtype=torch.bool) if kept is None else kept
    graph = edges.new_zeros(len(nearest), len(nearest))
    return graph.scatter_(1, nearest, edges)
