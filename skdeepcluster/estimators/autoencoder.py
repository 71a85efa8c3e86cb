r"""Autoencoder, then clustering of its codes.

.. math:: \min_{f, g} \frac1n \sum_i \frac1d \|x_i - g(f(x_i))\|^2, \qquad z_i = f(x_i)

and a clusterer on the codes :math:`z_i`, or on their UMAP coordinates (N2D: McConville et al.,
*N2D: (Not Too) Deep Clustering via Clustering the Local Manifold of an Autoencoded Embedding*,
2021).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClusterMixin
from torch import Tensor, nn

from skdeepcluster.augment import augmentation_for
from skdeepcluster.base import AUGMENT, OneHeadClusterer, Run, named_start
from skdeepcluster.engine.model import Model
from skdeepcluster.models.autoencoder import Autoencoder, reconstruction_phase
from skdeepcluster.scaling import Mode

__all__ = ["AutoencoderClustering"]


class AutoencoderClustering(OneHeadClusterer):
    r"""Train an autoencoder, then cluster its codes.

    The baseline of the field, and with ``manifold="umap", head="gmm"`` (N2D) one of the strongest
    methods on images.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Number of clusters. "auto" finds it by density, as HDBSCAN does. A head that finds it
        itself, such as "hdbscan", does not look at an integer, and a warning says so.
    latent_dim : int, default=10
        Width of the code.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=50
        Passes over the data.
    batch_size : int, default=256
        Rows per update.
    lr : float, default=1e-3
        Peak of the one-cycle learning rate.
    head : str or clusterer, default="kmeans"
        What clusters the codes: "kmeans", "spherical", "gmm", "hdbscan", "agglomerative", or
        any scikit-learn clusterer or mixture. It is cloned, and its number of clusters is set if it
        has its default value.
    head_params : dict, default=None
        Further parameters of the head's clusterer.
    min_cluster_size : int or float, default=0.02
        The fewest rows of a cluster of HDBSCAN's, as the head and where it counts clusters for
        another: an integer is their number, a float a share of the rows, but at least 5 of them.
    noise : {"keep", "nearest"}, default="keep"
        What becomes of rows that the head calls noise: "keep" labels them -1, "nearest" gives them
        to the clusters of the nearest training codes that are in one.
    max_samples : int or None, default=100000
        Rows, drawn at random, that UMAP and the head see at most; None sets no limit.
    manifold : {"umap"} or None, default=None
        What the codes go through before the head.
    manifold_params : dict, default=None
        Further parameters of UMAP, in place of 20 neighbours and ``min_dist=0``.
    augment : "auto", callable or None, default=None
        Changes of the rows in training. What is reconstructed are the changed rows.
        Changes are random and keep a batch's meaning: from a tensor of scaled rows, shape
        (n, \*input_shape), to one of the same shape. Such are the modules of
        `skdeepcluster.augment`, and a `torch.nn.Sequential` of several. "auto" is `RandomAffine`
        for images, and nothing for other rows.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. "auto": 500-500-2000, or 32-64-128 channels.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``.
    device : str or torch.device, default="auto"
        "auto" is "cuda", else "mps", else "cpu".
    precision : {"float32", "bfloat16"}, default="float32"
        bfloat16 speeds up training where the hardware has it.
    warm_start : bool, default=False
        Whether `fit`, of a fitted estimator, goes on: `max_epochs` more of the main stage, with the
        networks, the scaling and the clusters that are there.
    checkpoint : str or path, default=None
        A file in which the fit saves its progress and from which it continues after a crash.
    callbacks : sequence of skorch callbacks, default=None
        Called during training, themselves and not copies.
    trainer_params : dict, default=None
        Further parameters of skorch's net, such as ``{"optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 or more a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row; -1 is noise.
    outlier_scores_ : ndarray of shape (n_samples,)
        How far every training row lies outside of the clusters, in [0, 1], higher farther; with
        ``head="hdbscan"`` alone.
    probabilities_ : ndarray of shape (n_samples,)
        How surely every training row belongs to its cluster, in [0, 1], 0 for noise; likewise.
    n_clusters_ : int
        Number of clusters.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the head's own, or the mean code where it has
        none.
    head_ : ClusteringHead
        The fitted head.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch.
    timings_ : dict of str to float
        Seconds of every stage, in this process, and of finding the clusters at the end.
    run_agreement_ : ndarray of shape (n_init,)
        Mean adjusted Rand index of the clusters of each fit with those of the others, where
        `n_init` is more than 1.
    device_ : str
        Where the networks are.
    n_iter_ : int
        Epochs trained, of all stages and phases together.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    See Also
    --------
    DECClustering : Moves the codes towards the clusters as well.

    References
    ----------
    McConville, Santos-Rodriguez, Piechocki & Craddock, *N2D*, ICPR 2021.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import AutoencoderClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = AutoencoderClustering(
    ...     3, latent_dim=2, hidden_layer_sizes=(16,), max_epochs=20, random_state=0
    ... ).fit(X)
    >>> model.transform(X).shape
    (200, 2)
    >>> rows, labels = model.sample(5, cluster=1, random_state=0)
    >>> rows.shape, labels
    ((5, 6), array([1, 1, 1, 1, 1]))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **OneHeadClusterer._parameter_constraints,
        "augment": AUGMENT,
    }

    def __init__(
        self,
        n_clusters: int | str = 8,
        *,
        latent_dim: int = 10,
        n_init: int = 1,
        max_epochs: int = 50,
        batch_size: int = 256,
        lr: float = 1e-3,
        head: str | ClusterMixin = "kmeans",
        head_params: dict[str, Any] | None = None,
        min_cluster_size: int | float = 0.02,
        noise: str = "keep",
        max_samples: int | None = 100_000,
        manifold: str | None = None,
        manifold_params: dict[str, Any] | None = None,
        augment: str | Callable[[Tensor], Tensor] | None = None,
        hidden_layer_sizes: str | Sequence[int] = "auto",
        encoder: Callable[[tuple[int, ...], int], nn.Module] | None = None,
        decoder: Callable[[int, tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adam",
        device: str | torch.device = "auto",
        precision: str = "float32",
        warm_start: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Any] | None = None,
        trainer_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self._keep(locals())

    def _fit(self, run: Run) -> Model:
        encoder = self._make_encoder(self.latent_dim)
        model = Autoencoder(run.scaling, encoder, self._make_decoder(self.latent_dim))
        model.augment = augmentation_for(self.augment, self._input_shape)
        return self._go_on(run, model)

    def _go_on(self, run: Run, model: Model) -> Model:
        self._tell_of_n_clusters()
        self._make_head(run.seed)  # refused now rather than after the training
        phases = [reconstruction_phase(self.max_epochs, "reconstruction")]
        return run.train("autoencoder", model, phases)


@named_start("n2d")
def _as_start(owner: Any) -> AutoencoderClustering:
    """Return what finds the first clusters of another estimator, with its data and device."""
    return AutoencoderClustering(
        owner.n_clusters,
        manifold="umap",
        manifold_params=getattr(owner, "manifold_params", None),
        head="hdbscan" if owner.n_clusters == "auto" else "gmm",
        image_shape=owner.image_shape,
        scaling=owner.scaling,
        device=owner.device,
        precision=owner.precision,
        verbose=owner.verbose,
    )
