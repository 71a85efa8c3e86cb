r"""What tells two distributions apart: the players' losses, and a discrepancy without a player."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "gradient_penalty",
    "maximum_mean_discrepancy",
    "relativistic_adversarial_loss",
    "standard_adversarial_loss",
    "wasserstein_adversarial_loss",
]


def standard_adversarial_loss(logits: Tensor, *, as_real: bool) -> Tensor:
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
    >>> standard_adversarial_loss(torch.tensor([0.0, -2.0]), as_real=True)
    tensor([0.6931, 2.1269])
    """
    return F.softplus(-logits if as_real else logits)


def wasserstein_adversarial_loss(scores: Tensor, *, as_real: bool) -> Tensor:
    r"""Cost of judging rows as real or as fake, in the Wasserstein game.

    It is :math:`-D` as real and :math:`D` as fake: :math:`-q` of equation 3.5 for :math:`q(x) = x`,
    without its constant. Who pays which is as in `standard_adversarial_loss`. The critic must be
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


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
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
    generator : torch.Generator, default=None
        Of u, on the rows' device; None is torch's global one.

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
        size, place = (len(real), *[1] * (real.ndim - 1)), real.device
        share = torch.rand(size, dtype=dtype, device=place, generator=generator)
        between = torch.lerp(real, fake, share).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return (torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1).square()


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
