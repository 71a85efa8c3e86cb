r"""Autoencoder, then clustering of its codes.

.. math:: \min_{f, g} \frac1n \sum_i \frac1d \|x_i - g(f(x_i))\|^2, \qquad z_i = f(x_i)

and a clusterer on the codes :math:`z_i`, or on their UMAP coordinates (N2D: McConville et al.,
*N2D: (Not Too) Deep Clustering via Clustering the Local Manifold of an Autoencoded Embedding*,
2021).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Turn, one_cycle
from skdeepcluster.engine.table import Batch, Table, encoded
from skdeepcluster.heads import HEADS, make_head
from skdeepcluster.objectives import squared_error
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["Autoencoder", "AutoencoderClustering", "reconstruction_phase"]


class Autoencoder(Model):
    """An encoder f and a decoder g.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The networks.
    """

    def __init__(self, scaling: Scaling, encoder: nn.Module, decoder: nn.Module):
        super().__init__(scaling)
        self.encoder = encoder
        self.decoder = decoder

    def codes(self, batch: Batch) -> Tensor:
        """Return f(x)."""
        return self.encoder(batch["X"])

    def decode(self, codes: Tensor) -> Tensor:
        """Return g(z)."""
        return self.decoder(codes)

    def reconstruction(self, batch: Batch) -> dict[str, Tensor]:
        """Return the squared error of g(f(x)), a mean over features, per row."""
        rows = self.decode(self.codes(batch))
        return {"reconstruction": squared_error(rows, batch["X"])}


def reconstruction_phase(epochs: int, name: str = "pretraining") -> Phase:
    """Return the phase that trains an autoencoder, by one cycle of the learning rate."""
    turns = [Turn("model", "reconstruction")]
    return Phase(name, turns, epochs=epochs, lr={"model": one_cycle})


class AutoencoderClustering(DeepClusterer):
    r"""Train an autoencoder, then cluster its codes.

    The baseline of the field, and with ``manifold="umap", head="gmm"`` (N2D) one of the strongest
    methods on images.

    Parameters
    ----------
    n_clusters : int or None, default=8
        Number of clusters. None only for heads that find it (``"hdbscan"``, or a clusterer
        without such a parameter), which ignore an integer.
    head : str or clusterer, default="kmeans"
        What clusters the codes: "kmeans", "spherical", "gmm", "hdbscan", "agglomerative", or any
        scikit-learn clusterer.
    head_params : dict, default=None
        Further parameters of the head's clusterer, such as ``{"min_cluster_size": 50}``.
    manifold : {"umap"} or None, default=None
        What the codes go through before the head.
    manifold_params : dict, default=None
        Further parameters of UMAP, in place of 20 neighbours and ``min_dist=0``.
    latent_dim : int, default=10
        Width of the code.
    hidden_layer_sizes : sequence of int, default=None
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. None: 500-500-2000, or 32-64-128 channels.
    encoder, decoder : callable, default=None
        Return an ``nn.Module``, given the shape of one input. The encoder maps
        (n, \*input_shape) to (n, latent_dim), the decoder back.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened rows. 3-d and 4-d arrays say it themselves.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest.
    max_epochs : int, default=50
        Passes over the data.
    batch_size : int, default=256
        Rows per update.
    lr : float, default=1e-3
        Peak of the one-cycle learning rate.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``.
    device : str or torch.device, default="auto"
        "auto" is "cuda", else "mps", else "cpu".
    precision : {"float32", "bfloat16"}, default="float32"
        bfloat16 speeds up training where the hardware has it.
    checkpoint : str or path, default=None
        A file in which the fit saves its progress and from which it continues after a crash.
    callbacks : sequence of skorch callbacks, default=None
        Copied, and called during training.
    trainer_params : dict, default=None
        Further parameters of skorch's net, such as ``{"optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row; -1 is noise.
    n_clusters_ : int
        Number of clusters.
    cluster_centers_ : ndarray of shape (n_clusters_, latent_dim)
        Mean code of every cluster.
    head_ : ClusteringHead
        The fitted head.
    module_ : Autoencoder
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch.
    device_ : str
        Where the networks are.
    n_iter_ : int
        Epochs trained.
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
        **DeepClusterer._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "head": [StrOptions(set(HEADS)), HasMethods(["fit"])],
        "head_params": [dict, None],
        "manifold": [StrOptions({"umap"}), None],
        "manifold_params": [dict, None],
    }

    def __init__(
        self,
        n_clusters: int | None = 8,
        *,
        head: str | ClusterMixin = "kmeans",
        head_params: dict[str, Any] | None = None,
        manifold: str | None = None,
        manifold_params: dict[str, Any] | None = None,
        latent_dim: int = 10,
        hidden_layer_sizes: Sequence[int] | None = None,
        encoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        max_epochs: int = 50,
        batch_size: int = 256,
        lr: float = 1e-3,
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adam",
        device: str | torch.device = "auto",
        precision: str = "float32",
        checkpoint: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Any] | None = None,
        trainer_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        super().__init__(
            n_clusters=n_clusters,
            latent_dim=latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            encoder=encoder,
            decoder=decoder,
            image_shape=image_shape,
            scaling=scaling,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            optimizer=optimizer,
            device=device,
            precision=precision,
            checkpoint=checkpoint,
            callbacks=callbacks,
            trainer_params=trainer_params,
            random_state=random_state,
            verbose=verbose,
        )
        self.head = head
        self.head_params = head_params
        self.manifold = manifold
        self.manifold_params = manifold_params

    def _make_model(self) -> Autoencoder:
        encoder = self._make_encoder(self.latent_dim)
        return Autoencoder(self._fitting.scaling, encoder, self._make_decoder(self.latent_dim))

    def _fit(self, table: Table) -> Autoencoder:
        head = make_head(
            self.head,
            self.n_clusters,
            manifold=self.manifold,
            manifold_params=self.manifold_params,
            head_params=self.head_params,
            random_state=self._fitting.seed,
        )
        phases = [reconstruction_phase(self.max_epochs, "reconstruction")]
        model = self._train("autoencoder", self._make_model, phases, table)
        self.head_ = head.fit(encoded(model, table).cpu().numpy(), table.array("weight"))
        return model

    def _used_after_training(self) -> set[str]:
        return {"n_clusters", "head", "head_params", "manifold", "manifold_params"}

    def _n_candidates(self) -> int:
        return self.head_.n_clusters_  # a head has dropped its dead clusters

    @property
    def _has_memberships(self) -> bool:  # type: ignore[override]
        if self.__sklearn_is_fitted__():
            return hasattr(self.head_, "predict_proba")
        return self.head == "gmm" or hasattr(self.head, "predict_proba")

    def _assign(self, batch: Batch) -> Tensor:
        if self._has_memberships:
            return super()._assign(batch)  # from the memberships as they are shown
        return torch.from_numpy(self.head_.predict(self.module_(batch).cpu().numpy()))

    def _memberships(self, batch: Batch) -> Tensor:
        proba = self.head_.predict_proba(self.module_(batch).cpu().numpy())
        return torch.from_numpy(proba).float()
