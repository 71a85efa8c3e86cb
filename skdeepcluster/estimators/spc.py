r"""Selective pseudo-label clustering: a classifier learns clusters, and its features are clustered.

.. math:: \min_\theta \sum_{i \in S} w_i \,
          \mathrm{CE}\bigl(y_i, p_\theta(\cdot \mid T(x_i))\bigr), \qquad
          y = \mathrm{cluster}\bigl(h_\theta(x)\bigr)

in turns: labels :math:`y` of rows :math:`x` are found by clustering; a network learns those of the
rows :math:`S` that are not in doubt, under random changes :math:`T` that keep what a row means; the
labels are found anew among its features :math:`h` (Mahon & Lukasiewicz, *Selective pseudo-label
clustering*, 2021; the random changes: Guo et al., *Adaptive self-paced deep clustering with data
augmentation*, 2020).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.base import AUGMENT, Run, SelfLabelingClusterer, named_start
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.engine.table import Table
from skdeepcluster.models.labelings import Labeling, has_settled, warn_unsettled
from skdeepcluster.models.reclustering import Reclustering, start_rows
from skdeepcluster.models.self_labels import SelfLabeler, calibrate
from skdeepcluster.scaling import Mode

__all__ = ["SPCClustering"]


class SPCClustering(SelfLabelingClusterer):
    r"""Learn the clusters that were found, and cluster what was learned (SPC).

    For images. A start finds clusters among the raw rows. Then, round by round, a fresh network
    learns those that are not in doubt, from images that are moved, turned and stretched at random,
    and the clusters are found anew among its features. In the end one more network learns the last
    clusters of all rows. It labels a new row in one pass.

    It watches two figures of the last round: how many labels it changed, and how far the runs of
    the mixture agree. Where they say that nothing has settled, it keeps the clusters of the start,
    and warns. On tables it gains nothing: no changes of a row are known to keep its meaning.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Number of clusters. "auto" finds it by density, in the embedding of the start, or takes the
        clusters of `init`. ``init="umap-hdbscan"`` does not look at an integer, and a warning says
        so.
    latent_dim : int, default=10
        Width of the code, between the features and the classifier of the last network.
    init : {"umap-gmm", "umap-hdbscan", "n2d"}, clusterer, or array-like, default="umap-gmm"
        The first clusters.

        - "umap-gmm": a Gaussian mixture on UMAP coordinates of the rows, the best of 48 runs.
        - "umap-hdbscan": HDBSCAN on them, which finds noise, and the number of clusters.
        - "n2d": the same mixture on UMAP coordinates of an autoencoder's codes.
        - A clusterer, fitted to all rows.
        - Labels, one for each row; -1 is noise.

        Noise is not learnt from in the rounds.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int or "auto", default="auto"
        Passes over the rows that are learnt from, in each round and at the end. "auto" is 10, or
        more where these are fewer than 200 updates.
    batch_size : int, default=128
        Rows per update.
    lr : float, default=3e-3
        Peak of the one-cycle learning rate.
    max_rounds : int, default=3
        Rounds of learning and clustering; 0 learns the clusters of the start alone.
    augment : "auto", callable or None, default="auto"
        Random changes of a batch that keep its meaning: from a tensor of scaled rows, shape
        (n, \*input_shape), to one of the same shape. Such are the modules of
        `skdeepcluster.augment`, and a `torch.nn.Sequential` of several. "auto" is `RandomAffine`
        for images, and nothing for other rows.
    recluster : {"umap-gmm"} or None, default="umap-gmm"
        How clusters are found among the features of a round. None takes the classifier's own
        labels, which heal no wrong start.
    n_members : int, default=1
        Networks that learn side by side. With several, rows on whose cluster they differ are in
        doubt, and `predict_proba` is their mean.
    max_samples : int or None, default=20000
        Rows, drawn at random, that clusters are found among and learnt from at most. The others
        get the label that `predict` gives them. None sets no limit.
    unsettled : {"start", "last"}, default="start"
        Whose clusters are kept where the last round says that they have not settled: those of the
        start, or its own.
    noise : {"nearest", "keep"}, default="nearest"
        What becomes of the noise of `init`: "nearest" gives it to clusters, as the classifier sees
        it. "keep" teaches the classifier that it is noise, so that `predict` gives -1, also to new
        rows like it; there is no `predict_proba` then.
    label_smoothing : float, default=0.05
        Share of each target that is spread over all clusters, in [0, 1).
    reconstruction_weight : float, default=0.0
        Weight of the decoder's squared error in the rounds, on all rows. At 0 the decoder learns
        afterwards, from codes that no longer move.
    decoder_epochs : int, default=10
        Passes in which the decoder learns at the end. With 0, and without a weight on the
        reconstruction, there is no decoder, and neither `sample` nor `score`.
    manifold_params : dict, default=None
        Further parameters of UMAP, in place of ``min_dist=0`` and 20 neighbours, or a seventh of a
        cluster's rows if they are fewer.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        For images the channels of the convolutions, for other rows the widths of the hidden layers.
        "auto": 32-64-64 and more for large images, or 256-256-256.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. Features are then the codes of this encoder.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``.
    device : str or torch.device, default="auto"
        "auto" is "cuda", else "mps", else "cpu".
    precision : {"float32", "bfloat16"}, default="float32"
        bfloat16 speeds up training where the hardware has it.
    checkpoint : str or path, default=None
        A file in which the fit saves its progress and from which it continues after a crash.
    callbacks : sequence of skorch callbacks, default=None
        Called during training, themselves and not copies.
    trainer_params : dict, default=None
        Further parameters of skorch's net, such as ``{"optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 or more a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row, as `predict` gives it; -1 is noise.
    n_clusters_ : int
        Number of clusters.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the mean code.
    settled_ : bool
        Whether the last round changed at most 4 % of the labels and the runs of its mixture agree
        to an adjusted Rand index of .95.
    label_change_ : float
        Share of the labels that the last round changed; NaN without rounds.
    agreement_ : float
        How far the runs of the last mixture agree; at most 1.
    n_rounds_ : int
        Rounds made.
    start_labels_ : ndarray of shape (n_samples,)
        Clusters that training started from; -1 is noise, and rows that were not drawn.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch. The last of each round also has
        `label_change`, `agreement`, `classifier_agreement` (the share of rows on which classifier
        and clusters agree) and `confident` (the share to be learnt from next).
    timings_ : dict of str to float
        Seconds of every stage, in this process, and of finding the clusters at the end.
    run_agreement_ : ndarray of shape (n_init,)
        Mean adjusted Rand index of the clusters of each fit with those of the others, where
        `n_init` is more than 1.
    device_ : str
        Where the networks are.
    n_iter_ : int
        Epochs trained, of all stages and phases together.
    n_samples_seen_ : int
        Rows so far that have a weight, after `partial_fit`.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    Warns
    -----
    ConvergenceWarning
        If the clusters did not settle.

    See Also
    --------
    AutoencoderClustering : With ``manifold="umap", head="gmm"``, one of the starts.
    KDVAEClustering : Generates rows of the clusters that it starts from.

    References
    ----------
    Mahon & Lukasiewicz, *Selective pseudo-label clustering*, KI 2021.
    Guo, Liu, Zhu, Zhu, Li, Xu & Yin, *Adaptive self-paced deep clustering with data augmentation*,
    IEEE Transactions on Knowledge and Data Engineering 32, 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeepcluster import SPCClustering
    >>> images = load_digits(n_class=3).images / 16
    >>> model = SPCClustering(3, max_rounds=1, max_epochs=5, random_state=0).fit(images)
    >>> model.predict(images).shape, model.start_labels_.shape
    ((537,), (537,))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SelfLabelingClusterer._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "init": [
            StrOptions({"umap-gmm", "umap-hdbscan", "n2d"}),
            HasMethods(["fit"]),
            "array-like",
        ],
        "max_rounds": [Interval(Integral, 0, None, closed="left")],
        "recluster": [StrOptions({"umap-gmm"}), None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "augment": AUGMENT,
        "max_samples": [Interval(Integral, 2, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
        "unsettled": [StrOptions({"start", "last"})],
        "noise": [StrOptions({"nearest", "keep"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "decoder_epochs": [Interval(Integral, 0, None, closed="left")],
        "manifold_params": [dict, None],
    }

    _tells_departure = False  # it judges itself whether to leave the start: `settled_`
    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *SelfLabelingClusterer._conditions,
        MattersIf(
            ("unsettled",),
            lambda self: self.max_rounds > 0,
            "there are no rounds with {max_rounds}",
            "Use more rounds",
        ),
        MattersIf(
            ("manifold_params",),
            lambda self: self._embeds(),
            "they are UMAP's, which neither `init` nor `recluster` asks for",
            "Use init='umap-gmm' or recluster='umap-gmm'",
        ),
        MattersIf(
            ("decoder_epochs",),
            lambda self: self.reconstruction_weight == 0 or self.decoder_epochs == 0,
            "the decoder learns in the rounds with {reconstruction_weight}",
            "Use reconstruction_weight=0",
        ),
        MattersIf(
            ("decoder",),
            lambda self: self._will_decode(),
            "{decoder_epochs} and {reconstruction_weight} leave nothing to decode",
            "Raise one of them",
        ),
    )

    def __init__(
        self,
        n_clusters: int | str = 8,
        *,
        latent_dim: int = 10,
        init: str | ClusterMixin | ArrayLike = "umap-gmm",
        n_init: int = 1,
        max_epochs: int | str = "auto",
        batch_size: int = 128,
        lr: float = 3e-3,
        max_rounds: int = 3,
        augment: str | Callable[[Tensor], Tensor] | None = "auto",
        recluster: str | None = "umap-gmm",
        n_members: int = 1,
        max_samples: int | None = 20_000,
        unsettled: str = "start",
        noise: str = "nearest",
        label_smoothing: float = 0.05,
        reconstruction_weight: float = 0.0,
        decoder_epochs: int = 10,
        manifold_params: dict[str, Any] | None = None,
        hidden_layer_sizes: str | Sequence[int] = "auto",
        encoder: Callable[[tuple[int, ...], int], nn.Module] | None = None,
        decoder: Callable[[int, tuple[int, ...]], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adam",
        device: str | torch.device = "auto",
        precision: str = "float32",
        checkpoint: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Any] | None = None,
        trainer_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self._keep(locals())

    # -- the schedule ---------------------------------------------------------------------------

    def _fit(self, run: Run) -> SelfLabeler:
        self._check_before(run)
        drawn = self._drawn_rows(run)
        sample = run.table.subset(torch.from_numpy(drawn))
        if sample.on_disk:
            run.needs_all_rows(f"max_samples={self.max_samples}", "Use fewer")
        start = found = self._labeling(run, "start", lambda: self._start(run, sample, drawn))
        self._keep_start(run, start, drawn)
        n_clusters = self._count(start)
        model = None
        while self.n_rounds_ < self.max_rounds and not run.interrupted:
            self.n_rounds_ += 1
            stage = f"round {self.n_rounds_}"
            model = self._learn(run, stage, found, n_clusters, sample)
            if not run.interrupted:
                anew = partial(self._cluster_anew, run, model, sample)
                found = self._compare(start, found, self._labeling(run, f"{stage}: clusters", anew))
        self.settled_ = has_settled(self.n_rounds_, self.label_change_, self.agreement_)
        self._has_noise = False
        if run.interrupted and model is not None:
            return model  # it has learned something, which one more would not
        final = self._final_labels(start, found, n_clusters)
        model = self._learn(run, "final", final, n_clusters + self._has_noise, sample, last=True)
        calibrate(model, sample, self.label_change_ if self.n_rounds_ > 1 else np.nan)
        return model

    def _final_labels(self, start: Labeling, found: Labeling, n_clusters: int) -> Labeling:
        """Return the labels that are taught last, of all rows."""
        if not self.settled_ and self.n_rounds_:
            kept = "the start" if self.unsettled == "start" else "the last round"
            warn_unsettled(kept, self.label_change_, self.agreement_)
        chosen = found if self.settled_ or self.unsettled == "last" else start
        labels = chosen.labels
        self._has_noise = self.noise == "keep" and bool((start.labels < 0).any())
        if self._has_noise:
            labels = np.where(start.labels < 0, n_clusters, labels)
        return Labeling(labels, labels >= 0)

    # -- clustering -----------------------------------------------------------------------------

    def _start(self, run: Run, sample: Table, drawn: NDArray[np.intp]) -> Labeling:
        """Return the first clusters."""
        if self._is_given():
            labels = self._given_labels(run)[drawn].astype(np.int64)
            return Labeling(labels, labels >= 0)
        # Sparse rows that are left to us are taken for counts of words, whose sum means little.
        is_text = sparse.issparse(run.X) and self.scaling == "auto"
        metric = "cosine" if is_text else "euclidean"
        rows = start_rows(run.X, np.flatnonzero(run.counted)[drawn], sample, run.scaling, run.seed)
        clusters = Reclustering(run.seed, self.manifold_params or {})
        if self._is_init("umap-hdbscan"):
            return clusters.find(rows, metric)
        known = isinstance(self.n_clusters, Integral)
        return clusters.start(rows, int(self.n_clusters) if known else None, metric)

    # -- what the base asks ---------------------------------------------------------------------

    def _n_clusters_asked(self) -> Any:
        return "auto" if self._is_init("umap-hdbscan") else self.n_clusters

    @property
    def _decodes(self) -> bool:  # type: ignore[override]
        if self.__sklearn_is_fitted__():
            return self.module_.decoder is not None
        return self._will_decode()

    @property
    def _has_memberships(self) -> bool:  # type: ignore[override]
        return self.noise == "nearest"

    def _n_candidates(self) -> int:
        return self.module_.n_clusters - self._has_noise

    def _label(self, scores: Tensor) -> Tensor:
        labels = super()._label(scores)
        if not self._has_noise:
            return labels
        # The classifier's last output is the noise that it was taught.
        return labels.masked_fill(scores.argmax(1) == self._n_candidates(), -1)


@named_start("spc")
def _as_start(owner: Any) -> SPCClustering:
    """Return what finds the first clusters of another estimator, with its data and device."""
    return SPCClustering(
        owner.n_clusters,
        decoder_epochs=0,  # nothing is generated
        image_shape=owner.image_shape,
        scaling=owner.scaling,
        device=owner.device,
        precision=owner.precision,
        verbose=owner.verbose,
    )
