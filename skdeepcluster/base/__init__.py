"""The contract that every estimator keeps, once."""

from ._clusterer import DeepClusterer
from ._generative import GenerativeClusterer
from ._initialized import InitializedClusterer
from ._k_networks import KNetworksClusterer
from ._run import Run

__all__ = [
    "DeepClusterer",
    "GenerativeClusterer",
    "InitializedClusterer",
    "KNetworksClusterer",
    "Run",
]
