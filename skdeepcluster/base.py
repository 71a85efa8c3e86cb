"""The contract that every estimator keeps, once."""

from __future__ import annotations

import copy
import os
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor, nn

from skdeepcluster.engine.callbacks import EpochLog, ProgressBar
from skdeepcluster.engine.checkpoint import Checkpoint
from skdeepcluster.engine.device import precision_on, resolve_device, seeded
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase
from skdeepcluster.engine.table import Batch, Table, tiled
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.networks import make_critic, make_decoder, make_encoder
from skdeepcluster.scaling import Mode, Scaling, fit_scaling
from skdeepcluster.validation import (
    DTYPES,
    as_rows,
    check_callbacks,
    check_image_shape,
    check_trainer_params,
    check_weight,
    fingerprint,
)

__all__ = ["DeepClusterer"]

Trained = TypeVar("Trained", bound=Model)
Method = TypeVar("Method", bound=Callable[..., Any])

# A fused step is several times faster than torch's default, also on a processor.
OPTIMIZERS: dict[Any, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, fused=True),
}


@dataclass
class _Fit:
    """What the stages of one fit share."""

    seed: int
    scaling: Scaling
    checkpoint: Checkpoint | None
    interrupted: bool = False


def _has(capability: str) -> Callable[[Method], Method]:
    """Make a method available where the estimator says that it has a capability."""
    return available_if(lambda self: getattr(self, capability))


class DeepClusterer(
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Base class of the estimators.

    A method defines :meth:`_fit`, which trains models stage by stage with :meth:`_train` and
    returns the last one, and either :meth:`_scores`, the log-memberships of a batch, or
    :meth:`_assign`, its labels. The rest follows.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", None],
        "encoder": [callable, None],
        "decoder": [callable, None],
        "image_shape": ["array-like", None],
        "scaling": [StrOptions({"auto", "minmax", "standard"}), None],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "checkpoint": [str, os.PathLike, None],
        "callbacks": ["array-like", None],
        "trainer_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, 2, closed="both"), "boolean"],
    }

    _decodes = True  # whether codes can be turned into rows
    _has_scores = True  # whether memberships are honest probabilities
    _adam: ClassVar[dict[str, Any]] = {}  # the method's own settings of Adam

    @abstractmethod
    def __init__(
        self,
        *,
        n_clusters: int | None,
        latent_dim: int,
        hidden_layer_sizes: Sequence[int] | None,
        encoder: Callable[[tuple[int, ...]], nn.Module] | None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None,
        image_shape: tuple[int, int, int] | None,
        scaling: Mode | None,
        max_epochs: int,
        batch_size: int,
        lr: float,
        optimizer: str | Callable[..., torch.optim.Optimizer],
        device: str | torch.device,
        precision: str,
        checkpoint: str | os.PathLike[str] | None,
        callbacks: Sequence[Any] | None,
        trainer_params: dict[str, Any] | None,
        random_state: int | np.random.RandomState | None,
        verbose: int,
    ):
        self.n_clusters: Any = n_clusters  # an int, where a method does not find it
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = image_shape
        self.scaling = scaling
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.trainer_params = trainer_params
        self.random_state = random_state
        self.verbose = verbose

    # -- what a method defines ------------------------------------------------------------------

    @abstractmethod
    def _fit(self, table: Table) -> Model:
        """Train on a table and return the model that is kept."""

    def _scores(self, batch: Batch) -> Tensor:
        """Return log-memberships, up to a constant per row, shape (n, n_clusters)."""
        raise NotImplementedError

    def _assign(self, batch: Batch) -> Tensor:
        """Return the label of every row of a batch; -1 is noise."""
        return self._memberships(batch).argmax(1)

    def _score(self, batch: Batch) -> Tensor:
        """Return the score of every row: minus the mean squared error of its reconstruction."""
        rows = self.module_.scaling(batch["X"])
        error = (self.module_.decode(self.module_(batch)) - rows).square()
        return -error.flatten(1).mean(1)

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw a code for each label from the Gaussian of the codes in its cluster."""
        noise = rng.standard_normal((len(labels), self._n_features_out))
        spread = np.einsum("nij,nj->ni", self._code_spread[labels], noise)
        return self._code_means[labels] + spread

    def _learned_centers(self) -> Tensor | None:
        """Return the centres that training learned, shape (n_clusters, latent_dim), if it did."""
        return None

    # -- fit ------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the networks and find the clusters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; or images of shape (n_samples, height, width) or (n_samples, channels, height,
            width). Sparse rows are densified batch by batch.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in every loss. Rows of weight 0 are not trained on.

        Returns
        -------
        self : object
            Fitted estimator.

        Warns
        -----
        ConvergenceWarning
            When a loss was not finite, a cluster died, or Ctrl-C ended the training. The
            estimator is fitted all the same.
        """
        X = self._check_rows(X, reset=True)
        self.__dict__.pop("labels_", None)  # not fitted until this fit is complete
        weight = check_weight(sample_weight, X)
        rows, positive = X, weight
        if weight is not None and not weight.all():
            rows, positive = X[weight > 0], weight[weight > 0]
        self._check_enough(rows)
        device = resolve_device(self.device)
        self.device_ = str(device)
        self.history_: list[dict[str, Any]] = []
        checkpoint = self._open_checkpoint(rows, positive)
        seed = checkpoint.seed if checkpoint else self._draw_seed()
        scaling = fit_scaling(rows, self.scaling, self._input_shape, positive)
        self._fitting = _Fit(seed, scaling, checkpoint)
        try:
            with seeded(seed, device), torch.inference_mode(False):
                self.module_: Any = self._fit(self._table(rows, positive))
                self._complete(X, np.ones(X.shape[0]) if weight is None else weight)
            self._close(self._fitting)
        finally:
            del self._fitting
        return self

    def _train(
        self, stage: str, make_model: Callable[[], Trained], phases: Sequence[Phase], table: Table
    ) -> Trained:
        """Make a model and train it through phases; a fit may have several such stages."""
        fitting, model = self._fitting, make_model()
        trainer = Trainer(model, stage=stage, **self._trainer_kwargs())
        trainer.interrupted_ = fitting.interrupted
        trainer.run(table, phases, fitting.checkpoint)
        fitting.interrupted = trainer.interrupted_
        records = trainer.history.to_list()
        self.history_ += [{k: v for k, v in r.items() if k != "batches"} for r in records]
        return model

    def _trainer_kwargs(self) -> dict[str, Any]:
        """Return the parameters of the trainer that every stage has."""
        device = torch.device(self.device_)
        progress: list[Any] = [[], [ProgressBar()], [EpochLog()]][int(self.verbose)]
        adam = self._adam if self.optimizer == "adam" else {}
        kwargs = {
            "device": self.device_,
            "precision": precision_on(device, self.precision),
            "batch_size": self.batch_size,
            "lr": self.lr,
            "optimizer": OPTIMIZERS.get(self.optimizer, self.optimizer),
            "callbacks": progress + check_callbacks(self.callbacks),
        }
        return {**kwargs, **adam, **check_trainer_params(self.trainer_params)}

    def _table(self, X: Any, weight: NDArray[np.float64] | None = None) -> Table:
        columns = {} if weight is None else {"weight": torch.from_numpy(weight).float()}
        return Table(X, self.device_, **columns)

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _open_checkpoint(self, X: Any, weight: NDArray[np.float64] | None) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        others = {"checkpoint", "verbose", "device", "callbacks"}
        if not isinstance(self.random_state, Integral):
            others.add("random_state")
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in others}
        identity = fingerprint(type(self).__name__, params, X, weight)
        return Checkpoint(self.checkpoint, identity, self._draw_seed())

    def _complete(self, X: Any, weight: NDArray[np.float64]) -> None:
        """Derive everything that follows from the trained model."""
        self.module_.eval().zero_grad(set_to_none=True)
        self.n_iter_ = len(self.history_)
        self._live: Tensor | None = None
        codes = self._apply(X, self.module_).cpu().numpy()
        self._n_features_out = codes.shape[1]
        labels = self._labels(X)
        if self._drop_dead(labels[weight > 0]):
            labels = self._labels(X)
        self.n_clusters_ = int(labels.max(initial=-1)) + 1
        self._describe_codes(codes, labels, weight)
        self.labels_ = labels

    def _labels(self, X: Any) -> NDArray[np.intp]:
        return self._apply(X, self._assign).cpu().numpy().astype(np.intp)

    def _drop_dead(self, labels: NDArray[np.intp]) -> bool:
        """Keep the clusters that have members, numbered consecutively; tell whether any died."""
        live, n_clusters = np.unique(labels[labels >= 0]), self._n_candidates()
        if len(live) == n_clusters:
            return False
        self._live = torch.from_numpy(live).to(self.device_)
        warnings.warn(
            f"Only {len(live)} of {n_clusters} clusters have members; the others are dropped. "
            "More epochs, another random_state or fewer clusters may help.",
            ConvergenceWarning,
            stacklevel=4,
        )
        return True

    def _n_candidates(self) -> int:
        """Return the number of clusters before dead ones are dropped."""
        return int(self.n_clusters)

    def _describe_codes(
        self, codes: NDArray[Any], labels: NDArray[np.intp], weight: NDArray[np.float64]
    ) -> None:
        """Keep the mean and the spread of the codes of every cluster, for centres and samples."""
        members = [labels == label for label in range(self.n_clusters_)]
        moments = [_moments(codes[rows].astype(float), weight[rows]) for rows in members]
        self._code_means = np.array([mean for mean, _ in moments]).reshape(-1, codes.shape[1])
        self._code_spread = np.array([spread for _, spread in moments])
        shares = np.array([weight[rows].sum() for rows in members])
        self._cluster_share = shares / (shares.sum() or 1.0)
        learned = self._learned_centers()
        if learned is None:
            self.cluster_centers_ = self._code_means.astype(codes.dtype)
        else:
            self.cluster_centers_ = self._alive(learned.detach().cpu(), 0).numpy()

    def _close(self, fitting: _Fit) -> None:
        """End a fit: tell of an interruption, or remove the checkpoint."""
        if not fitting.interrupted:
            return fitting.checkpoint.discard() if fitting.checkpoint else None
        resume = f"call fit again to continue from {self.checkpoint}" if self.checkpoint else ""
        advice = resume or "give a checkpoint= to make a fit resumable"
        warnings.warn(
            f"Training was interrupted after {self.n_iter_} epochs. The estimator is fitted with "
            f"what it had learned; {advice}.",
            ConvergenceWarning,
            stacklevel=3,
        )

    # -- after fit ------------------------------------------------------------------------------

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

    @_has("_has_scores")
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
        return self._cast(*self._infer(X, self._memberships))

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
        check_is_fitted(self)
        return self._cast(*self._infer(X, self.module_))

    @_has("_decodes")
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
        rows = self._apply(codes, self.module_.generate).cpu().numpy()
        return rows.reshape(-1, *self._row_shape).astype(self._row_dtype, copy=False)

    @_has("_decodes")
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
        return self._cast(*self._infer(X, self._score))

    @_has("_decodes")
    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the mean of :meth:`score_samples`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images, as in :meth:`fit`.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        score : float
            The mean score.
        """
        return float(self.score_samples(X).mean())

    @_has("_decodes")
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
            If they are no integers.
        """
        check_is_fitted(self)
        labels = self._sample_labels(n_samples, cluster, rng := check_random_state(random_state))
        return self.inverse_transform(self._sample_codes(labels, rng)), labels

    def _sample_labels(
        self, n_samples: int, cluster: int | None, rng: np.random.RandomState
    ) -> NDArray[np.intp]:
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        if self.n_clusters_ == 0:
            raise ValueError("No cluster was found, so there is nothing to sample from.")
        if cluster is None:
            counts = rng.multinomial(n_samples, self._cluster_share)
            return np.repeat(np.arange(self.n_clusters_), counts)
        check_scalar(cluster, "cluster", Integral, min_val=0, max_val=self.n_clusters_ - 1)
        return np.full(n_samples, cluster, dtype=np.intp)

    # -- inference ------------------------------------------------------------------------------

    def _memberships(self, batch: Batch) -> Tensor:
        """Return the probabilities of the clusters that live."""
        return self._alive(self._scores(batch).float(), 1).softmax(1)

    def _alive(self, values: Tensor, axis: int) -> Tensor:
        """Keep the clusters that have members."""
        return (
            values
            if self._live is None
            else values.index_select(axis, self._live.to(values.device))
        )

    def _infer(self, X: Any, function: Callable[[Batch], Tensor]) -> tuple[NDArray[Any], Any]:
        """Apply a function to rows, tile by tile; return the results and the rows' type."""
        check_is_fitted(self)
        X = self._check_rows(X, reset=False)
        return self._apply(X, function).cpu().numpy(), X.dtype

    def _apply(self, X: Any, function: Callable[[Batch], Tensor]) -> Tensor:
        return tiled(function, self._table(X))

    @staticmethod
    def _cast(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Return float64 for float64 rows."""
        return values.astype(np.float64 if dtype == np.float64 else np.float32, copy=False)

    # -- checks ---------------------------------------------------------------------------------

    def _check_rows(self, X: Any, reset: bool) -> Any:
        """Validate rows; on reset also learn their shape and type."""
        X, row_shape = as_rows(X)
        X = validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=DTYPES, ensure_min_samples=1 + reset
        )
        if reset:
            self._input_shape = check_image_shape(self.image_shape, row_shape, X.shape[1])
            self._row_shape = row_shape or (X.shape[1],)
            self._row_dtype = np.float64 if X.dtype == np.float64 else np.float32
        elif row_shape and len(self._input_shape) == 3:
            self._check_same_images((1, *row_shape)[-3:])
        return X

    def _check_same_images(self, shape: tuple[int, ...]) -> None:
        if shape != self._input_shape:
            raise ValueError(
                f"X has images of shape {shape}, but {type(self).__name__} was fitted on "
                f"(channels, height, width) = {self._input_shape}."
            )

    def _check_enough(self, X: Any) -> None:
        if X.shape[0] < 2:
            raise ValueError("Only one row has a positive weight; a fit takes at least 2.")
        if self.n_clusters is not None and X.shape[0] < self.n_clusters:
            raise ValueError(
                f"n_samples={X.shape[0]} should be >= n_clusters={self.n_clusters}. "
                "Pass more rows or ask for fewer clusters."
            )

    # -- networks -------------------------------------------------------------------------------

    def _make_encoder(self, n_outputs: int, **options: Any) -> nn.Module:
        """Return the user's encoder, or the one for the input's shape."""
        if self.encoder is None:
            options = {"hidden_layer_sizes": self.hidden_layer_sizes, **options}
            return make_encoder(self._input_shape, n_outputs, **options)
        return self._brought("encoder", self._input_shape, (n_outputs,))

    def _make_decoder(self, n_inputs: int, **options: Any) -> nn.Module:
        """Return the user's decoder, or the one for the input's shape."""
        if self.decoder is None:
            options = {"hidden_layer_sizes": self.hidden_layer_sizes, **options}
            return make_decoder(n_inputs, self._input_shape, **options)
        return self._brought("decoder", (n_inputs,), self._input_shape)

    def _make_critic(self, **options: Any) -> nn.Module:
        """Return the user's critic, or the one for the input's shape."""
        if self.critic is None:
            return make_critic(self._input_shape, **options)
        return self._brought("critic", self._input_shape, ())

    def _brought(
        self, name: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> nn.Module:
        """Return the network that the user's callable makes, after a look at its output."""
        make = getattr(self, name)
        if isinstance(make, nn.Module):
            raise ValueError(
                f"{name} must be a callable that makes a new nn.Module for every fit, got an "
                f"nn.Module. Pass a function of the input's shape: {name}=lambda shape: ..."
            )
        network = make(self._input_shape)
        if not isinstance(network, nn.Module):
            raise ValueError(f"{name} must return an nn.Module, got {type(network).__name__}.")
        _probe(network.float().eval(), name, (2, *input_shape), (2, *output_shape))
        return network.train()

    # -- scikit-learn ---------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "labels_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Keep the model where every machine can load it."""
        state = dict(super().__getstate__())
        if "module_" in state and self.device_ != "cpu":
            state["module_"] = copy.deepcopy(self.module_).cpu()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the model to its device if that exists here."""
        super().__setstate__(state)
        if "module_" not in state or self.device_ == "cpu":
            return
        try:
            resolve_device(self.device_)
        except ValueError:
            self.device_ = "cpu"
        self.module_.to(self.device_)


def _moments(
    codes: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of weighted codes, and a square root of their covariance."""
    share = weight / weight.sum()
    mean = share @ codes
    centered = (codes - mean) * np.sqrt(share)[:, None]
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    return mean, axes.T @ (singular[:, None] * axes)


def _probe(
    network: nn.Module, name: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> None:
    """Try a user's network, rather than leave the explanation to the middle of a training."""
    try:
        with torch.no_grad():
            found = tuple(network(torch.zeros(input_shape, dtype=torch.float32)).shape)
    except Exception as error:  # a user's network can raise any
        raise ValueError(
            f"{name} fails on an input of shape {input_shape}: {error}. Expected a tensor of "
            f"shape {output_shape}."
        ) from error
    if found != output_shape:
        raise ValueError(
            f"{name} maps an input of shape {input_shape} to {found}; expected {output_shape}."
        )
