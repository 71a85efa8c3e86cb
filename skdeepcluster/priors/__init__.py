"""Latent distributions that generators and decoders draw from."""

from ._fixed import DiscreteContinuousPrior, SeparatedGaussiansPrior
from ._mixture import GaussianMixturePrior

__all__ = ["DiscreteContinuousPrior", "GaussianMixturePrior", "SeparatedGaussiansPrior"]
