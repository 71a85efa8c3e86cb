"""Latent distributions that generators and decoders draw from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

__all__ = ["DiscreteContinuousPrior"]


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
        if labels is None:
            size = (n_samples,)
            drawn = torch.randint(self.n_clusters, size, generator=generator, device=device)
        else:
            drawn = torch.as_tensor(labels, dtype=torch.long, device=device).expand(n_samples)
            if ((drawn < 0) | (drawn >= self.n_clusters)).any():
                raise ValueError(
                    f"labels must lie in 0..{self.n_clusters - 1}, got {drawn.unique().tolist()}."
                )
        noise = torch.randn(n_samples, self.latent_dim, generator=generator, device=device)
        one_hot = F.one_hot(drawn, self.n_clusters)
        return torch.cat([self.sigma * noise, one_hot.to(noise)], dim=1), drawn

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
