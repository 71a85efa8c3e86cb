r"""Deep embedded clustering, and its improved form that keeps reconstructing.

.. math:: \min_{f, g, \mu} \frac1n \sum_i \mathrm{KL}(p_i \| q_i)
          + \lambda \frac1d \|x_i - g(f(x_i))\|^2

with Student's t memberships q (Xie et al. 2016, eq. 1) and the sharpened target p (eq. 3), which
is computed on the whole data set and held fixed between refreshes. DEC has
:math:`\lambda = 0` (eq. 2), IDEC :math:`\lambda = 10` (Guo et al. 2017, eq. 6, divided by its
gamma of .1).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdeepcluster.base import DeepClusterer
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Phase, Refresh, Turn
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators.autoencoder import Autoencoder, reconstruction_phase
from skdeepcluster.heads import fit_clusterer
from skdeepcluster.objectives import (
    kl_divergence,
    squared_error,
    student_t_log_proba,
    target_distribution,
)
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["DECClustering"]


class _DEC(Autoencoder):
    """An autoencoder with cluster centres in its code space."""

    def __init__(self, scaling: Scaling, encoder: nn.Module, decoder: nn.Module, shape: Any):
        super().__init__(scaling, encoder, decoder)
        self.centers = nn.Parameter(torch.zeros(shape))

    def log_memberships(self, batch: Batch) -> Tensor:
        """Return log q (eq. 1), shape (n, n_clusters)."""
        return student_t_log_proba(self.codes(batch), self.centers)

    def clustering(self, batch: Batch) -> dict[str, Tensor]:
        """Return KL(p || q) (eq. 2) per row."""
        return {"clustering": kl_divergence(batch["target"], self.log_memberships(batch))}

    def both(self, batch: Batch) -> dict[str, Tensor]:
        """Return the clustering and the reconstruction term, from one pass of the encoder."""
        codes = self.codes(batch)
        log_q = student_t_log_proba(codes, self.centers)
        return {
            "clustering": kl_divergence(batch["target"], log_q),
            "reconstruction": squared_error(self.decode(codes), batch["X"]),
        }


class DECClustering(DeepClusterer):
    r"""Deep embedded clustering (DEC), and its improved form (IDEC).

    An autoencoder is trained, k-means places centres among its codes, and the encoder and the
    centres are then trained to make soft assignments confident.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    reconstruction_weight : float, default=10.0
        Weight of the reconstruction against the clustering loss. 0 is DEC, whose decoder goes
        stale: `sample` and `inverse_transform` then show the codes as they were before clustering
        began. 10 is IDEC.
    update_interval : int, default=1
        Epochs between updates of the target distribution, on the whole data.
    tol : float, default=1e-3
        Training stops when fewer than this share of the labels change between updates.
    pretrain_epochs : int, default=50
        Epochs of reconstruction alone.
    max_epochs : int, default=50
        Epochs of clustering at most.
    latent_dim : int, default=10
        Width of the code.
    hidden_layer_sizes : sequence of int, default=None
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. None: 500-500-2000, or 32-64-128 channels.
    encoder, decoder : callable, default=None
        Return an ``nn.Module``, given the shape of one input. The encoder maps
        (n, \*input_shape) to (n, latent_dim), the decoder back.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened rows. 3-d and 4-d arrays say it themselves.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest.
    batch_size : int, default=256
        Rows per update.
    lr : float, default=1e-3
        Learning rate; during pretraining the peak of one cycle.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``.
    device : str or torch.device, default="auto"
        "auto" is "cuda", else "mps", else "cpu".
    precision : {"float32", "bfloat16"}, default="float32"
        bfloat16 speeds up training where the hardware has it.
    checkpoint : str or path, default=None
        A file in which the fit saves its progress and from which it continues after a crash.
    callbacks : sequence of skorch callbacks, default=None
        Copied, and called during training.
    trainer_params : dict, default=None
        Further parameters of skorch's net, such as ``{"optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, latent_dim)
        The learned centres, in code space.
    module_ : nn.Module
        The trained networks and centres.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and the share of labels that
        changed (``label_change``).
    device_ : str
        Where the networks are.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    See Also
    --------
    AutoencoderClustering : The same without the second training.

    References
    ----------
    Xie, Girshick & Farhadi, *Unsupervised deep embedding for clustering analysis*, ICML 2016.
    Guo, Gao, Liu & Yin, *Improved deep embedded clustering with local structure preservation*,
    IJCAI 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DECClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = DECClustering(
    ...     3, latent_dim=2, hidden_layer_sizes=(16,), pretrain_epochs=20, random_state=0
    ... ).fit(X)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "update_interval": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        reconstruction_weight: float = 10.0,
        update_interval: int = 1,
        tol: float = 1e-3,
        pretrain_epochs: int = 50,
        max_epochs: int = 50,
        latent_dim: int = 10,
        hidden_layer_sizes: Sequence[int] | None = None,
        encoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        decoder: Callable[[tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        batch_size: int = 256,
        lr: float = 1e-3,
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
        self.reconstruction_weight = reconstruction_weight
        self.update_interval = update_interval
        self.tol = tol
        self.pretrain_epochs = pretrain_epochs

    def _make_model(self) -> _DEC:
        encoder = self._make_encoder(self.latent_dim)
        decoder = self._make_decoder(self.latent_dim)
        shape = (self.n_clusters, self.latent_dim)
        return _DEC(self._fitting.scaling, encoder, decoder, shape)

    def _fit(self, table: Table) -> _DEC:
        clustering = Phase(
            "clustering",
            [Turn("model", "both" if self.reconstruction_weight else "clustering")],
            epochs=self.max_epochs,
            start=partial(_place_centers, seed=self._fitting.seed),
            refresh=[Refresh(_update_target, every=self.update_interval)],
            weights={"reconstruction": self.reconstruction_weight},
            until=partial(_is_settled, tol=self.tol),
        )
        phases = [reconstruction_phase(self.pretrain_epochs), clustering]
        return self._train("dec", self._make_model, phases, table)

    def _log_memberships(self, batch: Batch) -> Tensor:
        return self.module_(batch, "log_memberships")

    def _learned_centers(self) -> Tensor:
        return self.module_.centers


def _place_centers(trainer: Trainer, table: Table, seed: int) -> None:
    """Start the centres by k-means on the codes of the whole data."""
    centers = trainer.model.centers
    codes = trainer.encode(table).cpu().numpy()
    kmeans = KMeans(len(centers), n_init=20, random_state=seed)
    fit_clusterer(kmeans, codes, table.array("weight"))
    centers.data.copy_(torch.from_numpy(kmeans.cluster_centers_))
    table.columns["label"] = torch.full((len(table),), -1, device=table.device)


def _update_target(trainer: Trainer, table: Table) -> Mapping[str, float]:
    """Compute the target p from the memberships q of the whole data (eq. 3)."""
    q = _reseed_dead(trainer, table, trainer.encode(table, "log_memberships").exp())
    before, labels = table.columns["label"], q.argmax(1)
    table.columns["target"] = target_distribution(q, table.columns.get("weight"))
    table.columns["label"] = labels
    if (before < 0).any():
        return {}  # nothing to compare with yet
    return {"label_change": float((labels != before).float().mean())}


def _reseed_dead(trainer: Trainer, table: Table, q: Tensor) -> Tensor:
    """Move centres without members to the rows least at home in any cluster; return the new q."""
    dead = (torch.bincount(q.argmax(1), minlength=q.shape[1]) == 0).nonzero().flatten()
    if not len(dead):
        return q
    rows = q.amax(1).argsort()[: len(dead)]
    trainer.model.centers.data[dead] = trainer.encode(table)[rows]
    trainer.forget(trainer.model.centers, dead)
    notice(
        f"{len(dead)} clusters lost all their members and were started anew.",
    )
    return trainer.encode(table, "log_memberships").exp()


def _is_settled(record: Mapping[str, Any], tol: float) -> bool:
    return record.get("label_change", 1.0) < tol
