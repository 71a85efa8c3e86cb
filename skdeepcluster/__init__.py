"""Deep clustering methods as scikit-learn estimators."""

from skdeepcluster.estimators import (
    AutoencoderClustering,
    ClusterGANClustering,
    DCANClustering,
    DECClustering,
    DiscriminativeClustering,
    HRWAEGANClustering,
    IMLEClustering,
    KDAEClustering,
    KDVAEClustering,
    MoEDCClustering,
    SPCClustering,
    VaDEClustering,
)

__all__ = [
    "AutoencoderClustering",
    "ClusterGANClustering",
    "DCANClustering",
    "DECClustering",
    "DiscriminativeClustering",
    "HRWAEGANClustering",
    "IMLEClustering",
    "KDAEClustering",
    "KDVAEClustering",
    "MoEDCClustering",
    "SPCClustering",
    "VaDEClustering",
]
__version__ = "0.1.0"
