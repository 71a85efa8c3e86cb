r"""HRWAE-GAN: a hierarchy of latent groups, each held to its prior by a relativistic discriminator.

.. math:: L = L_R + \alpha L_G + \kappa L_I + \beta L_N

(Toscano Morais 2021, eq. 3.9): reconstruction, the game of every group (3.6), layer matching
(3.10) and more attention for the rows that HDBSCAN calls noise (3.11).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import GradientNormClipping
from torch import nn

from skdeepcluster.base import AdversarialClusterer, HierarchicalClusterer, Run
from skdeepcluster.base._adversarial import CRITIC
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.base._headed import MANIFOLD, NOISE, needs_density
from skdeepcluster.engine.schedule import Phase, Ramp, Refresh, Turn, one_cycle, warm_up
from skdeepcluster.models.hierarchy import GAMES, HierarchicalAutoencoder
from skdeepcluster.networks import (
    Discriminator,
    HierarchicalDecoder,
    HierarchicalEncoder,
    Levels,
    OwnDiscriminator,
)
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["HRWAEGANClustering"]

CLIP = 1.0  # largest norm of a player's gradient


class HRWAEGANClustering(AdversarialClusterer, HierarchicalClusterer):
    r"""Hierarchical and relativistic Wasserstein autoencoder GAN (HRWAE-GAN).

    An autoencoder with a hierarchy of latent groups: the first sums a row up, each further one adds
    what the groups above left out. In every group a discriminator compares codes with draws from
    the group's prior, until the two are distributed alike. The codes of each group then go through
    UMAP and are clustered, by default by HDBSCAN, which finds the number of clusters itself and
    leaves out what is noise.

    Parameters
    ----------
    n_clusters : int or "auto", default="auto"
        Number of clusters. "auto" finds it by density, as HDBSCAN does. A head that finds it
        itself, such as "hdbscan", does not look at an integer, and a warning says so.
    latent_dim : int, default=23
        Width of the code of every group; 23 as in the thesis.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=50
        Passes over the data, counting the batches of both players.
    batch_size : int, default=64
        Rows per update, at least 2.
    lr : float, default=1e-3
        Peak of the one-cycle learning rate of the autoencoder.
    head : str or clusterer, default="hdbscan"
        What clusters the codes of a group: "kmeans", "spherical", "gmm", "hdbscan",
        "agglomerative", or any scikit-learn clusterer or mixture. It is cloned, and its number of
        clusters is set if it has its default value.
    head_params : dict, default=None
        Further parameters of the head's clusterer.
    min_cluster_size : int or float, default=0.02
        The fewest rows of a cluster of HDBSCAN's, as the head, where it counts clusters for
        another, and where it searches for outliers: an integer is their number, a float a share of
        the rows, but at least 5 of them. Smaller classes cannot be found.
    noise : {"keep", "nearest"}, default="keep"
        What becomes of rows that the head calls noise: "keep" labels them -1, "nearest" gives them
        to the clusters of the nearest training codes that are in one.
    max_samples : int or None, default=100000
        Rows, drawn at random, that UMAP and the head see at most; None sets no limit.
    manifold : {"umap"} or None, default="umap"
        What the codes go through before the head.
    manifold_params : dict, default=None
        Further parameters of UMAP, beside ``min_dist=0`` and one neighbour in 300 rows (5 to 100).
    n_groups : int, default=2
        Number of latent groups L, from 1 (a WAE-GAN) to the number of cells of the encoder.
    cluster_group : int, default=0
        The group, from 0 to n_groups - 1, whose codes and clusters stand for a row.
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
    outlier_weight : float, default=0.15
        Weight beta by which outliers, the rows that HDBSCAN calls noise, count more in the
        reconstruction. 0 does without the search for them.
    epochs_per_refresh : int, default=10
        Epochs from one search for outliers to the next.
    refresh_size : int or None, default=2000
        Rows drawn for a search for outliers at most; the others follow the nearest. None: all.
    n_autoencoder : int, default=4
        Consecutive updates n of the autoencoder, each on a fresh batch.
    n_critic : int or "auto", default="auto"
        Consecutive updates m of the discriminators, each on a fresh batch. "auto" is 2.
    critic_lr : float or "auto", default="auto"
        Peak of the one-cycle learning rate of the discriminators. "auto" is `lr`.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's cells; the decoder mirrors them. For images, the channels of their
        convolutions, each of which halves the image, padded to a power of two. "auto": 512-256-128,
        or channels from 16 to 64 in as many cells as lead to maps of 2 x 2.
    critic_hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the discriminators' hidden layers. "auto": 128-128.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. The encoder is that of the first group; the decoder,
        for one group alone, returns logits where scaled rows are black-and-white images.
    critic : callable, default=None
        ``critic(shape)`` returns an ``nn.Module`` that maps inputs of this shape to (n,), higher
        for real ones. It is called for every group. Inputs are codes, and after those of further
        groups the flattened map that sums up the groups above.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions. The reconstruction
        error is a cross-entropy for scaled rows in [0, 1] of at most one channel, else squared.
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
        Further parameters of skorch's net, such as ``{"critic_optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 or more a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row in `cluster_group`; -1 is noise.
    group_labels_ : ndarray of shape (n_samples, n_groups)
        Clusters in all groups, each with numbers of its own.
    outlier_scores_ : ndarray of shape (n_samples,)
        How far every training row lies outside of the clusters, in [0, 1], higher farther; with
        ``head="hdbscan"`` alone.
    probabilities_ : ndarray of shape (n_samples,)
        How surely every training row belongs to its cluster, in [0, 1], 0 for noise; likewise.
    n_clusters_ : int
        Number of clusters; 0 if HDBSCAN takes all rows for noise.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the head's own, or the mean code where it has
        none.
    module_ : nn.Module
        The trained networks, without the discriminators.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and those of the searches for
        noise: ``"refresh_seconds"``, and the share that is noise, ``"noise_share"``.
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
    AutoencoderClustering : The same heads on an autoencoder that nothing regularises.

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
        **AdversarialClusterer._parameter_constraints,
        **HierarchicalClusterer._parameter_constraints,
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "cluster_group": [Interval(Integral, 0, None, closed="left")],
        "regularizer": [StrOptions({*GAMES, "mmd", "kl"})],
        "regularization_weight": [Interval(Real, 0, None, closed="left")],
        "group_decay": [Interval(Real, 0, 1, closed="right")],
        "matching_weight": [Interval(Real, 0, None, closed="left")],
        "outlier_weight": [Interval(Real, 0, None, closed="left")],
        "epochs_per_refresh": [Interval(Integral, 1, None, closed="left")],
        "refresh_size": [Interval(Integral, 3, None, closed="left"), None],
        "n_autoencoder": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
    }

    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *AdversarialClusterer._conditions,
        MattersIf(
            CRITIC,
            lambda self: self._is_game,
            "there are no discriminators with {regularizer}",
            "Use regularizer='relativistic' or 'standard'",
        ),
        MattersIf(
            ("group_decay", "matching_weight"),
            lambda self: self.n_groups > 1,
            "there is one latent group with {n_groups}",
            "Use more groups",
        ),
        MattersIf(
            ("epochs_per_refresh", "refresh_size"),
            lambda self: self.outlier_weight > 0,
            "nothing is searched for with {outlier_weight}",
            "Use an outlier_weight above 0",
        ),
        MANIFOLD,
        NOISE,
        MattersIf(
            ("min_cluster_size",),
            lambda self: self.outlier_weight > 0 or needs_density(self),
            "it is HDBSCAN's, which takes no part with {head}, {n_clusters} and {outlier_weight}",
            "Use head='hdbscan', n_clusters='auto' or an outlier_weight above 0",
        ),
    )

    def __init__(
        self,
        n_clusters: int | str = "auto",
        *,
        latent_dim: int = 23,
        n_init: int = 1,
        max_epochs: int = 50,
        batch_size: int = 64,
        lr: float = 1e-3,
        head: str | ClusterMixin = "hdbscan",
        head_params: dict[str, Any] | None = None,
        min_cluster_size: int | float = 0.02,
        noise: str = "keep",
        max_samples: int | None = 100_000,
        manifold: str | None = "umap",
        manifold_params: dict[str, Any] | None = None,
        n_groups: int = 2,
        cluster_group: int = 0,
        regularizer: str = "relativistic",
        regularization_weight: float = 0.04,
        group_decay: float = 0.5,
        matching_weight: float = 0.01,
        outlier_weight: float = 0.15,
        epochs_per_refresh: int = 10,
        refresh_size: int | None = 2000,
        n_autoencoder: int = 4,
        n_critic: int | str = "auto",
        critic_lr: float | str = "auto",
        hidden_layer_sizes: str | Sequence[int] = "auto",
        critic_hidden_layer_sizes: str | Sequence[int] = "auto",
        encoder: Callable[[tuple[int, ...], int], nn.Module] | None = None,
        decoder: Callable[[int, tuple[int, ...]], nn.Module] | None = None,
        critic: Callable[[tuple[int, ...]], nn.Module] | None = None,
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

    # -- training -------------------------------------------------------------------------------

    def _make_model(self, scaling: Scaling) -> HierarchicalAutoencoder:
        levels = Levels(self._input_shape, self.hidden_layer_sizes)
        self._check_groups(levels)
        shape, width, n_groups = self._input_shape, self.latent_dim, self.n_groups
        encoder = decoder = None
        if self.encoder is not None:
            encoder = self._own_network("encoder", (shape, 2 * width), shape, (2 * width,))
        if self.decoder is not None:
            decoder = self._own_network("decoder", (width, shape), (width,), shape)
        maps = [None, *(levels.of_group(group) for group in range(1, n_groups))]
        critics = [self._make_discriminator(each) for each in maps] if self._is_game else []
        return HierarchicalAutoencoder(
            scaling,
            HierarchicalEncoder(levels, 2 * width, n_groups, encoder),
            HierarchicalDecoder(levels, width, n_groups, decoder),
            critics,
            self.regularizer,
            n_groups,
            width,
            self.cluster_group,
            self._critic_lr(),
        )

    def _make_discriminator(self, map_shape: tuple[int, ...] | None) -> Any:
        """Return the discriminator of a group, given the map of those above."""
        width, sizes = self.latent_dim, self._critic_sizes((128, 128))
        seen = (width + math.prod(map_shape or (0,)),)
        critic = self._make_critic(seen, Discriminator, width, map_shape, sizes)
        return critic if self.critic is None else OwnDiscriminator(critic)

    @property
    def _is_game(self) -> bool:
        return self.regularizer in GAMES

    def _fit(self, run: Run) -> HierarchicalAutoencoder:
        self._tell_of_n_clusters()
        self._make_group_head(run.seed, len(run.table))  # refused now rather than later
        return self._train(run, self._make_model(run.scaling))

    def _go_on(self, run: Run, model: Any) -> HierarchicalAutoencoder:
        self._make_group_head(run.seed, len(run.table))
        model.discriminators = self._make_model(run.scaling).discriminators  # none were kept
        return self._train(run, model)

    def _train(self, run: Run, model: HierarchicalAutoencoder) -> HierarchicalAutoencoder:
        clipping = GradientNormClipping(CLIP)
        run.train("hrwaegan", model, [self._cycle(run.seed)], callbacks=[clipping])
        model.discriminators = nn.ModuleList()  # they have judged, and inference needs none
        return model

    def _cycle(self, seed: int) -> Phase:
        """Return the training cycle of fig. 3.4."""
        shares = [self.group_decay**group for group in range(self.n_groups)]
        alpha = self.regularization_weight
        find = partial(self._find_outliers, seed=seed)
        turns = [Turn("autoencoder", "autoencoding", self.n_autoencoder)]
        weights: dict[str, float | Ramp] = {
            f"regularization_{i}": warm_up(alpha * share) for i, share in enumerate(shares)
        }
        if self._is_game:
            turns.append(Turn("critic", "discrimination", self._n_critic(2)))
            weights |= {f"discrimination_{i}": share for i, share in enumerate(shares)}
        if self.n_groups > 1:
            weights["matching"] = self.matching_weight
        if self.outlier_weight:
            weights["noise"] = self.outlier_weight
        return Phase(
            "cycle",
            turns,
            epochs=self.max_epochs,
            start=self._forget_outliers,
            refresh=[Refresh(find, self.epochs_per_refresh)] if self.outlier_weight else [],
            lr={turn.player: one_cycle for turn in turns},
            weights=weights,
            fresh=True,
        )
