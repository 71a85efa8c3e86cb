"""The contract that every estimator keeps, once."""

from ._adversarial import AdversarialClusterer
from ._clusterer import AUGMENT as AUGMENT, DeepClusterer
from ._generative import GenerativeClusterer
from ._headed import HeadedClusterer, HeadingClusterer, OneHeadClusterer
from ._initialized import (
    InitializedClusterer,
    init_constraint as init_constraint,
    named_start as named_start,
)
from ._k_networks import KNetworksClusterer
from ._latent_groups import HierarchicalClusterer
from ._mixture import MixtureClusterer
from ._outliers import EarlyOutlierScorer, OutlierScorer
from ._run import Run
from ._saved import load as load
from ._self_labeling import SelfLabelingClusterer

__all__ = [
    "AdversarialClusterer",
    "DeepClusterer",
    "EarlyOutlierScorer",
    "GenerativeClusterer",
    "HeadedClusterer",
    "HeadingClusterer",
    "HierarchicalClusterer",
    "InitializedClusterer",
    "KNetworksClusterer",
    "MixtureClusterer",
    "OneHeadClusterer",
    "OutlierScorer",
    "Run",
    "SelfLabelingClusterer",
]
