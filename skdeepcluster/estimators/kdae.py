r"""k deep autoencoders: k-DVAE without its variational part.

.. math:: \max \; \mathbb E_x \max_i \; \log p_i(x | f_i(x))

("A mixture of variational autoencoders for deep clustering", 2020, eq. 6 without its divergence;
Opochinsky et al. 2020.)
"""

from __future__ import annotations

from skdeepcluster.base import KNetworksClusterer

__all__ = ["KDAEClustering"]


class KDAEClustering(KNetworksClusterer):
    r"""k deep autoencoders (k-DAE).

    Every cluster has an encoder and a decoder of its own, and a row belongs to the pair that
    reconstructs it best. All networks are computed as one.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of networks k.
    latent_dim : int, default=10
        Width of a network's code. `transform` returns the code and, after it, a column for every
        cluster, here 1 for the network that wins the row.
    init : {"vade", "kmeans", "n2d", "spc"}, clusterer or array-like, default="vade"
        First clusters. "vade" trains VaDE and runs k-means on its codes, as the paper does;
        "kmeans" runs it on the scaled rows, of which it takes a dense copy.

        - "n2d": an autoencoder, UMAP and a mixture; "spc": :class:`SPCClustering`. Each looks for
          as many clusters.
        - A scikit-learn clusterer, one of this package, or a pipeline that ends in one. It is
          cloned and fitted to the rows, not scaled, as an array; its `n_clusters` is set if it has
          its default value, and any `random_state` that is None. ``FrozenEstimator(clusterer)`` is
          one that is fitted already and predicts.
        - Labels in 0..n_clusters-1 of shape (n_samples,), such as another clusterer's ``labels_``;
          -1 leaves a row out until the networks have learnt the others.
    n_init : int, default=1
        Number of fits with different seeds. Of several, the one is kept whose clusters agree most
        with those of the others.
    max_epochs : int, default=50
        Epochs in which each network trains on the rows it wins.
    batch_size : int, default=100
        Rows per update.
    lr : float, default=2e-3
        Learning rate; VaDE's as well.
    pretrain_epochs : int, default=50
        With ``init="vade"``, the epochs of VaDE's reconstruction alone.
    vade_epochs : int, default=100
        With ``init="vade"``, its epochs on the evidence lower bound.
    init_epochs : int, default=10
        Epochs in which each network trains on its first cluster.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of every encoder's hidden layers; the decoders mirror them. For images, the channels
        of their convolutions. "auto": 500-100, or 32-64-128 channels. VaDE takes the same, and its
        own default where this is "auto".
    encoder, decoder : callable, default=None
        ``encoder(shape, n_outputs)`` and ``decoder(n_inputs, shape)`` return an
        ``nn.Module``, given the shape of one row, as `make_encoder` and `make_decoder` of
        `skdeepcluster.networks` do. They are called once for every cluster. The decoder
        returns logits where scaled data lies in [0, 1]. Each is a layer or an
        ``nn.Sequential`` of linear, convolutional and elementwise layers. VaDE has its
        default networks all the same.
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
        Centre of every cluster among the codes: the mean code.
    module_ : nn.Module
        The trained networks.
    history_ : list of dict
        Stage, phase, epoch, loss terms and seconds of every epoch, and how many networks were
        started anew (``reseeded``).
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
    KDVAEClustering : The variational method, which regularises the codes and so generates better.

    References
    ----------
    Opochinsky, Chazan, Gannot & Goldberger, *K-autoencoders deep clustering*, ICASSP 2020.
    *A mixture of variational autoencoders for deep clustering*, 2020, section 3.4.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import KDAEClustering
    >>> X, _ = make_blobs(200, n_features=6, centers=3, random_state=0)
    >>> model = KDAEClustering(
    ...     3, init="kmeans", latent_dim=2, hidden_layer_sizes=(16,), max_epochs=5, random_state=0
    ... ).fit(X)
    >>> rows, labels = model.sample(4, cluster=2, random_state=0)
    >>> rows.shape, model.predict_proba(X).shape
    ((4, 6), (200, 3))
    """

    _variational = False
