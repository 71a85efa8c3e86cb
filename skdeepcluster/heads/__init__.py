"""Heads: from codes to labels, and from new codes to the labels they would have had."""

from ._clusterers import HEADS, fit_clusterer, fit_labels
from ._head import ClusteringHead, make_head
from ._spherical import SphericalKMeans, spherical_step

__all__ = [
    "HEADS",
    "ClusteringHead",
    "SphericalKMeans",
    "fit_clusterer",
    "fit_labels",
    "make_head",
    "spherical_step",
]
