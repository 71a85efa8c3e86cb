r"""Variational deep embedding: an autoencoder whose codes follow a mixture of Gaussians.

.. math:: \max \; \mathbb E_{q(z | x)} \log p(x | z)
          - \sum_i \gamma_i \Bigl[ \mathrm{KL}\bigl(q(z | x) \,\|\, \mathcal N(\mu_i, s_i^2)\bigr)
          + \log \frac{\gamma_i}{\pi_i} \Bigr],
          \qquad \gamma_i = p(i | z)

("A mixture of variational autoencoders for deep clustering", 2020, eq. 9, where the bracket around
the sum's two terms is missing; Jiang et al. 2017.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skdeepcluster.augment import augmentation_for
from skdeepcluster.base import (
    AUGMENT,
    DeepClusterer,
    InitializedClusterer,
    MixtureClusterer,
    Run,
    init_constraint,
)
from skdeepcluster.base._streaming import once_through
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.table import Batch
from skdeepcluster.models.vade import (
    VaDE,
    bound_phase,
    place_mixture,
    place_on_labels,
    vade_phases,
)
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["VaDEClustering"]

OWN_STARTS = {"gmm": place_mixture}


class VaDEClustering(MixtureClusterer, InitializedClusterer):
    r"""Variational deep embedding (VaDE).

    A variational autoencoder whose latent prior is a mixture of Gaussians, a component per cluster.
    Memberships are posterior probabilities of the components, new rows of a cluster are drawn from
    its component, and the score of a row bounds its log-likelihood.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of components.
    latent_dim : int, default=10
        Width of the code.
    init : {"gmm", "n2d", "spc"}, clusterer or array-like, default="gmm"
        First components. "gmm" takes the best of 48 mixtures of the pretrained codes; the paper,
        one. Otherwise each starts as the Gaussian of the codes of a cluster found elsewhere.

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
    max_epochs : int, default=100
        Epochs on the evidence lower bound.
    batch_size : int, default=100
        Rows per update.
    lr : float, default=2e-3
        Learning rate; during pretraining the peak of one cycle, afterwards a tenth less every ten
        epochs, down to a tenth.
    pretrain_epochs : int, default=50
        Epochs of reconstruction alone, before the components are placed.
    augment : "auto", callable or None, default=None
        Changes of the rows in training. What is modelled are the changed rows.
        Changes are random and keep a batch's meaning: from a tensor of scaled rows, shape
        (n, \*input_shape), to one of the same shape. Such are the modules of
        `skdeepcluster.augment`, and a `torch.nn.Sequential` of several. "auto" is `RandomAffine`
        for images, and nothing for other rows.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. For images, the channels
        of its convolutions. "auto": 500-500-2000, or 32-64-128 channels.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. The decoder returns logits where scaled data lies in
        [0, 1].
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions. Scaled data in [0,
        1] is modelled by Bernoulli variables, other data by Gaussians.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or callable, default="adam"
        A callable takes parameters and ``lr``. "adam" has an epsilon of 1e-4.
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
        Clusters that training started from; -1 is none.
    n_clusters_ : int
        Number of clusters that have members.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features_in_)
        Mean row of every cluster, in the units of the rows.
    code_centers_ : ndarray of shape (n_clusters_, n_components)
        Centre of every cluster among the codes: the mean of its component.
    weights_ : ndarray of shape (n_clusters_,)
        Weights of the components; they sum to 1.
    means_ : ndarray of shape (n_clusters_, latent_dim)
        Their means, as `code_centers_`.
    covariances_ : ndarray of shape (n_clusters_, latent_dim)
        The diagonals of their covariances, in squared units of the codes.
    module_ : nn.Module
        The trained networks and the mixture, ``module_.prior``.
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
    n_samples_seen_ : int
        Rows so far that have a weight, after `partial_fit`.
    n_features_in_ : int
        Number of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if the data had any.

    See Also
    --------
    AutoencoderClustering : With ``head="gmm"``, a mixture with full covariances on the codes of an
        autoencoder, that is clustered once and not trained on.

    References
    ----------
    Jiang, Zheng, Tan, Tang & Zhou, *Variational deep embedding: an unsupervised and generative
    approach to clustering*, IJCAI 2017.
    *A mixture of variational autoencoders for deep clustering*, 2020, section 3.4.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import VaDEClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = VaDEClustering(
    ...     3,
    ...     latent_dim=2,
    ...     hidden_layer_sizes=(16,),
    ...     pretrain_epochs=20,
    ...     max_epochs=5,
    ...     random_state=0,
    ... ).fit(X)
    >>> rows, labels = model.sample(4, cluster=2, random_state=0)
    >>> rows.shape, model.score_samples(X).shape
    ((4, 6), (200,))
    """

    _streams_not = ""
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "init": init_constraint(*OWN_STARTS),
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "augment": AUGMENT,
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        init: str | ClusterMixin | ArrayLike = "gmm",
        n_init: int = 1,
        max_epochs: int = 100,
        batch_size: int = 100,
        lr: float = 2e-3,
        pretrain_epochs: int = 50,
        augment: str | Callable[[Tensor], Tensor] | None = None,
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

    def _fit(self, run: Run) -> VaDE:
        start = self._first_step(run, self._make_model, OWN_STARTS, place_on_labels)
        phases = vade_phases(self.pretrain_epochs, self.max_epochs, start)
        return run.train("vade", self._make_model(run.scaling), phases)

    def _go_on(self, run: Run, model: Model) -> Model:
        return run.train("vade", model, [bound_phase(self.max_epochs)])

    def _stream(self, run: Run, model: Model) -> Model:
        return run.train("vade", model, [once_through(bound_phase(1))])

    def _make_model(self, scaling: Scaling) -> VaDE:
        encoder = self._make_encoder(2 * self.latent_dim)
        decoder = self._make_decoder(self.latent_dim)
        model = VaDE(scaling, encoder, decoder, self.n_clusters, self.latent_dim)
        model.augment = augmentation_for(self.augment, self._input_shape)
        return model

    def _score_rows(self, batch: Batch) -> Tensor:
        return self.module_.elbo(batch)
