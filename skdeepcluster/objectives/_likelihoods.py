r"""How well rows are explained: errors, likelihoods and the divergence of a posterior."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "bernoulli_log_likelihood",
    "cosine_dissimilarity",
    "gaussian_kl_divergence",
    "gaussian_log_likelihood",
    "squared_error",
]


def squared_error(
    prediction: Tensor, target: Tensor, *, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    r"""Squared error of each row, over all its features.

    The mean, :math:`\frac{1}{d} \lVert \hat x - x \rVert^2`, keeps one scale whatever the number of
    features, so that a weight between reconstruction and another term carries over from vectors
    to images. The sum, :math:`\lVert \hat x - x \rVert^2`, is the squared norm that equations
    print, and a Gaussian log-likelihood up to constants.

    Parameters
    ----------
    prediction, target : Tensor of shape (n, ...)
        Rows of one shape.
    reduction : {"mean", "sum"}, default="mean"
        Over the features of a row.

    Returns
    -------
    error : Tensor of shape (n,)
        At least 0.

    Examples
    --------
    >>> import torch
    >>> images = torch.zeros(2, 1, 2, 2)
    >>> squared_error(images + 3, images)
    tensor([9., 9.])
    >>> squared_error(images + 3, images, reduction="sum")
    tensor([36., 36.])
    """
    errors = F.mse_loss(prediction, target, reduction="none").flatten(1)
    return errors.mean(1) if reduction == "mean" else errors.sum(1)


def cosine_dissimilarity(prediction: Tensor, target: Tensor) -> Tensor:
    r"""One minus the cosine between each row's prediction and its target, over all features.

    .. math:: 1 - \frac{\langle \hat x, x \rangle}{\lVert \hat x \rVert \, \lVert x \rVert}

    Parameters
    ----------
    prediction, target : Tensor of shape (n, ...)
        Rows of one shape, such as feature maps; only their directions count.

    Returns
    -------
    dissimilarity : Tensor of shape (n,)
        In [0, 2]; 1 if a row is zero.

    References
    ----------
    G. Toscano Morais, "Generative deep clustering with the hierarchical and relativistic
    Wasserstein autoencoder GAN", MSc thesis, 2021, equation 3.10.

    Examples
    --------
    >>> import torch
    >>> maps = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    >>> cosine_dissimilarity(maps, torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    tensor([0., 1., 2.])
    """
    return 1 - F.cosine_similarity(prediction.flatten(1), target.flatten(1))


def bernoulli_log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    r"""Log-likelihood of rows in [0, 1] under independent Bernoulli variables.

    .. math:: \sum_j x_j \log p_j + (1 - x_j) \log (1 - p_j),
              \qquad p = \operatorname{sigmoid}(\text{logit})

    Parameters
    ----------
    logits : Tensor of shape (..., d)
        Unbounded outputs of a decoder.
    target : Tensor of shape (..., d)
        Rows, in [0, 1], broadcast against the outputs, which may be those of many decoders.

    Returns
    -------
    log_likelihood : Tensor of shape (...)
        In nats, at most 0.

    Examples
    --------
    >>> import torch
    >>> bernoulli_log_likelihood(torch.zeros(1, 2), torch.tensor([[1.0, 0.5]]))
    tensor([-1.3863])
    """
    return (target * logits - F.softplus(logits)).sum(-1)


def gaussian_log_likelihood(mean: Tensor, target: Tensor, log_variance: Tensor) -> Tensor:
    r"""Log-density of rows under Gaussians with diagonal covariance.

    .. math:: -\frac12 \sum_j \log (2 \pi \sigma_j^2) + (x_j - \mu_j)^2 / \sigma_j^2

    Parameters
    ----------
    mean : Tensor of shape (..., d)
        Outputs of a decoder.
    target : Tensor of shape (..., d)
        Rows, broadcast against the outputs, which may be those of many decoders.
    log_variance : Tensor of shape (..., d)
        :math:`\log \sigma_j^2`, broadcast as well.

    Returns
    -------
    log_density : Tensor of shape (...)
        In nats, of any sign.

    Examples
    --------
    >>> import torch
    >>> gaussian_log_likelihood(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]), torch.zeros(2))
    tensor([-2.3379])
    """
    scaled = (target - mean).square() * (-log_variance).exp()
    return -0.5 * (math.log(2 * math.pi) + log_variance + scaled).sum(-1)


def gaussian_kl_divergence(
    mean: Tensor, log_variance: Tensor, prior_mean: Tensor, prior_log_variance: Tensor
) -> Tensor:
    r"""Kullback-Leibler divergence between Gaussians with diagonal covariance.

    .. math:: \frac12 \sum_j \log \frac{s_j^2}{\sigma_j^2} + \frac{\sigma_j^2}{s_j^2}
              + \frac{(\mu_j - m_j)^2}{s_j^2} - 1

    Parameters
    ----------
    mean, log_variance : Tensor of shape (..., d)
        :math:`\mu` and :math:`\log \sigma^2` of the posterior.
    prior_mean, prior_log_variance : Tensor of shape (..., d)
        :math:`m` and :math:`\log s^2` of the prior, broadcast against the posterior.

    Returns
    -------
    divergence : Tensor of shape (...)
        In nats, at least 0 up to rounding.

    References
    ----------
    D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.

    Examples
    --------
    >>> import torch
    >>> zero = torch.zeros(1)
    >>> gaussian_kl_divergence(zero + 2, zero, zero, zero)
    tensor(2.)
    """
    log_ratio = log_variance - prior_log_variance
    distance = (mean - prior_mean).square() * (-prior_log_variance).exp()
    return 0.5 * (log_ratio.exp() + distance - 1 - log_ratio).sum(-1)
