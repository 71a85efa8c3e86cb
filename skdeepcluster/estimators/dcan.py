r"""Codes drawn towards the Gaussians of a mixture that follows them: DCAN, ABC and a KL variant.

.. math:: \min_G \max_D \; \frac1n \sum_i \ln (1 - D(G(x_i))) + \ln D(z_i),
          \qquad z_i \sim \mathcal N(\eta_{k(i)}, \tau_{k(i)}^{-1})

(Lim 2024, eq. 1), where :math:`k(i)` is the component of row i in a Gaussian mixture of the codes
(eq. 2 and 5). ABC puts half the squared distance to :math:`\eta_{k(i)}` in the place of the game
(eq. 3), the KL variant the divergence between two Gaussians (eq. 6).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.schedule import Phase, Refresh, Turn
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators.autoencoder import Autoencoder, reconstruction_phase
from skdeepcluster.networks import make_critic
from skdeepcluster.objectives import (
    gaussian_kl_divergence,
    squared_error,
    vanilla_adversarial_loss,
)
from skdeepcluster.priors import GaussianMixturePrior
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["DCANClustering"]

LEAST_VARIANCE = 1e-3  # of a component, as a share of the codes' variance
LOG_VARIANCE = 4.0  # bound on the KL variant's log sigma^2, around the unit variance of Lemma 1
SETTLING_STEPS = 20  # of EM, when training is over


class _MixtureOfCodes(Autoencoder):
    """An autoencoder, and a Gaussian mixture of its recent codes.

    Subclasses say how a code is pulled towards the component that it is assigned to.
    """

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module,
        decoder: nn.Module | None,
        prior: GaussianMixturePrior,
        *,
        n_recent: int,
        standardize: bool,
    ):
        super().__init__(scaling, encoder, decoder)
        width = prior.means.shape[1]
        # Every pull gets weaker when all codes shrink together. Codes of unit variance cannot.
        self.standardize = nn.BatchNorm1d(width, affine=False) if standardize else nn.Identity()
        self.prior = prior.requires_grad_(False)  # EM alone moves it
        self.register_buffer("recent", torch.zeros(n_recent, width))
        self.register_buffer("recent_weight", torch.ones(n_recent))

    def pull(self, codes: Tensor, components: Tensor, rest: Tensor) -> Tensor:
        """Return what each row pays for the place of its code.

        Parameters
        ----------
        codes : Tensor of shape (n, latent_dim)
            The codes.
        components : Tensor of shape (n,)
            The component that each is assigned to.
        rest : Tensor of shape (n, n_outputs - latent_dim)
            What the encoder returns beside the codes.
        """
        raise NotImplementedError

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return G(x), and what the encoder returns beside it."""
        width = self.prior.means.shape[1]
        output = self.encoder(batch["X"]).float()
        return self.standardize(output[:, :width]), output[:, width:]

    def codes(self, batch: Batch) -> Tensor:
        """Return G(x)."""
        return self.encode(batch)[0]

    def log_memberships(self, batch: Batch) -> Tensor:
        """Return the log-density of codes together with each component."""
        return self.prior.log_joint(self.codes(batch))

    def assign(self, codes: Tensor) -> Tensor:
        """Return the component theta* of each code (eq. 5)."""
        return self.prior.log_joint(codes.detach()).argmax(1)

    def clustering(self, batch: Batch) -> dict[str, Tensor]:
        """Return the clustering loss per row."""
        return self._clustered(batch)[1]

    def both(self, batch: Batch) -> dict[str, Tensor]:
        """Return the clustering and the reconstruction term, from one pass of the encoder."""
        codes, terms = self._clustered(batch)
        return {**terms, "reconstruction": squared_error(self.decode(codes), batch["X"])}

    def _clustered(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        codes, rest = self.encode(batch)
        self.remember(codes.detach(), batch.get("weight"))
        return codes, {"clustering": self.pull(codes, self.assign(codes), rest)}

    def remember(self, codes: Tensor, weight: Tensor | None) -> None:
        """Put codes in the place of the oldest ones."""
        weight = codes.new_ones(len(codes)) if weight is None else weight
        self.recent = torch.cat([self.recent, codes])[len(codes) :]
        self.recent_weight = torch.cat([self.recent_weight, weight])[len(codes) :]

    def em_step(self) -> dict[str, Tensor]:
        """Let the mixture follow the recent codes by one step of EM, from where it stands."""
        proba = self.prior.log_joint(self.recent).softmax(1)
        total = self.maximize(self.recent, proba * self.recent_weight[:, None])
        within = self.prior.log_weights().exp() @ self.prior.log_variances.exp().mean(1)
        return {"within_variance": within / total}

    def maximize(self, codes: Tensor, responsibilities: Tensor) -> Tensor:
        """Set the mixture by an M-step; return the variance of the codes."""
        total = codes.var(0, correction=0).mean().clamp_min(torch.finfo(codes.dtype).eps)
        self.prior.maximize(codes, responsibilities, LEAST_VARIANCE * total)
        return total


class _ABC(_MixtureOfCodes):
    def pull(self, codes: Tensor, components: Tensor, rest: Tensor) -> Tensor:
        """Return half the squared distance to the mean (eq. 3), per dimension."""
        return squared_error(codes, self.prior.means[components]) / 2


class _KL(_MixtureOfCodes):
    def pull(self, codes: Tensor, components: Tensor, rest: Tensor) -> Tensor:
        """Return KL(N(eta*, 1 / tau*) || N(mu, sigma^2)) (eq. 6), per dimension."""
        eta, log_variance = self.prior.means[components], self.prior.log_variances[components]
        bounded = LOG_VARIANCE * torch.tanh(rest)
        return gaussian_kl_divergence(eta, log_variance, codes, bounded) / codes.shape[1]


class _DCAN(_MixtureOfCodes):
    """The game: a discriminator that tells codes from draws of the components they belong to."""

    def __init__(
        self, *parts: Any, critic: nn.Module, conditional: bool, sample_scale: float, **options: Any
    ):
        super().__init__(*parts, **options)
        self.critic = critic
        self.conditional = conditional
        self.sample_scale = sample_scale

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the players."""
        critic = list(self.critic.parameters())
        others = [p for name, p in self.named_parameters() if not name.startswith("critic.")]
        return {"model": others, "critic": critic}

    def score(self, codes: Tensor, components: Tensor) -> Tensor:
        """Return the logit of D: higher for codes drawn from the mixture.

        If D is told the component, it sees the code in that component's own units. In the common
        space its few hidden units would have to learn the place and the width of every component,
        and follow them as they move.
        """
        if not self.conditional:
            return self.critic(codes)
        deviation = (self.prior.log_variances[components] / 2).exp()
        own = (codes - self.prior.means[components]) / deviation
        return self.critic(torch.cat([own, F.one_hot(components, len(self.prior.means))], 1))

    def judgement(self, batch: Batch) -> dict[str, Tensor]:
        """Return what D pays on draws (T = 1, eq. 17) and on codes (T = 0, eq. 15)."""
        with torch.no_grad():
            codes = self.codes(batch)
            components = self.assign(codes)
            drawn, _ = self.prior.sample(len(codes), components)
            drawn = torch.lerp(self.prior.means[components], drawn, self.sample_scale)
        real, fake = self.score(drawn, components), self.score(codes, components)
        return {
            "real": vanilla_adversarial_loss(real, as_real=True),
            "fake": vanilla_adversarial_loss(fake, as_real=False),
            "critic_accuracy": ((real > 0).float() + (fake < 0).float()).mean() / 2,
        }

    def pull(self, codes: Tensor, components: Tensor, rest: Tensor) -> Tensor:
        """Return -ln D(G(x)): eq. 18 in the form that does not saturate."""
        return vanilla_adversarial_loss(self.score(codes, components), as_real=True)


MODELS: dict[str, type[_MixtureOfCodes]] = {"adversarial": _DCAN, "euclidean": _ABC, "kl": _KL}


class DCANClustering(DeepClusterer):
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "clustering_loss": [StrOptions(set(MODELS))],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "sample_scale": [Interval(Real, 0, None, closed="neither")],
        "conditional": ["boolean"],
        "standardize_codes": ["boolean"],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
        "em_interval": [Interval(Integral, 1, None, closed="left")],
        "buffer_size": [Interval(Integral, 1, None, closed="left")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "critic_hidden_layer_sizes": ["array-like"],
        "critic_lr": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        clustering_loss: str = "adversarial",
        reconstruction_weight: float = 10.0,
        sample_scale: float = 0.5,
        conditional: bool = True,
        standardize_codes: bool = True,
        em_interval: int = 1,
        buffer_size: int = 1000,
        pretrain_epochs: int = 50,
        max_epochs: int = 50,
        latent_dim: int = 10,
        hidden_layer_sizes: Sequence[int] | None = None,
        critic_hidden_layer_sizes: Sequence[int] = (16,),
        encoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        batch_size: int = 256,
        lr: float = 1e-3,
        critic_lr: float | None = None,
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
        self.clustering_loss = clustering_loss
        self.reconstruction_weight = reconstruction_weight
        self.sample_scale = sample_scale
        self.conditional = conditional
        self.standardize_codes = standardize_codes
        self.em_interval = em_interval
        self.buffer_size = buffer_size
        self.pretrain_epochs = pretrain_epochs
        self.critic_hidden_layer_sizes = critic_hidden_layer_sizes
        self.critic_lr = critic_lr

    @property
    def _decodes(self) -> bool:  # type: ignore[override]
        return self.reconstruction_weight > 0 or self.pretrain_epochs > 0

    def _make_model(self, n_recent: int) -> _MixtureOfCodes:
        width, is_kl = self.latent_dim, self.clustering_loss == "kl"
        return MODELS[self.clustering_loss](
            self._fitting.scaling,
            self._make_encoder(width * (1 + is_kl), activation="tanh"),
            self._make_decoder(width, activation="tanh") if self._decodes else None,
            GaussianMixturePrior(self.n_clusters, width),
            n_recent=n_recent,
            standardize=self.standardize_codes,
            **(self._game() if self.clustering_loss == "adversarial" else {}),
        )

    def _game(self) -> dict[str, Any]:
        """Return what the adversarial loss needs beside the networks of the others."""
        width = self.latent_dim + self.conditional * self.n_clusters
        sizes = self.critic_hidden_layer_sizes
        return {
            "critic": make_critic((width,), sizes, activation="tanh"),
            "conditional": self.conditional,
            "sample_scale": self.sample_scale,
        }

    def _trainer_kwargs(self) -> dict[str, Any]:
        lr = {} if self.critic_lr is None else {"critic_optimizer__lr": self.critic_lr}
        return {**lr, **super()._trainer_kwargs()}

    def _fit(self, table: Table) -> _MixtureOfCodes:
        turns = [Turn("model", "both" if self.reconstruction_weight else "clustering")]
        if self.clustering_loss == "adversarial":
            turns.insert(0, Turn("critic", "judgement"))
        clustering = Phase(
            "clustering",
            turns,
            epochs=self.max_epochs,
            start=partial(_place_mixture, seed=self._fitting.seed),
            refresh=[Refresh(_reseed_dead), Refresh(_follow_codes, self.em_interval, "step")],
            weights={"reconstruction": self.reconstruction_weight, "critic_accuracy": 0.0},
        )
        pretraining = [reconstruction_phase(self.pretrain_epochs)] if self._decodes else []
        settling = Phase("settling", [], epochs=0, start=_settle_mixture)
        make_model = partial(self._make_model, min(self.buffer_size, len(table)))
        return self._train("dcan", make_model, [*pretraining, clustering, settling], table)

    def _log_memberships(self, batch: Batch) -> Tensor:
        return self.module_(batch, "log_memberships")

    def _learned_centers(self) -> Tensor:
        return self.module_.prior.means

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw codes from the components."""
        prior = self.module_.prior  # of the fit, whatever the parameters are now
        components = self._alive(torch.arange(len(prior.means)), 0)[torch.from_numpy(labels)]
        generator = torch.Generator(prior.means.device).manual_seed(int(rng.randint(2**31)))
        return prior.sample(len(labels), components, generator=generator)[0].cpu().numpy()


def _place_mixture(trainer: Trainer, table: Table, seed: int) -> None:
    """Start the mixture by k-means on the codes of the whole data."""
    model, weight = trainer.model, table.columns.get("weight")
    codes, n_clusters = trainer.encode(table), len(model.prior.means)
    kmeans = KMeans(n_clusters, n_init=20, random_state=seed)
    labels = kmeans.fit_predict(codes.cpu().numpy(), sample_weight=table.array("weight"))
    one_hot = F.one_hot(torch.from_numpy(labels).long().to(codes.device), n_clusters).to(codes)
    model.maximize(codes, one_hot if weight is None else one_hot * weight[:, None])
    _remember_some(model, codes, weight)


def _remember_some(model: _MixtureOfCodes, codes: Tensor, weight: Tensor | None) -> None:
    """Fill the buffer with the codes of random rows."""
    rows = torch.randperm(len(codes))[: len(model.recent)].to(codes.device)
    model.remember(codes[rows], None if weight is None else weight[rows])


def _settle_mixture(trainer: Trainer, table: Table) -> None:
    """Fit the mixture to codes as prediction will see them.

    The codes that it followed in training came from a moving encoder, each standardised by its
    batch.
    """
    model = trainer.model
    _remember_some(model, trainer.encode(table), table.columns.get("weight"))
    for _ in range(SETTLING_STEPS):
        model.em_step()


def _follow_codes(trainer: Trainer, table: Table) -> Mapping[str, Any]:
    return trainer.model.em_step()


def _reseed_dead(trainer: Trainer, table: Table) -> None:
    """Split the largest component for each that explains less than one recent code."""
    prior, n_recent = trainer.model.prior, len(trainer.model.recent)
    dead = (prior.log_weights().exp() * n_recent < 1).nonzero().flatten().tolist()
    for component in dead:
        prior.split(int(prior.logits.argmax()), component)
    if dead:
        warnings.warn(
            f"{len(dead)} clusters lost all their members and were started anew.",
            ConvergenceWarning,
            stacklevel=2,
        )
