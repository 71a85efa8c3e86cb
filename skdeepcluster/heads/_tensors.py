"""A head as a function of tensors, through which gradients go."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ._head import ClusteringHead
from ._rules import OwnRule, PlainMixture

__all__ = ["MixtureRule", "rule_module"]


class MixtureRule(nn.Module):
    r"""The memberships of codes in the components of a Gaussian mixture that are clusters.

    .. math:: p(k | z) \propto \pi_k \, |P_k| \,
              \exp\bigl(-\tfrac12 \|(z - \mu_k)^T P_k\|^2\bigr)

    with the roots :math:`P_k` of the precisions. It calculates in float64, as scikit-learn does.

    Parameters
    ----------
    log_weights : Tensor of shape (n_clusters,)
        Logarithms of the weights.
    means : Tensor of shape (n_clusters, n_components)
        The means.
    roots : Tensor of shape (n_clusters, n_components, n_components)
        The roots of the precisions, triangular.
    """

    log_weights: Tensor
    means: Tensor
    roots: Tensor

    def __init__(self, log_weights: Tensor, means: Tensor, roots: Tensor):
        super().__init__()
        self.register_buffer("log_weights", log_weights)
        self.register_buffer("means", means)
        self.register_buffer("roots", roots)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the memberships of codes."""
        standard = torch.einsum("nki,kij->nkj", codes.double()[:, None] - self.means, self.roots)
        log_volume = self.roots.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        log_joint = self.log_weights + log_volume - standard.square().sum(2) / 2
        return log_joint.softmax(1).float()


def rule_module(head: ClusteringHead) -> nn.Module:
    """Return a fitted head as a module from codes to memberships.

    Raises
    ------
    ValueError
        If it is no Gaussian mixture of the codes themselves.
    """
    if head._placement is not None:
        raise ValueError(
            "The memberships are those of UMAP's coordinates, where a code is placed by a search "
            "for its nearest training codes, which cannot be written as a function of tensors. "
            "Use manifold=None, or output='codes'."
        )
    rule = head._rule
    if not (isinstance(rule, OwnRule) and isinstance(rule.clusterer, PlainMixture)):
        raise ValueError(
            f"The memberships are those of head={head.head!r}, a clusterer of your own, which "
            "cannot be written as a function of tensors. Use head='gmm', or output='codes'."
        )
    mixture, alive = rule.clusterer, rule.alive
    parts = np.log(mixture.weights), mixture.means, _full_roots(mixture)
    return MixtureRule(*(torch.from_numpy(part[alive]) for part in parts))


def _full_roots(mixture: PlainMixture) -> NDArray[np.float64]:
    """Return the roots of the precisions as matrices, whatever the type of the covariances."""
    roots = mixture.precisions_cholesky
    n_components, width = mixture.means.shape
    if mixture.covariance_type == "tied":
        roots = np.broadcast_to(roots, (n_components, width, width))
    elif mixture.covariance_type in ("diag", "spherical"):
        roots = roots.reshape(n_components, -1, 1) * np.eye(width)
    return np.ascontiguousarray(roots)
