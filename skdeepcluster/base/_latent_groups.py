"""What a fitted hierarchy of latent groups says of rows, and the rows that it generates."""

from __future__ import annotations

import math
import time
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeepcluster.base._clusters import Clusters
from skdeepcluster.base._headed import HeadedClusterer, label_codes
from skdeepcluster.base._run import Run
from skdeepcluster.engine.device import settled
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table, check_codes
from skdeepcluster.heads import ClusteringHead
from skdeepcluster.networks import Levels
from skdeepcluster.objectives import squared_error

__all__ = ["HierarchicalClusterer"]

MEMBERS = 200  # posteriors kept of every cluster, to draw its samples from


class HierarchicalClusterer(HeadedClusterer):
    """Base of estimators whose model has several latent groups, each clustered by a head."""

    _may_change = HeadedClusterer._may_change | {
        *("regularization_weight", "matching_weight", "outlier_weight", "group_decay"),
        *("epochs_per_refresh", "refresh_size", "n_autoencoder", "n_critic"),
    }
    group_labels_: NDArray[np.int32]
    n_groups: int
    cluster_group: int
    outlier_weight: float
    refresh_size: int | None
    _heads: list[ClusteringHead]

    def _make_group_head(
        self, seed: int, n_rows: int, head: str | None = None, share: float = 1.0
    ) -> ClusteringHead:
        """Make what clusters one group, or the head of a name, given the rows and their share."""
        n_neighbors = max(5, min(n_rows // 300, 100))  # eq. 3.8
        return self._make_head(seed, head, {"n_neighbors": n_neighbors}, share)

    def _used_after_training(self) -> set[str]:
        # They find outliers as well.
        heads = {"manifold", "manifold_params", "max_samples", "min_cluster_size"}
        own = {"n_clusters", "head", "head_params", "noise"}
        return own | (set() if self.outlier_weight else heads)

    def _check_groups(self, levels: Levels) -> None:
        """Refuse groups that the networks have no place for."""
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

    # -- what is kept -----------------------------------------------------------------------------

    def _settle(
        self, run: Run, X: Any, weight: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Cluster the codes of every group, from one look at the rows."""
        found = self._apply(X, self.module_.posteriors).cpu().numpy()
        codes, group = found[:, 0], self.module_.group
        check_codes(torch.from_numpy(codes[run.counted]))
        self._heads = self._fitted_heads(run, codes[run.counted])
        labels = [
            self._training_labels(codes[:, i]) if i == group else label_codes(head, codes[:, i])
            for i, head in enumerate(self._heads)
        ]
        self.group_labels_ = np.stack(labels, 1).astype(np.int32)
        # Samples need the groups down to the clustered one; priors tell the others.
        members = _keep_members(found[:, :, : group + 1], labels[group], weight, run.seed)
        self._clusters = Clusters(np.arange(self._n_candidates()), members=members)
        return codes[:, group], labels[group]

    def _fitted_heads(self, run: Run, codes: NDArray[Any]) -> list[ClusteringHead]:
        """Return the heads that cluster the codes of each group."""
        weights, n_rows = run.table.array("weight"), len(run.table)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            heads = [
                self._make_group_head(run.seed, n_rows).fit(each, weights)
                for each in codes.swapaxes(0, 1)
            ]
        for warning in caught:  # of a kind that several groups may have
            notice(str(warning.message), warning.category)
        if run.labels_before is not None:
            heads[self.module_.group].follow(run.labels_before)
        for head in heads:
            del head.labels_  # they will be in group_labels_
        return heads

    @property
    def _head(self) -> ClusteringHead:
        return self._heads[self.module_.group]

    def _score_rows(self, batch: Batch) -> Tensor:
        rows = self.module_.reconstruction(batch)
        return -squared_error(rows, self.module_.inputs(batch))

    # -- the search for outliers ------------------------------------------------------------------

    def _forget_outliers(self, trainer: Training, table: Table) -> None:
        if self.outlier_weight:
            table.columns["noise"] = torch.zeros(len(table), device=table.device)

    def _find_outliers(self, trainer: Training, table: Table, seed: int) -> dict[str, float] | None:
        """Mark the rows that HDBSCAN calls noise among the codes z_0."""
        epoch = trainer.progress().epoch
        if epoch == 0:
            return None  # before training all is noise
        begin = time.perf_counter()
        codes = trainer.apply(trainer.model.posteriors, table)[:, 0, 0].cpu().numpy()
        seen, size = codes, self.refresh_size
        if size is not None and size < len(codes):
            rng = np.random.default_rng([seed, epoch])
            seen = rng.choice(codes, size, replace=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # all may well be noise as yet
            head = self._make_group_head(seed, len(seen), "hdbscan", len(seen) / len(codes))
            head.fit(seen)
        noise = head.predict(codes) < 0
        table.columns["noise"] = torch.from_numpy(noise).float().to(table.device)
        return {"noise_share": noise.mean(), "refresh_seconds": time.perf_counter() - begin}

    # -- what users call --------------------------------------------------------------------------

    @settled()
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
        return self._cast(*self._infer(X, lambda batch: self.module_.posteriors(batch)[:, 0]))

    def _reconstructed(self, batch: Batch) -> Tensor:
        rows: Tensor = self.module_.scaling.inverse(self.module_.reconstruction(batch))
        return rows

    @settled()
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
        _check_temperature(temperature)
        rng = check_random_state(random_state)
        labels = self._sample_labels(n_samples, cluster, rng)
        drawn = self._clusters.members[labels, rng.randint(MEMBERS, size=n_samples)]
        mean, log_variance = drawn.swapaxes(0, 1)
        noise = temperature * rng.standard_normal(mean.shape)
        return self._ancestral(mean + np.exp(log_variance / 2) * noise, temperature, rng), labels

    @settled()
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
        _check_temperature(temperature)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        given = np.empty((n_samples, 0, self.module_.latent_dim))
        return self._ancestral(given, temperature, check_random_state(random_state))

    def _ancestral(
        self, given: NDArray[Any], temperature: float, rng: np.random.RandomState
    ) -> NDArray[Any]:
        """Return the rows of codes of the first groups, the rest drawn from the priors."""
        n_samples, _, width = given.shape
        noise = temperature * rng.standard_normal((n_samples, self.module_.n_groups, width))
        codes = np.concatenate([given, noise], 1).reshape(n_samples, -1)
        return self._generated(codes, self.module_.ancestral)


def _check_temperature(temperature: float) -> None:
    check_scalar(temperature, "temperature", Real, min_val=0)
    if not math.isfinite(temperature):
        raise ValueError(f"temperature={temperature} must be a finite number, at least 0.")


def _keep_members(
    posteriors: NDArray[np.float32],
    labels: NDArray[np.intp],
    weight: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float32]:
    """Return posteriors of rows drawn from every cluster, (n_clusters, MEMBERS, ...)."""
    rng = check_random_state(seed)
    n_clusters = int(labels.max(initial=-1)) + 1
    kept = np.empty((n_clusters, MEMBERS, *posteriors.shape[1:]), posteriors.dtype)
    for label, members in enumerate(kept):
        share = weight * (labels == label)
        members[:] = posteriors[rng.choice(len(weight), MEMBERS, p=share / share.sum())]
    return kept
