"""Heads: from codes to labels, and from new codes to the labels they would have had."""

from ._clusterers import (
    HEADS,
    count_clusters,
    describe_head,
    fit_clusterer,
    fit_labels,
    mixture,
)
from ._head import ClusteringHead, make_head
from ._manifold import Placement, check_umap, umap_coordinates
from ._mixture import SteadyGaussianMixture
from ._rules import Judgement, NearestCenter, NeighborRule, OwnRule, PlainMixture
from ._spherical import SphericalKMeans, share_of_label, spherical_step, sum_by_label
from ._tensors import rule_module

__all__ = [
    "HEADS",
    "ClusteringHead",
    "Judgement",
    "NearestCenter",
    "NeighborRule",
    "OwnRule",
    "Placement",
    "PlainMixture",
    "SphericalKMeans",
    "SteadyGaussianMixture",
    "check_umap",
    "count_clusters",
    "describe_head",
    "fit_clusterer",
    "fit_labels",
    "make_head",
    "mixture",
    "rule_module",
    "share_of_label",
    "spherical_step",
    "sum_by_label",
    "umap_coordinates",
]
