"""What the tests of hierarchies share: small settings, rows, and models before training."""

from __future__ import annotations

import numpy as np
import torch

from skdeepcluster import HRWAEGANClustering
from skdeepcluster.scaling import Scaling

REGULARIZERS = ["relativistic", "standard", "mmd", "kl"]
SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32, 16),
    "batch_size": 32,
    "lr": 1e-2,
    "max_epochs": 40,
    "manifold": None,
    "min_cluster_size": 30,
    "device": "cpu",
    "random_state": 0,
}
THREE = {"n_groups": 3, "hidden_layer_sizes": (32, 16, 8)}
# Without HDBSCAN anywhere.
QUIET = {**SMALL, "min_cluster_size": 0.02, "head": "gmm", "n_clusters": 3, "outlier_weight": 0.0}
BRIEF = {**SMALL, "max_epochs": 2, "head": "gmm", "n_clusters": 3}


def rows_of(n):
    return np.random.RandomState(0).uniform(size=(n, 6)).astype(np.float32)


def batch_of(rows, **columns):
    return {"X": torch.from_numpy(rows), "index": torch.arange(len(rows)), **columns}


def unfitted(**params):
    """An estimator that is ready to make its model."""
    estimator = HRWAEGANClustering(**{**BRIEF, **params})
    estimator._input_shape = (6,)
    return estimator


def model_of(**params):
    """The model of an estimator before training."""
    return unfitted(**params)._make_model(Scaling((6,)))


def gradients(model, loss):
    """Return the names of the parameters that a loss moves."""
    model.zero_grad()
    loss.sum().backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
