r"""Soft assignments of codes to centres, and what they are trained towards."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "kl_divergence",
    "squared_distances",
    "student_t_log_proba",
    "target_distribution",
]


def student_t_log_proba(codes: Tensor, centers: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Logarithm of DEC's soft assignment of codes to centres, by a Student-t kernel.

    .. math:: q_{ij} = \frac{(1 + \lVert z_i - \mu_j \rVert^2 / \alpha)^{-(\alpha + 1) / 2}}
              {\sum_{j'} (1 + \lVert z_i - \mu_{j'} \rVert^2 / \alpha)^{-(\alpha + 1) / 2}}

    The logarithm stays exact for codes far from every centre and for large :math:`\alpha`, where
    numerator and denominator vanish together.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        Embedded rows :math:`z_i`.
    centers : Tensor of shape (k, d)
        Cluster centres :math:`\mu_j`.
    alpha : float, default=1.0
        Degrees of freedom, positive. The kernel tends to a Gaussian as it grows.

    Returns
    -------
    log_proba : Tensor of shape (n, k)
        :math:`\log q_{ij}`; its exponentials sum to 1 in each row.

    References
    ----------
    J. Xie, R. Girshick and A. Farhadi, "Unsupervised deep embedding for clustering analysis",
    ICML 2016, equation 1.

    Examples
    --------
    >>> import torch
    >>> codes, centers = torch.tensor([[0.0], [3.0]]), torch.tensor([[0.0], [1.0]])
    >>> student_t_log_proba(codes, centers).exp()
    tensor([[0.6667, 0.3333],
            [0.3333, 0.6667]])
    """
    distances = squared_distances(codes, centers)
    return F.log_softmax(-(alpha + 1) / 2 * torch.log1p(distances / alpha), dim=1)


def squared_distances(codes: Tensor, centers: Tensor) -> Tensor:
    """Squared Euclidean distance of every code to every centre.

    Parameters
    ----------
    codes : Tensor of shape (n, d)
        Embedded rows.
    centers : Tensor of shape (k, d)
        Cluster centres.

    Returns
    -------
    distances : Tensor of shape (n, k)
        By differences rather than torch.cdist, whose matrix product loses digits for codes far
        from the origin and whose gradient does not exist at a centre.

    Examples
    --------
    >>> import torch
    >>> squared_distances(torch.tensor([[3.0]]), torch.tensor([[0.0], [1.0]]))
    tensor([[9., 4.]])
    """
    return (codes[:, None] - centers).square().sum(2)


def target_distribution(
    proba: Tensor,
    sample_weight: Tensor | None = None,
    power: float = 2.0,
    seen: Tensor | float = 0.0,
) -> Tensor:
    r"""Self-training target of DEC, which sharpens the assignments and evens out the clusters.

    .. math:: p_{ij} = \frac{q_{ij}^a / f_j}{\sum_{j'} q_{ij'}^a / f_{j'}},
              \qquad f_j = s_j + \sum_i w_i q_{ij}

    The frequencies :math:`f_j` are those of the rows given, and of rows that were seen before: pass
    the whole data set, or what is new of it, never a mini-batch.

    Parameters
    ----------
    proba : Tensor of shape (n, k)
        Soft assignments :math:`q_{ij}`.
    sample_weight : Tensor of shape (n,), default=None
        Row weights :math:`w_i`, not negative; None means 1.
    power : float, default=2.0
        How sharp the target is, :math:`a`: 2 in DEC, more in DBC. With 1 it only evens out.
    seen : Tensor of shape (k,), default=0.0
        Frequencies :math:`s_j` of rows that are not among these.

    Returns
    -------
    target : Tensor of shape (n, k)
        Rows sum to 1. A cluster without members, :math:`f_j = 0`, gets nothing.

    References
    ----------
    J. Xie, R. Girshick and A. Farhadi, "Unsupervised deep embedding for clustering analysis",
    ICML 2016, equation 3.

    F. Li, H. Qiao and B. Zhang, "Discriminatively boosted image clustering with fully
    convolutional auto-encoders", Pattern Recognition 83, 2018.

    Examples
    --------
    >>> import torch
    >>> target_distribution(torch.tensor([[0.8, 0.2], [0.2, 0.8]]))
    tensor([[0.9412, 0.0588],
            [0.0588, 0.9412]])
    """
    frequency = proba.sum(0) if sample_weight is None else sample_weight @ proba
    # The smallest normal number turns the 0 / 0 of a dead cluster into 0, and cannot overflow.
    frequency = frequency + seen
    sharpened = proba.pow(power) / frequency.clamp_min(torch.finfo(proba.dtype).tiny)
    return sharpened / sharpened.sum(1, keepdim=True)


def kl_divergence(target: Tensor, log_proba: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of each row, :math:`\sum_j p_{ij} \log (p_{ij} / q_{ij})`.

    DEC's clustering loss is this divergence from `target_distribution` to `student_t_log_proba`.

    Parameters
    ----------
    target : Tensor of shape (n, k)
        Probabilities :math:`p_{ij}`; :math:`0 \log 0 = 0`.
    log_proba : Tensor of shape (n, k)
        :math:`\log q_{ij}`, finite.

    Returns
    -------
    divergence : Tensor of shape (n,)
        In nats, at least 0 up to rounding.

    References
    ----------
    J. Xie, R. Girshick and A. Farhadi, "Unsupervised deep embedding for clustering analysis",
    ICML 2016, equation 2.

    Examples
    --------
    >>> import torch
    >>> kl_divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.25, 0.75]]).log())
    tensor([1.3863])
    """
    return F.kl_div(log_proba, target, reduction="none").sum(1)
