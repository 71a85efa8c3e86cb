r"""ClusterGAN: a generator, a critic, and an encoder that finds the generator's code again.

.. math:: \min_{G, E} \max_D \; \mathbb E_x\, q(D(x)) + \mathbb E_z\, q(1 - D(G(z)))
          + \beta_n \mathbb E_z \|z_n - E(G(z))_n\|^2 + \beta_c \mathbb E_z H(z_c, E(G(z))_c)

(Vardakas 2021, eq. 3.4), with :math:`z = (z_n, z_c)`, :math:`z_n \sim N(0, \sigma^2 I)` and a
one-hot :math:`z_c`. The component of a row is its cluster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from skdeepcluster.base import AdversarialClusterer, GenerativeClusterer, Run
from skdeepcluster.base._conditions import MattersIf
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase, Turn
from skdeepcluster.models.clustergan import GAMES, ClusterGAN
from skdeepcluster.networks import make_critic
from skdeepcluster.priors import DiscreteContinuousPrior
from skdeepcluster.scaling import Mode, Scaling

__all__ = ["ClusterGANClustering"]


class ClusterGANClustering(AdversarialClusterer, GenerativeClusterer):
    r"""Cluster by a generative adversarial network with a discrete code.

    The generator learns the distribution of the data from codes that name a component; the
    encoder learns which component generated a row. Its answer on real rows is their cluster.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of components.
    latent_dim : int, default=10
        Width of z_n. `transform` returns the code and, after it, a column for every cluster, here
        the memberships z_c.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=200
        Passes over the data by the critic. The generator takes no rows, only noise.
    batch_size : int, default=64
        Rows per update, at least 2.
    lr : float, default=1e-4
        Learning rate of the generator and the encoder.
    adversarial_loss : {"wasserstein", "standard"}, default="wasserstein"
        "wasserstein" is the original, with a gradient penalty; "standard" the thesis's, which is
        that of the first GAN.
    noise_weight, component_weight : float, default=10.0
        Weights beta_n and beta_c of finding z_n and z_c again.
    sigma : float, default=0.1
        Standard deviation of z_n.
    n_critic : int or "auto", default="auto"
        Updates of the critic for each of the generator, each on a fresh batch. "auto" is 5 for
        "wasserstein" and 1 for "standard".
    critic_lr : float or "auto", default="auto"
        Learning rate of the critic. "auto" is `lr`.
    penalty_weight : float, default=10.0
        Weight of the gradient penalty. "wasserstein" only.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the hidden layers of both networks, in the encoder's order. For images,
        the channels of their convolutions. "auto": 256-256, or 64-128 channels and dense layers,
        as in the thesis.
    critic_hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the critic's hidden layers, or channels. "auto" is as `hidden_layer_sizes`.
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. The encoder returns z_n and, as logits, z_c; the
        decoder is the generator.
    critic : callable, default=None
        ``critic(shape)`` returns an ``nn.Module`` that maps rows of this shape to (n,), a logit.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    scaling : {"auto", "minmax", "standard"} or None, default="auto"
        How rows are scaled for the networks. "auto" leaves data in [0, 1] alone, divides uint8 by
        255 and sparse data by its largest magnitude, and standardises the rest. Columns of two
        values become 0 and 1, and principal components keep their proportions. The generator ends
        in a sigmoid for scaled data in [0, 1].
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

    References
    ----------
    Mukherjee, Asnani, Lin & Kannan, *ClusterGAN: latent space clustering in generative adversarial
    networks*, AAAI 2019.
    Vardakas, *Deep clustering based on implicit likelihood maximization*, thesis, University of
    Ioannina, 2021, chapter 3.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import ClusterGANClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = ClusterGANClustering(
    ...     3, latent_dim=2, hidden_layer_sizes=(32,), lr=2e-3, max_epochs=60, random_state=0
    ... ).fit(X)
    >>> rows, labels = model.sample(4, cluster=2, random_state=0)
    >>> rows.shape
    (4, 6)
    """

    _codes_name_clusters = True
    _may_change = frozenset({"n_critic", "noise_weight", "component_weight", "penalty_weight"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialClusterer._parameter_constraints,
        **GenerativeClusterer._parameter_constraints,
        "adversarial_loss": [StrOptions(set(GAMES))],
        "penalty_weight": [Interval(Real, 0, None, closed="left")],
    }
    _conditions: ClassVar[tuple[MattersIf, ...]] = (
        *AdversarialClusterer._conditions,
        MattersIf(
            ("penalty_weight",),
            lambda self: self.adversarial_loss == "wasserstein",
            "there is no gradient penalty with {adversarial_loss}",
            "Use adversarial_loss='wasserstein'",
        ),
    )

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        n_init: int = 1,
        max_epochs: int = 200,
        batch_size: int = 64,
        lr: float = 1e-4,
        adversarial_loss: str = "wasserstein",
        noise_weight: float = 10.0,
        component_weight: float = 10.0,
        sigma: float = 0.1,
        n_critic: int | str = "auto",
        critic_lr: float | str = "auto",
        penalty_weight: float = 10.0,
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

    def _make_model(self, scaling: Scaling) -> ClusterGAN:
        """Make the networks of the thesis's tables 6.1 to 6.7."""
        generator, shape = self._make_generator(scaling), self._input_shape
        return ClusterGAN(
            scaling,
            self._make_encoder(self.latent_dim + self.n_clusters, **self._leaky()),
            generator,
            self._make_critic(shape, make_critic, shape, **self._critic_layers()),
            DiscreteContinuousPrior(self.n_clusters, self.latent_dim, self.sigma),
            self.adversarial_loss,
            self._critic_lr(),
        )

    def _critic_layers(self) -> dict[str, Any]:
        layers = self._leaky()
        return {**layers, "hidden_layer_sizes": self._critic_sizes(layers["hidden_layer_sizes"])}

    def _fit(self, run: Run) -> Model:
        return self._go_on(run, self._make_model(run.scaling))

    def _go_on(self, run: Run, model: Model) -> Model:
        is_wasserstein = self.adversarial_loss == "wasserstein"
        n_critic = self._n_critic(5 if is_wasserstein else 1)
        game = Phase(
            "game",
            [
                Turn("critic", "judgement", n_critic),
                Turn("generator", "generation", takes_rows=False),
            ],
            epochs=self.max_epochs,
            weights={
                "noise": self.noise_weight,
                "component": self.component_weight,
                **({"penalty": self.penalty_weight} if is_wasserstein else {}),
            },
            fresh=True,  # algorithm 3.2 draws rows for every update of the critic
        )
        return run.train("clustergan", model, [game])
