"""Nearest rows: the sample that a row is matched with, and the rows that should share a cluster."""

from ._anchors import anchors_among, closest_pairs, mutual_neighbor_lists, mutual_neighbors
from ._samples import (
    centroids,
    distances,
    distinct_nearest,
    distinct_within,
    nearest,
    two_stage_distinct,
    two_stage_nearest,
)

__all__ = [
    "anchors_among",
    "centroids",
    "closest_pairs",
    "distances",
    "distinct_nearest",
    "distinct_within",
    "mutual_neighbor_lists",
    "mutual_neighbors",
    "nearest",
    "two_stage_distinct",
    "two_stage_nearest",
]
