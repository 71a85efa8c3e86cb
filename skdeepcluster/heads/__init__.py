"""Heads: from codes to labels, and from new codes to the labels they would have had."""

from ._clusterers import (
    HEADS as HEADS,
    count_clusters as count_clusters,
    describe_head,
    drawn_rows as drawn_rows,
    fit_clusterer as fit_clusterer,
    fit_labels as fit_labels,
    mixture as mixture,
    of_share as of_share,
)
from ._head import ClusteringHead, make_head
from ._manifold import (
    Placement as Placement,
    check_umap as check_umap,
    umap_coordinates as umap_coordinates,
)
from ._mixture import SteadyGaussianMixture
from ._rules import (
    Judgement as Judgement,
    NearestCenter as NearestCenter,
    NeighborRule as NeighborRule,
    OwnRule as OwnRule,
    PlainMixture as PlainMixture,
)
from ._spherical import (
    SphericalKMeans,
    share_of_label as share_of_label,
    spherical_step,
    sum_by_label as sum_by_label,
)
from ._tensors import head_module as head_module, rule_module as rule_module

__all__ = [
    "ClusteringHead",
    "SphericalKMeans",
    "SteadyGaussianMixture",
    "describe_head",
    "make_head",
    "spherical_step",
]
