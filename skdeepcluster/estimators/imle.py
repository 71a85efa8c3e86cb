r"""IMLE clustering: pull the generated sample nearest to each row towards the row.

.. math:: \min_{G, E} \frac1n \sum_i \|x_i - G(z_i)\|^2
          + \alpha_f \|E_f(x_i) - E_f(G(z_i))\|^2
          + \beta_n \|z_{n, i} - E_n(G(z_i))\|^2 + \beta_c H(z_{c, i}, E_c(G(z_i)))

(Vardakas 2021, eq. 5.1, with :math:`\alpha = 1`), where :math:`z_i` is the code, of many that were
drawn, whose sample is nearest to :math:`x_i`. Its component is the cluster of the row.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from skdeepcluster.base import GenerativeClusterer, InitializedClusterer, Run, init_constraint
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.engine.schedule import Phase, Progress, Refresh, Turn
from skdeepcluster.models.matching import MatchedGenerator, watch_matches
from skdeepcluster.priors import DiscreteContinuousPrior, SeparatedGaussiansPrior
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["IMLEClustering"]

PRIORS = {
    "discrete_continuous": DiscreteContinuousPrior,
    "gaussian_mixture": SeparatedGaussiansPrior,
}


class IMLEClustering(GenerativeClusterer, InitializedClusterer):
    r"""Cluster by implicit maximum likelihood, with a generator whose code names the cluster.

    Every row is matched with the nearest of many generated samples, and that sample is pulled
    towards it, so that each component of the prior comes to generate one cluster. An encoder
    learns to tell the component of a sample; its answer on a real row is the row's cluster.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of components.
    latent_dim : int, default=10
        Width of the noise beside the components, which `transform` leaves out: it returns a column
        for every cluster alone.
    init : {"random", "n2d", "spc"}, clusterer or array-like, default="random"
        What rows a component learns first, in the epochs of `balanced_share`. "random" leaves it to
        the matching, as the thesis does. Otherwise a row is matched with a sample of the component
        that has its label, so that the components start as clusters found elsewhere; afterwards
        rows go where they are matched.

        - "n2d": an autoencoder, UMAP and a mixture; "spc": :class:`SPCClustering`. Each looks for
          as many clusters.
        - A scikit-learn clusterer, one of this package, or a pipeline that ends in one. It is
          cloned and fitted to the rows, not scaled, as an array; its `n_clusters` is set if it has
          its default value, and any `random_state` that is None. ``FrozenEstimator(clusterer)`` is
          one that is fitted already and predicts.
        - Labels in 0..n_clusters-1 of shape (n_samples,), such as another clusterer's ``labels_``;
          -1 leaves a row free.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=100
        Passes over the data.
    batch_size : int, default=64
        Rows per update, at least 2. The memory and the time of matching in the epochs of
        `balanced_share` grow with its square and its cube.
    lr : float, default=1e-3
        Learning rate. It falls to 0 in the second half of the epochs.
    prior : {"discrete_continuous", "gaussian_mixture"}, default="discrete_continuous"
        How codes are drawn: a one-hot beside Gaussian noise, or from a mixture of Gaussians whose
        means are nine standard deviations apart.
    search : {"two_stage", "global"}, default="two_stage"
        "two_stage" looks for the nearest centroid of a component first, and then among its
        samples; "global" among all samples.
    label_source : {"encoder", "centroid", "centroid_alone"}, default="encoder"
        Who says the cluster of a row: the encoder, or the nearest centroid of what the components
        generate. With "centroid" the encoder takes part in training all the same; with
        "centroid_alone" there is none.
    balanced_share : float, default=0.5
        Share of the epochs, from the first on, in which every row gets a sample of its own: the
        stages of `search` are then assignments of least total distance. Rows are spread over all
        components, or as `init` has them, and no sample is left behind. With 1 it stays so to the
        end.
    n_samples_per_point : int, default=1
        Samples that `search` has for every row of a batch, spread evenly over the components. It
        is one in the epochs of `balanced_share`.
    updates_per_matching : int, default=1
        Updates on a batch before its rows are matched anew.
    component_weight : float, default=0.5
        Weight beta_c of finding the component again.
    noise_weight : float, default=0.0
        Weight beta_n of finding the noise again.
    encoded_samples : {"matched", "all"}, default="matched"
        The samples whose codes the encoder learns to find.
    feature_weight : float, default=0.0
        Weight alpha_f of the distance between rows and their samples in the encoder's last hidden
        layer. Where it is positive, an `encoder` of yours must be an ``nn.Sequential``.
    detach_features : bool, default=False
        Whether that distance leaves the encoder alone and moves the generator only.
    sigma : float, default=0.1
        Standard deviation of the noise.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the hidden layers of both networks, in the encoder's order. For images, the
        channels of their convolutions. "auto": 256-256, or 64-128 channels (128-256 in the
        generator) and dense layers, as in the thesis.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. The encoder returns the noise and, as logits, the
        component; the decoder is the generator.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions. The generator ends
        in a sigmoid for scaled data in [0, 1].
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``. "adam" has betas of .5 and .99.
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
    start_labels_ : ndarray of shape (n_samples,)
        Clusters that training started from, -1 is none; not with ``init="random"``.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the mean code. A code is the logits of the
        components: the encoder's, or, without one, the log-densities of Gaussians at their
        centroids.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and the number of components
        that had lost all rows before it (``dead``). ``matching`` is the clustering error: the
        squared distance from a row to its sample. The last record also has the adjusted Rand index
        of the clusters with those of the start (``start_agreement``), if there were some.
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
    ClusterGANClustering : The same networks, trained against a critic.

    References
    ----------
    Vardakas, *Deep clustering based on implicit likelihood maximization*, thesis, University of
    Ioannina, 2021, chapters 4 and 5.
    Li & Malik, *Implicit maximum likelihood estimation*, 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import IMLEClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = IMLEClustering(
    ...     3, latent_dim=2, hidden_layer_sizes=(32,), max_epochs=20, random_state=0
    ... ).fit(X)
    >>> model.interpolate(0, 2, n_steps=5, random_state=0).shape
    (5, 6)
    """

    _codes_name_clusters = True
    _may_change = frozenset({"noise_weight", "component_weight", "updates_per_matching"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **GenerativeClusterer._parameter_constraints,
        "init": init_constraint("random"),
        "prior": [StrOptions(set(PRIORS))],
        "search": [StrOptions({"two_stage", "global"})],
        "label_source": [StrOptions({"encoder", "centroid", "centroid_alone"})],
        "n_samples_per_point": [Interval(Integral, 1, None, closed="left")],
        "updates_per_matching": [Interval(Integral, 1, None, closed="left")],
        "balanced_share": [Interval(Real, 0, 1, closed="both")],
        "encoded_samples": [StrOptions({"matched", "all"})],
        "feature_weight": [Interval(Real, 0, None, closed="left")],
        "detach_features": ["boolean"],
    }

    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *GenerativeClusterer._conditions,
        MattersIf(
            ("init",),
            lambda self: self.balanced_share > 0,
            "rows go where they are matched in all epochs with {balanced_share}",
            "Use a balanced_share above 0",
        ),
        MattersIf(
            ("encoder", "component_weight", "noise_weight", "encoded_samples", "feature_weight"),
            lambda self: self._has_encoder,
            "there is no encoder with {label_source}",
            "Use label_source='encoder' or 'centroid'",
        ),
        MattersIf(
            ("detach_features",),
            lambda self: self._has_encoder and self.feature_weight > 0,
            "nothing is done with features with {label_source} and {feature_weight}",
            "Use a feature_weight above 0",
        ),
        MattersIf(
            ("n_samples_per_point",),
            lambda self: self.balanced_share < 1,
            "a row has one sample in all epochs with {balanced_share}",
            "Use a balanced_share below 1",
        ),
    )

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        init: str | ClusterMixin | ArrayLike = "random",
        n_init: int = 1,
        max_epochs: int = 100,
        batch_size: int = 64,
        lr: float = 1e-3,
        prior: str = "discrete_continuous",
        search: str = "two_stage",
        label_source: str = "encoder",
        balanced_share: float = 0.5,
        n_samples_per_point: int = 1,
        updates_per_matching: int = 1,
        component_weight: float = 0.5,
        noise_weight: float = 0.0,
        encoded_samples: str = "matched",
        feature_weight: float = 0.0,
        detach_features: bool = False,
        sigma: float = 0.1,
        hidden_layer_sizes: str | Sequence[int] = "auto",
        encoder: Callable[[tuple[int, ...], int], nn.Module] | None = None,
        decoder: Callable[[int, tuple[int, ...]], nn.Module] | None = None,
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

    def _make_model(self, scaling: Scaling) -> MatchedGenerator:
        generator, encoder = self._make_generator(scaling), None
        if self._has_encoder:
            encoder = self._make_encoder(self.latent_dim + self.n_clusters, **self._leaky())
            self._check_features(encoder)
        return MatchedGenerator(
            scaling,
            encoder,
            generator,
            PRIORS[self.prior](self.n_clusters, self.latent_dim, self.sigma),
            search=self.search,
            n_samples_per_point=self.n_samples_per_point,
            encode_all=self.encoded_samples == "all",
            has_features=self.feature_weight > 0,
            detach_features=self.detach_features,
            labels_by_encoder=self.label_source == "encoder",
        )

    @property
    def _has_encoder(self) -> bool:
        return self.label_source != "centroid_alone"

    def _check_features(self, encoder: nn.Module) -> None:
        if self.feature_weight > 0 and not isinstance(encoder, nn.Sequential):
            raise ValueError(
                "feature_weight > 0 needs an encoder that is an nn.Sequential, whose last hidden "
                f"layer is all but its last module; got {type(encoder).__name__}. Give such an "
                "encoder, or set feature_weight=0."
            )

    def _fit(self, run: Run) -> MatchedGenerator:
        if self._is_given():
            self._check_model(run, self._make_model)
            self._note_start(run, self._given_labels(run))
        n_balanced = math.ceil(round(self.balanced_share * self.max_epochs, 9))  # .07 * 100 > 7
        return self._match(run, self._make_model(run.scaling), n_balanced)

    def _go_on(self, run: Run, model: Any) -> MatchedGenerator:
        return self._match(run, model, n_balanced=0)

    def _match(self, run: Run, model: MatchedGenerator, n_balanced: int) -> MatchedGenerator:
        turns = [Turn("model", "match")]
        if self.updates_per_matching > 1:
            turns.append(Turn("model", "pull", self.updates_per_matching - 1))
        matching = Phase(
            "matching",
            turns,
            epochs=self.max_epochs,
            lr={"model": _late_fall},
            refresh=[Refresh(partial(watch_matches, n_balanced=n_balanced))],
            weights=self._weights(),
        )
        run.train("imle", model, [matching])
        model.fix_centroids(run.seed)
        return model

    def _weights(self) -> dict[str, float]:
        """Return the weights of the terms that there are."""
        if not self._has_encoder:
            return {}
        weights = {"noise": self.noise_weight, "component": self.component_weight}
        return weights | ({"features": self.feature_weight} if self.feature_weight > 0 else {})


def _late_fall(progress: Progress) -> float:
    """Return a factor that is 1 in the first half of a phase and falls to 0 in the second."""
    return min(1.0, 2 * (1 - progress.fraction))
