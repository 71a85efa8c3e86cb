"""The methods, a file each."""

from skdeepcluster.estimators.autoencoder import AutoencoderClustering
from skdeepcluster.estimators.clustergan import ClusterGANClustering
from skdeepcluster.estimators.dec import DECClustering

__all__ = ["AutoencoderClustering", "ClusterGANClustering", "DECClustering"]
