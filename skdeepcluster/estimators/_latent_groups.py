"""What a fitted hierarchy of latent groups says of rows, and the rows that it generates."""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.device import settled
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.table import Batch, Table, encoded
from skdeepcluster.estimators._hierarchy import HierarchicalAutoencoder
from skdeepcluster.heads import ClusteringHead, make_head
from skdeepcluster.objectives import squared_error

__all__ = ["HierarchicalClusterer"]

MEMBERS = 200  # posteriors kept of every cluster, to draw its samples from


class HierarchicalClusterer(DeepClusterer):
    """Base of estimators whose model has several latent groups, each clustered by a head."""

    head: str
    min_cluster_size: int | None
    manifold: str | None
    manifold_params: dict[str, Any] | None
    group_labels_: NDArray[np.int32]
    outlier_scores_: NDArray[np.float64]
    _heads: list[ClusteringHead]

    # -- clustering -------------------------------------------------------------------------------

    def _warn_of_number(self) -> None:
        """Warn of a number of clusters that the head finds itself."""
        if self.head == "hdbscan" and self.n_clusters is not None:
            notice(
                f"n_clusters={self.n_clusters} is ignored: head='hdbscan' finds the number of "
                "clusters. Choose another head, or leave n_clusters at None.",
                UserWarning,
            )

    def _fit_heads(self, model: HierarchicalAutoencoder, table: Table) -> None:
        """Cluster the codes of every group."""
        codes = encoded(lambda batch: model(batch, "posteriors")[:, 0], table).cpu().numpy()
        weight = table.array("weight")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._heads = [
                self._make_head(self.head, len(table)).fit(codes[:, group], weight)
                for group in range(model.n_groups)
            ]
        for warning in caught:  # of a kind that several groups may have
            notice(str(warning.message), warning.category)
        for head in self._heads:
            del head.labels_  # they will be in group_labels_

    def _make_head(self, head: str, n_rows: int, share: float = 1.0) -> ClusteringHead:
        """Make what clusters one group, given the number of rows and their share of all."""
        size = {}
        if self.min_cluster_size is not None:
            size["min_cluster_size"] = max(2, round(share * self.min_cluster_size))
        n_neighbors = max(5, min(n_rows // 300, 100))  # eq. 3.8
        return make_head(
            head,
            None if head == "hdbscan" else self.n_clusters or "auto",
            manifold=self.manifold,
            manifold_params={"n_neighbors": n_neighbors, **(self.manifold_params or {})},
            head_params=size if head == "hdbscan" else None,
            count_params=size,
            random_state=self._fitting.seed,
        )

    # -- what is kept -----------------------------------------------------------------------------

    def _complete(self, X: Any, weight: NDArray[np.float64]) -> None:
        self.__dict__.pop("outlier_scores_", None)  # of an earlier fit with another head
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
        labels = [_labels_of(head, codes[:, group]) for group, head in enumerate(self._heads)]
        return torch.from_numpy(np.stack(labels, 1))

    def _assign(self, batch: Batch) -> Tensor:
        return torch.from_numpy(_labels_of(self._head, self.module_(batch).cpu().numpy()))

    def _memberships(self, batch: Batch) -> Tensor:
        return torch.from_numpy(_memberships_of(self._head, self.module_(batch).cpu().numpy()))

    @property
    def _head(self) -> ClusteringHead:
        """The head of the group whose labels are labels_."""
        return self._heads[self.module_.group]

    @property
    def _has_memberships(self) -> bool:  # type: ignore[override]
        if self.__sklearn_is_fitted__():
            return hasattr(self._head, "predict_proba")
        return self.head == "gmm"

    def _n_candidates(self) -> int:
        return self._head.n_clusters_  # a head has dropped its dead clusters

    def _score_rows(self, batch: Batch) -> Tensor:
        rows = self.module_(batch, "reconstruction")
        return -squared_error(rows, self.module_.scaling(batch["X"]))

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
        return self._cast(*self._infer(X, lambda batch: self.module_(batch, "posteriors")[:, 0]))

    @settled()
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
        return self._as_rows(self._check_rows(X, reset=False), self._reconstructed)

    def _reconstructed(self, batch: Batch) -> Tensor:
        rows: Tensor = self.module_.scaling.inverse(self.module_(batch, "reconstruction"))
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
        mean, log_variance = self._members[labels, rng.randint(MEMBERS, size=n_samples)].swapaxes(
            0, 1
        )
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
        return self._as_rows(codes, self.module_.ancestral)


def _check_temperature(temperature: float) -> None:
    check_scalar(temperature, "temperature", Real, min_val=0)
    if not math.isfinite(temperature):
        raise ValueError(f"temperature == {temperature}, must be a finite number.")


def _memberships_of(head: ClusteringHead, codes: NDArray[Any]) -> NDArray[np.float32]:
    return head.predict_proba(codes).astype(np.float32)


def _labels_of(head: ClusteringHead, codes: NDArray[Any]) -> NDArray[np.intp]:
    """Label codes, by the memberships as they are shown where there are any."""
    if hasattr(head, "predict_proba"):
        return _memberships_of(head, codes).argmax(1)
    return head.predict(codes)
