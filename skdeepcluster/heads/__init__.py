"""Heads: from codes to labels, and from new codes to the labels they would have had."""

from ._clusterers import HEADS, count_clusters, describe_head, fit_labels, mixture
from ._head import ClusteringHead, make_head
from ._manifold import umap_coordinates
from ._mixture import SteadyGaussianMixture
from ._spherical import SphericalKMeans, spherical_step

__all__ = [
    "HEADS",
    "ClusteringHead",
    "SphericalKMeans",
    "SteadyGaussianMixture",
    "count_clusters",
    "describe_head",
    "fit_labels",
    "make_head",
    "mixture",
    "spherical_step",
    "umap_coordinates",
]
