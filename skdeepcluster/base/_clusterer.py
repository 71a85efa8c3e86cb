"""The template that every method fills in."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster._validation import check_network, check_weight
from skdeepcluster.base._clusters import Clusters, mean_rows
from skdeepcluster.base._conditions import MattersIf, check_conditions
from skdeepcluster.base._continuing import joined_extent
from skdeepcluster.base._run import Run
from skdeepcluster.base._saved import with_origin
from skdeepcluster.base._several import fit_several
from skdeepcluster.base._streaming import Streaming
from skdeepcluster.engine.callbacks import EpochLog, ProgressBar, tell
from skdeepcluster.engine.checkpoint import Checkpoint
from skdeepcluster.engine.device import alone, precision_on, resolve_device, settled
from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.fingerprint import NO_MATTER, fingerprint
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.net import OPTIMIZERS
from skdeepcluster.engine.notices import gathered, notice
from skdeepcluster.engine.options import check_callbacks, check_trainer_params
from skdeepcluster.engine.table import Batch, check_codes, encoded
from skdeepcluster.networks import make_decoder, make_encoder
from skdeepcluster.scaling import Mode, Scaling, extremes, fit_scaling

AUGMENT: list[Any] = [StrOptions({"auto"}), callable, None]  # what `augment` may be, where it is


class DeepClusterer(Streaming):
    """Base class of the estimators.

    A method defines :meth:`_fit`, which trains models stage by stage and returns the last one. That
    model's :meth:`~skdeepcluster.engine.model.Model.observe` tells the clusters; the rest follows.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [StrOptions({"auto"}), "array-like"],
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
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "callbacks": ["array-like", None],
        "trainer_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
    }

    _conditions: ClassVar[tuple[MattersIf, ...]] = ()  # of parameters that may change nothing

    n_clusters: Any  # an int, where a method does not find it
    latent_dim: Any  # likewise
    n_init: int
    hidden_layer_sizes: str | Sequence[int]
    encoder: Callable[[tuple[int, ...], int], nn.Module] | None
    decoder: Callable[[int, tuple[int, ...]], nn.Module] | None
    image_shape: tuple[int, int, int] | None
    scaling: Mode | None
    max_epochs: int
    batch_size: int
    lr: float
    optimizer: str | Callable[..., torch.optim.Optimizer]
    device: str | torch.device
    precision: str
    checkpoint: str | os.PathLike[str] | None
    callbacks: Sequence[Any] | None
    trainer_params: dict[str, Any] | None
    random_state: int | np.random.RandomState | None
    verbose: int

    def _keep(self, arguments: Mapping[str, Any]) -> None:
        """Keep the arguments of a constructor, its ``locals()``, under their own names."""
        self.__dict__.update({k: v for k, v in arguments.items() if k != "self"})

    # -- what a method defines ------------------------------------------------------------------

    @abstractmethod
    def _fit(self, run: Run) -> Model:
        """Train in stages, by :meth:`Run.train`, and return the model that is kept."""

    def _go_on(self, run: Run, model: Model) -> Model:
        """Train a fitted model in its main stage, where there is `warm_start`; return it."""
        raise NotImplementedError

    def _learned_centers(self) -> Tensor | None:
        """Return the centres that training learned, shape (n_clusters, latent_dim), if it did."""
        return None

    def _n_candidates(self) -> int:
        """Return the number of candidates, of which those without members are dropped."""
        return int(self.n_clusters)

    def _used_after_training(self) -> set[str]:
        """Return the parameters that trained networks do not depend on."""
        return set()

    # -- fit ------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    @settled()
    @gathered()
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the networks and find the clusters; with `warm_start`, train them further.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; or images of shape (n_samples, height, width) or (n_samples, channels, height,
            width). Sparse rows are densified batch by batch. Rows of a store (HDF5, zarr, parquet,
            Dask, a dataset of torch) are read by chunks.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in every loss, and in starts and heads that can take them: k-means,
            mixtures, and clusterers whose `fit` has them. Rows of weight 0 are not trained on.

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
        with alone(self):
            if self._goes_on():
                with self._all_or_nothing():
                    self._carry_out(X, sample_weight, self._networks_before())
            else:
                self._carry_out(X, sample_weight)
        return self

    def _carry_out(self, X: Any, sample_weight: Any, before: Model | None = None) -> None:
        """Fit from the beginning, or go on with the networks of a fit before."""
        X = self._check_rows(X, reset=before is None)
        check_conditions(self)  # some depend on the shape of a row
        weight = check_weight(sample_weight, X)
        self._check_enough(X.shape[0] if weight is None else int((weight > 0).sum()))
        self.__dict__.pop("n_samples_seen_", None)  # of rows that came after an earlier fit
        run = self._begin(X, weight, before)
        try:
            if before is None and self.n_init > 1:
                fit_several(self, run, lambda twin, each: twin._fit_once(each, X, weight))
            else:
                self._fit_once(run, X, weight, before)
            self._end(run)
        finally:
            if run.checkpoint:
                run.checkpoint.close()

    def _fit_once(
        self,
        run: Run,
        X: Any,
        weight: NDArray[np.float64] | None,
        before: Model | None = None,
    ) -> None:
        """Train, and find the clusters."""
        self.history_, self.timings_, self._copies = run.history, run.timings, run.copies
        self.__dict__.pop("run_agreement_", None)  # of an earlier fit
        try:
            with run.under_way():
                self.module_ = self._fit(run) if before is None else self._go_on(run, before)
                with run.timed("clusters", told=True):
                    self._complete(run, X, np.ones(X.shape[0]) if weight is None else weight)
        finally:
            del self._copies
        tell(_shown(run.timings), self.verbose)

    def _begin(
        self, X: Any, weight: NDArray[np.float64] | None, before: Model | None = None
    ) -> Run:
        """Gather what the stages of a fit share, of the rows that have a weight."""
        counted = np.ones(X.shape[0], dtype=bool) if weight is None else weight > 0
        labels = None if before is None else self._seen(X)[1][counted]
        self.device_ = str(resolve_device(self.device))
        trainer_params, callbacks = self._trainer_params(), check_callbacks(self.callbacks)
        extent = extremes(X, weight)
        if before is None:
            scaling = fit_scaling(X, self.scaling, self._input_shape, weight, extent)
        else:
            scaling, extent = before.scaling, joined_extent(self._extent, extent)
        self._extent = extent
        table = self._table(X, weight)
        if not counted.all():
            table = table.subset(torch.from_numpy(np.flatnonzero(counted)))
        checkpoint = self._open_checkpoint(X, weight)  # last: from here on it must be closed
        return Run(
            X,
            counted,
            table,
            scaling,
            Draws(checkpoint.seed if checkpoint else self._draw_seed(), torch.device(self.device_)),
            self._is_ours(),
            trainer_params,
            [[], [ProgressBar()], [EpochLog()]][min(int(self.verbose), 2)],
            callbacks,
            checkpoint,
            self.verbose,
            [] if before is None else list(self.history_),
            labels_before=labels,
        )

    def _check_model(self, run: Run, make_model: Callable[[Scaling], Model]) -> None:
        """Try to make the model, so that what does not fit is told before anything takes time."""
        with torch.random.fork_rng(devices=[]):
            model = make_model(run.scaling).to(self.device_).eval()
        run.copies.clear()
        encoded(model.codes, run.table.first_tile())

    def _is_ours(self) -> bool:
        """Tell whether no code of the user's takes part in training."""
        parts = ("encoder", "decoder", "critic", "augment", "callbacks")
        own = (getattr(self, part, None) for part in parts)
        return all(part is None for part in own) and isinstance(self.optimizer, str)

    def _trainer_params(self) -> dict[str, Any]:
        """Return the parameters of the trainer that every stage has."""
        return {
            "device": self.device_,
            "precision": precision_on(torch.device(self.device_), self.precision),
            "batch_size": self.batch_size,
            "lr": self.lr,
            "optimizer": OPTIMIZERS.get(self.optimizer, self.optimizer),
            **check_trainer_params(self.trainer_params, self.get_params(deep=False)),
        }

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

    def _complete(self, run: Run, X: Any, weight: NDArray[np.float64]) -> None:
        """Derive everything that follows from the trained model."""
        self.module_.eval().zero_grad(set_to_none=True)
        self.n_iter_ = len(self.history_)
        codes, labels = self._settle(run, X, weight)
        self._n_features_out = codes.shape[1]
        self._n_cluster_columns = self._n_candidates() if self._codes_name_clusters else 0
        self.n_clusters_ = int(labels.max(initial=-1)) + 1
        self._clusters = self._clusters.describe(codes, labels, weight)
        means = mean_rows(X, labels, self.n_clusters_, weight)
        self.cluster_centers_ = means.astype(self._row_dtype, copy=False)
        self.code_centers_ = self._code_centers()
        self._made_with, self._n_counted = self._lasting_params(), int(run.counted.sum())
        self.labels_ = labels
        self._keep_scores(run)

    def _settle(
        self, run: Run, X: Any, weight: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Return codes and labels of all rows, numbered by the clusters that have members.

        Every row is seen once, and where candidates died, once more without these.
        """
        self._clusters = Clusters(np.arange(n_candidates := self._n_candidates()))
        codes, labels = self._seen(X)
        check_codes(torch.from_numpy(codes[weight > 0]))
        live = np.unique(labels[weight > 0])
        if len(live) < n_candidates:
            notice(
                f"Only {len(live)} of {n_candidates} clusters have members; the others are "
                "dropped. More epochs, another random_state or fewer clusters may help.",
            )
            self._clusters = Clusters(live)
            codes, labels = self._seen(X)
        return codes, labels

    def _seen(self, X: Any) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Return codes and labels of rows, from one pass."""

        def both(batch: Batch) -> tuple[Tensor, Tensor]:
            codes, scores = self._look(batch)
            return codes, self._label(scores)

        codes, labels = self._apply(X, both)
        return codes.cpu().numpy(), labels.cpu().numpy().astype(np.intp)

    def _code_centers(self) -> NDArray[Any]:
        """Return the learned centres of the clusters, or their mean codes."""
        learned = self._learned_centers()
        if learned is None:
            return self._clusters.means.astype(np.float32)
        return learned.detach().cpu().numpy()[self._clusters.live]

    def _end(self, run: Run) -> None:
        """End a fit: tell of an interruption, or remove the checkpoint."""
        if not run.interrupted:
            return run.checkpoint.discard() if run.checkpoint else None
        advice = "give a checkpoint= to make a fit resumable"
        if self.checkpoint:
            advice = f"call fit again to continue from {self.checkpoint}"
        elif run.labels_before is not None:  # which takes no checkpoint
            advice = "train it further to make up for the rest"
        notice(
            f"Training was interrupted after {self.n_iter_} epochs. The estimator is fitted with "
            f"what it had learned; {advice}.",
        )

    def _check_enough(self, n_samples: int) -> None:
        if n_samples < 2:
            raise ValueError(
                "Only one row has a positive weight; a fit takes at least 2. Give more rows a "
                "sample_weight above 0."
            )
        asked = self._n_clusters_asked()
        if isinstance(asked, Integral) and n_samples < int(asked):
            raise ValueError(
                f"n_samples={n_samples} should be >= n_clusters={asked}. Pass more rows or ask for "
                "fewer clusters."
            )

    def _n_clusters_asked(self) -> Any:
        """Return the number of clusters that is asked for, or "auto" if it is found."""
        return self.n_clusters

    # -- networks -------------------------------------------------------------------------------

    def _make_encoder(self, n_outputs: int, make: Any = make_encoder, **options: Any) -> nn.Module:
        """Return the user's encoder, or the one for the input's shape."""
        shape = self._input_shape
        if self.encoder is not None:
            return self._own_network("encoder", (shape, n_outputs), shape, (n_outputs,))
        return make(shape, n_outputs, **{"hidden_layer_sizes": self.hidden_layer_sizes, **options})

    def _make_decoder(self, n_inputs: int, make: Any = make_decoder, **options: Any) -> nn.Module:
        """Return the user's decoder, or the one for the input's shape."""
        shape = self._input_shape
        if self.decoder is not None:
            return self._own_network("decoder", (n_inputs, shape), (n_inputs,), shape)
        return make(n_inputs, shape, **{"hidden_layer_sizes": self.hidden_layer_sizes, **options})

    def _own_network(
        self,
        name: str,
        arguments: tuple[Any, ...],
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
    ) -> nn.Module:
        """Return the network that the parameter of a name makes."""
        copies = self.__dict__.get("_copies", {})  # shared by the networks of one model
        origin = name, arguments, input_shape, output_shape
        return with_origin(check_network(getattr(self, name), *origin, copies), origin)


def _shown(timings: Mapping[str, float]) -> str:
    """Say what took how long."""
    steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in timings.items())
    return f"fitted in {sum(timings.values()):.1f} s: {steps}"
