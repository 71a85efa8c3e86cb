r"""Mixture of experts for deep clustering: clusters found, then a decoder for each.

.. math:: z \sim \mathcal N(0, I), \qquad c \mid z \sim \mathrm{Categorical}(\pi(z)), \qquad
          x \mid c, z \sim p_c(x | z)

The manager :math:`\pi` learns the clusters that UMAP and HDBSCAN find among the codes of a
variational autoencoder, whose width principal components choose; then each expert :math:`p_c`
learns the rows that the manager sends it (Toscano Morais 2021, end of section 2.3).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.base import (
    EarlyOutlierScorer,
    HeadingClusterer,
    InitializedClusterer,
    Run,
    init_constraint,
)
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.base._initialized import StartAgreement
from skdeepcluster.engine.callbacks import HoldIdle
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Turn, one_cycle
from skdeepcluster.engine.table import Batch, encoded, tiled
from skdeepcluster.heads import describe_head, drawn_rows
from skdeepcluster.models.experts import (
    ManagedAutoencoder,
    MixtureOfExperts,
    VariationalAutoencoder,
    principal_width,
    start_manager,
)
from skdeepcluster.models.labelings import numbered
from skdeepcluster.networks import make_grouped, make_mlp
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["MoEDCClustering"]

MANAGER_WIDTH = 100  # of the manager's hidden layer
PCA_ENTRIES = 10_000_000  # numbers that the principal components are computed from at most
HEAD = ("head", "head_params", "min_cluster_size", "max_samples")


class MoEDCClustering(HeadingClusterer, InitializedClusterer, EarlyOutlierScorer):
    r"""Mixture of experts for deep clustering (MoEDC).

    Finds the width of the code by principal components and the clusters by UMAP and HDBSCAN among
    the codes of a variational autoencoder, which then continues without the noise. A manager
    learns the clusters, and sends every row to a decoder that is an expert for its cluster.

    Parameters
    ----------
    n_clusters : int or "auto", default="auto"
        Number of clusters. "auto" finds it by density, as HDBSCAN does. A head that finds it
        itself, such as "hdbscan", does not look at an integer, and a warning says so.
    latent_dim : int or "auto", default="auto"
        Width of the code. "auto" takes as many principal components of the scaled rows as it takes
        to explain `explained_variance`. `transform` returns the code and, after it, a column for
        every cluster, here 1 for the expert of the row.
    init : {"head", "n2d", "spc"}, clusterer or array-like, default="head"
        The clusters that the manager learns. "head" finds them among the codes, as the thesis does,
        by `manifold` and `head`. Others come from elsewhere:

        - "n2d": an autoencoder, UMAP and a mixture; "spc": :class:`SPCClustering`. Each looks for
          as many clusters.
        - A scikit-learn clusterer, one of this package, or a pipeline that ends in one. It is
          cloned and fitted to the rows, not scaled, as an array; its `n_clusters` is set if it has
          its default value, and any `random_state` that is None. ``FrozenEstimator(clusterer)`` is
          one that is fitted already and predicts.
        - Labels in 0..n_clusters-1 of shape (n_samples,), such as another clusterer's ``labels_``;
          -1 leaves a row out.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=20
        Epochs of the experts.
    batch_size : int, default=256
        Rows per update.
    lr : float, default=1e-3
        Peak of the one-cycle learning rate of every phase.
    head : str or clusterer, default="hdbscan"
        What clusters the codes: "kmeans", "spherical", "gmm", "hdbscan", "agglomerative", or
        any scikit-learn clusterer or mixture. It is cloned, and its number of clusters is set if it
        has its default value.
    head_params : dict, default=None
        Further parameters of the head's clusterer.
    min_cluster_size : int or float, default=0.02
        The fewest rows of a cluster of HDBSCAN's, as the head and where it counts clusters for
        another: an integer is their number, a float a share of the rows, but at least 5 of them.
    max_samples : int or None, default=100000
        Rows, drawn at random, that UMAP and the head see at most; None sets no limit.
    manifold : {"umap"} or None, default="umap"
        What the codes go through before the head.
    manifold_params : dict, default=None
        Further parameters of UMAP, in place of 20 neighbours and ``min_dist=0``.
    explained_variance : float, default=0.8
        With ``latent_dim="auto"``, the share of the variance to explain, in (0, 1].
    max_latent_dim : int, default=50
        With ``latent_dim="auto"``, the largest width.
    latent_weight : float, default=0.1
        Weight of the codes' divergence from the prior against the reconstruction. 1 trains on the
        evidence lower bound, whose codes may hold too little of a row to tell clusters apart.
    pretrain_epochs : int, default=50
        Epochs of the variational autoencoder before the clusters are found.
    init_epochs : int, default=20
        Epochs in which it continues without the noise, and the manager learns the clusters.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers; the decoders mirror them. For images, the channels
        of the convolutions. "auto": 500-500-2000, or 32-64-128 channels.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. The decoder returns logits where scaled data lies in
        [0, 1]. It is a layer or an ``nn.Sequential`` of linear, convolutional and
        elementwise layers.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions. Scaled data in [0,
        1] is modelled by Bernoulli variables, other data by Gaussians.
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
        Cluster of every training row, by the manager, which gives noise to a cluster too.
    noise_ : ndarray of bool of shape (n_samples,)
        Training rows that HDBSCAN or `init` held to be noise, and from which the manager did not
        learn. False for rows of weight 0, which it did not see.
    outlier_scores_ : ndarray of shape (n_samples,)
        How far every training row lies outside of the clusters, in [0, 1], higher farther; with
        ``head="hdbscan"`` alone.
    probabilities_ : ndarray of shape (n_samples,)
        How surely every training row belongs to its cluster, that of HDBSCAN, in [0, 1], 0 for
        noise; likewise.
    start_labels_ : ndarray of shape (n_samples,)
        Clusters that training started from; -1 is none.
    n_clusters_ : int
        Number of clusters that have members.
    latent_dim_ : int
        Width of the code, without the columns of the experts.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the mean code.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch. The last record of a phase also
        has the adjusted Rand index of the clusters with those of the start (``start_agreement``).
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

    Warns
    -----
    ConvergenceWarning
        When HDBSCAN finds one cluster or none. All rows are then one cluster.

    See Also
    --------
    AutoencoderClustering : With ``"auto", manifold="umap", head="hdbscan"``, the clusters alone,
        and labels of noise.
    KDVAEClustering : Encoders too are experts, and rows choose theirs by the bound.

    References
    ----------
    Toscano Morais, *Generative deep clustering with the hierarchical and relativistic Wasserstein
    autoencoder GAN*, MSc thesis, 2021, end of section 2.3.
    Jacobs, Jordan, Nowlan & Hinton, *Adaptive mixtures of local experts*, Neural Computation 1991.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import MoEDCClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = MoEDCClustering(
    ...     min_cluster_size=0.2,
    ...     hidden_layer_sizes=(32,),
    ...     batch_size=32,
    ...     lr=1e-2,
    ...     pretrain_epochs=20,
    ...     max_epochs=5,
    ...     random_state=0,
    ... ).fit(X)
    >>> model.n_clusters_, model.latent_dim_
    (3, 2)
    """

    _codes_name_clusters = True
    _has_one_space = False
    _streams_not = "its clusters are fixed before the experts learn; use warm_start=True"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **HeadingClusterer._parameter_constraints,
        "init": init_constraint("head"),
        "latent_dim": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "explained_variance": [Interval(Real, 0, 1, closed="right")],
        "max_latent_dim": [Interval(Integral, 1, None, closed="left")],
        "latent_weight": [Interval(Real, 0, None, closed="left")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "init_epochs": [Interval(Integral, 0, None, closed="left")],
    }

    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *HeadingClusterer._conditions,
        MattersIf(
            (*HEAD, "manifold", "manifold_params"),
            lambda self: not self._is_given(),
            "the clusters are those of `init`, and are not looked for among the codes",
            "Use init='head'",
        ),
        MattersIf(
            ("explained_variance", "max_latent_dim"),
            lambda self: self.latent_dim == "auto",
            "the width of the code is given by {latent_dim}",
            "Use latent_dim='auto'",
        ),
    )

    def __init__(
        self,
        n_clusters: int | str = "auto",
        *,
        latent_dim: int | str = "auto",
        init: str | ClusterMixin | ArrayLike = "head",
        n_init: int = 1,
        max_epochs: int = 20,
        batch_size: int = 256,
        lr: float = 1e-3,
        head: str | ClusterMixin = "hdbscan",
        head_params: dict[str, Any] | None = None,
        min_cluster_size: int | float = 0.02,
        max_samples: int | None = 100_000,
        manifold: str | None = "umap",
        manifold_params: dict[str, Any] | None = None,
        explained_variance: float = 0.8,
        max_latent_dim: int = 50,
        latent_weight: float = 0.1,
        pretrain_epochs: int = 50,
        init_epochs: int = 20,
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
        is_given = isinstance(self.latent_dim, Integral)
        self.latent_dim_ = int(self.latent_dim) if is_given else self._find_width(run)
        given = self._clusters_before(run)
        pretraining = self._phase("pretraining", self.pretrain_epochs)
        vae = run.train("vae", self._make_vae(run.scaling), [pretraining])
        labels = self._clusters_among(vae, run) if given is None else given
        self._note_start(run, labels)
        self.noise_ = np.zeros(len(run.counted), dtype=bool)
        self.noise_[run.counted] = labels < 0
        clustered = run.table.subset(torch.from_numpy(np.flatnonzero(labels >= 0)))
        start = partial(start_manager, labels=labels[labels >= 0])
        retraining = self._phase("without noise", self.init_epochs, start=start)
        managed = self._make_managed(vae, int(labels.max()) + 1)
        watch = StartAgreement(managed.n_clusters)
        run.train("manager", managed, [retraining], clustered, callbacks=[watch])
        return self._go_on(run, MixtureOfExperts(managed))

    def _go_on(self, run: Run, model: Model) -> Model:
        experts = self._phase("experts", self.max_epochs, "experts", "routed")
        return run.train("experts", model, [experts], callbacks=[HoldIdle()])

    def _phase(
        self,
        name: str,
        epochs: int,
        player: str = "model",
        loss: str = "negative_elbo",
        start: Any = None,
    ) -> Phase:
        weights = {"latent": self.latent_weight} if player == "model" else {}
        turns, lr = [Turn(player, loss)], {player: one_cycle}
        return Phase(name, turns, epochs, start=start, weights=weights, lr=lr)

    def _find_width(self, run: Run) -> int:
        """Return the Z-finder's width, from as many rows as memory allows."""
        size = max(3, min(len(run.table), PCA_ENTRIES // self.n_features_in_))
        drawn = run.table.subset(torch.from_numpy(drawn_rows(len(run.table), size, run.seed)))
        scaled = tiled(lambda batch: run.scaling(batch["X"]).flatten(1), drawn).cpu().numpy()
        return principal_width(scaled, self.explained_variance, self.max_latent_dim, run.seed)

    def _make_vae(self, scaling: Scaling) -> VariationalAutoencoder:
        encoder = self._make_encoder(2 * self.latent_dim_)
        decoder = self._make_decoder(self.latent_dim_)
        make_grouped([decoder])  # refused now rather than when the experts are due
        return VariationalAutoencoder(scaling, encoder, decoder)

    def _make_managed(self, vae: VariationalAutoencoder, n_clusters: int) -> ManagedAutoencoder:
        manager = make_mlp([self.latent_dim_, MANAGER_WIDTH, n_clusters])
        return ManagedAutoencoder(vae, manager, n_clusters)

    def _clusters_before(self, run: Run) -> NDArray[np.integer[Any]] | None:
        """Return the clusters that are given, numbered without gaps: every expert needs rows."""
        if not self._is_given():
            self._tell_of_n_clusters()
            self._make_head(run.seed)  # refused now rather than after the training
            return None
        self._check_model(run, self._make_vae)
        labels = self._given_labels(run)
        return np.where(labels < 0, -1, np.searchsorted(np.unique(labels[labels >= 0]), labels))

    def _clusters_among(self, vae: VariationalAutoencoder, run: Run) -> NDArray[np.integer[Any]]:
        """Return the clusters that the head finds among the codes, and keep what HDBSCAN says."""
        codes = partial(encoded, vae.codes, run.table)
        found = run.once("clusters", lambda: self._find_clusters(codes().cpu().numpy(), run))
        self._note_judgement(found)
        return found["labels"].numpy()

    def _find_clusters(self, codes: NDArray[Any], run: Run) -> dict[str, Tensor]:
        """Return the clusters among the codes, noise -1; if all is noise, one cluster."""
        head = self._make_head(run.seed).fit(codes, run.table.array("weight"))
        labels = numbered(head.labels_) if head.n_clusters_ else np.zeros_like(head.labels_)
        found = {"labels": labels}
        if hasattr(head, "judge"):
            found = {**head.judge(codes)._asdict(), **found}
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def _will_score_outliers(self) -> bool:
        return not self._is_given() and describe_head(self.head).scores_outliers

    def _check_enough(self, n_samples: int) -> None:
        super()._check_enough(n_samples)
        if n_samples < 3 and self.manifold is not None and not self._is_given():
            raise ValueError(
                "n_samples=2 is too few to look for clusters, whatever n_clusters is: UMAP takes "
                "at least 3 rows. Pass more rows, or use manifold=None."
            )

    def _n_clusters_asked(self) -> Any:
        return self.n_clusters if self._is_given() else super()._n_clusters_asked()

    def _n_candidates(self) -> int:
        return self.module_.n_experts

    def _score_rows(self, batch: Batch) -> Tensor:
        return self.module_.elbo(batch)
