"""Where estimators differ in a parameter of one name, and why they do.

`test_surface.py` holds that they differ in nothing else.
"""

from __future__ import annotations

DEFAULTS = {
    "n_clusters": (
        "8, as scikit-learn's KMeans has it; HRWAE-GAN and MoEDC are methods that find the number, "
        "and their default is to do so."
    ),
    "latent_dim": (
        "10. The discriminative method needs a dimension for every cluster and takes the 60 of its "
        "paper, HRWAE-GAN the 23 of its thesis; MoEDC finds the width."
    ),
    "augment": (
        "On for SPC and IMSAT, which learn by what changes leave alone; an addition to the others."
    ),
    "init": "Each method starts as its paper does: from VaDE, from a mixture, from UMAP.",
    "max_epochs": (
        "What the training of a method takes: longer for a game or for matching than for an "
        "autoencoder, and shorter where it refines what earlier stages have made."
    ),
    "batch_size": (
        "256, where no paper says otherwise: 64 for games and matching, 100 for AAE, VaDE and what "
        "starts from it, 250 for IMSAT, 1000 where pairs are made within a batch, 128 for SPC."
    ),
    "lr": (
        "1e-3, where no paper says otherwise: 1e-4 for the game of ClusterGAN, 2e-3 for VaDE, what "
        "starts from it, IMSAT and the discriminative method, 3e-3 at the peak of SPC's trainings."
    ),
    "head": (
        "k-means is the plain choice beside a known number of clusters; HRWAE-GAN and MoEDC find "
        "the number, by HDBSCAN; SCAN joins its heads by a mixture."
    ),
    "manifold": (
        "Off, where codes are clustered as they are; HRWAE-GAN and MoEDC are defined with UMAP, "
        "without which HDBSCAN finds little in many dimensions, and SCAN's codes have very many."
    ),
    "max_samples": (
        "100 000 codes, which UMAP and HDBSCAN can take; SPC's 20 000 are rows that networks learn "
        "from, several times."
    ),
    "reconstruction_weight": (
        "It weighs against another loss in each method, of another size: measured for DCAN, for "
        "DCN a paper's weight of .05 on the other term, the paper's for DEC and the discriminative "
        "method; SPC learns its decoder afterwards."
    ),
    "n_neighbors": (
        "3 for anchors, 10 for the length of a step and 20 for what SCAN draws from, as in the "
        "papers of each."
    ),
    "n_heads": "1 for IMSAT, whose heads share a network; SCAN clusters what many say together.",
    "balance_weight": "4 as in IMSAT's paper and 5 as in SCAN's.",
    "noise": (
        "Heads keep noise, as HDBSCAN does; SPC's classifier has a place for every row, and gives "
        "up its probabilities to keep it."
    ),
    "regularization_weight": (
        "1 where reconstruction is a log-likelihood, as in a bound; HRWAE-GAN's is a mean over "
        "features, beside which its thesis has .04."
    ),
    "noise_weight": "10 as in ClusterGAN's paper; IMLE's thesis has 0, and more gained nothing.",
    "component_weight": "10 as in ClusterGAN's paper, and .5 as in IMLE's thesis.",
    "init_epochs": (
        "What it takes to learn the first clusters: 10 epochs for networks that each learn one, 20 "
        "for a manager of all or an encoder, 25 for a stage that moves codes apart."
    ),
}

TYPES = {
    "n_clusters": '"auto" where the method can find the number of clusters.',
    "latent_dim": '"auto" where the method can find the width.',
    "max_epochs": '"auto" for SPC, which counts updates: its rounds learn from few rows or many.',
    "batch_size": "At least two rows where batches are normalised or pairs are made.",
    "init": "Each method has starts of its own; a clusterer or labels will do for all.",
}

# Parameters that may be off as well as left to be chosen.
OFF_BESIDE_AUTO = {
    "scaling",  # rows stay as they are
    "augment",  # rows are not changed
}

# What an attribute means in every estimator that has it: how its entry begins, before what a method
# adds. Its type is one as well.
ATTRIBUTES = {
    "code_centers_": "Centre of every cluster among the codes: ",
    "covariances_": "The diagonals of their covariances",
    "head_": "The fitted head",
    "history_": "Stage, phase, epoch, loss terms and seconds of every epoch",
    "labels_": "Cluster of every training row",
    "means_": "Their means",
    "module_": "The trained networks",
    "n_clusters_": "Number of clusters",
    "outlier_scores_": "How far every training row lies outside of the clusters, in [0, 1]",
    "probabilities_": "How surely every training row belongs to its cluster",
    "start_labels_": "Clusters that training started from",
    "weights_": "Weights of the components",
}

# Attributes that are there under a condition, which their entries name.
CONDITIONAL = {
    "n_samples_seen_",
    "feature_names_in_",
    "outlier_scores_",
    "probabilities_",
    "run_agreement_",
    "start_labels_",
}
