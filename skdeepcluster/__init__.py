"""Deep clustering methods as scikit-learn estimators."""

from skdeepcluster.estimators import (
    AutoencoderClustering,
    ClusterGANClustering,
    DECClustering,
    HRWAEGANClustering,
    KDAEClustering,
    KDVAEClustering,
    VaDEClustering,
)

__all__ = [
    "AutoencoderClustering",
    "ClusterGANClustering",
    "DECClustering",
    "HRWAEGANClustering",
    "KDAEClustering",
    "KDVAEClustering",
    "VaDEClustering",
]
__version__ = "0.1.0"
