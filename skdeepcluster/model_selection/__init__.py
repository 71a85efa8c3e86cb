"""How many clusters, and how far several runs agree on them."""

from ._consensus import ConsensusClustering
from ._stability import StabilityCurve, stability_curve

__all__ = ["ConsensusClustering", "StabilityCurve", "stability_curve"]
