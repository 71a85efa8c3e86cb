"""Loss terms: pure functions of tensors, and the pairs of rows that some of them are about.

None has a coefficient: the training loop weights the terms.
"""

from ._anchors import anchors_among, closest_pairs, mutual_neighbor_lists, mutual_neighbors
from ._pairs import between_similarity, pairwise_discrimination, within_similarity
from ._terms import (
    bernoulli_log_likelihood,
    gaussian_kl_divergence,
    gaussian_log_likelihood,
    gradient_penalty,
    kl_divergence,
    squared_error,
    student_t_log_proba,
    target_distribution,
    vanilla_adversarial_loss,
    wasserstein_adversarial_loss,
)

__all__ = [
    "anchors_among",
    "bernoulli_log_likelihood",
    "between_similarity",
    "closest_pairs",
    "gaussian_kl_divergence",
    "gaussian_log_likelihood",
    "gradient_penalty",
    "kl_divergence",
    "mutual_neighbor_lists",
    "mutual_neighbors",
    "pairwise_discrimination",
    "squared_error",
    "student_t_log_proba",
    "target_distribution",
    "vanilla_adversarial_loss",
    "wasserstein_adversarial_loss",
    "within_similarity",
]
