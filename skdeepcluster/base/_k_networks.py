"""What k-DVAE and k-DAE share: a network for every cluster, and rows that go to the best one."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.base._initialized import InitializedClusterer, StartAgreement, init_constraint
from skdeepcluster.base._run import Run, Trained
from skdeepcluster.base._streaming import once_through
from skdeepcluster.engine.callbacks import HoldIdle
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Refresh, Step, Turn
from skdeepcluster.engine.table import Batch, encoded
from skdeepcluster.models.clusters import fit_kmeans, forget_labels
from skdeepcluster.models.k_networks import KAutoencoders, forget_wins, hold, release
from skdeepcluster.models.vade import VaDE, place_mixture, vade_phases
from skdeepcluster.networks import make_decoder, make_encoder, make_grouped
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["KNetworksClusterer"]


class KNetworksClusterer(InitializedClusterer):
    """Base of the estimators that have an autoencoder for every cluster."""

    _codes_name_clusters = True
    _streams_not = ""
    _has_one_space = False
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "init": init_constraint("vade", "kmeans"),
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "vade_epochs": [Interval(Integral, 0, None, closed="left")],
        "init_epochs": [Interval(Integral, 0, None, closed="left")],
    }
    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *InitializedClusterer._conditions,
        MattersIf(
            ("pretrain_epochs", "vade_epochs"),
            lambda self: isinstance(self.init, str) and self.init == "vade",
            "they are VaDE's, which `init` does not ask for",
            "Use init='vade'",
        ),
    )
    _variational: ClassVar[bool]  # whether the autoencoders are

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        init: str | ClusterMixin | ArrayLike = "vade",
        n_init: int = 1,
        max_epochs: int = 50,
        batch_size: int = 100,
        lr: float = 2e-3,
        pretrain_epochs: int = 50,
        vade_epochs: int = 100,
        init_epochs: int = 10,
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

    def _make_model(self, scaling: Scaling) -> KAutoencoders:
        widths = self.hidden_layer_sizes
        if isinstance(widths, str) and len(self._input_shape) == 1:
            widths = (500, 100)
        options, each = {"hidden_layer_sizes": widths}, range(self.n_clusters)
        width = self.latent_dim * (2 if self._variational else 1)
        return KAutoencoders(
            scaling,
            make_grouped([self._make_encoder(width, **options) for _ in each]),
            make_grouped([self._make_decoder(self.latent_dim, **options) for _ in each]),
            self.n_clusters,
            self.latent_dim,
            self._variational,
        )

    def _make_vade(self, scaling: Scaling) -> VaDE:
        shape, widths = self._input_shape, self.hidden_layer_sizes
        encoder = make_encoder(shape, 2 * self.latent_dim, widths)
        decoder = make_decoder(self.latent_dim, shape, widths)
        return VaDE(scaling, encoder, decoder, self.n_clusters, self.latent_dim)

    def _fit(self, run: Run) -> KAutoencoders:
        self._check_model(run, self._make_model)
        labels = self._first_labels(run)
        self._note_start(run, labels)
        start, turns = partial(hold, labels=labels), [Turn("model", "winner_loss")]
        first = Phase("first clusters", turns, epochs=self.init_epochs, start=start)
        return self._train(run, self._make_model(run.scaling), [first, self._winners(run)])

    def _go_on(self, run: Run, model: Model) -> Model:
        return self._train(run, model, [self._winners(run, start=forget_wins)])

    def _stream(self, run: Run, model: Model) -> Model:
        """Train the winners; who wins nothing among few rows is not dead."""
        winners = replace(self._winners(run, start=forget_labels), refresh=[])
        return self._train(run, model, [once_through(winners)])

    def _winners(self, run: Run, start: Step | None = None) -> Phase:
        turns, refresh = [Turn("model", "winner_loss")], [Refresh(partial(release, seed=run.seed))]
        return Phase("winners", turns, epochs=self.max_epochs, start=start, refresh=refresh)

    def _train(self, run: Run, model: Trained, phases: Sequence[Phase]) -> Trained:
        callbacks = [HoldIdle(), StartAgreement(self.n_clusters)]
        return run.train("networks", model, phases, callbacks=callbacks)

    def _first_labels(self, run: Run) -> NDArray[np.integer[Any]]:
        """Return the clusters that training starts from."""
        if self._is_given():
            return self._given_labels(run)
        if self.init != "vade":
            run.needs_all_rows(f"init={self.init!r}", "Use init='vade'")
        if self.init == "vade":
            start = partial(place_mixture, seed=run.seed)
            phases = vade_phases(self.pretrain_epochs, self.vade_epochs, start)
            vade = run.train("vade", self._make_vade(run.scaling), phases)
            codes = encoded(vade.codes, run.table)
        else:
            codes = encoded(lambda batch: run.scaling(batch["X"]).flatten(1), run.table)
        kmeans = fit_kmeans(codes, run.table, self.n_clusters, n_init=10, seed=run.seed)
        return kmeans.predict(codes.cpu().numpy())

    def _score_rows(self, batch: Batch) -> Tensor:
        """Return the bound of the mixture of all networks, with equal weights."""
        return self.module_.bounds(batch).logsumexp(1) - math.log(self.module_.n_networks)
