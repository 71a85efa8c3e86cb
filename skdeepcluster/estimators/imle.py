r"""IMLE clustering: pull the generated sample nearest to each row towards the row.

.. math:: \min_{G, E} \frac1n \sum_i \|x_i - G(z_i)\|^2
          + \alpha_f \|E_f(x_i) - E_f(G(z_i))\|^2
          + \beta_n \|z_{n, i} - E_n(G(z_i))\|^2 + \beta_c H(z_{c, i}, E_c(G(z_i)))

(Vardakas 2021, eq. 5.1, with :math:`\alpha = 1`), where :math:`z_i` is the code, of many that were
drawn, whose sample is nearest to :math:`x_i`. Its component is the cluster of the row.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Phase, Progress, Refresh, Turn
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators._generative import GenerativeClusterer
from skdeepcluster.estimators._matching import MatchedGenerator
from skdeepcluster.priors import DiscreteContinuousPrior, SeparatedGaussiansPrior
from skdeepcluster.scaling import Mode

__all__ = ["IMLEClustering"]

PRIORS = {
    "discrete_continuous": DiscreteContinuousPrior,
    "gaussian_mixture": SeparatedGaussiansPrior,
}


class IMLEClustering(GenerativeClusterer):
    r"""Cluster by implicit maximum likelihood, with a generator whose code names the cluster.

    Every row is matched with the nearest of many generated samples, and that sample is pulled
    towards it, so that each component of the prior comes to generate one cluster. An encoder
    learns to tell the component of a sample; its answer on a real row is the row's cluster.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of components.
    prior : {"discrete_continuous", "gaussian_mixture"}, default="discrete_continuous"
        How codes are drawn: a one-hot beside Gaussian noise, or from a mixture of Gaussians whose
        means are nine standard deviations apart.
    search : {"two_stage", "global"}, default="two_stage"
        "two_stage" looks for the nearest centroid of a component first, and then among its
        samples; "global" among all samples.
    use_encoder : bool, default=True
        Whether there is an encoder.
    label_source : {"encoder", "centroid"}, default=None
        Who says the cluster of a row: the encoder, or the nearest centroid of what the components
        generate. None: the encoder if there is one.
    n_samples_per_point : int, default=1
        Samples that `search` has for every row of a batch, spread evenly over the components. One
        in the epochs of `balanced_share`.
    updates_per_matching : int, default=1
        Updates on a batch before its rows are matched anew.
    balanced_share : float, default=0.5
        Share of the epochs, from the first on, in which every row gets a sample of its own: the
        stages of `search` are then assignments of least total distance. Rows are spread over all
        components, and no sample is left behind. With 1 it stays so to the end.
    encoded_samples : {"matched", "all"}, default="matched"
        The samples whose codes the encoder learns to find.
    component_weight : float, default=0.5
        Weight beta_c of finding the component again.
    noise_weight : float, default=0.0
        Weight beta_n of finding the noise again.
    feature_weight : float, default=0.0
        Weight alpha_f of the distance between rows and their samples in the encoder's last hidden
        layer. Where it is positive, an `encoder` of yours must be an ``nn.Sequential``.
    detach_features : bool, default=False
        Whether that distance leaves the encoder alone and moves the generator only.
    sigma : float, default=0.1
        Standard deviation of the noise.
    latent_dim : int, default=10
        Width of the noise beside the components. A code has latent_dim + n_clusters columns.
    hidden_layer_sizes : sequence of int, default=None
        Widths of the hidden layers of both networks, in the encoder's order. For images, the
        channels of their convolutions. None: 256-256, or 64-128 channels (128-256 in the
        generator) and dense layers, as in the thesis.
    encoder, decoder : callable, default=None
        Return an ``nn.Module``, given the shape of one input. The encoder maps
        (n, \*input_shape) to (n, latent_dim + n_clusters), the component as logits; the decoder,
        which is the generator, back.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened rows. 3-d and 4-d arrays say it themselves.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. The generator
        ends in a sigmoid for scaled data in [0, 1].
    max_epochs : int, default=100
        Passes over the data.
    batch_size : int, default=64
        Rows per update, at least 2. The memory and the time of matching in the epochs of
        `balanced_share` grow with its square and its cube.
    lr : float, default=1e-3
        Learning rate. It falls to 0 in the second half of the epochs.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``. "adam" has betas of .5 and .99.
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
    cluster_centers_ : ndarray of shape (n_clusters_, n_clusters)
        Mean code of every cluster. A code is the logits of the components: the encoder's, or,
        without one, the log-densities of Gaussians at their centroids.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and the number of components
        that had lost all rows before it (``dead``). ``matching`` is the clustering error: the
        squared distance from a row to its sample.
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
    ClusterGANClustering : The same networks, trained against a critic.

    References
    ----------
    Vardakas, *Deep clustering based on implicit likelihood maximization*, thesis, University of
    Ioannina, 2021, chapters 4 and 5.
    Li & Malik, *Implicit maximum likelihood estimation*, 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import IMLEClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = IMLEClustering(
    ...     3, latent_dim=2, hidden_layer_sizes=(32,), max_epochs=20, random_state=0
    ... ).fit(X)
    >>> model.interpolate(0, 2, n_steps=5, random_state=0).shape
    (5, 6)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **GenerativeClusterer._parameter_constraints,
        "prior": [StrOptions(set(PRIORS))],
        "search": [StrOptions({"two_stage", "global"})],
        "use_encoder": ["boolean"],
        "label_source": [StrOptions({"encoder", "centroid"}), None],
        "n_samples_per_point": [Interval(Integral, 1, None, closed="left")],
        "updates_per_matching": [Interval(Integral, 1, None, closed="left")],
        "balanced_share": [Interval(Real, 0, 1, closed="both")],
        "encoded_samples": [StrOptions({"matched", "all"})],
        "feature_weight": [Interval(Real, 0, None, closed="left")],
        "detach_features": ["boolean"],
    }
    _adam: ClassVar[dict[str, Any]] = {"optimizer__betas": (0.5, 0.99)}

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        prior: str = "discrete_continuous",
        search: str = "two_stage",
        use_encoder: bool = True,
        label_source: str | None = None,
        n_samples_per_point: int = 1,
        updates_per_matching: int = 1,
        balanced_share: float = 0.5,
        encoded_samples: str = "matched",
        component_weight: float = 0.5,
        noise_weight: float = 0.0,
        feature_weight: float = 0.0,
        detach_features: bool = False,
        sigma: float = 0.1,
        latent_dim: int = 10,
        hidden_layer_sizes: Sequence[int] | None = None,
        encoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        max_epochs: int = 100,
        batch_size: int = 64,
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
        self.prior = prior
        self.search = search
        self.use_encoder = use_encoder
        self.label_source = label_source
        self.n_samples_per_point = n_samples_per_point
        self.updates_per_matching = updates_per_matching
        self.balanced_share = balanced_share
        self.encoded_samples = encoded_samples
        self.component_weight = component_weight
        self.noise_weight = noise_weight
        self.feature_weight = feature_weight
        self.detach_features = detach_features
        self.sigma = sigma

    def _make_model(self) -> MatchedGenerator:
        generator, encoder = self._make_generator(), None
        if self.use_encoder:
            encoder = self._make_encoder(self.latent_dim + self.n_clusters, **self._leaky())
        self._check_encoder(encoder)
        return MatchedGenerator(
            self._fitting.scaling,
            encoder,
            generator,
            PRIORS[self.prior](self.n_clusters, self.latent_dim, self.sigma),
            search=self.search,
            n_samples_per_point=self.n_samples_per_point,
            encode_all=self.encoded_samples == "all",
            has_features=self.feature_weight > 0,
            detach_features=self.detach_features,
            labels_by_encoder=self.use_encoder and self.label_source != "centroid",
        )

    def _check_encoder(self, encoder: nn.Module | None) -> None:
        if self.encoder is not None and not self.use_encoder:
            raise ValueError(
                "encoder= would not be used: use_encoder is False. Set it to True, or use "
                "encoder=None."
            )
        if encoder is None and self.label_source == "encoder":
            raise ValueError(
                "label_source='encoder' needs use_encoder=True; without an encoder labels come "
                "from label_source='centroid'."
            )
        if self.feature_weight > 0 and not isinstance(encoder, nn.Sequential):
            raise ValueError(
                "feature_weight > 0 needs an encoder that is an nn.Sequential, whose last hidden "
                f"layer is all but its last module; got {type(encoder).__name__}. Give such an "
                "encoder with use_encoder=True, or set feature_weight=0."
            )

    def _fit(self, table: Table) -> MatchedGenerator:
        turns = [Turn("model", "match")]
        if self.updates_per_matching > 1:
            turns.append(Turn("model", "pull", self.updates_per_matching - 1))
        n_balanced = math.ceil(self.balanced_share * self.max_epochs)
        matching = Phase(
            "matching",
            turns,
            epochs=self.max_epochs,
            lr={"model": _late_fall},
            refresh=[Refresh(partial(_watch, n_balanced=n_balanced))],
            weights={
                "features": self.feature_weight,
                "noise": self.noise_weight,
                "component": self.component_weight,
            },
        )
        model = self._train("imle", self._make_model, [matching], table)
        model.fix_centroids(self._fitting.seed)
        return model

    def _log_memberships(self, batch: Batch) -> Tensor:
        return self.module_(batch, "log_memberships")


def _late_fall(progress: Progress) -> float:
    """Return a factor that is 1 in the first half of a phase and falls to 0 in the second."""
    return min(1.0, 2 * (1 - progress.fraction))


def _watch(trainer: Trainer, table: Table, n_balanced: int) -> Mapping[str, float]:
    """Decide whether an epoch gives every row a sample of its own: at first, and after a death."""
    model, epoch = trainer.model, trainer.progress().epoch
    dead = int((model.matches == 0).sum()) if epoch else 0
    model.balanced = epoch < n_balanced or dead > 0
    model.matches.zero_()
    if dead:
        notice(
            f"{dead} components lost all their rows. In the next epoch every row gets a sample "
            "of its own.",
        )
    return {"dead": dead}
