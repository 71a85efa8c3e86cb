"""The methods, a file each."""

from skdeepcluster.estimators.autoencoder import AutoencoderClustering
from skdeepcluster.estimators.clustergan import ClusterGANClustering
from skdeepcluster.estimators.dec import DECClustering
from skdeepcluster.estimators.hrwaegan import HRWAEGANClustering
from skdeepcluster.estimators.kdae import KDAEClustering
from skdeepcluster.estimators.kdvae import KDVAEClustering
from skdeepcluster.estimators.vade import VaDEClustering

__all__ = [
    "AutoencoderClustering",
    "ClusterGANClustering",
    "DECClustering",
    "HRWAEGANClustering",
    "KDAEClustering",
    "KDVAEClustering",
    "VaDEClustering",
]
