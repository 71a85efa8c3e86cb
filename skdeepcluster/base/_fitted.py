"""What a fitted estimator does with rows and codes, and what it checks of them."""

from __future__ import annotations

import copy
from abc import ABCMeta
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from skdeepcluster._validation import (
    DTYPES,
    as_rows,
    canonical,
    check_image_shape,
    check_weight,
)
from skdeepcluster.base._clusters import Clusters
from skdeepcluster.base._decoding import Decoding, has
from skdeepcluster.base._export import Exported
from skdeepcluster.base._lazy import lazily
from skdeepcluster.base._network import memberships
from skdeepcluster.base._saved import Saved
from skdeepcluster.base._thresholds import Outlying, explained
from skdeepcluster.base._units import Extent, check_units
from skdeepcluster.engine.device import settled
from skdeepcluster.engine.table import Batch, Table, tiled
from skdeepcluster.scaling import extremes
from skdeepcluster.sources import ChunkedRows, open_source


def _float_of(dtype: Any) -> type[np.floating[Any]]:
    """Return the type of results: float64 for float64 rows, in any byte order, else float32."""
    return np.float64 if dtype.newbyteorder("=") == np.float64 else np.float32


class FittedClusterer(
    Saved,
    Exported,
    Outlying,
    Decoding,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Inference: from rows to labels, memberships, codes and scores, and from codes to rows."""

    module_: Any
    device_: str
    n_clusters_: int
    image_shape: tuple[int, int, int] | None
    callbacks: Sequence[Any] | None
    _clusters: Clusters
    _extent: Extent

    _decodes = True  # whether codes can be turned into rows
    _has_memberships = True  # whether they are honest probabilities
    _codes_name_clusters = False  # whether the last columns of a code stand for the candidates
    _n_cluster_columns = 0  # how many do, in a fitted estimator

    # -- what a method defines ------------------------------------------------------------------

    def _look(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return codes and what tells their clusters, from one pass of the networks."""
        seen: tuple[Tensor, Tensor] = self.module_.observe(batch, self._live)
        return seen

    def _memberships(self, scores: Tensor) -> Tensor:
        """Return the probabilities of the clusters, given log-memberships of all candidates."""
        return memberships(scores, self._live)

    def _label(self, scores: Tensor) -> Tensor:
        """Return labels, from what tells the clusters; -1 is noise."""
        return self._memberships(scores).argmax(1)

    def _score_rows(self, batch: Batch) -> Tensor:
        """Return the score of every row: minus the mean squared error of its reconstruction."""
        rows = self.module_.inputs(batch)
        error = (self.module_.decode(self.module_.codes(batch)) - rows).square()
        return -error.flatten(1).mean(1)

    # -- what users call ------------------------------------------------------------------------

    @lazily(dtype=np.intp)
    @settled()
    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Return the cluster of every row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Labels in 0..n_clusters_-1; -1 is noise.
        """
        return self._infer(X, self._assign)[0].astype(np.intp)

    @has("_has_memberships")
    @lazily("n_clusters_")
    @settled()
    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the membership of every row in every cluster.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.

        Returns
        -------
        memberships : ndarray of shape (n_samples, n_clusters_)
            Rows sum to 1; the largest is the label.
        """
        return self._cast(*self._infer(X, self._proba))

    @lazily("_n_features_out")
    @settled()
    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the code of every row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            Codes, float64 for float64 rows and float32 otherwise.
        """
        return self._cast(*self._infer(X, self._codes))

    @has("_decodes")
    @lazily()
    @settled()
    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """Return how well the model explains every row; higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In data space, so that fits of one method on the same scaling can be ranked; the
            number of clusters cannot be chosen by it.
        """
        scores, dtype = self._infer(X, self._score_rows)
        return self._cast(explained(scores), dtype)

    @has("_decodes")
    @settled()
    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean of :meth:`score_samples`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        score : float
            The mean score.
        """
        scores = self.score_samples(X)
        weight = check_weight(sample_weight, scores)
        if weight is None:
            return float(scores.mean())
        counted = weight > 0  # or a row that is not explained at all would make NaN of nothing
        return float(np.average(scores[counted], weights=weight[counted]))

    # -- inference ------------------------------------------------------------------------------

    @property
    def _live(self) -> Tensor:
        """Numbers of the candidates that are clusters."""
        return torch.from_numpy(self._clusters.live).to(self.device_)

    def _codes(self, batch: Batch) -> Tensor:
        return self._look(batch)[0]

    def _assign(self, batch: Batch) -> Tensor:
        return self._label(self._look(batch)[1])

    def _proba(self, batch: Batch) -> Tensor:
        return self._memberships(self._look(batch)[1])

    def _infer(self, X: Any, function: Callable[[Batch], Tensor]) -> tuple[NDArray[Any], Any]:
        """Apply a function to rows, tile by tile; return the results and the rows' type."""
        check_is_fitted(self)
        X = self._check_rows(X, reset=False)
        return self._apply(X, function).cpu().numpy(), X.dtype

    def _table(self, X: Any, weight: NDArray[np.float64] | None = None) -> Table:
        columns = {} if weight is None else {"weight": torch.from_numpy(weight).float()}
        return Table(X, self.device_, **columns)

    def _apply(self, X: Any, function: Callable[[Batch], Any]) -> Any:
        return tiled(function, self._table(X))

    @staticmethod
    def _cast(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Return float64 for float64 rows."""
        return values.astype(_float_of(dtype), copy=False)

    # -- checks ---------------------------------------------------------------------------------

    def _check_rows(self, X: Any, reset: bool) -> Any:
        """Validate rows; on reset also learn their shape and type."""
        source = open_source(X)
        if source is None:
            X, row_shape = self._check_array(X, reset)
        else:
            X, row_shape = self._check_source(source, reset), source.row_shape
        if reset:
            self.__dict__.pop("labels_", None)  # not fitted until this fit is complete
            self._input_shape = check_image_shape(self.image_shape, row_shape, X.shape[1])
            self._row_shape = row_shape or (X.shape[1],)
            self._row_dtype = _float_of(X.dtype)
            return X
        if row_shape and len(self._input_shape) == 3:
            self._check_same_images((1, *row_shape)[-3:])
        given = extremes(X)
        self.module_.scaling.check(*given)
        check_units(self._extent, given)
        return X

    def _check_array(self, X: Any, reset: bool) -> tuple[Any, tuple[int, ...] | None]:
        """Validate rows in memory, and return them with the shape of an image."""
        X, row_shape = as_rows(X)
        if not reset:
            self._check_many(getattr(X, "shape", ()))
        rules = {"accept_sparse": "csr", "dtype": DTYPES, "ensure_min_samples": 1 + reset}
        return canonical(validate_data(self, X, reset=reset, **rules)), row_shape

    def _check_source(self, source: ChunkedRows, reset: bool) -> Any:
        """Validate rows of a store, whose values are checked as they are read."""
        validate_data(self, source.named, reset=reset, skip_check_array=True)
        if source.fits:
            return check_array(
                source[:], input_name="X", dtype=DTYPES, ensure_min_samples=1 + reset
            )
        return source

    def _check_many(self, shape: tuple[int, ...]) -> None:
        if len(shape) > 1 and shape == self._row_shape:
            raise ValueError(
                f"X of shape {shape} is one image; expected (n_samples, "
                f"{', '.join(map(str, shape))}). Pass X[None]."
            )

    def _check_same_images(self, shape: tuple[int, ...]) -> None:
        if shape != self._input_shape:
            raise ValueError(
                f"X has images of shape {shape}, but {type(self).__name__} was fitted on "
                f"(channels, height, width) = {self._input_shape}. Resize or crop them first."
            )

    # -- scikit-learn ---------------------------------------------------------------------------

    def __sklearn_clone__(self) -> Any:
        """Copy the parameters, and share what callbacks hold: an open file cannot be copied."""
        bare = copy.copy(self)
        bare.callbacks = None
        twin = super(FittedClusterer, bare).__sklearn_clone__()
        own: Any = self.callbacks
        each = isinstance(own, list | tuple)
        twin.callbacks = type(own)(map(copy.copy, own)) if each else copy.copy(own)
        return twin

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : Ignored
            Present for API consistency.

        Returns
        -------
        names : ndarray of str
            The name of the class in lower case with the number of the column, or with ``_cluster``
            and the number of the component that the column stands for.
        """
        names = super().get_feature_names_out(input_features)
        n_codes, prefix = len(names) - self._n_cluster_columns, type(self).__name__.lower()
        clusters = [f"{prefix}_cluster{number}" for number in range(self._n_cluster_columns)]
        return np.array([*names[:n_codes], *clusters], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "labels_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
