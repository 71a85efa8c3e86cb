r"""k deep variational autoencoders: a row belongs to the one that explains it best.

.. math:: \max \; \mathbb E_x \max_i \; \log p_i(x | z_i)
          - \mathrm{KL}\bigl(q_i(z | x) \,\|\, \mathcal N(0, I)\bigr), \qquad z_i \sim q_i(z | x)

("A mixture of variational autoencoders for deep clustering", 2020, eq. 6.)
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.cluster import KMeans
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.callbacks import HoldIdle
from skdeepcluster.engine.schedule import Phase, Refresh, Turn
from skdeepcluster.engine.table import Batch, Table, encoded
from skdeepcluster.estimators._first_clusters import InitializedClusterer
from skdeepcluster.estimators._k_autoencoders import KAutoencoders, hold, release
from skdeepcluster.estimators.vade import VaDE, place_mixture, vade_phases
from skdeepcluster.heads import fit_clusterer
from skdeepcluster.networks import make_decoder, make_encoder, make_grouped
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["KDVAEClustering"]


class KDVAEClustering(InitializedClusterer):
    r"""k deep variational autoencoders (k-DVAE).

    Every cluster has an encoder and a decoder of its own, and a row belongs to the pair that gives
    it the highest evidence lower bound. All networks are computed as one.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of networks k.
    init : {"vade", "kmeans"}, clusterer or array-like of shape (n_samples,), default="vade"
        First clusters. "vade" trains VaDE and runs k-means on its codes, as the paper does;
        "kmeans" runs it on the scaled rows, of which it takes a dense copy. A scikit-learn
        clusterer, one of this package, or a pipeline that ends in one, is cloned and fitted to
        the rows, not scaled, as an array; its `n_clusters` is set if it has its default value,
        and any `random_state` that is None. ``FrozenEstimator(clusterer)`` is one that is fitted
        already and predicts. Labels in 0..n_clusters-1, such as another clusterer's ``labels_``,
        are taken as they are, and -1 leaves a row free.
    vade_pretrain_epochs : int, default=50
        With ``init="vade"``, its epochs of reconstruction.
    vade_epochs : int, default=100
        With ``init="vade"``, its epochs on the evidence lower bound.
    pretrain_epochs : int, default=10
        Epochs in which each network trains on its first cluster.
    max_epochs : int, default=50
        Epochs in which each network trains on the rows it wins.
    latent_dim : int, default=10
        Width of a network's code. `transform` returns the winner's code, and after it a column
        per network that is 1 for the winner.
    hidden_layer_sizes : sequence of int, default=None
        Widths of every encoder's hidden layers; the decoders mirror them. For images, the channels
        of their convolutions. None: 500-100, or 32-64-128 channels. VaDE takes the same, and its
        own default where this is None.
    encoder, decoder : callable, default=None
        Return an ``nn.Module``, given the shape of one input; called once for every cluster. The
        encoder maps (n, \*input_shape) to (n, 2 * latent_dim), mean and log-variance; the decoder
        maps (n, latent_dim) back, to logits where scaled data lies in [0, 1]. Each is a layer or
        an ``nn.Sequential`` of linear, convolutional and elementwise layers. VaDE has its default
        networks all the same.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened rows. 3-d and 4-d arrays say it themselves.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Scaled data in
        [0, 1] is modelled by Bernoulli variables, other data by Gaussians.
    batch_size : int, default=100
        Rows per update.
    lr : float, default=2e-3
        Learning rate; VaDE's as well.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``. "adam" has an epsilon of 1e-4.
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
        Cluster of every training row.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, latent_dim + n_clusters)
        Mean code of every cluster.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and how many networks were
        started anew (``reseeded``).
    device_ : str
        Where the networks are.
    n_iter_ : int
        Epochs trained, those of VaDE included.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    See Also
    --------
    KDAEClustering : The same without the variational part.
    VaDEClustering : One network for all clusters.

    References
    ----------
    *A mixture of variational autoencoders for deep clustering*, 2020.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import KDVAEClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = KDVAEClustering(
    ...     3, init="kmeans", latent_dim=2, hidden_layer_sizes=(16,), max_epochs=5, random_state=0
    ... ).fit(X)
    >>> rows, labels = model.sample(4, cluster=2, random_state=0)
    >>> rows.shape, model.predict_proba(X).shape
    ((4, 6), (200, 3))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "init": [StrOptions({"vade", "kmeans"}), HasMethods(["fit"]), "array-like"],
        "vade_pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "vade_epochs": [Interval(Integral, 0, None, closed="left")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
    }
    _adam: ClassVar[dict[str, Any]] = {"optimizer__eps": 1e-4}
    _variational = True

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | ClusterMixin | ArrayLike = "vade",
        vade_pretrain_epochs: int = 50,
        vade_epochs: int = 100,
        pretrain_epochs: int = 10,
        max_epochs: int = 50,
        latent_dim: int = 10,
        hidden_layer_sizes: Sequence[int] | None = None,
        encoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        batch_size: int = 100,
        lr: float = 2e-3,
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
        self.init = init
        self.vade_pretrain_epochs = vade_pretrain_epochs
        self.vade_epochs = vade_epochs
        self.pretrain_epochs = pretrain_epochs

    def _make_model(self) -> KAutoencoders:
        widths = self.hidden_layer_sizes
        if widths is None and len(self._input_shape) == 1:
            widths = (500, 100)
        options, each = {"hidden_layer_sizes": widths}, range(self.n_clusters)
        width = self.latent_dim * (2 if self._variational else 1)
        return KAutoencoders(
            self._fitting.scaling,
            make_grouped([self._make_encoder(width, **options) for _ in each]),
            make_grouped([self._make_decoder(self.latent_dim, **options) for _ in each]),
            self.n_clusters,
            self.latent_dim,
            self._variational,
        )

    def _make_vade(self) -> VaDE:
        shape, widths = self._input_shape, self.hidden_layer_sizes
        encoder = make_encoder(shape, 2 * self.latent_dim, widths)
        decoder = make_decoder(self.latent_dim, shape, widths)
        return VaDE(self._fitting.scaling, encoder, decoder, self.n_clusters, self.latent_dim)

    def _trainer_kwargs(self) -> dict[str, Any]:
        kwargs = super()._trainer_kwargs()
        return {**kwargs, "callbacks": [HoldIdle(), *kwargs["callbacks"]]}

    def _fit(self, table: Table) -> KAutoencoders:
        self._check_model(self._make_model, table)
        turns = [Turn("model", "winner_loss")]
        start = partial(hold, labels=self._first_labels(table))
        refresh = [Refresh(partial(release, seed=self._fitting.seed))]
        phases = [
            Phase("first clusters", turns, epochs=self.pretrain_epochs, start=start),
            Phase("winners", turns, epochs=self.max_epochs, refresh=refresh),
        ]
        return self._train("networks", self._make_model, phases, table)

    def _first_labels(self, table: Table) -> NDArray[np.integer[Any]]:
        """Return the clusters that training starts from."""
        if not isinstance(self.init, str):
            return self._given_labels(table)
        seed = self._fitting.seed
        if self.init == "vade":
            start = partial(place_mixture, seed=seed)
            phases = vade_phases(self.vade_pretrain_epochs, self.vade_epochs, start)
            model: Any = self._train("vade", self._make_vade, phases, table)
        else:
            model = _scaled_rows(self._fitting.scaling)
        kmeans = KMeans(self.n_clusters, n_init=10, random_state=seed)
        codes = encoded(model, table).cpu().numpy()
        return fit_clusterer(kmeans, codes, table.array("weight")).labels_

    def _log_memberships(self, batch: Batch) -> Tensor:
        return self.module_(batch, "scores")

    def _score_rows(self, batch: Batch) -> Tensor:
        """Return the bound of the mixture of all networks, with equal weights."""
        return self.module_(batch, "bounds").logsumexp(1) - math.log(self.module_.n_networks)

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw codes from N(0, I), for the networks of the clusters."""
        model = self.module_  # of the fit, whatever the parameters are now
        noise = rng.standard_normal((len(labels), model.latent_dim))
        return np.hstack([noise, F.one_hot(self._components(labels), model.n_networks).numpy()])


def _scaled_rows(scaling: Scaling) -> Callable[[Batch], Tensor]:
    return lambda batch: scaling(batch["X"]).flatten(1)
