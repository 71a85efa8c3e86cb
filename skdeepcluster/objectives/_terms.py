r"""Loss terms of rows: pure functions of tensors.

Each returns one value per row unless its docstring says otherwise, so that the training loop can
weight the rows. Where PyTorch already has the term (`torch.nn.functional.cross_entropy` with
``reduction="none"``), use it directly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "bernoulli_log_likelihood",
    "cosine_dissimilarity",
    "gaussian_kl_divergence",
    "gaussian_log_likelihood",
    "gradient_penalty",
    "kl_divergence",
    "maximum_mean_discrepancy",
    "relativistic_adversarial_loss",
    "squared_error",
    "student_t_log_proba",
    "target_distribution",
    "vanilla_adversarial_loss",
    "wasserstein_adversarial_loss",
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
    # Differences rather than torch.cdist, whose matrix product loses digits for codes far from
    # the origin and whose gradient does not exist at a centre.
    distances = (codes[:, None] - centers).square().sum(2)
    return F.log_softmax(-(alpha + 1) / 2 * torch.log1p(distances / alpha), dim=1)


def target_distribution(proba: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    r"""Self-training target of DEC, which sharpens the assignments and evens out the clusters.

    .. math:: p_{ij} = \frac{q_{ij}^2 / f_j}{\sum_{j'} q_{ij'}^2 / f_{j'}},
              \qquad f_j = \sum_i w_i q_{ij}

    The frequencies :math:`f_j` are those of the rows given: pass the whole data set, never a
    mini-batch.

    Parameters
    ----------
    proba : Tensor of shape (n, k)
        Soft assignments :math:`q_{ij}`.
    sample_weight : Tensor of shape (n,), default=None
        Row weights :math:`w_i`, not negative; None means 1.

    Returns
    -------
    target : Tensor of shape (n, k)
        Rows sum to 1. A cluster without members, :math:`f_j = 0`, gets nothing.

    References
    ----------
    J. Xie, R. Girshick and A. Farhadi, "Unsupervised deep embedding for clustering analysis",
    ICML 2016, equation 3.

    Examples
    --------
    >>> import torch
    >>> target_distribution(torch.tensor([[0.8, 0.2], [0.2, 0.8]]))
    tensor([[0.9412, 0.0588],
            [0.0588, 0.9412]])
    """
    frequency = proba.sum(0) if sample_weight is None else sample_weight @ proba
    # The smallest normal number turns the 0 / 0 of a dead cluster into 0, and cannot overflow.
    sharpened = proba.square() / frequency.clamp_min(torch.finfo(proba.dtype).tiny)
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


def vanilla_adversarial_loss(logits: Tensor, *, as_real: bool) -> Tensor:
    r"""Cost of judging rows as real or as fake, in the original adversarial game.

    With :math:`D = \operatorname{sigmoid}(\text{logit})` it is :math:`-\log D` as real and
    :math:`-\log (1 - D)` as fake, which is :math:`-q` of equation 3.5 for :math:`q = \log`. The
    discriminator pays the first on data and the second on generated rows; the generator pays the
    first on generated rows (equation 3.6, the non-saturating form).

    Parameters
    ----------
    logits : Tensor of shape (n,)
        Unbounded scores of the discriminator, higher for real.
    as_real : bool
        Which verdict the cost is of.

    Returns
    -------
    loss : Tensor of shape (n,)
        At least 0; log 2 for an undecided discriminator.

    References
    ----------
    G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
    University of Ioannina, 2021, equations 3.4 to 3.6.

    Examples
    --------
    >>> import torch
    >>> vanilla_adversarial_loss(torch.tensor([0.0, -2.0]), as_real=True)
    tensor([0.6931, 2.1269])
    """
    return F.softplus(-logits if as_real else logits)


def wasserstein_adversarial_loss(scores: Tensor, *, as_real: bool) -> Tensor:
    r"""Cost of judging rows as real or as fake, in the Wasserstein game.

    It is :math:`-D` as real and :math:`D` as fake: :math:`-q` of equation 3.5 for :math:`q(x) = x`,
    without its constant. Who pays which is as in `vanilla_adversarial_loss`. The critic must be
    kept Lipschitz, see `gradient_penalty`.

    Parameters
    ----------
    scores : Tensor of shape (n,)
        Unbounded scores of the critic, higher for real.
    as_real : bool
        Which verdict the cost is of.

    Returns
    -------
    loss : Tensor of shape (n,)
        Of any sign.

    References
    ----------
    G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
    University of Ioannina, 2021, equations 3.4 to 3.6.

    Examples
    --------
    >>> import torch
    >>> wasserstein_adversarial_loss(torch.tensor([1.5, -2.0]), as_real=False)
    tensor([ 1.5000, -2.0000])
    """
    return -scores if as_real else scores


def relativistic_adversarial_loss(logits: Tensor, rivals: Tensor) -> Tensor:
    r"""Cost of finding rows no more realistic than their rivals, in the relativistic game.

    .. math:: -\log \operatorname{sigmoid}(D(x) - D(\tilde x))

    The discriminator pays it with real rows against generated rivals (equation 3.3), the generator
    with generated rows against real rivals (equation 3.4).

    Parameters
    ----------
    logits, rivals : Tensor of shape (n,)
        Unbounded scores :math:`D(x)` and :math:`D(\tilde x)` of the discriminator, paired.

    Returns
    -------
    loss : Tensor of shape (n,)
        At least 0; log 2 where both are equally realistic.

    References
    ----------
    G. Toscano Morais, "Generative deep clustering with the hierarchical and relativistic
    Wasserstein autoencoder GAN", MSc thesis, 2021, equations 3.3 and 3.4.

    A. Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard
    GAN", ICLR 2019.

    Examples
    --------
    >>> import torch
    >>> relativistic_adversarial_loss(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0]))
    tensor([0.6931, 0.1269])
    """
    return F.softplus(rivals - logits)


def maximum_mean_discrepancy(codes: Tensor, draws: Tensor) -> Tensor:
    r"""Distance between the distribution of codes and that of draws from a prior.

    .. math:: \frac{1}{n (n - 1)} \sum_{i \ne j} k(z_i, z_j) + k(\tilde z_i, \tilde z_j)
              - \frac{2}{n^2} \sum_{i, j} k(z_i, \tilde z_j), \qquad
              k(a, b) = \sum_s \frac{s C}{s C + \lVert a - b \rVert^2}

    The kernel is a sum of inverse multiquadrics; :math:`C = 2 d` is the expected squared distance
    of two draws from a standard normal prior. The estimator is unbiased, and so may be negative.

    Parameters
    ----------
    codes, draws : Tensor of shape (n, d)
        At least 2 rows each.

    Returns
    -------
    discrepancy : Tensor of shape ()
        A scalar, around 0 for equal distributions.

    References
    ----------
    I. Tolstikhin, O. Bousquet, S. Gelly and B. Schoelkopf, "Wasserstein auto-encoders", ICLR 2018,
    algorithm 2 and section 4.

    Examples
    --------
    >>> import torch
    >>> codes = torch.tensor([[0.0], [0.0]])
    >>> maximum_mean_discrepancy(codes, codes)
    tensor(0.)
    """
    n, width = codes.shape
    both = torch.cat([codes, draws])
    # By differences: the products of the default lose what is close, and under autocast more.
    distances = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist").square()
    scales = 2 * width * distances.new_tensor([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
    kernel = (scales / (scales + distances[..., None])).sum(2)
    within = kernel[:n, :n] + kernel[n:, n:]
    return (within.sum() - within.diagonal().sum()) / (n * (n - 1)) - 2 * kernel[:n, n:].mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    r"""Penalty that keeps a Wasserstein critic 1-Lipschitz.

    .. math:: (\lVert \nabla_{\hat x} D(\hat x) \rVert_2 - 1)^2, \qquad
              \hat x = x + u\, (\tilde x - x), \quad u \sim \mathcal U(0, 1)

    The gradient is that of each row, so the critic must treat rows apart: no batch normalisation.
    It is computed in float32 at least, also under autocast, because a norm near 1 of a gradient
    of gradients is what half precision cannot hold. No gradient reaches the generator from here.

    Parameters
    ----------
    critic : callable
        Maps (n, ...) to scores (n,).
    real, fake : Tensor of shape (n, ...)
        Data :math:`x` and generated rows :math:`\tilde x`, paired.

    Returns
    -------
    penalty : Tensor of shape (n,)
        At least 0.

    References
    ----------
    I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, equation 3.

    Examples
    --------
    >>> import torch
    >>> gradient_penalty(lambda x: 3 * x[:, 0], torch.zeros(2, 5), torch.ones(2, 5))
    tensor([4., 4.])
    """
    with torch.autocast(real.device.type, enabled=False):
        dtype = torch.promote_types(real.dtype, torch.float32)
        real, fake = real.detach().to(dtype), fake.detach().to(dtype)
        share = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=dtype, device=real.device)
        between = torch.lerp(real, fake, share).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return (torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1).square()
