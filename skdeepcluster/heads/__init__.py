"""Heads: from codes to labels, and from new codes to the labels they would have had."""

from ._head import HEADS, ClusteringHead, fit_labels, make_head
from ._spherical import SphericalKMeans, spherical_step

__all__ = [
    "HEADS",
    "ClusteringHead",
    "SphericalKMeans",
    "fit_labels",
    "make_head",
    "spherical_step",
]
