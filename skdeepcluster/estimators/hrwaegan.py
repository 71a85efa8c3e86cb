r"""HRWAE-GAN: a hierarchy of latent groups, each held to its prior by a relativistic discriminator.

.. math:: L = L_R + \alpha L_G + \kappa L_I + \beta L_N

(Toscano Morais 2021, eq. 3.9): reconstruction, the game of every group (3.6), layer matching
(3.10) and more attention for the rows that HDBSCAN calls noise (3.11).
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from skorch.callbacks import GradientNormClipping
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Refresh, Turn, one_cycle, warm_up
from skdeepcluster.engine.table import Batch, Table, tiled
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators.hierarchy import GAMES, HierarchicalAutoencoder
from skdeepcluster.heads import ClusteringHead, make_head
from skdeepcluster.networks import Discriminator, HierarchicalDecoder, HierarchicalEncoder, Levels
from skdeepcluster.objectives import squared_error
from skdeepcluster.scaling import Mode
from skdeepcluster.validation import check_network

__all__ = ["HRWAEGANClustering"]

CLIP = 1.0  # largest norm of a player's gradient
MEMBERS = 200  # posteriors kept of every cluster, to draw its samples from


class HRWAEGANClustering(DeepClusterer):
    r"""DOC"""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "cluster_group": [Interval(Integral, 0, None, closed="left")],
        "head": [StrOptions({"hdbscan", "gmm", "agglomerative"})],
        "min_cluster_size": [Interval(Integral, 2, None, closed="left"), None],
        "manifold": [StrOptions({"umap"}), None],
        "manifold_params": [dict, None],
        "regularizer": [StrOptions({*GAMES, "mmd", "kl"})],
        "regularization_weight": [Interval(Real, 0, None, closed="left")],
        "group_decay": [Interval(Real, 0, 1, closed="right")],
        "matching_weight": [Interval(Real, 0, None, closed="left")],
        "noise_weight": [Interval(Real, 0, None, closed="left")],
        "refresh_interval": [Interval(Integral, 1, None, closed="left")],
        "refresh_size": [Interval(Integral, 3, None, closed="left"), None],
        "n_autoencoder": [Interval(Integral, 1, None, closed="left")],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
        "critic_lr": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        n_groups: int = 2,
        cluster_group: int = 0,
        head: str = "hdbscan",
        min_cluster_size: int | None = None,
        manifold: str | None = "umap",
        manifold_params: dict[str, Any] | None = None,
        regularizer: str = "relativistic",
        regularization_weight: float = 0.04,
        group_decay: float = 0.5,
        matching_weight: float = 0.01,
        noise_weight: float = 0.15,
        refresh_interval: int = 10,
        refresh_size: int | None = 2000,
        n_autoencoder: int = 2,
        n_critic: int = 2,
        latent_dim: int = 23,
        hidden_layer_sizes: Sequence[int] | None = None,
        encoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        max_epochs: int = 50,
        batch_size: int = 128,
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
        self.n_groups = n_groups
        self.cluster_group = cluster_group
        self.head = head
        self.min_cluster_size = min_cluster_size
        self.manifold = manifold
        self.manifold_params = manifold_params
        self.regularizer = regularizer
        self.regularization_weight = regularization_weight
        self.group_decay = group_decay
        self.matching_weight = matching_weight
        self.noise_weight = noise_weight
        self.refresh_interval = refresh_interval
        self.refresh_size = refresh_size
        self.n_autoencoder = n_autoencoder
        self.n_critic = n_critic
        self.critic_lr = critic_lr

    # -- training -------------------------------------------------------------------------------

    def _make_model(self) -> HierarchicalAutoencoder:
        levels = Levels(self._input_shape, self.hidden_layer_sizes)
        self._check_groups(levels)
        shape, width, n_groups = self._input_shape, self.latent_dim, self.n_groups
        encoder = decoder = None
        if self.encoder is not None:
            encoder = check_network(self.encoder, "encoder", shape, shape, (2 * width,))
        if self.decoder is not None:
            decoder = check_network(self.decoder, "decoder", shape, (width,), shape)
        maps = [None, *(levels.of_group(group) for group in range(1, n_groups))]
        critics = [Discriminator(width, each) for each in maps] if self._is_game else []
        return HierarchicalAutoencoder(
            self._fitting.scaling,
            HierarchicalEncoder(levels, 2 * width, n_groups, encoder),
            HierarchicalDecoder(levels, width, n_groups, decoder),
            critics,
            self.regularizer,
            n_groups,
            width,
            self.cluster_group,
        )

    def _check_groups(self, levels: Levels) -> None:
        if self.n_groups > levels.n_cells:
            raise ValueError(
                f"n_groups={self.n_groups} is more than the {levels.n_cells} cells of the "
                "networks. Use fewer groups, or more hidden_layer_sizes."
            )
        if self.cluster_group >= self.n_groups:
            raise ValueError(
                f"cluster_group={self.cluster_group} does not exist; expected a number from 0 to "
                f"n_groups - 1 = {self.n_groups - 1}."
            )
        if self.decoder is not None and self.n_groups > 1:
            raise ValueError(
                f"decoder= takes an nn.Module from z_0 alone and n_groups={self.n_groups}: further "
                "groups enter between our own cells. Use n_groups=1 or decoder=None."
            )

    @property
    def _is_game(self) -> bool:
        return self.regularizer in GAMES

    def _trainer_kwargs(self) -> dict[str, Any]:
        kwargs = super()._trainer_kwargs()
        kwargs["callbacks"].append(GradientNormClipping(CLIP))
        lr = (
            {}
            if self.critic_lr is None or not self._is_game
            else {"critic_optimizer__lr": self.critic_lr}
        )
        return {**lr, **kwargs}

    def _fit(self, table: Table) -> HierarchicalAutoencoder:
        model = self._train("hrwaegan", self._make_model, [self._cycle()], table)
        model.discriminators = nn.ModuleList()  # they have judged, and inference needs none
        codes = tiled(lambda batch: model(batch, "posteriors")[:, 0], table).cpu().numpy()
        weight = table.array("weight")
        self._heads = [
            self._make_head(self.head, len(table)).fit(codes[:, group], weight)
            for group in range(model.n_groups)
        ]
        for head in self._heads:
            del head.labels_  # they will be in group_labels_
        return model

    def _cycle(self) -> Phase:
        """Return the training cycle of fig. 3.4."""
        shares = [self.group_decay**group for group in range(self.n_groups)]
        alpha = self.regularization_weight
        turns = [Turn("autoencoder", "autoencoding", self.n_autoencoder)]
        if self._is_game:
            turns.append(Turn("critic", "discrimination", self.n_critic))
        return Phase(
            "cycle",
            turns,
            epochs=self.max_epochs,
            start=self._forget_noise,
            refresh=[Refresh(self._find_noise, self.refresh_interval)] if self.noise_weight else [],
            lr={turn.group: one_cycle for turn in turns},
            weights={
                **{f"regularization_{i}": warm_up(alpha * a) for i, a in enumerate(shares)},
                **{f"discrimination_{i}": a for i, a in enumerate(shares)},
                "matching": self.matching_weight,
                "noise": self.noise_weight,
            },
            fresh=True,
        )

    def _forget_noise(self, trainer: Trainer, table: Table) -> None:
        if self.noise_weight:
            table.columns["noise"] = torch.zeros(len(table), device=table.device)

    def _find_noise(self, trainer: Trainer, table: Table) -> dict[str, float] | None:
        """Mark the rows that HDBSCAN calls noise among the codes z_0."""
        epoch = trainer.progress().epoch
        if epoch == 0:
            return None  # before training all is noise
        begin = time.perf_counter()
        codes = trainer.encode(table, "posteriors")[:, 0, 0].cpu().numpy()
        rng, size = np.random.default_rng([self._fitting.seed, epoch]), self.refresh_size
        seen = (
            codes if size is None or size >= len(codes) else rng.choice(codes, size, replace=False)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # all may well be noise as yet
            head = self._make_head("hdbscan", len(seen)).fit(seen)
        noise = head.predict(codes) < 0
        table.columns["noise"] = torch.from_numpy(noise).float().to(table.device)
        return {"noise_share": noise.mean(), "refresh_seconds": time.perf_counter() - begin}

    def _make_head(self, head: str, n_rows: int) -> ClusteringHead:
        """Make what clusters one group."""
        size = {} if self.min_cluster_size is None else {"min_cluster_size": self.min_cluster_size}
        n_neighbors = max(5, min(n_rows // 300, 100))  # eq. 3.8
        return make_head(
            head,
            self.n_clusters or ("auto" if head != "hdbscan" else None),
            manifold=self.manifold,
            manifold_params={"n_neighbors": n_neighbors, **(self.manifold_params or {})},
            head_params=size if head == "hdbscan" else None,
            count_params=size,
            random_state=self._fitting.seed,
        )

    # -- what is kept -----------------------------------------------------------------------------

    def _complete(self, X: Any, weight: NDArray[np.float64]) -> None:
        super()._complete(X, weight)
        group = self.module_.group
        found = self._apply(X, lambda batch: self.module_(batch, "posteriors")).cpu().numpy()
        # Samples need the groups down to the clustered one; priors tell the others.
        self._members = self._keep_members(found[:, :, : group + 1], weight)
        if self.head == "hdbscan":
            self.outlier_scores_ = self._head.outlier_scores(found[:, 0, group])

    def _keep_members(
        self, posteriors: NDArray[np.float32], weight: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return posteriors of rows drawn from every cluster, (n_clusters_, MEMBERS, ...)."""
        rng = check_random_state(self._fitting.seed)
        kept = np.empty((self.n_clusters_, MEMBERS, *posteriors.shape[1:]), posteriors.dtype)
        for label, members in enumerate(kept):
            share = weight * (self.labels_ == label)
            members[:] = posteriors[rng.choice(len(weight), MEMBERS, p=share / share.sum())]
        return kept

    def _labels(self, X: Any) -> NDArray[np.intp]:
        self.group_labels_ = self._apply(X, self._assign_groups).cpu().numpy().astype(np.int32)
        return self.group_labels_[:, self.module_.group].astype(np.intp)

    def _assign_groups(self, batch: Batch) -> Tensor:
        """Return the labels in every group, shape (n, n_groups)."""
        codes = self.module_(batch, "posteriors")[:, 0].cpu().numpy()
        labels = [head.predict(codes[:, group]) for group, head in enumerate(self._heads)]
        return torch.from_numpy(np.stack(labels, 1))

    def _assign(self, batch: Batch) -> Tensor:
        return torch.from_numpy(self._head.predict(self.module_(batch).cpu().numpy()))

    def _memberships(self, batch: Batch) -> Tensor:
        return torch.from_numpy(self._head.predict_proba(self.module_(batch).cpu().numpy())).float()

    @property
    def _head(self) -> ClusteringHead:
        """The head of the group whose labels are labels_."""
        return self._heads[self.module_.group]

    @property
    def _has_memberships(self) -> bool:  # type: ignore[override]
        return self.head == "gmm"

    def _n_candidates(self) -> int:
        return self._head.n_clusters_  # a head has dropped its dead clusters

    def _score_rows(self, batch: Batch) -> Tensor:
        rows = self.module_(batch, "reconstruction")
        return -squared_error(rows, self.module_.scaling(batch["X"]))

    # -- what users call --------------------------------------------------------------------------

    def transform_groups(self, X: ArrayLike) -> NDArray[Any]:
        """Return the codes of every row in all groups.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_groups, latent_dim)
            Posterior means, the top group first; :meth:`transform` returns those of
            `cluster_group`.
        """
        check_is_fitted(self)
        return self._cast(*self._infer(X, lambda batch: self.module_(batch, "posteriors")[:, 0]))

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Return the rows as the codes of all groups tell them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features) or (n_samples, *image)
            In the units and the shape of the rows that the estimator was fitted on.
        """
        check_is_fitted(self)
        return self._generate(self._check_rows(X, reset=False), self._reconstructed)

    def _reconstructed(self, batch: Batch) -> Tensor:
        rows: Tensor = self.module_.scaling.inverse(self.module_(batch, "reconstruction"))
        return rows

    def sample(
        self,
        n_samples: int = 1,
        cluster: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        *,
        temperature: float = 1.0,
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Generate rows of clusters.

        Codes down to the clustered group are those of the cluster's members, perturbed by their
        posteriors; the groups below follow ancestrally, each drawn from its prior.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        cluster : int, default=None
            The cluster to draw from; None draws clusters by their share of the training data.
        random_state : int, RandomState or None, default=None
            The source of randomness.
        temperature : float, default=1.0
            Factor on all standard deviations; at 0 members' means and priors' means remain.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, *image)
            Rows in the units and the shape of the training data, ordered by cluster.
        labels : ndarray of shape (n_samples,)
            The cluster that each row was drawn from.

        Raises
        ------
        ValueError
            If a parameter is out of range, or every training row is noise: `sample_prior` draws
            rows without clusters.
        TypeError
            If a parameter is of the wrong type.

        See Also
        --------
        sample_prior : Rows from the priors alone, of no known cluster.
        """
        check_is_fitted(self)
        rng = check_random_state(random_state)
        labels = self._sample_labels(n_samples, cluster, rng)
        mean, log_variance = self._members[labels, rng.randint(MEMBERS, size=n_samples)].swapaxes(
            0, 1
        )
        noise = temperature * rng.standard_normal(mean.shape)
        return self._ancestral(mean + np.exp(log_variance / 2) * noise, temperature, rng), labels

    def sample_prior(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        *,
        temperature: float = 1.0,
    ) -> NDArray[Any]:
        """Generate rows ancestrally: the first group from N(0, I), each further one given those.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState or None, default=None
            The source of randomness.
        temperature : float, default=1.0
            Factor on all standard deviations.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, *image)
            Rows in the units and the shape of the training data. :meth:`predict` tells the cluster
            that they would belong to.

        Raises
        ------
        ValueError
            If a parameter is out of range.
        TypeError
            If a parameter is of the wrong type.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        given = np.empty((n_samples, 0, self.module_.latent_dim))
        return self._ancestral(given, temperature, check_random_state(random_state))

    def _ancestral(
        self, given: NDArray[Any], temperature: float, rng: np.random.RandomState
    ) -> NDArray[Any]:
        """Return the rows of codes of the first groups, the rest drawn from the priors."""
        check_scalar(temperature, "temperature", Real, min_val=0)
        n_samples, _, width = given.shape
        noise = temperature * rng.standard_normal((n_samples, self.module_.n_groups, width))
        codes = np.concatenate([given, noise], 1).reshape(n_samples, -1)
        return self._generate(codes, self.module_.ancestral)
