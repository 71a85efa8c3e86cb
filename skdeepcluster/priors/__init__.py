"""Latent distributions that generators and decoders draw from."""

from ._fixed import DiscreteContinuousPrior, SeparatedGaussiansPrior
from ._mixture import GaussianMixturePrior, responsibilities_of

__all__ = [
    "DiscreteContinuousPrior",
    "GaussianMixturePrior",
    "SeparatedGaussiansPrior",
    "responsibilities_of",
]
