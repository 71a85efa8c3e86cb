r"""Deep embedded clustering, and its improved form that keeps reconstructing.

.. math:: \min_{f, g, \mu} \frac1n \sum_i \mathrm{KL}(p_i \| q_i)
          + \lambda \frac1d \|x_i - g(f(x_i))\|^2

with Student's t memberships q (Xie et al. 2016, eq. 1) and the sharpened target p (eq. 3), which
is computed on the whole data set and held fixed between refreshes. DEC has
:math:`\lambda = 0` (eq. 2), IDEC :math:`\lambda = 10` (Guo et al. 2017, eq. 6, divided by its
gamma of .1).
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
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdeepcluster.augment import augmentation_for
from skdeepcluster.base import AUGMENT, DeepClusterer, InitializedClusterer, Run, init_constraint
from skdeepcluster.base._streaming import once_through
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Refresh, Step, Turn
from skdeepcluster.models.autoencoder import reconstruction_phase
from skdeepcluster.models.clusters import forget_labels, has_settled
from skdeepcluster.models.dec import DEC, aim, place_centers, place_on_labels, update_target
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["DECClustering"]

OWN_STARTS = {"kmeans": place_centers}


class DECClustering(InitializedClusterer):
    r"""Deep embedded clustering (DEC), and its improved form (IDEC).

    An autoencoder is trained, k-means places centres among its codes, and the encoder and the
    centres are then trained to make soft assignments confident.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    latent_dim : int, default=10
        Width of the code.
    init : {"kmeans", "n2d", "spc"}, clusterer or array-like, default="kmeans"
        First centres. "kmeans" finds them among the pretrained codes, as the papers do. Otherwise
        they are the mean codes of clusters found elsewhere.

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
        Epochs of clustering at most.
    batch_size : int, default=256
        Rows per update.
    lr : float, default=1e-3
        Learning rate; during pretraining the peak of one cycle.
    reconstruction_weight : float, default=10.0
        Weight of the reconstruction against the clustering loss. 0 is DEC, whose decoder goes
        stale: `sample` and `inverse_transform` then show the codes as they were before clustering
        began. 10 is IDEC.
    target_power : float, default=2.0
        How much sharper the target is than the memberships, from 1 to 10: the power that they are
        raised to. 2 is DEC and IDEC, more is DBC.
    pretrain_epochs : int, default=50
        Epochs of reconstruction alone.
    epochs_per_update : int, default=1
        Epochs from one update of the target distribution, on the whole data, to the next.
    tol : float, default=1e-3
        Training stops when fewer than this share of the labels change between updates.
    augment : "auto", callable or None, default=None
        Changes of the rows in training, with which this is DEC-DA or IDEC-DA: changed rows are
        reconstructed, and pulled to where the unchanged ones are (Guo et al. 2018).
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
        Cluster of every training row.
    start_labels_ : ndarray of shape (n_samples,)
        Clusters that training started from; -1 is none.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the one that was learned.
    module_ : nn.Module
        The trained networks and centres.
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
    n_samples_seen_ : int
        Rows so far that have a weight, after `partial_fit`.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    See Also
    --------
    AutoencoderClustering : The same without the second training.

    References
    ----------
    Xie, Girshick & Farhadi, *Unsupervised deep embedding for clustering analysis*, ICML 2016.
    Guo, Gao, Liu & Yin, *Improved deep embedded clustering with local structure preservation*,
    IJCAI 2017.
    Guo, Zhu, Liu & Yin, *Deep embedded clustering with data augmentation*, ACML 2018.
    Li, Qiao & Zhang, *Discriminatively boosted image clustering with fully convolutional
    auto-encoders*, Pattern Recognition 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DECClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = DECClustering(
    ...     3, latent_dim=2, hidden_layer_sizes=(16,), pretrain_epochs=20, random_state=0
    ... ).fit(X)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    _streams_not = ""
    _may_change = frozenset({"reconstruction_weight", "target_power", "epochs_per_update", "tol"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "init": init_constraint(*OWN_STARTS),
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "target_power": [Interval(Real, 1, 10, closed="both")],  # whose powers float32 holds
        "epochs_per_update": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "augment": AUGMENT,
    }

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
        reconstruction_weight: float = 10.0,
        target_power: float = 2.0,
        pretrain_epochs: int = 50,
        epochs_per_update: int = 1,
        tol: float = 1e-3,
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

    def _fit(self, run: Run) -> DEC:
        start = self._first_step(run, self._make_model, OWN_STARTS, place_on_labels)
        phases = [reconstruction_phase(self.pretrain_epochs), self._clustering(start)]
        return run.train("dec", self._make_model(run.scaling), phases)

    def _go_on(self, run: Run, model: Model) -> Model:
        return run.train("dec", model, [self._clustering(forget_labels)])

    def _stream(self, run: Run, model: Model) -> Model:
        """Train on rows of which some clusters may have none, which therefore are not dead."""
        seen = torch.zeros(self.n_clusters)
        seen[self._clusters.live] = torch.from_numpy(self._weights_seen()).float()
        target = partial(aim, seen=seen.to(run.table.device), power=self.target_power)
        clustering = replace(self._clustering(forget_labels), refresh=[Refresh(target)])
        return run.train("dec", model, [once_through(clustering)])

    def _clustering(self, start: Step) -> Phase:
        weight = self.reconstruction_weight
        target = partial(update_target, power=self.target_power)
        return Phase(
            "clustering",
            [Turn("model", "both" if weight else "clustering")],
            epochs=self.max_epochs,
            start=start,
            refresh=[Refresh(target, every=self.epochs_per_update)],
            weights={"reconstruction": weight} if weight else {},
            until=partial(has_settled, tol=self.tol),
        )

    def _make_model(self, scaling: Scaling) -> DEC:
        encoder = self._make_encoder(self.latent_dim)
        decoder = self._make_decoder(self.latent_dim)
        model = DEC(scaling, encoder, decoder, (self.n_clusters, self.latent_dim))
        model.augment = augmentation_for(self.augment, self._input_shape)
        return model

    def _learned_centers(self) -> Tensor:
        return self.module_.centers
