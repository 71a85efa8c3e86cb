"""A mixture of Gaussians that training learns."""

from __future__ import annotations

import math

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from ._fixed import checked, source_of

__all__ = ["GaussianMixturePrior", "least_variance", "responsibilities_of"]

LEAST_SHARE = 1e-3  # of the codes' variance that is left to a component


def responsibilities_of(labels: Tensor, n_clusters: int, weight: Tensor | None = None) -> Tensor:
    """Return the share of each component in each row, according to labels.

    Parameters
    ----------
    labels : Tensor of shape (n,)
        Integers in 0..n_clusters-1, or -1 for rows that belong to none.
    n_clusters : int
        Number of components.
    weight : Tensor of shape (n,), default=None
        Weights of the rows; None is 1 for all.

    Returns
    -------
    responsibilities : Tensor of shape (n, n_clusters)
        The weight of a row in the column of its label, and 0 elsewhere.

    Examples
    --------
    >>> import torch
    >>> responsibilities_of(torch.tensor([1, -1]), 2)
    tensor([[0., 1.],
            [0., 0.]])
    """
    members = F.one_hot(labels.long() + 1, n_clusters + 1)[:, 1:].float()
    return members if weight is None else members * weight[:, None]


def least_variance(z: Tensor) -> Tensor:
    """Return a floor on variances that follows the scale of codes.

    Without one, a component may collapse onto few rows, at a likelihood without bound.

    Parameters
    ----------
    z : Tensor of shape (n, latent_dim)
        Codes.

    Returns
    -------
    least_variance : Tensor of shape ()
        A thousandth of the codes' mean variance, or the rounding error of their type if that is
        larger.

    Examples
    --------
    >>> least_variance(torch.tensor([[-2.0], [2.0]]))
    tensor(0.0040)
    """
    share = LEAST_SHARE * z.var(0, correction=0).mean()
    return share.clamp_min(torch.finfo(z.dtype).eps)


class GaussianMixturePrior(nn.Module):
    r"""Mixture of Gaussians with diagonal covariances, all of it learnt.

    .. math:: p(z) = \sum_{i=1}^K \pi_i \, \mathcal N(z; \mu_i, \operatorname{diag} s_i^2)

    The weights are the softmax of free logits and the variances the exponential of free
    logarithms, so that gradient steps keep them legal. Until :meth:`place` is called, the
    components are equal standard Gaussians.

    Parameters
    ----------
    n_clusters : int
        Number of components :math:`K`, at least 1.
    latent_dim : int
        Width of a code, at least 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    "A mixture of variational autoencoders for deep clustering", 2020, section 3.4.

    Z. Jiang, Y. Zheng, H. Tan, B. Tang and H. Zhou, "Variational deep embedding: an unsupervised
    and generative approach to clustering", IJCAI 2017.

    Examples
    --------
    >>> prior = GaussianMixturePrior(n_clusters=2, latent_dim=1)
    >>> prior.place(torch.tensor([0.5, 0.5]), torch.tensor([[0.0], [9.0]]), torch.ones(2, 1))
    >>> prior.log_joint(torch.tensor([[0.0], [9.0]])).argmax(1)
    tensor([0, 1])
    """

    def __init__(self, n_clusters: int, latent_dim: int):
        super().__init__()
        if n_clusters < 1 or latent_dim < 1:
            raise ValueError(
                "n_clusters and latent_dim must be at least 1, "
                f"got n_clusters={n_clusters}, latent_dim={latent_dim}."
            )
        self.logits = nn.Parameter(torch.zeros(n_clusters))
        self.means = nn.Parameter(torch.zeros(n_clusters, latent_dim))
        self.log_variances = nn.Parameter(torch.zeros(n_clusters, latent_dim))

    @torch.no_grad()
    def place(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        """Set the components, as a mixture fitted elsewhere has them.

        Parameters
        ----------
        weights : Tensor of shape (n_clusters,)
            Not negative, summing to 1.
        means, variances : Tensor of shape (n_clusters, latent_dim)
            Variances are positive.
        """
        tiny = torch.finfo(self.logits.dtype).tiny  # an empty component has a finite logit
        self.logits.copy_(weights.clamp_min(tiny).log())
        self.means.copy_(means)
        self.log_variances.copy_(variances.log())

    @torch.no_grad()
    def maximize(self, z: Tensor, responsibilities: Tensor, least_variance: float | Tensor) -> None:
        r"""Set the components to the moments of their shares of codes: the M-step of EM.

        .. math:: N_i = \sum_n r_{ni}, \quad \pi_i = \frac{N_i}{\sum_j N_j}, \quad
                  \mu_i = \frac{1}{N_i} \sum_n r_{ni} z_n, \quad
                  s_i^2 = \max \Bigl(\frac{1}{N_i} \sum_n r_{ni} (z_n - \mu_i)^2, \;
                  s_\text{least}^2 \Bigr)

        A component without a share keeps its mean and variances.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
            Codes.
        responsibilities : Tensor of shape (n, n_clusters)
            Share :math:`r_{ni}` of each component in each code, not negative; whole rows may carry
            a weight.
        least_variance : float or Tensor
            Lower bound on the variances, positive; see :func:`least_variance`.
        """
        counts = responsibilities.sum(0)
        shares = responsibilities / counts.clamp_min(torch.finfo(z.dtype).tiny)
        center = z.mean(0)  # sums of squares far from the origin would lose the variance's digits
        offsets = z - center
        means = shares.T @ offsets
        variances = (shares.T @ offsets.square() - means.square()).clamp_min(least_variance)
        taken = (counts > 0)[:, None]
        self.place(
            counts / counts.sum(),
            torch.where(taken, means + center, self.means),
            torch.where(taken, variances, self.log_variances.exp()),
        )

    @torch.no_grad()
    def split(self, component: int, into: int) -> None:
        """Halve a component, for the sake of another that is of no use where it is.

        The halves lie one standard deviation to both sides along the widest axis, and keep the
        variances, so that what the component explained is still explained.

        Parameters
        ----------
        component, into : int
            The component that is halved, and the one that becomes its second half.
        """
        axis = self.log_variances[component].argmax()
        step = (self.log_variances[component, axis] / 2).exp()
        self.logits[component] -= math.log(2)
        for parameter in (self.logits, self.means, self.log_variances):
            parameter[into] = parameter[component]
        self.means[component, axis] -= step
        self.means[into, axis] += step

    def log_weights(self) -> Tensor:
        r"""Return :math:`\log \pi_i`, shape (n_clusters,)."""
        return self.logits.log_softmax(0)

    def log_joint(self, z: Tensor) -> Tensor:
        r"""Return the log-density of codes together with each component.

        Its softmax over components is the responsibilities, its logsumexp :math:`\log p(z)`.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
            Codes.

        Returns
        -------
        log_joint : Tensor of shape (n, n_clusters)
            :math:`\log \pi_i + \log \mathcal N(z; \mu_i, s_i^2)`.
        """
        scaled = (z[:, None] - self.means).square() * (-self.log_variances).exp()
        log_density = -0.5 * (math.log(2 * math.pi) + self.log_variances + scaled).sum(2)
        return self.log_weights() + log_density

    @torch.no_grad()
    def sample(
        self,
        n_samples: int,
        labels: int | ArrayLike | Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw codes, from all components or from given ones.

        Parameters
        ----------
        n_samples : int
            Number of codes.
        labels : int or array-like of shape (n_samples,), default=None
            Component of every code, or of each, in 0..n_clusters-1. None draws them by weight.
        generator : torch.Generator, default=None
            Source of randomness, on the prior's device; None uses PyTorch's global one.

        Returns
        -------
        z : Tensor of shape (n_samples, latent_dim)
            Codes.
        labels : Tensor of shape (n_samples,), int64
            Component of each code.

        Raises
        ------
        ValueError
            If a label names no component.
        """
        device, n_clusters, source = self.means.device, len(self.means), source_of(generator)
        if labels is None:
            weights = self.log_weights().exp()
            drawn = torch.multinomial(weights, n_samples, replacement=True, **source)
        else:
            drawn = checked(labels, n_samples, n_clusters, device)
        size = (n_samples, self.means.shape[1])
        noise = torch.randn(size, device=device, dtype=self.means.dtype, **source)
        return self.means[drawn] + (self.log_variances[drawn] / 2).exp() * noise, drawn
