r"""Codes drawn towards the Gaussians of a mixture that follows them: DCAN, ABC and a KL variant.

.. math:: \min_G \max_D \; \frac1n \sum_i \ln (1 - D(G(x_i))) + \ln D(z_i),
          \qquad z_i \sim \mathcal N(\eta_{k(i)}, \tau_{k(i)}^{-1})

(Lim 2024, eq. 1), where :math:`k(i)` is the component of row i in a Gaussian mixture of the codes
(eq. 2 and 5). ABC puts half the squared distance to :math:`\eta_{k(i)}` in the place of the game
(eq. 3), the KL variant the divergence between two Gaussians (eq. 6).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from skdeepcluster.base import (
    AdversarialClusterer,
    InitializedClusterer,
    MixtureClusterer,
    Run,
    init_constraint,
)
from skdeepcluster.base._adversarial import CRITIC
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Step, Turn
from skdeepcluster.models.autoencoder import reconstruction_phase
from skdeepcluster.models.code_mixture import (
    CodeMixture,
    mixture_phases,
    place_by_kmeans,
    place_by_mixture,
    place_on_labels,
)
from skdeepcluster.models.pulls import PULLS
from skdeepcluster.networks import make_critic
from skdeepcluster.priors import GaussianMixturePrior
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["DCANClustering"]

OWN_STARTS = {"kmeans": place_by_kmeans, "gmm": place_by_mixture}


class DCANClustering(MixtureClusterer, AdversarialClusterer, InitializedClusterer):
    r"""Draw codes towards the Gaussians of a mixture that follows them (DCAN, ABC).

    An autoencoder is trained, and a Gaussian mixture of its codes started by k-means. Then the
    encoder moves every code towards the component that it belongs to, and the mixture follows by
    steps of EM. Three losses say how far a code is from its component: what a discriminator
    sees of it, a squared distance, or a divergence.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of components.
    latent_dim : int, default=10
        Width of the code.
    init : {"kmeans", "gmm", "n2d", "spc"}, clusterer or array-like, default="kmeans"
        First components. "kmeans" makes each the Gaussian of a cluster of the pretrained codes, as
        the paper does; "gmm" takes the best of 48 mixtures of them. Otherwise each starts as the
        Gaussian of the codes of a cluster found elsewhere.

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
    max_epochs : int, default=50
        Epochs of clustering.
    batch_size : int, default=256
        Rows per update, at least 2.
    lr : float, default=1e-3
        Learning rate; during pretraining the peak of one cycle.
    clustering_loss : {"adversarial", "euclidean", "kl"}, default="adversarial"
        "adversarial" (DCAN): a discriminator tells codes from draws of their components.
        "euclidean" (ABC): half the squared distance to the component's mean. "kl": the divergence
        from the component to a Gaussian whose standard deviation the encoder learns as well.
    reconstruction_weight : float, default=100.0
        Weight of the reconstruction against the clustering loss. It is what keeps codes in the
        cluster that the data puts them in; with 10 and less clusters contract, and rows move to
        others. With 0 the decoder goes stale: `sample` and `inverse_transform` then show the
        codes as they were before clustering began.
    pretrain_epochs : int, default=50
        Epochs of reconstruction alone. With 0 here and as `reconstruction_weight`, as in the
        paper, there is no decoder, and so neither `sample`, `inverse_transform` nor `score`.
    sample_scale : float, default=0.5
        Standard deviation of the draws that the discriminator sees, as a share of the
        component's. The paper has 1, which contracts nothing. Adversarial only.
    conditional : bool, default=True
        Whether the discriminator is told which component a code is assigned to, and sees the code
        in that component's units. The paper does not. Adversarial only.
    standardize_codes : bool or "auto", default="auto"
        Whether codes are standardised, batch by batch in training, so that the loss cannot be
        lowered by shrinking them all. "auto": for "adversarial", where that ends the game, and not
        for the other two, where it is harmless. The paper never does.
    batches_per_em_step : int, default=1
        Batches from one step of EM to the next.
    buffer_size : int, default=1000
        Number of recent codes that a step of EM is on; the paper has at least 600. All rows, if
        there are fewer.
    n_critic : int or "auto", default="auto"
        Updates of the discriminator for each of the encoder, on the same batch. "auto" is 1.
    critic_lr : float or "auto", default="auto"
        Learning rate of the discriminator. "auto" is `lr`.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. "auto": 500-500-2000, or 32-64-128 channels. Activations are tanh.
    critic_hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the discriminator's hidden layers. "auto": 16.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. Of the encoder's outputs the first latent_dim are the
        code.
    critic : callable, default=None
        ``critic(shape)`` returns an ``nn.Module``, the discriminator, that maps inputs of this
        shape to (n,), a logit. Inputs are codes and, if `conditional`, a column for every
        component, 1 for the code's own.
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
        Further parameters of skorch's net, such as ``{"critic_optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 or more a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row.
    start_labels_ : ndarray of shape (n_samples,)
        Clusters that training started from; -1 is none.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the mean of its component.
    weights_ : ndarray of shape (n_clusters_,)
        Weights of the components; they sum to 1.
    means_ : ndarray of shape (n_clusters_, latent_dim)
        Their means, as `code_centers_`.
    covariances_ : ndarray of shape (n_clusters_, latent_dim)
        The diagonals of their covariances, in squared units of the codes.
    module_ : nn.Module
        The trained networks and the mixture, ``module_.prior``.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch; the share of the codes'
        variance that lies within components (``within_variance``, in (0, 1]); and how often the
        discriminator is right (``critic_accuracy``, in [0, 1]). The last record of a phase also has
        the adjusted Rand index of the clusters with those of the start (``start_agreement``).
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
    DECClustering : Pulls codes towards centres by Student's t kernel.
    VaDEClustering : Learns such a mixture together with a decoder, by one bound.

    References
    ----------
    Lim, *Deep clustering using adversarial net based clustering loss*, 2024.
    Song, Liu, Huang, Wang & Tan, *Auto-encoder based data clustering*, CIARP 2013.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DCANClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = DCANClustering(
    ...     3,
    ...     latent_dim=2,
    ...     hidden_layer_sizes=(16,),
    ...     pretrain_epochs=20,
    ...     max_epochs=10,
    ...     random_state=0,
    ... ).fit(X)
    >>> rows, labels = model.sample(4, cluster=2, random_state=0)
    >>> rows.shape, model.predict_proba(X).shape
    ((4, 6), (200, 3))
    """

    _streams_not = (
        "its mixture follows the codes of the last rows, and would forget clusters that are not "
        "among them; use warm_start=True"
    )
    _may_change = frozenset({"batches_per_em_step", "n_critic"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialClusterer._parameter_constraints,
        "init": init_constraint(*OWN_STARTS),
        "clustering_loss": [StrOptions(set(PULLS))],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "sample_scale": [Interval(Real, 0, None, closed="neither")],
        "conditional": ["boolean"],
        "standardize_codes": ["boolean", StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
        "batches_per_em_step": [Interval(Integral, 1, None, closed="left")],
        "buffer_size": [Interval(Integral, 1, None, closed="left")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
    }

    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *AdversarialClusterer._conditions,
        MattersIf(
            (*CRITIC, "sample_scale", "conditional"),
            lambda self: self.clustering_loss == "adversarial",
            "there is no discriminator with {clustering_loss}",
            "Use clustering_loss='adversarial'",
        ),
        MattersIf(
            ("decoder",),
            lambda self: self._will_decode(),
            "{reconstruction_weight} and {pretrain_epochs} leave nothing to decode",
            "Raise one of them",
        ),
    )

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        init: str | ClusterMixin | ArrayLike = "kmeans",
        n_init: int = 1,
        max_epochs: int = 50,
        batch_size: int = 256,
        lr: float = 1e-3,
        clustering_loss: str = "adversarial",
        reconstruction_weight: float = 100.0,
        pretrain_epochs: int = 50,
        sample_scale: float = 0.5,
        conditional: bool = True,
        standardize_codes: bool | str = "auto",
        batches_per_em_step: int = 1,
        buffer_size: int = 1000,
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

    @property
    def _decodes(self) -> bool:  # type: ignore[override]
        if self.__sklearn_is_fitted__():
            return self.module_.decoder is not None
        return self._will_decode()

    def _will_decode(self) -> bool:
        return self.reconstruction_weight > 0 or self.pretrain_epochs > 0

    def _make_model(self, scaling: Scaling, n_recent: int) -> CodeMixture:
        width, loss, standardize = self.latent_dim, self.clustering_loss, self.standardize_codes
        return PULLS[loss](
            scaling,
            self._make_encoder(width * (1 + (loss == "kl")), activation="tanh"),
            self._make_decoder(width, activation="tanh") if self._will_decode() else None,
            GaussianMixturePrior(self.n_clusters, width),
            n_recent=n_recent,
            standardize=loss == "adversarial" if isinstance(standardize, str) else standardize,
            **(self._game() if loss == "adversarial" else {}),
        )

    def _game(self) -> dict[str, Any]:
        """Return what the adversarial loss needs beside the networks of the others."""
        width = self.latent_dim + self.conditional * self.n_clusters
        shape, sizes = (width,), self._critic_sizes((16,))
        return {
            "critic": self._make_critic(shape, make_critic, shape, sizes, activation="tanh"),
            "conditional": self.conditional,
            "sample_scale": self.sample_scale,
            "critic_lr": self._critic_lr(),
        }

    def _fit(self, run: Run) -> CodeMixture:
        make_model = partial(self._make_model, n_recent=min(self.buffer_size, len(run.table)))
        phases = self._clustering(self._first_step(run, make_model, OWN_STARTS, place_on_labels))
        if self._will_decode():
            phases.insert(0, reconstruction_phase(self.pretrain_epochs))
        return run.train("dcan", make_model(run.scaling), phases)

    def _go_on(self, run: Run, model: Model) -> Model:
        return run.train("dcan", model, self._clustering())

    def _clustering(self, start: Step | None = None) -> list[Phase]:
        weight = self.reconstruction_weight
        turns = [Turn("model", "both" if weight else "clustering")]
        weights = {"reconstruction": weight} if weight else {}
        if self.clustering_loss == "adversarial":
            turns.insert(0, Turn("critic", "judgement", self._n_critic(1)))
            weights["critic_accuracy"] = 0.0  # told, not trained for
        return mixture_phases(turns, self.max_epochs, self.batches_per_em_step, weights, start)
