r"""Clusters that say much of a row and stay where it moves: IMSAT, and invariant information.

.. math:: \min_\theta \; R(\theta; T) - \lambda \, [\mu H(Y) - H(Y \mid X)]

for a softmax encoder :math:`p_\theta(y \mid x)`, where :math:`R = \mathrm{KL}(p(\cdot \mid x) \|
p(\cdot \mid T(x)))` holds rows where they were while T moves them (Hu et al. 2017, eq. 4, 5, 13).
With ``objective="iic"`` it is instead :math:`\min_\theta -I(p_\theta(x), p_\theta(T(x)))`, the
information that a row and its changed copy share (Ji et al. 2019, eq. 3).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdeepcluster.augment import augmentation_for
from skdeepcluster.base import AUGMENT, DeepClusterer, Run
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Turn
from skdeepcluster.models.information import InformationMaximizer, choose_head, measure_radii
from skdeepcluster.networks import make_feature_encoder
from skdeepcluster.scaling import Mode

__all__ = ["IMSATClustering"]

VECTOR_WIDTHS = (1200, 1200)  # of the paper's networks
OVER = 5  # clusters of a further head for each of the clusters, with "iic"


class IMSATClustering(DeepClusterer):
    r"""Learn clusters that tell most of a row, and do not change when it is moved (IMSAT, IIC).

    One network gives the probabilities of the clusters. It is trained to be sure of every row, to
    use all clusters alike, and to say the same of a row that is moved a little. There is no
    decoder, so neither `sample` nor `score`.

    For images, where `augment` knows how a row may change. On tables and texts the rows are moved
    in the direction that changes most, which assumes that clusters are far apart and of like size.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    latent_dim : int, default=10
        Width of the code, between the features and the classifier.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=50
        Epochs of training.
    batch_size : int, default=250
        Rows per update; the sizes of clusters are compared within a batch.
    lr : float, default=2e-3
        Learning rate.
    objective : {"imsat", "iic"}, default="imsat"
        "imsat" weighs invariance against information. "iic" asks for the information that a row
        and its changed copy share, also of further heads with five times the clusters.
    perturbation : {"auto", "augment", "adversarial", "random"}, default="auto"
        How rows are moved: by `augment`; by a step in the direction that changes their clusters
        most (virtual adversarial training); or by one in a random direction. "auto" augments if
        there is an augmentation, and is adversarial otherwise.
    augment : "auto", callable or None, default="auto"
        Random changes of a batch that keep its meaning: from a tensor of scaled rows, shape
        (n, \*input_shape), to one of the same shape. Such are the modules of
        `skdeepcluster.augment`, and a `torch.nn.Sequential` of several. "auto" is `RandomAffine`
        for images, and nothing for other rows.
    information_weight : float, default=0.1
        Weight :math:`\lambda` of the information against the invariance; "imsat" only.
    balance_weight : float, default=4.0
        Weight :math:`\mu` of the entropy of the clusters' sizes; the larger, the more alike they
        become. "imsat" only.
    radius : float, default=0.25
        Length of a step, as a share of the distance from a row to its `n_neighbors`-th neighbour.
    n_neighbors : int, default=10
        The neighbour that a step is measured by.
    n_heads : int, default=1
        Classifiers on one encoder. The one with the most information on the rows gives the
        clusters.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        For images the channels of the convolutions, for other rows the widths of the hidden layers.
        "auto": 32-64-64 and more for large images, or 1200-1200.
    encoder : callable, default=None
        ``encoder(shape, n_outputs)`` returns an ``nn.Module``, given the shape of one row, as
        `make_encoder` of `skdeepcluster.networks` does.
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
    warm_start : bool, default=False
        Whether `fit`, of a fitted estimator, goes on: `max_epochs` more of the main stage, with the
        networks, the scaling and the clusters that are there.
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
        Cluster of every training row.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the mean code.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch.
    timings_ : dict of str to float
        Seconds of every stage, in this process, and of finding the clusters at the end.
    run_agreement_ : ndarray of shape (n_init,)
        Mean adjusted Rand index of the clusters of each fit with those of the others, where
        `n_init` is more than 1.
    device_ : str
        Where the networks are.
    n_iter_ : int
        Epochs trained, of all stages and phases together.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    See Also
    --------
    SPCClustering : Learns clusters that were found, under the same random changes.

    References
    ----------
    Hu, Miyato, Tokui, Matsumoto & Sugiyama, *Learning discrete representations via information
    maximizing self-augmented training*, ICML 2017.
    Ji, Henriques & Vedaldi, *Invariant information clustering for unsupervised image classification
    and segmentation*, ICCV 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import IMSATClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = IMSATClustering(3, max_epochs=20, hidden_layer_sizes=(32,), random_state=0).fit(X)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    _streams_not = (
        "its objective spreads rows over all clusters, also where they are of one kind; use "
        "warm_start=True"
    )
    _may_change = frozenset({"information_weight", "balance_weight"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{k: v for k, v in DeepClusterer._parameter_constraints.items() if k != "decoder"},
        "objective": [StrOptions({"imsat", "iic"})],
        "perturbation": [StrOptions({"auto", "augment", "adversarial", "random"})],
        "augment": AUGMENT,
        "information_weight": [Interval(Real, 0, None, closed="left")],
        "balance_weight": [Interval(Real, 0, None, closed="left")],
        "radius": [Interval(Real, 0, None, closed="neither")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
    }
    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        MattersIf(
            ("information_weight", "balance_weight"),
            lambda self: self.objective == "imsat",
            "the information of pairs has no weights, with {objective}",
            "Use objective='imsat'",
        ),
        MattersIf(
            ("augment",),
            lambda self: self.perturbation in ("auto", "augment"),
            "rows are moved by steps with {perturbation}",
            "Use perturbation='augment'",
        ),
        MattersIf(
            ("radius", "n_neighbors"),
            lambda self: not self._will_augment(),
            "these rows are augmented with {perturbation} and {augment}",
            "Use perturbation='adversarial' or 'random'",
        ),
    )
    _decodes = False

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        n_init: int = 1,
        max_epochs: int = 50,
        batch_size: int = 250,
        lr: float = 2e-3,
        objective: str = "imsat",
        perturbation: str = "auto",
        augment: str | Callable[[Tensor], Tensor] | None = "auto",
        information_weight: float = 0.1,
        balance_weight: float = 4.0,
        radius: float = 0.25,
        n_neighbors: int = 10,
        n_heads: int = 1,
        hidden_layer_sizes: str | Sequence[int] = "auto",
        encoder: Callable[[tuple[int, ...], int], nn.Module] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        scaling: Mode | None = "auto",
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adam",
        device: str | torch.device = "auto",
        precision: str = "float32",
        warm_start: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Any] | None = None,
        trainer_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self._keep(locals())

    def _fit(self, run: Run) -> Model:
        model = InformationMaximizer(
            run.scaling,
            self._make_features(),
            self.latent_dim,
            self.n_clusters,
            self.n_heads,
            OVER * self.n_clusters if self.objective == "iic" else 0,
            self._perturbation(),
        )
        return self._go_on(run, model)

    def _go_on(self, run: Run, model: Model) -> Model:
        if isinstance(perturbation := self._perturbation(), str):
            run.needs_all_rows(f"perturbation={perturbation!r}", "Use an augmentation")
        measure = partial(measure_radii, share=self.radius, n_neighbors=self.n_neighbors)
        training = Phase(
            "information",
            [Turn("model", "pairing" if self.objective == "iic" else "informing")],
            epochs=self.max_epochs,
            start=measure if isinstance(perturbation, str) else None,
            weights=self._weights(),
        )
        phases = [training]
        if self.n_heads > 1:
            phases.append(Phase("choice", [], epochs=0, start=choose_head))
        return run.train("imsat", model, phases)

    def _make_features(self) -> nn.Module:
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, str) and len(self._input_shape) == 1:
            sizes = VECTOR_WIDTHS
        return self._make_encoder(self.latent_dim, make_feature_encoder, hidden_layer_sizes=sizes)

    def _weights(self) -> dict[str, float]:
        """Return the weights of eq. 13; IIC has none."""
        if self.objective == "iic":
            return {}
        information = self.information_weight
        return {"conditional_entropy": information, "balance": information * self.balance_weight}

    def _will_augment(self) -> bool:
        """Tell whether rows are augmented, which may depend on their shape."""
        if self.perturbation != "auto":
            return self.perturbation == "augment"
        return augmentation_for(self.augment, getattr(self, "_input_shape", ())) is not None

    def _perturbation(self) -> str | Callable[[Tensor], Tensor]:
        augmentation = augmentation_for(self.augment, self._input_shape)
        chosen = self.perturbation
        if chosen == "auto":
            chosen = "adversarial" if augmentation is None else "augment"
        if chosen != "augment":
            return chosen
        if augmentation is None:
            raise ValueError(
                f"perturbation='augment' has nothing to augment with: augment={self.augment!r} "
                "gives none for these rows. Pass a callable, or perturbation='adversarial'."
            )
        return augmentation
