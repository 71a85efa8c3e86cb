"""Latent distributions that generators and decoders draw from."""

from ._fixed import DiscreteContinuousPrior, SeparatedGaussiansPrior
from ._mixture import GaussianMixturePrior, least_variance, responsibilities_of

__all__ = [
    "DiscreteContinuousPrior",
    "GaussianMixturePrior",
    "SeparatedGaussiansPrior",
    "least_variance",
    "responsibilities_of",
]
