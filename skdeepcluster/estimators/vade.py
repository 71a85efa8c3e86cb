r"""Variational deep embedding: an autoencoder whose codes follow a mixture of Gaussians.

.. math:: \max \; \mathbb E_{q(z | x)} \log p(x | z)
          - \sum_i \gamma_i \Bigl[ \mathrm{KL}\bigl(q(z | x) \,\|\, \mathcal N(\mu_i, s_i^2)\bigr)
          + \log \frac{\gamma_i}{\pi_i} \Bigr],
          \qquad \gamma_i = p(i | z)

("A mixture of variational autoencoders for deep clustering", 2020, eq. 9, where the bracket around
the sum's two terms is missing; Jiang et al. 2017.)
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
from sklearn.mixture import GaussianMixture
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.schedule import Phase, Progress, Turn
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators._first_clusters import InitializedClusterer
from skdeepcluster.estimators._variational import LOG_VARIANCES, VariationalModel, drawn
from skdeepcluster.estimators.autoencoder import reconstruction_phase
from skdeepcluster.heads import fit_clusterer
from skdeepcluster.objectives import gaussian_kl_divergence
from skdeepcluster.priors import GaussianMixturePrior, least_variance, responsibilities_of
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["VaDE", "VaDEClustering", "place_mixture", "vade_phases"]

Start = Callable[[Trainer, Table], None]  # what places the mixture

INSIDE = 0.9  # share of the narrowest component's variance that a posterior starts with


class VaDE(VariationalModel):
    """An encoder q(z | x), a decoder p(x | z) and a mixture p(z).

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder, decoder : nn.Module
        The encoder returns the posterior's mean and, beside it, what its log-variance is made of.
    n_clusters, latent_dim : int
        Size of the mixture.
    """

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        decoder: nn.Module,
        n_clusters: int,
        latent_dim: int,
    ):
        super().__init__(scaling)
        self.encoder = encoder
        self.decoder = decoder
        self.prior = GaussianMixturePrior(n_clusters, latent_dim)
        # A gain of 0 gives every row the same variance to start with, whatever the encoder is.
        self.log_variance_gain = nn.Parameter(torch.zeros(latent_dim))
        self.log_variance_bias = nn.Parameter(torch.zeros(latent_dim))

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z | x)."""
        mean, raw = self.encoder(batch["X"]).float().chunk(2, dim=1)
        log_variance = self.log_variance_bias + self.log_variance_gain * raw
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def codes(self, batch: Batch) -> Tensor:
        """Return the posterior's mean."""
        return self.posterior(batch)[0]

    def decode(self, codes: Tensor) -> Tensor:
        """Return the expected rows of codes."""
        return self.observation.mean(self.decoder(codes))

    def log_memberships(self, batch: Batch) -> Tensor:
        """Return log p(i, z) at the posterior's mean, shape (n, n_clusters)."""
        return self.prior.log_joint(self.codes(batch))

    def reconstruction(self, batch: Batch) -> dict[str, Tensor]:
        """Return -log p(x | z) at the posterior's mean: pretraining."""
        output = self.decoder(self.codes(batch))
        return {"reconstruction": -self.observation.log_likelihood(output, batch["X"])}

    def negative_elbo(self, batch: Batch) -> dict[str, Tensor]:
        """Return minus the terms of eq. 9, at a code drawn from the posterior."""
        mean, log_variance = self.posterior(batch)
        return self._terms(batch["X"], mean, log_variance, drawn(mean, log_variance))

    def elbo(self, batch: Batch) -> Tensor:
        """Return the bound per row, at the posterior's mean, and so the same every time."""
        mean, log_variance = self.posterior(batch)
        terms = self._terms(batch["X"], mean, log_variance, mean)
        return -torch.stack(list(terms.values())).sum(0)

    def _terms(
        self, rows: Tensor, mean: Tensor, log_variance: Tensor, z: Tensor
    ) -> dict[str, Tensor]:
        """Return minus the terms of the bound, with reconstruction and gamma at z."""
        prior = self.prior
        log_gamma = prior.log_joint(z).log_softmax(1)
        gamma = log_gamma.exp()
        divergences = gaussian_kl_divergence(
            mean[:, None], log_variance[:, None], prior.means, prior.log_variances
        )
        return {
            "reconstruction": -self.observation.log_likelihood(self.decoder(z), rows),
            "latent": (gamma * divergences).sum(1),
            "component": (gamma * (log_gamma - prior.log_weights())).sum(1),
        }


class VaDEClustering(InitializedClusterer):
    r"""Variational deep embedding (VaDE).

    A variational autoencoder whose latent prior is a mixture of Gaussians, a component per cluster.
    Memberships are posterior probabilities of the components, new rows of a cluster are drawn from
    its component, and the score of a row bounds its log-likelihood.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of components.
    init : {"gmm"}, clusterer or array-like of shape (n_samples,), default="gmm"
        First components. "gmm" fits a Gaussian mixture to the pretrained codes, as the paper does.
        Otherwise each component starts as the Gaussian of the codes that have its label. A
        scikit-learn clusterer, one of this package, or a pipeline that ends in one, is cloned and
        fitted to the rows, not scaled, as an array; its `n_clusters` is set if it has its default
        value, and any `random_state` that is None. ``FrozenEstimator(clusterer)`` is one that is
        fitted already and predicts. Labels in 0..n_clusters-1, such as another clusterer's
        ``labels_``, are taken as they are, and -1 leaves a row out.
    pretrain_epochs : int, default=50
        Epochs of reconstruction alone, before the components are placed.
    max_epochs : int, default=100
        Epochs on the evidence lower bound.
    latent_dim : int, default=10
        Width of the code.
    hidden_layer_sizes : sequence of int, default=None
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. None: 500-500-2000, or 32-64-128 channels.
    encoder, decoder : callable, default=None
        Return an ``nn.Module``, given the shape of one input. The encoder maps
        (n, \*input_shape) to (n, 2 * latent_dim), mean and log-variance; the decoder maps
        (n, latent_dim) back, to logits where scaled data lies in [0, 1].
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened rows. 3-d and 4-d arrays say it themselves.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Scaled data in
        [0, 1] is modelled by Bernoulli variables, other data by Gaussians.
    batch_size : int, default=100
        Rows per update.
    lr : float, default=2e-3
        Learning rate; during pretraining the peak of one cycle, afterwards a tenth less every ten
        epochs, down to a tenth.
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
    cluster_centers_ : ndarray of shape (n_clusters_, latent_dim)
        Means of the components, in code space.
    module_ : nn.Module
        The trained networks and the mixture, ``module_.prior``.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch.
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
    AutoencoderClustering : With ``head="gmm"``, much like the state in which this method starts.

    References
    ----------
    Jiang, Zheng, Tan, Tang & Zhou, *Variational deep embedding: an unsupervised and generative
    approach to clustering*, IJCAI 2017.
    *A mixture of variational autoencoders for deep clustering*, 2020, section 3.4.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import VaDEClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = VaDEClustering(
    ...     3,
    ...     latent_dim=2,
    ...     hidden_layer_sizes=(16,),
    ...     pretrain_epochs=20,
    ...     max_epochs=5,
    ...     random_state=0,
    ... ).fit(X)
    >>> rows, labels = model.sample(4, cluster=2, random_state=0)
    >>> rows.shape, model.score_samples(X).shape
    ((4, 6), (200,))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "init": [StrOptions({"gmm"}), HasMethods(["fit"]), "array-like"],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
    }
    _adam: ClassVar[dict[str, Any]] = {"optimizer__eps": 1e-4}

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | ClusterMixin | ArrayLike = "gmm",
        pretrain_epochs: int = 50,
        max_epochs: int = 100,
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
        self.pretrain_epochs = pretrain_epochs

    def _make_model(self) -> VaDE:
        encoder = self._make_encoder(2 * self.latent_dim)
        decoder = self._make_decoder(self.latent_dim)
        scaling = self._fitting.scaling
        return VaDE(scaling, encoder, decoder, self.n_clusters, self.latent_dim)

    def _fit(self, table: Table) -> VaDE:
        if isinstance(self.init, str):
            start: Start = partial(place_mixture, seed=self._fitting.seed)
        else:
            self._check_model(self._make_model, table)
            start = partial(_place_on_labels, labels=self._given_labels(table))
        phases = vade_phases(self.pretrain_epochs, self.max_epochs, start)
        return self._train("vade", self._make_model, phases, table)

    def _log_memberships(self, batch: Batch) -> Tensor:
        return self.module_(batch, "log_memberships")

    def _score_rows(self, batch: Batch) -> Tensor:
        return self.module_(batch, "elbo")

    def _learned_centers(self) -> Tensor:
        return self.module_.prior.means

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw codes from the components."""
        return self._prior_codes(labels, rng, self.module_.prior.means.device)


def vade_phases(pretrain_epochs: int, epochs: int, start: Start) -> list[Phase]:
    """Return the two phases of VaDE: reconstruction, then the evidence lower bound."""
    bound = Phase(
        "elbo",
        [Turn("model", "negative_elbo")],
        epochs=epochs,
        start=start,
        lr={"model": _step_decay},
    )
    return [reconstruction_phase(pretrain_epochs), bound]


def _step_decay(progress: Progress) -> float:
    """Learning-rate factor: a tenth less every ten epochs, down to a tenth."""
    return max(0.9 ** (progress.epoch // 10), 0.1)


def place_mixture(trainer: Trainer, table: Table, seed: int) -> None:
    """Start the prior by a Gaussian mixture of the codes, the posteriors just inside it."""
    model = trainer.model
    codes = trainer.encode(table).cpu().double().numpy()
    center = codes.mean(axis=0)  # without it, rounding could swallow the variances of close codes
    codes -= center
    mixture = GaussianMixture(
        len(model.prior.means),
        covariance_type="diag",
        n_init=5,
        reg_covar=float(_floor(torch.from_numpy(codes))),
        random_state=seed,
    )
    fit_clusterer(mixture, codes, None)
    found = mixture.weights_, mixture.means_ + center, mixture.covariances_
    model.prior.place(*map(torch.from_numpy, found))
    _narrow(model, torch.from_numpy(mixture.covariances_))


def _place_on_labels(trainer: Trainer, table: Table, labels: NDArray[np.integer[Any]]) -> None:
    """Start the prior by the moments of the codes with each label; a row without one has no say."""
    model = trainer.model
    codes = trainer.encode(table)
    label = torch.from_numpy(labels.astype(np.int64)).to(codes.device)
    members = responsibilities_of(label, len(model.prior.means), table.columns.get("weight"))
    model.prior.maximize(codes, members, _floor(codes))
    _narrow(model, model.prior.log_variances.detach().exp()[members.any(0)])


def _floor(codes: Tensor) -> Tensor:
    """Return the least variance of a component, which a posterior inside of it can have as well."""
    return least_variance(codes).clamp_min(math.exp(LOG_VARIANCES[0]) / INSIDE)


def _narrow(model: VaDE, variances: Tensor) -> None:
    """Start all posteriors a little narrower than the narrowest component.

    A wider one costs without bound, a narrower one only its logarithm.
    """
    model.log_variance_bias.data.copy_((INSIDE * variances.amin(0)).log())
    model.log_variance_gain.data.zero_()
