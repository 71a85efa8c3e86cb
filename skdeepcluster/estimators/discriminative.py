r"""Discriminative latent space: codes whose directions are as unlike as the clusters.

.. math:: \min_{f, g, \mu, S} - \frac{1}{|B|} \sum_i \mu_{s_i}^T \tilde z_i + \lambda_d L_d
          + \lambda_r L_r, \qquad
          \min_{f, g, \mu, S} - \frac{1}{|B|} \sum_i \mu_{s_i}^T \tilde z_i + \lambda_b L_b
          - \lambda_w L_w + \lambda_r L_r

(Tzoreff, Kogan & Choukroun 2018, eq. 8 and 11), after a pre-training by
:math:`\lambda_d L_d + \lambda_r L_r` (eq. 6). :math:`L_d` pushes all pairs of a batch apart but its
anchors, :math:`L_b` the two clusters that are most alike, and :math:`L_w` holds clusters together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.base import DeepClusterer, InitializedClusterer, Run, init_constraint
from skdeepcluster.base._initialized import StartAgreement
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Ramp, Refresh, Step, Turn
from skdeepcluster.models.clusters import forget_labels, has_settled
from skdeepcluster.models.discriminative import (
    DiscriminativeAutoencoder,
    anchors_of,
    hold_clusters,
    list_neighbors,
    place_centers,
    place_on_labels,
    update_clusters,
)
from skdeepcluster.networks import (
    make_decoder,
    make_encoder,
    make_pooled_decoder,
    make_pooled_encoder,
)
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["DiscriminativeClustering"]

# By the number of dimensions of a row: vectors, images.
NETWORKS = {
    1: (partial(make_encoder, batch_norm=True), partial(make_decoder, batch_norm=True)),
    3: (make_pooled_encoder, make_pooled_decoder),
}
WIDTHS = {1: (128, 64), 3: (6, 8)}  # of vectors, and channels of images as in the paper
OWN_STARTS = {"spherical": place_centers}


class DiscriminativeClustering(InitializedClusterer):
    r"""Deep discriminative latent space.

    An autoencoder learns codes whose cosines are zero for all pairs of rows but the anchors:
    rows that are so alike in the raw data that they should share a cluster. Spherical k-means
    places centroids among the directions of the codes. Two further stages pull codes towards
    their centroids: the first still pushes all pairs apart, the second trusts the clusters and
    pushes apart the two that are most alike.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    latent_dim : int, default=60
        Width of the code. Clusters that have nothing in common need a dimension each, so at least
        `n_clusters`. For images a multiple of four gives a code of 2 x 2 maps.
    init : {"spherical", "n2d", "spc"}, clusterer or array-like, default="spherical"
        First clusters. "spherical" finds them by spherical k-means among the pretrained codes.
        Clusters from elsewhere are kept throughout the first stage, in which the networks learn
        them, and are free to change in the second.

        - "n2d": an autoencoder, UMAP and a mixture; "spc": :class:`SPCClustering`. Each looks for
          as many clusters.
        - A scikit-learn clusterer, one of this package, or a pipeline that ends in one. It is
          cloned and fitted to the rows, not scaled, as an array; its `n_clusters` is set if it has
          its default value, and any `random_state` that is None. ``FrozenEstimator(clusterer)`` is
          one that is fitted already and predicts.
        - Labels in 0..n_clusters-1 of shape (n_samples,), such as another clusterer's ``labels_``;
          -1 leaves a row free.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=25
        Epochs of the second stage at most.
    batch_size : int, default=1000
        Rows per update, at least 2. Much more than `n_clusters`: pairs are made within a batch.
    lr : float, default=2e-3
        Learning rate of the pre-training.
    pretrain_epochs : int, default=50
        Epochs before there are clusters, of reconstruction and of L_d.
    init_epochs : int, default=25
        Epochs of the first stage, on the first clusters, at most.
    clustering_lr : float, default=2e-4
        Learning rate of the two stages. With that of the pre-training, assignments keep wandering.
    anchors : {"mutual", "global"} or float, default="mutual"
        Which pairs are anchors. "mutual": rows of a batch that are among each other's nearest
        neighbours in it. "global": rows that are among each other's nearest neighbours in the
        whole data set, which are found once, as far as they meet in a batch; takes the scaled
        data as a whole in memory. A number in (0, 1] is the paper's rule: this share of the edges
        of the batch's graph of nearest neighbours, the shortest ones.
    n_neighbors : int, default=3
        Nearest neighbours of a row in that graph.
    anchor_weight : float, default=1.0
        Weight of the anchors in L_d, in (0, 1], less than 1 where they are in doubt: 1 minus the
        alpha of the paper.
    discrimination_weight : float or pair of float, default=1.0
        Weight of L_d in the first stage; it weighs 1 in the pre-training. Of a pair, the first one
        at the beginning and the second one at the end, such as ``(4.0, 1.0)``.
    between_weight, within_weight : float, default=1.0, 0.3
        Weights of L_b and L_w in the second stage.
    reconstruction_weight : float, default=1.0
        Weight of the reconstruction, always.
    tol : float, default=1e-3
        A stage ends when fewer than this share of the labels change between epochs.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. "auto": 128-64, or the paper's 6-8 channels; larger networks that do
        well are 500-500-2000, or 16-32 channels. All have batch normalisation.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. The code should be signed: end the encoder in a linear
        layer.
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
        Cluster of every training row.
    start_labels_ : ndarray of shape (n_samples,)
        Clusters that training started from; -1 is none.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: its centroid, a unit vector.
    module_ : nn.Module
        The trained networks and the centroids.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and the share of labels that
        changed (``label_change``). The last record of a phase also has the adjusted Rand index of
        the clusters with those of the start (``start_agreement``).
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
    skdeepcluster.heads.SphericalKMeans : Clusters of directions, from which this one starts.

    References
    ----------
    Tzoreff, Kogan & Choukroun, *Deep discriminative latent space for clustering*, 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DiscriminativeClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = DiscriminativeClustering(
    ...     3, latent_dim=8, hidden_layer_sizes=(16,), batch_size=50, random_state=0
    ... ).fit(X)
    >>> model.code_centers_.shape
    (3, 8)
    """

    _streams_not = "its centroids are those of all rows; use warm_start=True"
    _may_change = frozenset(
        {"between_weight", "within_weight", "reconstruction_weight", "clustering_lr", "tol"}
    )
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "init": init_constraint(*OWN_STARTS),
        "anchors": [StrOptions({"mutual", "global"}), Interval(Real, 0, 1, closed="right")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "anchor_weight": [Interval(Real, 0, 1, closed="right")],
        "discrimination_weight": [Interval(Real, 0, None, closed="left"), "array-like"],
        "between_weight": [Interval(Real, 0, None, closed="left")],
        "within_weight": [Interval(Real, 0, None, closed="left")],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "clustering_lr": [Interval(Real, 0, None, closed="neither")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "init_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for pairs and batch norm
    }
    _has_memberships = False  # assignments are hard

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 60,
        init: str | ClusterMixin | ArrayLike = "spherical",
        n_init: int = 1,
        max_epochs: int = 25,
        batch_size: int = 1000,
        lr: float = 2e-3,
        pretrain_epochs: int = 50,
        init_epochs: int = 25,
        clustering_lr: float = 2e-4,
        anchors: str | float = "mutual",
        n_neighbors: int = 3,
        anchor_weight: float = 1.0,
        discrimination_weight: float | tuple[float, float] = 1.0,
        between_weight: float = 1.0,
        within_weight: float = 0.3,
        reconstruction_weight: float = 1.0,
        tol: float = 1e-3,
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

    def _make_model(self, scaling: Scaling) -> DiscriminativeAutoencoder:
        sizes, n_dimensions = self.hidden_layer_sizes, len(self._input_shape)
        if isinstance(sizes, str):
            sizes = WIDTHS[n_dimensions]
        encoder, decoder = NETWORKS[n_dimensions]
        return DiscriminativeAutoencoder(
            scaling,
            self._make_encoder(self.latent_dim, encoder, hidden_layer_sizes=sizes),
            self._make_decoder(self.latent_dim, decoder, hidden_layer_sizes=sizes),
            (self.n_clusters, self.latent_dim),
            partial(anchors_of, rule=self.anchors, n_neighbors=self.n_neighbors),
            self.anchor_weight,
        )

    def _fit(self, run: Run) -> DiscriminativeAutoencoder:
        if self.anchors == "global":
            run.needs_all_rows("anchors='global'", "Use anchors='mutual'")
        listing = partial(list_neighbors, n_neighbors=self.n_neighbors)
        placing = self._first_step(run, self._make_model, OWN_STARTS, place_on_labels)
        apart = _ramp(self.discrimination_weight)
        phases = [
            Phase(
                "pretraining",
                [Turn("model", "pretraining")],
                epochs=self.pretrain_epochs,
                start=listing if self.anchors == "global" else None,
                weights={"reconstruction": self.reconstruction_weight},
            ),
            self._stage("stage1", self.init_epochs, placing, discrimination=apart),
            *self._second_stage(),
        ]
        return self._train(run, self._make_model(run.scaling), phases)

    def _go_on(self, run: Run, model: Model) -> Model:
        return self._train(run, model, self._second_stage(forget_labels))

    def _train(self, run: Run, model: Any, phases: Sequence[Phase]) -> Any:
        watch = StartAgreement(self.n_clusters)
        return run.train("discriminative", model, phases, callbacks=[watch])

    def _second_stage(self, start: Step | None = None) -> list[Phase]:
        weights = {"between": self.between_weight, "within": -self.within_weight}
        last = self._stage("stage2", self.max_epochs, **weights)
        # The last update moved the codes: the centroids follow.
        return [
            replace(last, start=start),
            Phase("assignment", [], epochs=0, start=update_clusters),
        ]

    def _stage(
        self, name: str, epochs: int, start: Step | None = None, **weights: float | Ramp
    ) -> Phase:
        """Return a phase that alternates as algorithm 2 does; what is maximised weighs below 0.

        Given clusters are held in the first one, for all of its epochs.
        """
        holds = start is not None and self._is_given()
        shared = {"alignment": -1.0, "reconstruction": self.reconstruction_weight}
        return Phase(
            name,
            [Turn("model", name)],
            epochs=epochs,
            start=start,
            refresh=[Refresh(hold_clusters if holds else update_clusters)],
            lr={"model": self.clustering_lr / self.lr},
            weights={**shared, **weights},
            until=None if holds else partial(has_settled, tol=self.tol),
        )

    def _label(self, scores: Tensor) -> Tensor:
        return scores.index_select(1, self._live).argmax(1)

    def _learned_centers(self) -> Tensor:
        return self.module_.centers


def _ramp(weight: Any) -> Ramp:
    """Return the way from the first to the last of the weights, which may be one."""
    ends = np.atleast_1d(weight)
    valid = ends.shape in ((1,), (2,)) and ends.dtype.kind in "iuf" and (ends >= 0).all()
    if not valid:
        raise ValueError(
            f"discrimination_weight must be a number or a pair of numbers, not negative; got "
            f"{weight!r}."
        )
    return lambda progress: float(ends[0] + progress.fraction * (ends[-1] - ends[0]))
