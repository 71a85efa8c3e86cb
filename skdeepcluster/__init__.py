"""Deep clustering methods as scikit-learn estimators."""

from skdeepcluster.estimators import (
    AutoencoderClustering,
    ClusterGANClustering,
    DECClustering,
)

__all__ = ["AutoencoderClustering", "ClusterGANClustering", "DECClustering"]
__version__ = "0.1.0"
