r"""Adversarial autoencoders whose code is a category and a style, each held to its prior by a game.

.. math:: \min_{q, p} \max_{D_y, D_z} \; -\mathbb E_x \log p(x | z, y)
          + \sum_{u \in \{y, z\}} \mathbb E_{p(u)} \log D_u(u)
          + \mathbb E_x \log (1 - D_u(u(x)))

with a categorical :math:`p(y)` and a standard Gaussian :math:`p(z)` (Makhzani et al. 2015, sections
2 and 6).
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
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval
from torch import nn

from skdeepcluster.base import AdversarialClusterer, InitializedClusterer, Run, init_constraint
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.base._initialized import StartAgreement
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Step, Turn
from skdeepcluster.models.aae import AdversarialAutoencoder, label_by_mixture, learn_labels
from skdeepcluster.models.autoencoder import reconstruction_phase
from skdeepcluster.networks import make_critic
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["AAEClustering"]


class AAEClustering(AdversarialClusterer, InitializedClusterer):
    r"""Adversarial autoencoder with a category and a style as its code (AAE).

    The encoder tells a row's category, its cluster, and its style; the decoder needs both. Two
    discriminators see to it that categories are one-hot, in given proportions, and that styles
    follow a standard Gaussian, so that rows can be drawn of any cluster in any style.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of categories.
    latent_dim : int, default=10
        Width of the style. `transform` returns the style and, after it, a column for every cluster,
        here the memberships.
    init : {"gmm", "random", "n2d", "spc"}, clusterer or array-like, default="gmm"
        What the categories stand for at first. "gmm" are the clusters of a mixture of the
        pretrained styles. "random" leaves it to the game, as the paper does. Otherwise they are
        clusters found elsewhere.

        - "n2d": an autoencoder, UMAP and a mixture; "spc": :class:`SPCClustering`. Each looks for
          as many clusters.
        - A scikit-learn clusterer, one of this package, or a pipeline that ends in one. It is
          cloned and fitted to the rows, not scaled, as an array; its `n_clusters` is set if it has
          its default value, and any `random_state` that is None. ``FrozenEstimator(clusterer)`` is
          one that is fitted already and predicts.
        - Labels in 0..n_clusters-1 of shape (n_samples,), such as another clusterer's ``labels_``;
          -1 leaves a row out.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=50
        Epochs of the game.
    batch_size : int, default=100
        Rows per update.
    lr : float, default=1e-3
        Learning rate; during pretraining the peak of one cycle.
    regularization_weight : float, default=1.0
        Weight of what categories and styles pay for being told from draws of their priors, beside
        the log-likelihood of a row. At 1 the sum stands for the evidence lower bound.
    conditional : bool, default=True
        Whether the discriminator of styles is told the category, so that styles are alike in all
        categories. The paper does not.
    pretrain_epochs : int, default=50
        Epochs of reconstruction alone.
    init_epochs : int, default=20
        Epochs in which the encoder learns the first clusters.
    n_critic : int or "auto", default="auto"
        Updates of the discriminators for each of the encoder, on the same batch. "auto" is 1.
    critic_lr : float or "auto", default="auto"
        Learning rate of the discriminators. "auto" is `lr`.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. "auto": 500-500-2000, or 32-64-128 channels.
    critic_hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the discriminators' hidden layers. "auto": 128-128.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. The encoder returns the style and, as logits, the
        category; the decoder takes both.
    critic : callable, default=None
        ``critic(shape)`` returns an ``nn.Module`` that maps inputs of this shape to (n,), a logit.
        It is called twice: for styles, each with a column for every category if `conditional`, and
        for categories.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions. Scaled data in [0,
        1] is modelled by Bernoulli variables, other data by Gaussians.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``. "adam" has betas of .5 and .9.
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
        Further parameters of skorch's net, such as ``{"critic_optimizer__weight_decay": 1e-5}``.
    random_state : int, RandomState or None, default=None
        An integer gives the same result every time on one device.
    verbose : int, default=0
        1 shows a progress bar, 2 or more a line per epoch.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of every training row.
    start_labels_ : ndarray of shape (n_samples,)
        Clusters that training started from; -1 is none. Not with ``init="random"``.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the mean code.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch. The last record of a phase also
        has the adjusted Rand index of the clusters with those of the start (``start_agreement``).
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
    ClusterGANClustering : Such a code, drawn and found again by a game among rows.
    VaDEClustering : A Gaussian for every cluster, learned by a bound.

    References
    ----------
    Makhzani, Shlens, Jaitly, Goodfellow & Frey, *Adversarial autoencoders*, 2015.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import AAEClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = AAEClustering(
    ...     3,
    ...     latent_dim=2,
    ...     hidden_layer_sizes=(16,),
    ...     pretrain_epochs=20,
    ...     max_epochs=10,
    ...     random_state=0,
    ... ).fit(X)
    >>> rows, labels = model.sample(4, cluster=2, random_state=0)
    >>> rows.shape, model.predict_proba(X).shape
    ((4, 6), (200, 3))
    """

    _codes_name_clusters = True
    _may_change = frozenset({"n_critic", "regularization_weight"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialClusterer._parameter_constraints,
        "init": init_constraint("gmm", "random"),
        "regularization_weight": [Interval(Real, 0, None, closed="left")],
        "conditional": ["boolean"],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "init_epochs": [Interval(Integral, 0, None, closed="left")],
    }

    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *AdversarialClusterer._conditions,
        MattersIf(
            ("pretrain_epochs", "init_epochs"),
            lambda self: self._has_start(),
            "the game begins at once with {init}",
            "Use init='gmm', or clusters from elsewhere",
        ),
    )

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        init: str | ClusterMixin | ArrayLike = "gmm",
        n_init: int = 1,
        max_epochs: int = 50,
        batch_size: int = 100,
        lr: float = 1e-3,
        regularization_weight: float = 1.0,
        conditional: bool = True,
        pretrain_epochs: int = 50,
        init_epochs: int = 20,
        n_critic: int | str = "auto",
        critic_lr: float | str = "auto",
        hidden_layer_sizes: str | Sequence[int] = "auto",
        critic_hidden_layer_sizes: str | Sequence[int] = "auto",
        encoder: Callable[[tuple[int, ...], int], nn.Module] | None = None,
        decoder: Callable[[int, tuple[int, ...]], nn.Module] | None = None,
        critic: Callable[[tuple[int, ...]], nn.Module] | None = None,
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

    def _has_start(self) -> bool:
        return not isinstance(self.init, str) or self.init != "random"

    def _fit(self, run: Run) -> Model:
        model = self._make_model(run.scaling)
        if not self._has_start():
            return self._go_on(run, model)
        learning = Phase(
            "learning",
            [Turn("model", "learning")],
            epochs=self.init_epochs,
            start=self._first_labels(run),
        )
        phases = [reconstruction_phase(self.pretrain_epochs), learning, self._game()]
        watch = StartAgreement(self.n_clusters)
        return run.train("aae", model, phases, callbacks=[watch])

    def _go_on(self, run: Run, model: Model) -> Model:
        return run.train("aae", model, [self._game()])

    def _game(self) -> Phase:
        weight = self.regularization_weight
        return Phase(
            "game",
            [Turn("critic", "judgement", self._n_critic(1)), Turn("model", "autoencoding")],
            epochs=self.max_epochs,
            weights={"style": weight, "category": weight},
        )

    def _first_labels(self, run: Run) -> Step:
        """Return the step that says which labels are learnt first."""
        if not self._is_given():
            return partial(label_by_mixture, seed=run.seed)
        self._check_model(run, self._make_model)
        return partial(learn_labels, labels=self._given_labels(run))

    def _make_model(self, scaling: Scaling) -> AdversarialAutoencoder:
        width = self.latent_dim + self.n_clusters
        return AdversarialAutoencoder(
            scaling,
            self._make_encoder(width),
            self._make_decoder(width),
            (
                self._critic_of(width if self.conditional else self.latent_dim),
                self._critic_of(self.n_clusters),
            ),
            self.n_clusters,
            self.latent_dim,
            self.conditional,
            self._critic_lr(),
        )

    def _critic_of(self, width: int) -> nn.Module:
        return self._make_critic((width,), make_critic, (width,), self._critic_sizes((128, 128)))

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw the styles from their prior, given the clusters."""
        return self._prior_codes(labels, rng)
