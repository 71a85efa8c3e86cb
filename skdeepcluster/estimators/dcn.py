r"""Deep clustering networks: k-means among the codes of an autoencoder that both train.

.. math:: \min_{f, g, M, s} \frac1n \sum_i \frac12 \|f(x_i) - M s_i\|^2
          + \lambda \frac1d \|x_i - g(f(x_i))\|^2

with one-hot assignments :math:`s_i` (DCN: Yang et al. 2017), or with the expectation of the
squared distance under a softmax of minus :math:`\alpha` times it (DKM: Moradi Fard et al. 2020),
whose :math:`\alpha` grows.
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
from torch import Tensor, nn

from skdeepcluster.augment import augmentation_for
from skdeepcluster.base import AUGMENT, DeepClusterer, InitializedClusterer, Run, init_constraint
from skdeepcluster.base._streaming import once_through
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Refresh, Step, Turn
from skdeepcluster.models.autoencoder import reconstruction_phase
from skdeepcluster.models.dcn import ASSIGNMENTS, DeepKMeans, SoftKMeans, begin, harden
from skdeepcluster.models.dec import place_centers, place_on_labels
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["DCNClustering"]

OWN_STARTS = {"kmeans": partial(begin, place=place_centers)}


class DCNClustering(InitializedClusterer):
    r"""Train an autoencoder for codes that k-means clusters well (DCN, DKM).

    An autoencoder is trained, and k-means places centres among its codes. Then every code is drawn
    to its centre while the centres follow the codes, and the decoder keeps the codes from
    forgetting the rows.

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
        Epochs of clustering.
    batch_size : int, default=256
        Rows per update.
    lr : float, default=1e-3
        Learning rate; during pretraining the peak of one cycle.
    assignment : {"hard", "soft"}, default="hard"
        "hard" is DCN: a code has one centre, the nearest, and a centre is the running mean of
        its codes. "soft" is DKM: a code has all centres, by a softmax that hardens during
        training, and the centres are trained with the networks. With "soft" alone there is
        `predict_proba`.
    reconstruction_weight : float, default=20.0
        Weight of the reconstruction against the clustering loss. With 0 all codes fall into one
        point.
    pretrain_epochs : int, default=50
        Epochs of reconstruction alone. What they have learned is what k-means starts from, and
        clustering adds little to it.
    augment : "auto", callable or None, default=None
        Changes of the rows in training, with which this is DCN-DA: changed rows are reconstructed,
        and pulled to the centres of the unchanged ones, which the centres follow (Guo et al. 2018).
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
        255 and sparse data by its largest magnitude, and standardises the rest.
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
    n_samples_seen_ : int
        Rows so far that have a weight, after `partial_fit`.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    See Also
    --------
    DECClustering : Soft assignments by Student's t, trained towards a sharper target.
    DCANClustering : Codes drawn towards the Gaussians of a mixture.

    References
    ----------
    Yang, Fu, Sidiropoulos & Hong, *Towards k-means-friendly spaces: simultaneous deep learning and
    clustering*, ICML 2017.
    Moradi Fard, Thonet & Gaussier, *Deep k-means: jointly clustering with k-means and learning
    representations*, Pattern Recognition Letters 2020.
    Guo, Zhu, Liu & Yin, *Deep embedded clustering with data augmentation*, ACML 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DCNClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = DCNClustering(
    ...     3, latent_dim=2, hidden_layer_sizes=(16,), pretrain_epochs=20, random_state=0
    ... ).fit(X)
    >>> model.code_centers_.shape
    (3, 2)
    """

    _streams_not = ""
    _may_change = frozenset({"reconstruction_weight"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "init": init_constraint(*OWN_STARTS),
        "assignment": [StrOptions(set(ASSIGNMENTS))],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
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
        assignment: str = "hard",
        reconstruction_weight: float = 20.0,
        pretrain_epochs: int = 50,
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

    def _fit(self, run: Run) -> DeepKMeans:
        placing = partial(begin, place=place_on_labels)
        start = self._first_step(run, self._make_model, OWN_STARTS, placing)
        refresh = [Refresh(harden)] if self.assignment == "soft" else []
        phases = [reconstruction_phase(self.pretrain_epochs), self._clustering(start, refresh)]
        return run.train("dcn", self._make_model(run.scaling), phases)

    def _go_on(self, run: Run, model: Model) -> Model:
        return run.train("dcn", model, [self._clustering()])  # at the alpha that it has reached

    def _stream(self, run: Run, model: Model) -> Model:
        return run.train("dcn", model, [once_through(self._clustering())])

    def _clustering(self, start: Step | None = None, refresh: Sequence[Refresh] = ()) -> Phase:
        return Phase(
            "clustering",
            [Turn("model", "both")],
            epochs=self.max_epochs,
            start=start,
            refresh=refresh,
            weights={"reconstruction": self.reconstruction_weight},
        )

    def _make_model(self, scaling: Scaling) -> DeepKMeans:
        encoder = self._make_encoder(self.latent_dim)
        decoder = self._make_decoder(self.latent_dim)
        kind, shape = ASSIGNMENTS[self.assignment], (self.n_clusters, self.latent_dim)
        model: DeepKMeans = kind(scaling, encoder, decoder, shape)
        model.augment = augmentation_for(self.augment, self._input_shape)
        return model

    @property
    def _has_memberships(self) -> bool:  # type: ignore[override]
        if self.__sklearn_is_fitted__():  # of the fit, whatever the parameter is now
            return isinstance(self.module_, SoftKMeans)
        return self.assignment == "soft"

    def _label(self, scores: Tensor) -> Tensor:
        if self._has_memberships:
            return super()._label(scores)
        return scores.index_select(1, self._live).argmax(1)

    def _learned_centers(self) -> Tensor:
        return self.module_.centers
