"""The methods, a file each; what is listed here is what `skdeepcluster` exports."""

from skdeepcluster.estimators.aae import AAEClustering
from skdeepcluster.estimators.autoencoder import AutoencoderClustering
from skdeepcluster.estimators.clustergan import ClusterGANClustering
from skdeepcluster.estimators.dcan import DCANClustering
from skdeepcluster.estimators.dcn import DCNClustering
from skdeepcluster.estimators.dec import DECClustering
from skdeepcluster.estimators.discriminative import DiscriminativeClustering
from skdeepcluster.estimators.hrwaegan import HRWAEGANClustering
from skdeepcluster.estimators.imle import IMLEClustering
from skdeepcluster.estimators.imsat import IMSATClustering
from skdeepcluster.estimators.kdae import KDAEClustering
from skdeepcluster.estimators.kdvae import KDVAEClustering
from skdeepcluster.estimators.moedc import MoEDCClustering
from skdeepcluster.estimators.scan import SCANClustering
from skdeepcluster.estimators.spc import SPCClustering
from skdeepcluster.estimators.vade import VaDEClustering

__all__ = [
    "AAEClustering",
    "AutoencoderClustering",
    "ClusterGANClustering",
    "DCANClustering",
    "DCNClustering",
    "DECClustering",
    "DiscriminativeClustering",
    "HRWAEGANClustering",
    "IMLEClustering",
    "IMSATClustering",
    "KDAEClustering",
    "KDVAEClustering",
    "MoEDCClustering",
    "SCANClustering",
    "SPCClustering",
    "VaDEClustering",
]
