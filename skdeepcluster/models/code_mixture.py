r"""A Gaussian mixture over the codes of an encoder that moves.

.. math:: \ln p(z) = \ln \sum_k \psi_k \, \mathcal N(z \mid \eta_k, \operatorname{diag} \tau_k^{-1})

(Lim 2024, eq. 2). One step of EM (eq. 20 to 23) on a buffer of recent codes follows every update.
The paper's EM is hard; this one is soft. Hard assignments cut off each component's tails, so that
`predict_proba` would be too sure, and a component that loses its last code is lost at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skdeepcluster.engine.schedule import Phase, Refresh, Step, Training, Turn
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.models.autoencoder import Autoencoder
from skdeepcluster.models.clusters import fit_kmeans, fit_mixture, warn_restarted
from skdeepcluster.models.starts import as_column
from skdeepcluster.objectives import squared_error
from skdeepcluster.priors import GaussianMixturePrior, least_variance, responsibilities_of
from skdeepcluster.scaling import Scaling

__all__ = [
    "CodeMixture",
    "mixture_phases",
    "place_by_kmeans",
    "place_by_mixture",
    "place_on_labels",
]

SETTLING_STEPS = 20  # of EM, when training is over


class CodeMixture(Autoencoder):
    """An autoencoder, and a Gaussian mixture of its recent codes.

    Subclasses say how a code is pulled towards the component that it is assigned to.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    encoder : nn.Module
        Returns codes, and beside them whatever a subclass needs.
    decoder : nn.Module or None
        Maps codes back, if anything does.
    prior : GaussianMixturePrior
        The mixture.
    n_recent : int
        Number of codes that a step of EM is on.
    standardize : bool
        Whether codes are standardised.
    """

    recent: Tensor
    recent_weight: Tensor

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
        super().__init__(scaling, encoder, cast(nn.Module, decoder))  # never called if None
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

    def encode(self, x: Tensor) -> Tensor:
        """Return G(x) of scaled rows."""
        return self._encoded(x)[0]

    def _encoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return G(x), and what the encoder returns beside it."""
        width = self.prior.means.shape[1]
        output = self.encoder(x).float()
        return self.standardize(output[:, :width]), output[:, width:]

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, and their log-density together with each component."""
        codes = self.codes(batch)
        return codes, self.prior.log_joint(codes)

    def assign(self, codes: Tensor) -> Tensor:
        """Return the component theta* of each code (eq. 5)."""
        return self.prior.log_joint(codes.detach()).argmax(1)

    def clustering(self, batch: Batch) -> dict[str, Tensor]:
        """Return the clustering loss per row."""
        return self._clustered(self.inputs(batch), batch)[1]

    def both(self, batch: Batch) -> dict[str, Tensor]:
        """Return the clustering and the reconstruction term, from one pass of the encoder."""
        x = self.inputs(batch)
        codes, terms = self._clustered(x, batch)
        return {**terms, "reconstruction": squared_error(self.decode(codes), x)}

    def _clustered(self, x: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        codes, rest = self._encoded(x)
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
        members = proba * self.recent_weight[:, None]
        self.prior.maximize(self.recent, members, least_variance(self.recent))
        within = self.prior.log_weights().exp() @ self.prior.log_variances.exp().mean(1)
        total = self.recent.var(0, correction=0).mean()
        return {"within_variance": within / total.clamp_min(torch.finfo(total.dtype).eps)}


def mixture_phases(
    turns: Sequence[Turn],
    epochs: int,
    batches_per_em_step: int,
    weights: Mapping[str, float],
    start: Step | None,
) -> list[Phase]:
    """Return the phases of clustering: the turns while the mixture follows, then its settling.

    The mixture starts by `start`: `place_by_kmeans`, `place_by_mixture` or `place_on_labels`.
    """
    clustering = Phase(
        "clustering",
        turns,
        epochs=epochs,
        start=start,
        refresh=[Refresh(_reseed_dead), Refresh(_follow_codes, batches_per_em_step, "step")],
        weights=weights,
    )
    return [clustering, Phase("settling", [], epochs=0, start=_settle_mixture)]


def place_by_kmeans(trainer: Training, table: Table, seed: int) -> None:
    """Start the mixture by k-means on the codes of the whole data."""
    codes, n_clusters = trainer.encode(table), len(trainer.model.prior.means)
    kmeans = fit_kmeans(codes, table, n_clusters, n_init=20, seed=seed)
    _place(trainer.model, codes, kmeans.labels_, table)


def place_by_mixture(trainer: Training, table: Table, seed: int) -> None:
    """Start the mixture as the best of many on the codes of the whole data."""
    model, codes = trainer.model, trainer.encode(table)
    model.prior.place(*fit_mixture(codes, table, len(model.prior.means), least_variance, seed))
    _remember_some(model, codes, table.columns.get("weight"))


def place_on_labels(trainer: Training, table: Table, labels: NDArray[np.integer[Any]]) -> None:
    """Start the mixture by the moments of the codes with each label; -1 has no say."""
    _place(trainer.model, trainer.encode(table), labels, table)


def _place(
    model: CodeMixture, codes: Tensor, labels: NDArray[np.integer[Any]], table: Table
) -> None:
    """Set the components to the moments of labels (eq. 21 to 23, with hard assignments)."""
    weight = table.columns.get("weight")
    members = responsibilities_of(as_column(labels, table), len(model.prior.means), weight)
    model.prior.maximize(codes, members, least_variance(codes))
    _remember_some(model, codes, weight)


def _remember_some(model: CodeMixture, codes: Tensor, weight: Tensor | None) -> None:
    """Fill the buffer with the codes of random rows."""
    rows = torch.randperm(len(codes))[: len(model.recent)].to(codes.device)
    model.remember(codes[rows], None if weight is None else weight[rows])


def _settle_mixture(trainer: Training, table: Table) -> None:
    """Fit the mixture to codes as prediction will see them.

    The codes that it followed in training came from a moving encoder, each standardised by its
    batch.
    """
    model = trainer.model
    _remember_some(model, trainer.encode(table), table.columns.get("weight"))
    for _ in range(SETTLING_STEPS):
        model.em_step()


def _follow_codes(trainer: Training, table: Table) -> Mapping[str, Any]:
    return trainer.model.em_step()


def _reseed_dead(trainer: Training, table: Table) -> None:
    """Split the largest component for each that explains less than half a recent code."""
    prior, n_recent = trainer.model.prior, len(trainer.model.recent)
    dead = (prior.log_weights().exp() * n_recent < 0.5).nonzero().flatten().tolist()
    for component in dead:
        prior.split(int(prior.logits.argmax()), component)
    if dead:
        warn_restarted(len(dead))
