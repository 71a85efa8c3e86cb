"""Loss terms: pure functions of tensors.

Each returns one value per row unless its docstring says otherwise, so that the training loop can
weight the rows. None has a coefficient: the training loop weights the terms. Where PyTorch already
has the term (`torch.nn.functional.cross_entropy` with ``reduction="none"``), use it directly.
"""

from ._adversarial import (
    gradient_penalty,
    maximum_mean_discrepancy,
    relativistic_adversarial_loss,
    standard_adversarial_loss,
    wasserstein_adversarial_loss,
)
from ._information import entropy, marginal_entropy, mutual_information
from ._likelihoods import (
    bernoulli_log_likelihood,
    cosine_dissimilarity,
    gaussian_kl_divergence,
    gaussian_log_likelihood,
    squared_error,
)
from ._memberships import kl_divergence, squared_distances, student_t_log_proba, target_distribution
from ._pairs import between_similarity, pairwise_discrimination, within_similarity

__all__ = [
    "bernoulli_log_likelihood",
    "between_similarity",
    "cosine_dissimilarity",
    "entropy",
    "gaussian_kl_divergence",
    "gaussian_log_likelihood",
    "gradient_penalty",
    "kl_divergence",
    "marginal_entropy",
    "maximum_mean_discrepancy",
    "mutual_information",
    "pairwise_discrimination",
    "relativistic_adversarial_loss",
    "squared_distances",
    "squared_error",
    "standard_adversarial_loss",
    "student_t_log_proba",
    "target_distribution",
    "wasserstein_adversarial_loss",
    "within_similarity",
]
