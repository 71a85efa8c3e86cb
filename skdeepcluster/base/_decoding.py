"""From codes back to rows: what an estimator says whose model decodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from skdeepcluster.base._clusters import Clusters
from skdeepcluster.engine.device import settled
from skdeepcluster.engine.table import Batch, tiled

__all__ = ["Decoding", "has"]

Method = TypeVar("Method", bound=Callable[..., Any])


def has(capability: str) -> Callable[[Method], Method]:
    """Make a method available where the estimator says that it has a capability."""
    return available_if(lambda self: getattr(self, capability))


class Decoding:
    """Generation: rows of codes, of other rows, and of clusters."""

    module_: Any
    device_: str
    n_clusters_: int
    _clusters: Clusters
    _n_features_out: int
    _row_shape: tuple[int, ...]
    _row_dtype: Any
    _decodes: bool
    _has_one_space = True  # whether one decoder reads the codes of all clusters

    @abstractmethod
    def _check_rows(self, X: Any, reset: bool) -> Any:
        """Validate rows."""

    @abstractmethod
    def _apply(self, X: Any, function: Callable[[Batch], Any]) -> Any:
        """Apply a function to rows, tile by tile."""

    @abstractmethod
    def _codes(self, batch: Batch) -> Tensor:
        """Return the code of every row."""

    # -- what a method defines ------------------------------------------------------------------

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw a code for each label."""
        return self._clusters.draw(labels, rng)

    def _rows_of(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Return the rows that belong to codes which were drawn."""
        return self.inverse_transform(codes)

    @property
    def _interpolates(self) -> bool:
        return self._decodes and self._has_one_space

    # -- what users call ------------------------------------------------------------------------

    @has("_decodes")
    @settled()
    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the rows that belong to codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as :meth:`transform` returns them.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features) or (n_samples, *image)
            In the units and the shape of the rows that the estimator was fitted on.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=[np.float64, np.float32], input_name="codes")
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"Codes have {self._n_features_out} columns, got {codes.shape[1]}. Pass what "
                "transform returns."
            )
        return self._generated(codes, self.module_.generate)

    @has("_decodes")
    @settled()
    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Return the rows as the model tells them from their codes.

        It is ``inverse_transform(transform(X))`` in one pass, but for hierarchies of codes, where
        all groups tell.

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
        return self._as_rows(self._apply(self._check_rows(X, reset=False), self._reconstructed))

    def _reconstructed(self, batch: Batch) -> Tensor:
        rows: Tensor = self.module_.generate(self._codes(batch))
        return rows

    @has("_decodes")
    @settled()
    def sample(
        self,
        n_samples: int = 1,
        cluster: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Generate rows.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        cluster : int, default=None
            The cluster to draw from; None draws clusters by their share of the training data.
        random_state : int, RandomState or None, default=None
            The source of randomness.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, *image)
            Rows in the units and the shape of the training data, ordered by cluster.
        labels : ndarray of shape (n_samples,)
            The cluster that each row was drawn from.

        Raises
        ------
        ValueError
            If `n_samples` or `cluster` is out of range, or every training row is noise.
        TypeError
            If they are not integers.
        """
        check_is_fitted(self)
        labels = self._sample_labels(n_samples, cluster, rng := check_random_state(random_state))
        return self._rows_of(self._sample_codes(labels, rng)), labels

    @has("_interpolates")
    @settled()
    def interpolate(
        self,
        cluster_a: int,
        cluster_b: int,
        n_steps: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray[Any]:
        """Generate rows on the way from one cluster to another.

        Both ends are draws of their clusters with the same noise, and the codes lie on the straight
        line between them.

        Parameters
        ----------
        cluster_a, cluster_b : int
            The clusters at the ends, in 0..n_clusters_-1.
        n_steps : int, default=10
            Number of rows, at least 2, both ends included.
        random_state : int, RandomState or None, default=None
            The source of the noise.

        Returns
        -------
        X : ndarray of shape (n_steps, n_features) or (n_steps, *image)
            Rows in the units and the shape of the training data.

        Raises
        ------
        ValueError
            If a cluster or `n_steps` is out of range.
        TypeError
            If they are not integers.

        References
        ----------
        G. Vardakas, "Deep clustering based on implicit likelihood maximization", MSc thesis,
        University of Ioannina, 2021, section 6.4.
        """
        check_is_fitted(self)
        check_scalar(n_steps, "n_steps", Integral, min_val=2)
        seed = check_random_state(random_state).randint(2**31)
        ends = []
        for name, cluster in {"cluster_a": cluster_a, "cluster_b": cluster_b}.items():
            check_scalar(cluster, name, Integral, min_val=0, max_val=self.n_clusters_ - 1)
            same_noise = np.random.RandomState(seed)
            ends.append(self._sample_codes(np.array([cluster]), same_noise))
        share = np.linspace(0, 1, n_steps, dtype=np.float32)[:, None]
        return self._rows_of((1 - share) * ends[0] + share * ends[1])

    def _sample_labels(
        self, n_samples: int, cluster: int | None, rng: np.random.RandomState
    ) -> NDArray[np.intp]:
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        if self.n_clusters_ == 0:
            raise ValueError(
                "No cluster was found, so there is nothing to sample from. Lower min_cluster_size, "
                "or use a head that takes n_clusters."
            )
        if cluster is None:
            counts = rng.multinomial(n_samples, self._clusters.shares)
            return np.repeat(np.arange(self.n_clusters_), counts)
        check_scalar(cluster, "cluster", Integral, min_val=0, max_val=self.n_clusters_ - 1)
        return np.full(n_samples, cluster, dtype=np.intp)

    def _prior_codes(
        self,
        labels: NDArray[np.intp],
        rng: np.random.RandomState,
        device: str | torch.device = "cpu",
    ) -> NDArray[Any]:
        """Draw a code for each label from the model's prior, which draws on a device."""
        prior = self.module_.prior  # of the fit, whatever the parameters are now
        generator = torch.Generator(device).manual_seed(int(rng.randint(2**31)))
        z, _ = prior.sample(len(labels), self._clusters.live[labels], generator=generator)
        return z.cpu().numpy()

    def _generated(self, codes: NDArray[Any], generate: Callable[[Tensor], Tensor]) -> NDArray[Any]:
        """Generate rows from codes, by a method of the model."""
        return self._as_rows(tiled(generate, torch.from_numpy(codes).to(self.device_)))

    def _as_rows(self, generated: Tensor) -> NDArray[Any]:
        """Return rows that a model generated as the user's rows are."""
        rows = generated.cpu().numpy()
        return rows.reshape(-1, *self._row_shape).astype(self._row_dtype, copy=False)
