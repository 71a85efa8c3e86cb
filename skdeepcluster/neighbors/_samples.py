"""Nearest samples: for every row the sample that it is matched with.

Distances are Euclidean, between rows of any shape. They are taken pair by pair, not by a matrix
product, so that equal samples are at exactly equal distances and the first of them is the nearest.
`nearest` and `two_stage_nearest` hold no more than `PAIRS` of them at a time; the assignments must
see all, and hold as many as there are rows times samples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = [
    "centroids",
    "distances",
    "distinct_nearest",
    "nearest",
    "two_stage_distinct",
    "two_stage_nearest",
]

FAR = 1e100  # in place of a distance that is not finite, which an assignment cannot weigh
PAIRS = 2**22  # of a row and a sample, whose distances are held at once: 16 MB


def nearest(rows: Tensor, samples: Tensor) -> Tensor:
    """Find the nearest sample of every row.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        What to find samples for.
    samples : Tensor of shape (m, ...)
        Where to look.

    Returns
    -------
    index : Tensor of shape (n,)
        Of the nearest sample; the first of several at the same distance.

    Examples
    --------
    >>> import torch
    >>> nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [4.0], [9.0]]))
    tensor([0, 1])
    """
    parts = rows.split(max(1, PAIRS // len(samples)))
    return torch.cat([distances(part, samples).argmin(1) for part in parts])


def centroids(samples: Tensor, components: Tensor, n_components: int) -> Tensor:
    """Return the mean sample of every component.

    Parameters
    ----------
    samples : Tensor of shape (m, ...)
        Samples.
    components : Tensor of shape (m,)
        Component of every sample, in 0..n_components-1.
    n_components : int
        Number of components.

    Returns
    -------
    centroids : Tensor of shape (n_components, ...)
        Infinitely far away where a component has no samples, so that no row is nearest to it.

    Examples
    --------
    >>> import torch
    >>> centroids(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]), 2)
    tensor([[2.],
            [inf]])
    """
    sums = samples.new_zeros(n_components, *samples.shape[1:]).index_add_(0, components, samples)
    counts = torch.bincount(components, minlength=n_components)
    means = sums / counts.clamp_min(1).reshape(-1, *[1] * (samples.ndim - 1))
    means[counts == 0] = torch.inf
    return means


def two_stage_nearest(
    rows: Tensor, samples: Tensor, components: Tensor, n_components: int
) -> Tensor:
    """Find the component whose centroid is nearest to a row, then the nearest of its samples.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        What to find samples for.
    samples : Tensor of shape (m, ...)
        Where to look.
    components : Tensor of shape (m,)
        Component of every sample, in 0..n_components-1. Some may have no samples.
    n_components : int
        Number of components.

    Returns
    -------
    index : Tensor of shape (n,)
        Of the nearest sample; where distances are equal, the first component and its first sample.

    References
    ----------
    G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
    University of Ioannina, 2021, algorithm 5.2.

    Examples
    --------
    The sample at 4 is nearer, but belongs to a component whose centroid, 12, is not.

    >>> import torch
    >>> samples = torch.tensor([[1.0], [4.0], [20.0]])
    >>> two_stage_nearest(torch.tensor([[3.0]]), samples, torch.tensor([0, 1, 1]), 2)
    tensor([0])
    """
    chosen = nearest(rows, centroids(samples, components, n_components))
    return _within(nearest, rows, samples, components, chosen)


def distinct_nearest(rows: Tensor, samples: Tensor) -> Tensor:
    """Assign a sample of its own to every row, at the least total squared distance.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        What to find samples for.
    samples : Tensor of shape (m, ...)
        Where to look; at least as many as rows.

    Returns
    -------
    index : Tensor of shape (n,)
        Of a sample for every row, no two alike.

    Examples
    --------
    >>> import torch
    >>> distinct_nearest(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [9.0]]))
    tensor([0, 1])
    """
    return _assigned(distances(rows, samples))


def two_stage_distinct(
    rows: Tensor, samples: Tensor, components: Tensor, n_components: int
) -> Tensor:
    """Assign to every row a component, as often as this has samples, then a sample of its own.

    Both are assignments of least total squared distance: to the centroids, and within components.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        What to find samples for.
    samples : Tensor of shape (m, ...)
        Where to look; at least as many as rows.
    components : Tensor of shape (m,)
        Component of every sample, in 0..n_components-1. Some may have no samples.
    n_components : int
        Number of components.

    Returns
    -------
    index : Tensor of shape (n,)
        Of a sample for every row, no two alike.

    Examples
    --------
    One row more would have the nearest sample at 3, but component 0 has two samples only.

    >>> import torch
    >>> samples, components = torch.tensor([[0.0], [3.0], [20.0]]), torch.tensor([0, 0, 1])
    >>> two_stage_distinct(torch.tensor([[2.0], [1.0], [4.0]]), samples, components, 2)
    tensor([1, 0, 2])
    """
    to_centroids = distances(rows, centroids(samples, components, n_components))
    chosen = components[_assigned(to_centroids[:, components])]
    return distinct_within(rows, samples, components, chosen)


def distinct_within(rows: Tensor, samples: Tensor, components: Tensor, chosen: Tensor) -> Tensor:
    """Assign to every row a sample of its own, of the component that is chosen for it.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        What to find samples for.
    samples : Tensor of shape (m, ...)
        Where to look.
    components : Tensor of shape (m,)
        Component of every sample.
    chosen : Tensor of shape (n,)
        Component of every row, no more often than there are samples of it.

    Returns
    -------
    index : Tensor of shape (n,)
        Of a sample for every row, no two alike, at the least total squared distance.

    Examples
    --------
    >>> import torch
    >>> samples, components = torch.tensor([[0.0], [3.0], [20.0]]), torch.tensor([0, 0, 1])
    >>> chosen = torch.tensor([0, 1, 0])
    >>> distinct_within(torch.tensor([[2.0], [1.0], [4.0]]), samples, components, chosen)
    tensor([0, 2, 1])
    """
    return _within(distinct_nearest, rows, samples, components, chosen)


def _within(
    search: Callable[[Tensor, Tensor], Tensor],
    rows: Tensor,
    samples: Tensor,
    components: Tensor,
    chosen: Tensor,
) -> Tensor:
    """Let every row search among the samples of the component that was chosen for it."""
    index = torch.empty_like(chosen)
    for component in chosen.unique():
        here, there = ((of == component).nonzero().flatten() for of in (chosen, components))
        index[here] = there[search(rows[here], samples[there])]
    return index


def _assigned(apart: Tensor) -> Tensor:
    """Return a column for every row, no two alike, at the least sum of squared distances."""
    finite = apart.cpu().double().nan_to_num(nan=FAR, posinf=FAR)
    _, column = linear_sum_assignment(finite.square().numpy())
    return torch.from_numpy(column).to(apart.device)


def distances(rows: Tensor, others: Tensor) -> Tensor:
    """Return the distance of every pair.

    Parameters
    ----------
    rows, others : Tensor of shape (n, ...) and (m, ...)
        Rows of one shape.

    Returns
    -------
    distances : Tensor of shape (n, m)
        At least 0; the same for equal pairs, wherever they stand.

    Examples
    --------
    >>> import torch
    >>> distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    flat = rows.flatten(1), others.flatten(1).to(rows.dtype)
    return torch.cdist(*flat, compute_mode="donot_use_mm_for_euclid_dist")
