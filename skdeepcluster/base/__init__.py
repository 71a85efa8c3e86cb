"""The contract that every estimator keeps, once."""

from ._clusterer import DeepClusterer

__all__ = ["DeepClusterer"]
