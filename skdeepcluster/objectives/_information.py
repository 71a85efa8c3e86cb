"""How much the clusters of a batch say: entropies, and the information shared by two views."""

from __future__ import annotations

import torch
from torch import Tensor

from ._weights import positive, weights_of


def entropy(log_proba: Tensor) -> Tensor:
    r"""Entropy of each row's memberships, :math:`-\sum_j p_{ij} \log p_{ij}`.

    Parameters
    ----------
    log_proba : Tensor of shape (..., k)
        :math:`\log p_{ij}`, finite.

    Returns
    -------
    entropy : Tensor of shape (...)
        In nats, from 0 to log k.

    Examples
    --------
    >>> import torch
    >>> entropy(torch.tensor([[0.5, 0.5]]).log())
    tensor([0.6931])
    """
    return -(log_proba.exp() * log_proba).sum(-1)


def marginal_entropy(log_proba: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    r"""Entropy of a batch's mean membership, :math:`H(Y)`; clusters of equal size have most.

    Parameters
    ----------
    log_proba : Tensor of shape (n, ..., k)
        :math:`\log p_{ij}`, finite.
    sample_weight : Tensor of shape (n,), default=None
        Weights of the rows.

    Returns
    -------
    entropy : Tensor of shape (...)
        In nats, from 0 to log k. Of the whole batch, not of a row.

    References
    ----------
    W. Hu, T. Miyato, S. Tokui, E. Matsumoto and M. Sugiyama, "Learning discrete representations
    via information maximizing self-augmented training", ICML 2017, equation 10.

    Examples
    --------
    >>> import torch
    >>> marginal_entropy(torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log())
    tensor(0.6931)
    """
    share = _shares(log_proba, sample_weight)
    mean = torch.tensordot(share, log_proba.exp(), 1)
    return -torch.xlogy(mean, mean).sum(-1)


def mutual_information(
    log_proba: Tensor, others: Tensor, sample_weight: Tensor | None = None
) -> Tensor:
    r"""Information that the clusters of two views of the same rows share.

    .. math:: I(P) = \sum_{jl} P_{jl} \log \frac{P_{jl}}{P_{j \cdot} P_{\cdot l}}, \qquad
              P = \frac12 (Q + Q^\top), \quad Q = \frac1n \sum_i p_i \, p_i'^\top

    Parameters
    ----------
    log_proba, others : Tensor of shape (n, h, k)
        :math:`\log p_{ij}` of both views, by each of h heads.
    sample_weight : Tensor of shape (n,), default=None
        Weights of the rows.

    Returns
    -------
    information : Tensor of shape (h,)
        In nats, from 0 to log k. Of the whole batch, not of a row.

    References
    ----------
    X. Ji, J. F. Henriques and A. Vedaldi, "Invariant information clustering for unsupervised image
    classification and segmentation", ICCV 2019, equations 2 and 3.

    Examples
    --------
    >>> import torch
    >>> view = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> mutual_information(view.clamp_min(1e-30).log(), view.clamp_min(1e-30).log())
    tensor([0.6931])
    """
    share = _shares(log_proba, sample_weight)
    joint = torch.einsum("n,nhj,nhl->hjl", share, log_proba.exp(), others.exp())
    joint = (joint + joint.transpose(1, 2)) / 2
    own = joint.sum(2)
    both = torch.xlogy(joint, joint).sum((1, 2))
    return both - 2 * torch.xlogy(own, own).sum(1)


def _shares(log_proba: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Return the share that each row has in a mean over the batch."""
    weight = weights_of(log_proba, sample_weight)
    return weight / positive(weight.sum())
