r"""Terms about the pairs of a batch: a scalar each, with the weights of the rows in it.

Similarity is the cosine of two codes. With :math:`\tilde z = z / \lVert z \rVert` as the rows of a
matrix, all of them are :math:`C = \tilde Z \tilde Z^T`. A pair weighs :math:`w_i w_j`, which are 1
in the equations.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ._weights import positive, weights_of

__all__ = ["between_similarity", "pairwise_discrimination", "within_similarity"]


def pairwise_discrimination(
    codes: Tensor, anchors: Tensor, *, alpha: float = 0.0, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Similarity of the pairs of a batch that should be apart, less that of its anchors.

    .. math:: L_d = \frac{1}{|B|^2 - |A|} \sum_{i, j \notin A} |C_{ij}|
              - \frac{1 - \alpha}{|A|} \sum_{i, j \in A} C_{ij}

    Pairs are ordered in both sums. The first has the diagonal, which is constant; the second is 0
    without anchors.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        Codes :math:`z_i`.
    anchors : Tensor of bool, shape (n, n)
        The set A: pairs to be made similar. Symmetric.
    alpha : float, default=0.0
        Doubt about the anchors, below 1.
    sample_weight : Tensor of shape (n,), default=None
        Weights of the rows; None means 1.

    Returns
    -------
    loss : Tensor, a scalar
        In [alpha - 1, 2 - alpha].

    References
    ----------
    E. Tzoreff, O. Kogan and Y. Choukroun, "Deep discriminative latent space for clustering", 2018,
    equation 5.

    Examples
    --------
    >>> import torch
    >>> codes = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    >>> anchors = torch.tensor([[False, True, False], [True, False, False], [False] * 3])
    >>> pairwise_discrimination(codes, anchors)
    tensor(-0.5714)
    """
    units = F.normalize(codes)
    cosines = units @ units.T
    weight = weights_of(codes, sample_weight)
    pairs = weight[:, None] * weight
    apart, together = pairs * ~anchors, pairs * anchors
    return _mean(cosines.abs(), apart) - (1 - alpha) * _mean(cosines, together)


def between_similarity(
    codes: Tensor, labels: Tensor, n_clusters: int, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Similarity of the two clusters of a batch that are most alike.

    .. math:: L_b = \max_{k \neq l} \frac{1}{|C_k| |C_l|} \sum_{i \in C_k, j \in C_l} |C_{ij}|

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        Codes :math:`z_i`.
    labels : Tensor of int, shape (n,)
        Clusters of the rows, from 0.
    n_clusters : int
        Number of clusters; those without rows are left out.
    sample_weight : Tensor of shape (n,), default=None
        Weights of the rows; None means 1.

    Returns
    -------
    similarity : Tensor, a scalar
        In [0, 1]; 0 if there are no two clusters.

    References
    ----------
    E. Tzoreff, O. Kogan and Y. Choukroun, "Deep discriminative latent space for clustering", 2018,
    equation 9.

    Examples
    --------
    >>> import torch
    >>> codes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    >>> between_similarity(codes, torch.tensor([0, 1, 2]), n_clusters=3)
    tensor(0.8000)
    """
    units = F.normalize(codes)
    shares = _shares(codes, labels, n_clusters, sample_weight)
    similarity = shares @ (units @ units.T).abs() @ shares.T
    return (similarity - similarity.diag().diag()).amax()  # absent clusters are 0, none is less


def within_similarity(
    codes: Tensor, labels: Tensor, n_clusters: int, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Similarity within the clusters of a batch, summed over these.

    .. math:: L_w = \sum_k \frac{1}{|C_k|^2} \sum_{i, j \in C_k} C_{ij}
              = \sum_k \Bigl\lVert \frac{1}{|C_k|} \sum_{i \in C_k} \tilde z_i \Bigr\rVert^2

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        Codes :math:`z_i`.
    labels : Tensor of int, shape (n,)
        Clusters of the rows, from 0.
    n_clusters : int
        Number of clusters; those without rows add nothing.
    sample_weight : Tensor of shape (n,), default=None
        Weights of the rows; None means 1.

    Returns
    -------
    similarity : Tensor, a scalar
        In [0, n_clusters], higher for tighter clusters.

    References
    ----------
    E. Tzoreff, O. Kogan and Y. Choukroun, "Deep discriminative latent space for clustering", 2018,
    equation 10.

    Examples
    --------
    >>> import torch
    >>> codes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    >>> within_similarity(codes, torch.tensor([0, 0, 1]), n_clusters=2)
    tensor(1.5000)
    """
    means = _shares(codes, labels, n_clusters, sample_weight) @ F.normalize(codes)
    return means.square().sum()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean, or 0 without weight."""
    return (weights * values).sum() / positive(weights.sum())


def _shares(codes: Tensor, labels: Tensor, n_clusters: int, sample_weight: Tensor | None) -> Tensor:
    """Return every row's share of its cluster, shape (n_clusters, n)."""
    members = (torch.arange(n_clusters, device=labels.device)[:, None] == labels).to(codes.dtype)
    weight = members * weights_of(codes, sample_weight)
    return weight / positive(weight.sum(1, keepdim=True))
