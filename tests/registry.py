"""Small settings of every public estimator: the one place a new method is added to be tested.

The settings train long enough that well-separated blobs come out right.
"""

from __future__ import annotations

from sklearn.cluster import KMeans

from skdeepcluster import (
    AAEClustering,
    AutoencoderClustering,
    ClusterGANClustering,
    DCANClustering,
    DCNClustering,
    DECClustering,
    DiscriminativeClustering,
    HRWAEGANClustering,
    IMLEClustering,
    IMSATClustering,
    KDAEClustering,
    KDVAEClustering,
    MoEDCClustering,
    SCANClustering,
    SPCClustering,
    VaDEClustering,
)
from skdeepcluster.base import DeepClusterer

SMALL = {"latent_dim": 2, "device": "cpu", "random_state": 0}
AUTOENCODER = {**SMALL, "hidden_layer_sizes": (32,), "batch_size": 32, "lr": 1e-2}

NETWORKS = {**AUTOENCODER, "pretrain_epochs": 10, "max_epochs": 10}
K_NETWORKS = {**AUTOENCODER, "init_epochs": 10, "max_epochs": 10}
IMLE = {**SMALL, "hidden_layer_sizes": (64, 64), "batch_size": 32, "lr": 5e-3, "max_epochs": 20}
INFORMATION = {**SMALL, "hidden_layer_sizes": (32,), "batch_size": 50, "max_epochs": 20}
HIERARCHY = {
    **SMALL,
    "hidden_layer_sizes": (32, 16),
    "batch_size": 32,
    "lr": 1e-2,
    "max_epochs": 40,
    "head": "gmm",
    "manifold": None,
}
SPC = {**AUTOENCODER, "max_epochs": 10, "decoder_epochs": 20}
VADE = {"pretrain_epochs": 20, "vade_epochs": 10}

ESTIMATORS: dict[str, DeepClusterer] = {
    "aae": AAEClustering(
        3,
        **{**NETWORKS, "max_epochs": 40},
        init_epochs=10,
        critic_hidden_layer_sizes=(64,),
    ),
    "autoencoder": AutoencoderClustering(3, **AUTOENCODER, max_epochs=20),
    "autoencoder-gmm": AutoencoderClustering(3, **AUTOENCODER, max_epochs=20, head="gmm"),
    "dec": DECClustering(
        3, **AUTOENCODER, pretrain_epochs=20, max_epochs=5, reconstruction_weight=0
    ),
    "idec": DECClustering(3, **AUTOENCODER, pretrain_epochs=20, max_epochs=5),
    "discriminative": DiscriminativeClustering(
        3,
        **{**NETWORKS, "latent_dim": 8},  # a dimension for each cluster
        init_epochs=5,
        clustering_lr=1e-3,
    ),
    "dcan": DCANClustering(3, **NETWORKS),
    "dcan-kl": DCANClustering(3, **NETWORKS, clustering_loss="kl"),
    "dcn": DCNClustering(3, **NETWORKS),
    "dkm": DCNClustering(3, **NETWORKS, assignment="soft"),
    "clustergan": ClusterGANClustering(
        3, **SMALL, hidden_layer_sizes=(64, 64), batch_size=32, lr=2e-3, max_epochs=80
    ),
    "clustergan-standard": ClusterGANClustering(
        3,
        **SMALL,
        hidden_layer_sizes=(64, 64),
        batch_size=32,
        lr=1e-3,
        max_epochs=30,
        adversarial_loss="standard",
    ),
    "imle": IMLEClustering(3, **IMLE),
    "imle-centroid": IMLEClustering(
        3, **IMLE, prior="gaussian_mixture", label_source="centroid", updates_per_matching=2
    ),
    "imsat": IMSATClustering(3, **INFORMATION),
    "iic": IMSATClustering(3, **INFORMATION, objective="iic", n_heads=2),
    "hrwaegan": HRWAEGANClustering(3, **HIERARCHY, n_groups=1),
    "hrwaegan-2": HRWAEGANClustering(3, **HIERARCHY, n_groups=2),
    "kdae": KDAEClustering(3, **K_NETWORKS, init="kmeans"),
    "kdvae-kmeans": KDVAEClustering(3, **K_NETWORKS, init="kmeans"),
    "kdvae": KDVAEClustering(3, **K_NETWORKS, **VADE),
    # A blob has a third of the rows, and is not split into clusters of at least a fifth.
    "moedc": MoEDCClustering(
        **{**AUTOENCODER, "latent_dim": "auto"},
        explained_variance=1.0,  # in fewer dimensions untrained codes of blobs may overlap
        manifold_params={"n_epochs": 50},
        min_cluster_size=0.2,
        pretrain_epochs=20,
        init_epochs=10,
        max_epochs=10,
    ),
    "scan": SCANClustering(
        3,
        device="cpu",
        random_state=0,
        max_epochs=20,
        batch_size=50,
        lr=1e-2,
        n_heads=4,
        n_neighbors=10,
        metric="euclidean",
        manifold=None,
    ),
    "spc-members": SPCClustering(
        3, **SPC, init=KMeans(), recluster=None, n_members=2, max_rounds=2
    ),
    "spc": SPCClustering(3, **SPC, init="umap-gmm", max_rounds=1, manifold_params={"n_epochs": 50}),
    "vade": VaDEClustering(3, **AUTOENCODER, pretrain_epochs=20, max_epochs=10),
}

# One setting of every class, the first above, which is a quick one: for laws that the settings of a
# class do not bear on.
ONE_OF_EACH = sorted({type(e): name for name, e in reversed(ESTIMATORS.items())}.values())


def matters(estimator: DeepClusterer, name: str) -> bool:
    """Tell whether a parameter changes anything, given the others."""
    return all(each.holds(estimator) for each in estimator._conditions if name in each.names)


def stages(estimator: DeepClusterer, epochs: int) -> dict[str, int]:
    """Return that many epochs for each of the stages of a fit."""
    names = [name for name in estimator.get_params() if name.endswith("epochs")]
    return {name: epochs for name in names if matters(estimator, name)}


MINI_BATCHES = "mini-batches, and dropped rows change them: see test_weights_equal_repeated_rows"
CLASSES = "takes predict_proba for a classifier's and expects a column per class of y"


def expected_failures(estimator: DeepClusterer) -> dict[str, str]:
    """Return the checks of scikit-learn that an estimator cannot pass, each with its reason."""
    failures = {
        "check_sample_weight_equivalence_on_dense_data": MINI_BATCHES,
        "check_sample_weight_equivalence_on_sparse_data": MINI_BATCHES,
    }
    if hasattr(estimator, "predict_proba"):
        failures["check_estimator_sparse_matrix"] = CLASSES
        failures["check_estimator_sparse_array"] = CLASSES
    return failures
