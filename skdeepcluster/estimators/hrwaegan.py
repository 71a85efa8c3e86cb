r"""HRWAE-GAN: a hierarchy of latent groups, each held to its prior by a relativistic discriminator.

.. math:: L = L_R + \alpha L_G + \kappa L_I + \beta L_N

(Toscano Morais 2021, eq. 3.9): reconstruction, the game of every group (3.6), layer matching
(3.10) and more attention for the rows that HDBSCAN calls noise (3.11).
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import GradientNormClipping
from torch import nn

from skdeepcluster.engine.schedule import Phase, Refresh, Turn, one_cycle, warm_up
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators._hierarchy import GAMES, HierarchicalAutoencoder
from skdeepcluster.estimators._latent_groups import HierarchicalClusterer
from skdeepcluster.networks import Discriminator, HierarchicalDecoder, HierarchicalEncoder, Levels
from skdeepcluster.scaling import Mode

__all__ = ["HRWAEGANClustering"]

CLIP = 1.0  # largest norm of a player's gradient
BETAS = (0.5, 0.999)  # of Adam: a rival that moves on makes a long memory misleading


class HRWAEGANClustering(HierarchicalClusterer):
    r"""Hierarchical and relativistic Wasserstein autoencoder GAN (HRWAE-GAN).

    An autoencoder with a hierarchy of latent groups: the first sums a row up, each further one adds
    what the groups above left out. In every group a discriminator compares codes with draws from
    the group's prior, until the two are distributed alike. The codes of each group then go through
    UMAP and are clustered, by default by HDBSCAN, which finds the number of clusters itself and
    leaves out what is noise.

    Parameters
    ----------
    n_clusters : int, default=None
        Number of clusters. None: as many as HDBSCAN finds. ``head="hdbscan"`` heeds no integer.
    n_groups : int, default=2
        Number of latent groups L, from 1 (a WAE-GAN) to the number of cells of the encoder.
    cluster_group : int, default=0
        The group, from 0 to n_groups - 1, whose codes and clusters stand for a row.
    head : {"hdbscan", "gmm", "agglomerative"}, default="hdbscan"
        What clusters the codes of a group.
    min_cluster_size : int, default=None
        HDBSCAN's smallest cluster, as a head and where it counts clusters for another. None: a
        50th of the rows, at least 5; classes smaller than that cannot be found.
    manifold : {"umap"} or None, default="umap"
        What the codes go through before the head.
    manifold_params : dict, default=None
        Further parameters of UMAP, in place of ``min_dist=0`` and one neighbour for every 300 rows,
        from 5 to 100.
    regularizer : {"relativistic", "standard", "mmd", "kl"}, default="relativistic"
        What brings codes and priors together: discriminators that compare pairs of a real and a
        fake code, or judge them one by one (WAE-GAN); the maximum mean discrepancy (WAE-MMD); or
        the divergence of every single posterior (beta-VAE).
    regularization_weight : float, default=0.04
        Weight alpha of the regularizer in the first group, beside reconstruction as a mean over
        features; it rises from 0 over the first half of the training.
    group_decay : float, default=0.5
        Factor from the weight of one group to that of the next, in (0, 1].
    matching_weight : float, default=0.01
        Weight kappa of layer matching.
    noise_weight : float, default=0.15
        Weight beta by which rows that HDBSCAN calls noise count more in the reconstruction. 0
        spares the search for them.
    refresh_interval : int, default=10
        Epochs from one search for noise to the next.
    refresh_size : int, default=2000
        Rows drawn for a search for noise; the others are judged by the nearest of these. None
        takes all.
    n_autoencoder : int, default=4
        Consecutive updates n of the autoencoder, each on a fresh batch.
    n_critic : int, default=2
        Consecutive updates m of the discriminators, each on a fresh batch.
    latent_dim : int, default=23
        Width of the code of every group.
    hidden_layer_sizes : sequence of int, default=None
        Widths of the encoder's cells; the decoder mirrors them. For images, the channels of their
        convolutions, each of which halves the image, padded to a power of two. None: 512-256-128,
        or channels from 16 to 64 in as many cells as lead to maps of 2 x 2.
    encoder, decoder : callable, default=None
        Return an ``nn.Module``, given the shape of one input. The encoder maps (n, \*input_shape)
        to (n, 2 * latent_dim), mean and log-variance of the first group; the decoder, for one group
        alone, maps (n, latent_dim) back, to logits where scaled rows are black-and-white images.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened rows. 3-d and 4-d arrays say it themselves.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. The reconstruction
        error is a cross-entropy for scaled rows in [0, 1] of at most one channel, else squared.
    max_epochs : int, default=50
        Passes over the data, counting the batches of both players.
    batch_size : int, default=64
        Rows per update, at least 2.
    lr : float, default=1e-3
        Peak of the one-cycle learning rate of the autoencoder.
    critic_lr : float, default=None
        That of the discriminators; None is `lr`.
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
        Further parameters of skorch's net, such as ``{"critic_optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row in `cluster_group`; -1 is noise.
    group_labels_ : ndarray of shape (n_samples, n_groups)
        Clusters in all groups, each with numbers of its own.
    outlier_scores_ : ndarray of shape (n_samples,)
        How far every training row lies outside of the clusters, in [0, 1], higher farther; with
        ``head="hdbscan"`` alone.
    n_clusters_ : int
        Number of clusters; 0 if HDBSCAN takes all rows for noise.
    cluster_centers_ : ndarray of shape (n_clusters_, latent_dim)
        Mean code of every cluster.
    module_ : nn.Module
        The trained networks, without the discriminators.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and those of the searches for
        noise: ``"refresh_seconds"``, and the share that is noise, ``"noise_share"``.
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
    AutoencoderClustering : The same heads on an autoencoder that nothing regularises.
    VaDEClustering : One latent group, whose prior has a component for every cluster.

    References
    ----------
    Toscano Morais, *Generative deep clustering with the hierarchical and relativistic Wasserstein
    autoencoder GAN*, MSc thesis, 2021.
    Tolstikhin, Bousquet, Gelly & Schoelkopf, *Wasserstein auto-encoders*, ICLR 2018.
    Higgins et al., *beta-VAE: learning basic visual concepts with a constrained variational
    framework*, ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import HRWAEGANClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = HRWAEGANClustering(
    ...     3,
    ...     head="gmm",
    ...     manifold=None,
    ...     latent_dim=2,
    ...     hidden_layer_sizes=(32, 16),
    ...     lr=1e-2,
    ...     random_state=0,
    ... ).fit(X)
    >>> model.n_clusters_, model.group_labels_.shape, model.transform_groups(X).shape
    (3, (200, 2), (200, 2, 2))
    >>> rows, labels = model.sample(4, cluster=2, temperature=0.5, random_state=0)
    >>> rows.shape, model.sample_prior(3, random_state=0).shape
    ((4, 6), (3, 6))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **HierarchicalClusterer._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "cluster_group": [Interval(Integral, 0, None, closed="left")],
        "head": [StrOptions({"hdbscan", "gmm", "agglomerative"})],
        "min_cluster_size": [Interval(Integral, 2, None, closed="left"), None],
        "manifold": [StrOptions({"umap"}), None],
        "manifold_params": [dict, None],
        "regularizer": [StrOptions({*GAMES, "mmd", "kl"})],
        "regularization_weight": [Interval(Real, 0, None, closed="left")],
        "group_decay": [Interval(Real, 0, 1, closed="right")],
        "matching_weight": [Interval(Real, 0, None, closed="left")],
        "noise_weight": [Interval(Real, 0, None, closed="left")],
        "refresh_interval": [Interval(Integral, 1, None, closed="left")],
        "refresh_size": [Interval(Integral, 3, None, closed="left"), None],
        "n_autoencoder": [Interval(Integral, 1, None, closed="left")],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
        "critic_lr": [Interval(Real, 0, None, closed="neither"), None],
    }

    _adam: ClassVar[dict[str, Any]] = {"optimizer__betas": BETAS}

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        n_groups: int = 2,
        cluster_group: int = 0,
        head: str = "hdbscan",
        min_cluster_size: int | None = None,
        manifold: str | None = "umap",
        manifold_params: dict[str, Any] | None = None,
        regularizer: str = "relativistic",
        regularization_weight: float = 0.04,
        group_decay: float = 0.5,
        matching_weight: float = 0.01,
        noise_weight: float = 0.15,
        refresh_interval: int = 10,
        refresh_size: int | None = 2000,
        n_autoencoder: int = 4,
        n_critic: int = 2,
        latent_dim: int = 23,
        hidden_layer_sizes: Sequence[int] | None = None,
        encoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        max_epochs: int = 50,
        batch_size: int = 64,
        lr: float = 1e-3,
        critic_lr: float | None = None,
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
        self.n_groups = n_groups
        self.cluster_group = cluster_group
        self.head = head
        self.min_cluster_size = min_cluster_size
        self.manifold = manifold
        self.manifold_params = manifold_params
        self.regularizer = regularizer
        self.regularization_weight = regularization_weight
        self.group_decay = group_decay
        self.matching_weight = matching_weight
        self.noise_weight = noise_weight
        self.refresh_interval = refresh_interval
        self.refresh_size = refresh_size
        self.n_autoencoder = n_autoencoder
        self.n_critic = n_critic
        self.critic_lr = critic_lr

    # -- training -------------------------------------------------------------------------------

    def _make_model(self) -> HierarchicalAutoencoder:
        levels = Levels(self._input_shape, self.hidden_layer_sizes)
        self._check_groups(levels)
        shape, width, n_groups = self._input_shape, self.latent_dim, self.n_groups
        encoder = decoder = None
        if self.encoder is not None:
            encoder = self._own_network("encoder", shape, (2 * width,))
        if self.decoder is not None:
            decoder = self._own_network("decoder", (width,), shape)
        maps = [None, *(levels.of_group(group) for group in range(1, n_groups))]
        critics = [Discriminator(width, each) for each in maps] if self._is_game else []
        return HierarchicalAutoencoder(
            self._fitting.scaling,
            HierarchicalEncoder(levels, 2 * width, n_groups, encoder),
            HierarchicalDecoder(levels, width, n_groups, decoder),
            critics,
            self.regularizer,
            n_groups,
            width,
            self.cluster_group,
        )

    def _check_groups(self, levels: Levels) -> None:
        if self.n_groups > levels.n_cells:
            raise ValueError(
                f"n_groups={self.n_groups} is more than the {levels.n_cells} cells of the "
                "networks. Use fewer groups, or more hidden_layer_sizes."
            )
        if self.cluster_group >= self.n_groups:
            raise ValueError(
                f"cluster_group={self.cluster_group} does not exist; expected a number from 0 to "
                f"n_groups - 1 = {self.n_groups - 1}."
            )
        if self.decoder is not None and self.n_groups > 1:
            raise ValueError(
                f"decoder= takes an nn.Module from z_0 alone and n_groups={self.n_groups}: further "
                "groups enter between our own cells. Use n_groups=1 or decoder=None."
            )

    @property
    def _is_game(self) -> bool:
        return self.regularizer in GAMES

    def _trainer_kwargs(self) -> dict[str, Any]:
        """Return the trainer's parameters; those of a critic only where there is one."""
        kwargs = super()._trainer_kwargs()
        kwargs["callbacks"].append(GradientNormClipping(CLIP))
        critic: dict[str, Any] = {}
        if self.optimizer == "adam":
            critic["critic_optimizer__betas"] = BETAS
        if self.critic_lr is not None:
            critic["critic_optimizer__lr"] = self.critic_lr
        return {**(critic if self._is_game else {}), **kwargs}

    def _fit(self, table: Table) -> HierarchicalAutoencoder:
        self._warn_of_number()
        self._make_head(self.head, len(table))  # refused now rather than after the training
        model = self._train("hrwaegan", self._make_model, [self._cycle()], table)
        model.discriminators = nn.ModuleList()  # they have judged, and inference needs none
        self._fit_heads(model, table)
        return model

    def _used_after_training(self) -> set[str]:
        heads = {"manifold", "manifold_params", "min_cluster_size"}  # which find noise as well
        return {"n_clusters", "head"} | (set() if self.noise_weight else heads)

    def _cycle(self) -> Phase:
        """Return the training cycle of fig. 3.4."""
        shares = [self.group_decay**group for group in range(self.n_groups)]
        alpha = self.regularization_weight
        turns = [Turn("autoencoder", "autoencoding", self.n_autoencoder)]
        if self._is_game:
            turns.append(Turn("critic", "discrimination", self.n_critic))
        return Phase(
            "cycle",
            turns,
            epochs=self.max_epochs,
            start=self._forget_noise,
            refresh=[Refresh(self._find_noise, self.refresh_interval)] if self.noise_weight else [],
            lr={turn.group: one_cycle for turn in turns},
            weights={
                **{f"regularization_{i}": warm_up(alpha * a) for i, a in enumerate(shares)},
                **{f"discrimination_{i}": a for i, a in enumerate(shares)},
                "matching": self.matching_weight,
                "noise": self.noise_weight,
            },
            fresh=True,
        )

    def _forget_noise(self, trainer: Trainer, table: Table) -> None:
        if self.noise_weight:
            table.columns["noise"] = torch.zeros(len(table), device=table.device)

    def _find_noise(self, trainer: Trainer, table: Table) -> dict[str, float] | None:
        """Mark the rows that HDBSCAN calls noise among the codes z_0."""
        epoch = trainer.progress().epoch
        if epoch == 0:
            return None  # before training all is noise
        begin = time.perf_counter()
        codes = trainer.encode(table, "posteriors")[:, 0, 0].cpu().numpy()
        seen, size = codes, self.refresh_size
        if size is not None and size < len(codes):
            rng = np.random.default_rng([self._fitting.seed, epoch])
            seen = rng.choice(codes, size, replace=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # all may well be noise as yet
            head = self._make_head("hdbscan", len(seen), len(seen) / len(codes)).fit(seen)
        noise = head.predict(codes) < 0
        table.columns["noise"] = torch.from_numpy(noise).float().to(table.device)
        return {"noise_share": noise.mean(), "refresh_seconds": time.perf_counter() - begin}
