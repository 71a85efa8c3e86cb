"""The template that every method fills in."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.base._fitted import FittedClusterer
from skdeepcluster.base._gaussians import CodeGaussians
from skdeepcluster.engine.callbacks import EpochLog, ProgressBar
from skdeepcluster.engine.checkpoint import Checkpoint
from skdeepcluster.engine.device import alone, precision_on, resolve_device, seeded, settled
from skdeepcluster.engine.fingerprint import NO_MATTER, fingerprint
from skdeepcluster.engine.interruption import on_ctrl_c
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.notices import gathered, notice
from skdeepcluster.engine.options import check_callbacks, check_trainer_params
from skdeepcluster.engine.schedule import Phase
from skdeepcluster.engine.table import TILE, Table, check_codes, encoded
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.networks import make_critic, make_decoder, make_encoder
from skdeepcluster.scaling import Mode, Scaling, fit_scaling
from skdeepcluster.validation import check_network, check_weight

Trained = TypeVar("Trained", bound=Model)

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

    rows: Any  # those of positive weight, in the user's units
    counted: NDArray[np.bool_]  # which of all rows these are
    seed: int
    scaling: Scaling
    checkpoint: Checkpoint | None
    interrupted: bool = False
    copies: dict[int, Any] = field(default_factory=dict)  # of the user's networks, in one model


class DeepClusterer(FittedClusterer):
    """Base class of the estimators.

    A method defines :meth:`_fit`, which trains models stage by stage with :meth:`_train` and
    returns the last one, and either :meth:`_log_memberships` of a batch or :meth:`_assign`, its
    labels. The rest follows.
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

    _adam: ClassVar[dict[str, Any]] = {}  # the method's own settings of Adam

    @abstractmethod
    def __init__(
        self,
        *,
        n_clusters: int | None,
        latent_dim: int | None,
        hidden_layer_sizes: Sequence[int] | str | None,
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
        self.latent_dim: Any = latent_dim  # likewise
        self.hidden_layer_sizes: Any = hidden_layer_sizes  # a name, where a method has presets
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

    def _learned_centers(self) -> Tensor | None:
        """Return the centres that training learned, shape (n_clusters, latent_dim), if it did."""
        return None

    def _n_candidates(self) -> int:
        """Return the number of clusters before dead ones are dropped."""
        return int(self.n_clusters)

    def _used_after_training(self) -> set[str]:
        """Return the parameters that trained networks do not depend on."""
        return set()

    # -- fit ------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    @alone()
    @settled()
    @gathered()
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

        Raises
        ------
        KeyboardInterrupt
            When Ctrl-C was pressed twice.

        Warns
        -----
        ConvergenceWarning
            When a loss was not finite, a cluster died, or Ctrl-C ended the training. The
            estimator is fitted all the same.
        """
        X = self._check_rows(X, reset=True)
        weight = check_weight(sample_weight, X)
        rows, positive, counted = X, weight, np.ones(X.shape[0], dtype=bool)
        if weight is not None and not weight.all():
            counted = weight > 0
            rows, positive = X[counted], weight[counted]
        self._check_enough(rows)
        check_callbacks(self.callbacks)
        self._checked_trainer_params()
        device = resolve_device(self.device)
        self.device_ = str(device)
        self.history_: list[dict[str, Any]] = []
        scaling = fit_scaling(rows, self.scaling, self._input_shape, positive)
        checkpoint = self._open_checkpoint(rows, positive)
        seed = checkpoint.seed if checkpoint else self._draw_seed()
        self._fitting = _Fit(rows, counted, seed, scaling, checkpoint)
        try:
            with on_ctrl_c(self._may_interrupt), seeded(seed, device), torch.inference_mode(False):
                self.module_ = self._fit(self._table(rows, positive))
                self._complete(X, np.ones(X.shape[0]) if weight is None else weight)
            self._close(self._fitting)
        finally:
            del self._fitting
            if checkpoint:
                checkpoint.close()
        return self

    def _may_interrupt(self) -> bool:
        """Note Ctrl-C. What runs between trainings finishes, unless the key is pressed again."""
        again, self._fitting.interrupted = self._fitting.interrupted, True
        return again

    def _train(
        self, stage: str, make_model: Callable[[], Trained], phases: Sequence[Phase], table: Table
    ) -> Trained:
        """Make a model and train it through phases; a fit may have several such stages."""
        fitting = self._fitting
        fitting.copies.clear()
        model = make_model()
        trainer = Trainer(model, stage=stage, **self._trainer_kwargs())
        trainer.interrupted_ = fitting.interrupted
        trainer.run(table, phases, fitting.checkpoint)
        fitting.interrupted = trainer.interrupted_
        records = trainer.history.to_list()
        self.history_ += [{k: v for k, v in r.items() if k != "batches"} for r in records]
        return model

    def _check_model(self, make_model: Callable[[], Model], table: Table) -> None:
        """Make a model in vain: what does not fit is told before another one is trained."""
        with torch.random.fork_rng(devices=[]):
            model = make_model().to(self.device_).eval()
        encoded(model, table.subset(torch.arange(min(len(table), TILE))))

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
        return {**kwargs, **adam, **self._checked_trainer_params()}

    def _checked_trainer_params(self) -> dict[str, Any]:
        return check_trainer_params(self.trainer_params, self.get_params(deep=False))

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _open_checkpoint(self, X: Any, weight: NDArray[np.float64] | None) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        ignored = NO_MATTER | self._used_after_training()
        if not isinstance(self.random_state, Integral):
            ignored |= {"random_state"}
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in ignored}
        identity = fingerprint(type(self).__name__, params, X, weight)
        return Checkpoint(self.checkpoint, identity, self._draw_seed())

    def _complete(self, X: Any, weight: NDArray[np.float64]) -> None:
        """Derive everything that follows from the trained model."""
        self.module_.eval().zero_grad(set_to_none=True)
        self.n_iter_ = len(self.history_)
        codes = self._apply(X, self.module_).cpu().numpy()
        check_codes(torch.from_numpy(codes[weight > 0]))
        labels = self._labels(X)
        if self._drop_dead(labels[weight > 0]):
            labels = self._labels(X)
            codes = self._apply(X, self.module_).cpu().numpy()  # which may name the cluster
        self._n_features_out = codes.shape[1]
        self.n_clusters_ = int(labels.max(initial=-1)) + 1
        self._gaussians = CodeGaussians.fit(codes, labels, weight, self.n_clusters_)
        self.cluster_centers_ = self._centers()
        self.labels_ = labels

    def _labels(self, X: Any) -> NDArray[np.intp]:
        return self._apply(X, self._assign).cpu().numpy().astype(np.intp)

    def _drop_dead(self, labels: NDArray[np.intp]) -> bool:
        """Keep the clusters that have members, numbered consecutively; tell whether any died."""
        live, n_clusters = np.unique(labels[labels >= 0]), self._n_candidates()
        if len(live) == n_clusters:
            return False
        self.module_.live = torch.from_numpy(live).to(self.device_)
        notice(
            f"Only {len(live)} of {n_clusters} clusters have members; the others are dropped. "
            "More epochs, another random_state or fewer clusters may help.",
        )
        return True

    def _centers(self) -> NDArray[Any]:
        """Return the learned centres of the clusters that live, or their mean codes."""
        learned = self._learned_centers()
        if learned is None:
            return self._gaussians.means.astype(np.float32)
        return self._alive(learned.detach().cpu(), 0).numpy()

    def _close(self, fitting: _Fit) -> None:
        """End a fit: tell of an interruption, or remove the checkpoint."""
        if not fitting.interrupted:
            return fitting.checkpoint.discard() if fitting.checkpoint else None
        resume = f"call fit again to continue from {self.checkpoint}" if self.checkpoint else ""
        advice = resume or "give a checkpoint= to make a fit resumable"
        notice(
            f"Training was interrupted after {self.n_iter_} epochs. The estimator is fitted with "
            f"what it had learned; {advice}.",
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

    def _make_encoder(self, n_outputs: int, make: Any = make_encoder, **options: Any) -> nn.Module:
        """Return the user's encoder, or the one for the input's shape."""
        if self.encoder is None:
            options = {"hidden_layer_sizes": self.hidden_layer_sizes, **options}
            return make(self._input_shape, n_outputs, **options)
        return self._own_network("encoder", self._input_shape, (n_outputs,))

    def _make_decoder(self, n_inputs: int, make: Any = make_decoder, **options: Any) -> nn.Module:
        """Return the user's decoder, or the one for the input's shape."""
        if self.decoder is None:
            options = {"hidden_layer_sizes": self.hidden_layer_sizes, **options}
            return make(n_inputs, self._input_shape, **options)
        return self._own_network("decoder", (n_inputs,), self._input_shape)

    def _make_critic(self, **options: Any) -> nn.Module:
        """Return the user's critic, or the one for the input's shape."""
        if self.critic is None:
            return make_critic(self._input_shape, **options)
        return self._own_network("critic", self._input_shape, ())

    def _own_network(
        self, name: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> nn.Module:
        """Return the network that the parameter of a name makes."""
        make, copies = getattr(self, name), self._fitting.copies
        return check_network(make, name, self._input_shape, input_shape, output_shape, copies)
