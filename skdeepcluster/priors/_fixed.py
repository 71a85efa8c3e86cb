"""Priors with nothing to learn: a component is a place that the number of clusters decides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

__all__ = ["DiscreteContinuousPrior", "SeparatedGaussiansPrior", "checked"]


@dataclass(frozen=True)
class DiscreteContinuousPrior:
    r"""One component per cluster: a one-hot code beside small Gaussian noise.

    .. math:: z = (z_n, z_c), \qquad z_n \sim \mathcal N(0, \sigma^2 I), \qquad
              z_c \sim \operatorname{Uniform}\{e_1, \dots, e_K\}

    With :math:`\sigma` well below 1 the components do not overlap, so that each is left to
    generate one cluster. The prior has no parameters to learn and holds no tensors: it draws on
    the device it is asked for.

    Parameters
    ----------
    n_clusters : int
        Number of components :math:`K`, at least 1.
    latent_dim : int
        Width of the continuous part :math:`z_n`, at least 1.
    sigma : float, default=0.1
        Standard deviation of the continuous part, positive.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
    University of Ioannina, 2021, section 3.3.1.

    S. Mukherjee, H. Asnani, E. Lin and S. Kannan, "ClusterGAN: Latent space clustering in
    generative adversarial networks", AAAI 2019.

    Examples
    --------
    >>> prior = DiscreteContinuousPrior(n_clusters=3, latent_dim=10)
    >>> z, labels = prior.sample(4, labels=2)
    >>> z.shape, labels
    (torch.Size([4, 13]), tensor([2, 2, 2, 2]))
    >>> z_n, z_c = prior.split(z)
    >>> z_c[0]
    tensor([0., 0., 1.])
    """

    n_clusters: int
    latent_dim: int
    sigma: float = 0.1

    def __post_init__(self) -> None:
        if self.n_clusters < 1 or self.latent_dim < 1 or not self.sigma > 0:
            raise ValueError(
                "n_clusters and latent_dim must be at least 1 and sigma positive, "
                f"got n_clusters={self.n_clusters}, latent_dim={self.latent_dim}, "
                f"sigma={self.sigma}."
            )

    @property
    def dim(self) -> int:
        """Width of a whole code z, both parts together."""
        return self.latent_dim + self.n_clusters

    @property
    def reach(self) -> float:
        """How far from the origin a component is, along the axis that is its own."""
        return 1.0

    @property
    def noisy_dim(self) -> int:
        """Number of coordinates that have noise, the first ones of a code."""
        return self.latent_dim

    def center(self, memberships: Tensor) -> Tensor:
        """Return the mean code of components, or of mixtures of them.

        Parameters
        ----------
        memberships : Tensor of shape (n, n_clusters)
            One-hot for components; anything that sums to 1 for what lies between them.

        Returns
        -------
        z : Tensor of shape (n, dim)
            Codes without noise.
        """
        return F.pad(self.reach * memberships, (self.latent_dim, 0))

    def sample(
        self,
        n_samples: int,
        labels: int | ArrayLike | Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw codes, from all components or from given ones.

        Parameters
        ----------
        n_samples : int
            Number of codes.
        labels : int or array-like of shape (n_samples,), default=None
            Component of every code, or of each, in 0..n_clusters-1. None draws them uniformly.
        generator : torch.Generator, default=None
            Source of randomness, on `device`; None uses PyTorch's global one.
        device : torch.device or str, default=None
            Where to draw; None is PyTorch's default device.

        Returns
        -------
        z : Tensor of shape (n_samples, dim), float32
            Codes, the continuous part first.
        labels : Tensor of shape (n_samples,), int64
            Component of each code.

        Raises
        ------
        ValueError
            If a label names no component.
        """
        source = source_of(generator)
        if labels is None:
            size = (n_samples,)
            drawn = torch.randint(self.n_clusters, size, device=device, **source)
        else:
            drawn = checked(labels, n_samples, self.n_clusters, device)
        shape = (n_samples, self.noisy_dim)
        noise = torch.randn(shape, device=device, dtype=torch.float32, **source)
        z = self.center(F.one_hot(drawn, self.n_clusters).to(noise))
        z[:, : self.noisy_dim] += self.sigma * noise
        return z, drawn

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Split codes into their continuous and their discrete part.

        Parameters
        ----------
        z : Tensor of shape (n, dim)
            Codes drawn from the prior, or an encoder's estimate of them, in which the discrete
            part is the logits of the components.

        Returns
        -------
        z_n : Tensor of shape (n, latent_dim)
            Continuous part.
        z_c : Tensor of shape (n, n_clusters)
            Discrete part.
        """
        return z[:, : self.latent_dim], z[:, self.latent_dim :]


@dataclass(frozen=True)
class SeparatedGaussiansPrior(DiscreteContinuousPrior):
    r"""A round Gaussian per cluster, the means nine standard deviations apart.

    .. math:: z \sim \mathcal N(\mu_j, \sigma^2 I), \qquad
              \mu_j = \tfrac{9}{\sqrt 2} \sigma \, (0, e_j), \qquad
              j \sim \operatorname{Uniform}\{1, \dots, K\}

    Every mean has an axis of its own, so that any two are equally far apart, whatever the number
    of clusters. What differs from :class:`DiscreteContinuousPrior` is the noise on these axes
    and the scale of the means. Like it, the prior has nothing to learn.

    Parameters
    ----------
    n_clusters : int
        Number of components :math:`K`, at least 1.
    latent_dim : int
        Number of axes beside those of the means, at least 1.
    sigma : float, default=0.1
        Standard deviation of every component, positive.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
    University of Ioannina, 2021, section 5.2.1.

    Examples
    --------
    >>> prior = SeparatedGaussiansPrior(n_clusters=3, latent_dim=2, sigma=0.1)
    >>> torch.cdist(*2 * [prior.center(torch.eye(3))])
    tensor([[0.0000, 0.9000, 0.9000],
            [0.9000, 0.0000, 0.9000],
            [0.9000, 0.9000, 0.0000]])
    """

    @property
    def reach(self) -> float:
        """How far from the origin a component is, along the axis that is its own."""
        return 9 * self.sigma / math.sqrt(2)

    @property
    def noisy_dim(self) -> int:
        """Number of coordinates that have noise: all."""
        return self.dim


def checked(
    labels: int | ArrayLike | Tensor,
    n_samples: int,
    n_clusters: int,
    device: torch.device | str | None,
) -> Tensor:
    """Return a component for each of the samples, all of which exist."""
    drawn = torch.as_tensor(labels, dtype=torch.long, device=device).expand(n_samples)
    if ((drawn < 0) | (drawn >= n_clusters)).any():
        raise ValueError(f"labels must lie in 0..{n_clusters - 1}, got {drawn.unique().tolist()}.")
    return drawn


def source_of(generator: torch.Generator | None) -> dict[str, Any]:
    """Return the arguments by which PyTorch draws; its compiler knows no generator that is None."""
    return {} if generator is None else {"generator": generator}
