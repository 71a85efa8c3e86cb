"""The methods of the benchmarks: what each name stands for.

An entry of METHODS is a function from the task to an unfitted clusterer. Its settings may depend on
what a user knows, the number of clusters and the shape of the data, never on labels. An estimator
without an entry is there under the name of its file, as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.base import ClusterMixin
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline, make_pipeline

import skdeepcluster
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
    SPCClustering,
    VaDEClustering,
)
from skdeepcluster.base import DeepClusterer
from skdeepcluster.heads import SteadyGaussianMixture


@dataclass(frozen=True)
class Task:
    """What a method is told: everything but the labels."""

    n_clusters: int
    n_samples: int
    is_sparse: bool
    image_shape: tuple[int, int, int] | None
    seed: int
    device: str


Method = Callable[[Task], ClusterMixin | Pipeline]


def kmeans(task: Task) -> KMeans:
    return KMeans(task.n_clusters, n_init=10, random_state=task.seed)


def umap_gmm(task: Task) -> Pipeline:
    mixture = SteadyGaussianMixture(task.n_clusters, random_state=task.seed)
    return make_pipeline(_umap(task), mixture)


def umap_gmm_one_start(task: Task) -> Pipeline:
    return make_pipeline(_umap(task), GaussianMixture(task.n_clusters, random_state=task.seed))


def umap_hdbscan(task: Task) -> Pipeline:
    from hdbscan import HDBSCAN

    return make_pipeline(_umap(task), HDBSCAN(min_cluster_size=max(5, task.n_samples // 50)))


def _umap(task: Task) -> Any:
    """UMAP as it is set up for clustering: many dimensions, no gaps between neighbours."""
    from umap import UMAP

    return UMAP(
        n_components=10,
        n_neighbors=20,
        min_dist=0.0,
        metric="cosine" if task.is_sparse else "euclidean",
        random_state=task.seed,
        n_jobs=1,  # what a seed means to UMAP anyway, which would warn otherwise
    )


def deep(
    estimator: Callable[..., DeepClusterer],
    finds_k: bool = False,
    images: bool = False,
    **settings: Any,
) -> Method:
    """Return the method that is an estimator of the package with some settings.

    Parameters
    ----------
    estimator : class of estimator
        The estimator.
    finds_k : bool, default=False
        Whether it is left to find the number of clusters.
    images : bool, default=False
        Whether it is told the shape of images, and so builds convolutional networks.
    **settings : dict
        What differs from the estimator's defaults.
    """

    def make(task: Task) -> DeepClusterer:
        return estimator(
            n_clusters="auto" if finds_k else task.n_clusters,
            image_shape=task.image_shape if images else None,
            device=task.device,
            random_state=task.seed,
            **settings,
        )

    return make


# Batches of half the default size make twice the updates of a data set of ten thousand rows. The
# epochs are what a shared processor has time for.
DDLS = {"batch_size": 500, "pretrain_epochs": 30, "init_epochs": 8, "max_epochs": 8}
# The variants in the thesis of Vardakas (2021), table 6.8.
_WITHOUT_ENCODER = {"prior": "gaussian_mixture", "label_source": "centroid_alone"}
_IMLE: dict[str, dict[str, Any]] = {
    "imle-simple": {**_WITHOUT_ENCODER, "search": "global"},
    "imle-2s": _WITHOUT_ENCODER,
    "imle-encoder": {},
    "imle-encoder-centroid": {"label_source": "centroid"},
    "imle-final": {"feature_weight": 0.5},
    "imle-final-centroid": {"feature_weight": 0.5, "label_source": "centroid"},
}


def hierarchy(**settings: Any) -> Method:
    """Return HRWAE-GAN or a relative, left to find the number of clusters, as in its thesis."""
    return deep(HRWAEGANClustering, finds_k=True, images=True, max_epochs=20, **settings)


def ddls_large(task: Task) -> DeepClusterer:
    """Return the discriminative method with larger networks, for images or for vectors."""
    sizes = (500, 500, 2000) if task.image_shape is None else (16, 32)
    return deep(DiscriminativeClustering, images=True, hidden_layer_sizes=sizes, **DDLS)(task)


METHODS: dict[str, Method] = {
    # What a user would pick instead.
    "kmeans": kmeans,
    "umap-gmm": umap_gmm,
    "umap-gmm-one-start": umap_gmm_one_start,
    "umap-hdbscan": umap_hdbscan,
    # An autoencoder, then a clusterer.
    "ae-kmeans": deep(AutoencoderClustering),
    "ae-gmm": deep(AutoencoderClustering, head="gmm"),
    "n2d": deep(AutoencoderClustering, manifold="umap", head="gmm"),
    "ae-umap-hdbscan": deep(AutoencoderClustering, finds_k=True, manifold="umap", head="hdbscan"),
    # Labels that are learnt, and found anew among the features of what learnt them.
    "spc": deep(SPCClustering, images=True),
    "spc-n2d": deep(SPCClustering, images=True, init="n2d"),
    "spc-members": deep(SPCClustering, images=True, n_members=3),
    "spc-plain": deep(SPCClustering, images=True, augment=None),
    "spc-classifier": deep(SPCClustering, images=True, recluster=None),
    # Classifiers that learn without labels.
    "imsat": deep(IMSATClustering, images=True),
    "imsat-vat": deep(IMSATClustering, perturbation="adversarial"),
    "imsat-rpt": deep(IMSATClustering, perturbation="random"),
    "iic": deep(IMSATClustering, images=True, objective="iic", n_heads=5),
    # Methods that train for the clusters.
    "dec": deep(DECClustering, reconstruction_weight=0.0),
    "idec": deep(DECClustering, reconstruction_weight=10.0),
    "dbc": deep(DECClustering, images=True, reconstruction_weight=0.0, target_power=4.0),
    "dcn": deep(DCNClustering),
    "dkm": deep(DCNClustering, assignment="soft"),
    "aae": deep(AAEClustering),
    "aae-random": deep(AAEClustering, init="random"),
    "vade": deep(VaDEClustering),
    "kdae": deep(KDAEClustering),
    "kdvae": deep(KDVAEClustering),
    # On images that are changed at random, and so by convolutional networks.
    "dec-da": deep(DECClustering, images=True, augment="auto", reconstruction_weight=0.0),
    "idec-da": deep(DECClustering, images=True, augment="auto"),
    "idec-conv": deep(DECClustering, images=True),  # the same without the changes
    "dcn-da": deep(DCNClustering, images=True, augment="auto"),
    "vade-da": deep(VaDEClustering, images=True, augment="auto"),
    # Standardised rows make the likelihood Gaussian, as continuous features need it.
    "vade-gaussian": deep(VaDEClustering, scaling="standard"),
    "kdvae-gaussian": deep(KDVAEClustering, scaling="standard"),
    "ddls": deep(DiscriminativeClustering, images=True, **DDLS),
    "ddls-pretraining": deep(
        DiscriminativeClustering, images=True, **{**DDLS, "init_epochs": 0, "max_epochs": 0}
    ),
    "ddls-stage1": deep(DiscriminativeClustering, images=True, **{**DDLS, "max_epochs": 0}),
    "ddls-large": ddls_large,
    "moedc": deep(MoEDCClustering, finds_k=True),
    "clustergan": deep(ClusterGANClustering),
    "clustergan-conv": deep(ClusterGANClustering, images=True),
    "dcan": deep(DCANClustering),
    "abc": deep(DCANClustering, clustering_loss="euclidean"),
    "dcan-kl": deep(DCANClustering, clustering_loss="kl"),
    # As Lim (2024) prints it, with the networks for MNIST at 14 x 14.
    "dcan-literal": deep(
        DCANClustering,
        reconstruction_weight=0.0,
        pretrain_epochs=0,
        sample_scale=1.0,
        conditional=False,
        standardize_codes=False,
        latent_dim=256,
        hidden_layer_sizes=(384,),
        batch_size=16,
        buffer_size=600,
        optimizer="sgd",
        trainer_params={"optimizer__momentum": 0.9, "critic_optimizer__momentum": 0.9},
    ),
    # Latent groups held to their priors; twenty epochs for the sake of the processor's time.
    "hrwaegan-1": hierarchy(n_groups=1),
    "hrwaegan-2": hierarchy(n_groups=2),
    "hrwaegan-3": hierarchy(n_groups=3),
    "hrwaegan-1-gmm": hierarchy(n_groups=1, head="gmm"),
    "hrwaegan-2-gmm": hierarchy(n_groups=2, head="gmm"),
    "wae-gan": hierarchy(n_groups=1, regularizer="standard"),
    "wae-mmd": hierarchy(n_groups=1, regularizer="mmd"),
    "beta-vae": hierarchy(n_groups=1, regularizer="kl"),
    # As in the thesis of Vardakas (2021), section 6.2, but for its convolutional networks.
    "clustergan-standard": deep(
        ClusterGANClustering,
        adversarial_loss="standard",
        max_epochs=500,
        trainer_params={
            "optimizer__betas": (0.5, 0.99),
            "critic_optimizer__betas": (0.5, 0.99),
        },
    ),
    **{name: deep(IMLEClustering, **settings) for name, settings in _IMLE.items()},
}


# Clusters that others start from: those that the methods of these names find with the same seed.
STARTS = {"n2d": METHODS["n2d"], "spc": deep(SPCClustering, images=True, decoder_epochs=0)}
STARTED = [
    "dec",
    "idec",
    "dcn",
    "aae",
    "vade",
    "kdae",
    "kdvae",
    "ddls",
    "dcan",
    "abc",
    "dcan-kl",
    "moedc",
]


def started(method: Method, start: Method) -> Method:
    """Return a method that starts from the clusters of another, in place of its own start."""
    return lambda task: method(task).set_params(init=start(task))


METHODS |= {
    f"{name}-{start}": started(METHODS[of], make)
    for name, of in [*((name, name) for name in STARTED), ("imle", "imle-encoder")]
    for start, make in STARTS.items()
}


def _as_they_come() -> dict[str, Method]:
    """Return the public estimators that no entry is about, with their defaults."""
    task = Task(2, 10, is_sparse=False, image_shape=None, seed=0, device="cpu")
    known = {type(make(task)) for make in METHODS.values()}
    estimators = [getattr(skdeepcluster, name) for name in skdeepcluster.__all__]
    return {
        kind.__module__.rpartition(".")[2]: deep(kind, finds_k=kind().n_clusters == "auto")
        for kind in estimators
        if kind not in known
    }


METHODS |= _as_they_come()
