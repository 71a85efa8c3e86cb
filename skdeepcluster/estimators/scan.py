r"""Linear heads on features, each trained to give a row and its neighbours one cluster: SCAN.

.. math:: \min_\theta \; -\frac1n \sum_i \log \langle p_\theta(x_i), p_\theta(x_j) \rangle
          + \lambda \sum_c \bar p_c \log \bar p_c

for a neighbour j of i, drawn anew in every epoch, and the mean membership :math:`\bar p` of a
batch (Van Gansbeke et al. 2020, eq. 2). Several such heads are trained at once, and what they say
together is clustered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions

from skdeepcluster.base import OneHeadClusterer, Run
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Refresh, Turn, one_cycle
from skdeepcluster.models.neighborly import NeighborHeads, draw_partners, find_neighbors
from skdeepcluster.scaling import Mode

__all__ = ["SCANClustering"]

NETWORKS = {"latent_dim", "hidden_layer_sizes", "encoder", "decoder"}  # it has none


class SCANClustering(OneHeadClusterer):
    r"""Learn clusters that hold a row and its neighbours, on features as they are (SCAN).

    The rows are features in which neighbours mostly belong together, such as those of a network
    trained before: see `skdeepcluster.features`. Every head is one linear layer, and heads of other
    random weights find other clusters; nothing in their losses says which are right. So many are
    trained at once, and their memberships, side by side, are the codes that `head` clusters.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, and of those of every head.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=30
        Passes over the data.
    batch_size : int, default=256
        Rows per update; the sizes of clusters are compared within a batch.
    lr : float, default=1e-3
        Peak of the one-cycle learning rate.
    n_heads : int, default=16
        Linear heads that are trained side by side.
    n_neighbors : int, default=20
        Neighbours of a row, of which one is drawn in every epoch.
    metric : {"cosine", "euclidean"}, default="cosine"
        What neighbours are near by: the angle between scaled rows, or their distance.
    balance_weight : float, default=5.0
        Weight :math:`\lambda` of the entropy of the clusters' sizes; the larger, the more alike
        they become.
    head : str or clusterer, default="gmm"
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
    manifold : {"umap"} or None, default="umap"
        What the codes go through before the head.
    manifold_params : dict, default=None
        Further parameters of UMAP, in place of 20 neighbours and ``min_dist=0``.
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
        The trained networks, which are linear heads.
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
    IMSATClustering : Moves rows a little instead of taking their neighbours, and learns a network.

    References
    ----------
    Van Gansbeke, Vandenhende, Georgoulis et al., *SCAN: learning to classify images
    without labels*, ECCV 2020.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import SCANClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = SCANClustering(3, n_heads=4, manifold=None, random_state=0).fit(X)
    >>> model.transform(X).shape, model.predict_proba(X).shape
    ((200, 12), (200, 3))
    """

    _may_change = OneHeadClusterer._may_change - {"n_clusters"} | {
        "balance_weight",
        "n_neighbors",
        "metric",
    }
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{k: v for k, v in OneHeadClusterer._parameter_constraints.items() if k not in NETWORKS},
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"cosine", "euclidean"})],
        "balance_weight": [Interval(Real, 0, None, closed="left")],
    }
    _decodes = False

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_init: int = 1,
        max_epochs: int = 30,
        batch_size: int = 256,
        lr: float = 1e-3,
        n_heads: int = 16,
        n_neighbors: int = 20,
        metric: str = "cosine",
        balance_weight: float = 5.0,
        head: str | ClusterMixin = "gmm",
        head_params: dict[str, Any] | None = None,
        min_cluster_size: int | float = 0.02,
        noise: str = "keep",
        max_samples: int | None = 100_000,
        manifold: str | None = "umap",
        manifold_params: dict[str, Any] | None = None,
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
        return self._go_on(run, NeighborHeads(run.scaling, self.n_clusters, self.n_heads))

    def _go_on(self, run: Run, model: Model) -> Model:
        run.needs_all_rows("The search for neighbours", "Use another estimator")
        self._make_head(run.seed)  # refused now rather than after the training
        search = partial(find_neighbors, n_neighbors=self.n_neighbors, metric=self.metric)
        agreement = Phase(
            "agreement",
            [Turn("model", "agreeing")],
            epochs=self.max_epochs,
            start=search,
            refresh=[Refresh(draw_partners)],
            weights={"balance": self.balance_weight},
            lr={"model": one_cycle},
        )
        return run.train("scan", model, [agreement])

    def _used_after_training(self) -> set[str]:
        return super()._used_after_training() - {"n_clusters"}  # of the heads
