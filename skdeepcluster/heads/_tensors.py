"""A head as a function of tensors: its memberships, through which gradients go, and its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ._head import ClusteringHead
from ._manifold import N_NEIGHBORS
from ._rules import NearestCenter, NeighborRule, OwnRule, PlainMixture

__all__ = ["HeadModule", "MixtureRule", "head_module", "rule_module"]


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
            "for its nearest training codes, through which no gradients go. Use manifold=None, "
            "output='codes', or `export`."
        )
    rule = head._rule
    if not (isinstance(rule, OwnRule) and isinstance(rule.clusterer, PlainMixture)):
        raise ValueError(
            f"The memberships are those of head={head.head!r}, a clusterer of your own, which "
            "cannot be written as a function of tensors. Use head='gmm', or output='codes'."
        )
    return _mixture_rule(rule)


def _mixture_rule(rule: OwnRule) -> MixtureRule:
    mixture = rule.clusterer
    parts = np.log(mixture.weights), mixture.means, _full_roots(mixture)
    return MixtureRule(*(torch.from_numpy(part[rule.alive]) for part in parts))


class CenterRule(nn.Module):
    """The nearest centre of codes, or that of the nearest direction.

    Parameters
    ----------
    centers : Tensor of shape (n_clusters, n_components)
        The centres of the clusters that have members.
    spherical : bool
        Whether they are directions.
    """

    centers: Tensor

    def __init__(self, centers: Tensor, spherical: bool):
        super().__init__()
        self.register_buffer("centers", centers)
        self.spherical = spherical

    def forward(self, codes: Tensor) -> Tensor:
        """Return the labels of codes."""
        codes = codes.double()
        if self.spherical:
            return (codes @ self.centers.T).argmax(1)
        # Not by `cdist`, which ONNX does not have.
        return (codes[:, None] - self.centers).square().sum(2).argmin(1)


class NeighborMean(nn.Module):
    """The mean of what the nearest rows have, weighted by the inverse of the distance.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_components)
        Rows.
    values : Tensor of shape (n_rows, n_values)
        What they have: coordinates, or a one-hot of their label, whose mean is a vote.
    """

    rows: Tensor
    values: Tensor

    def __init__(self, rows: Tensor, values: Tensor):
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("values", values)
        self.n_neighbors = min(N_NEIGHBORS, len(rows))

    def forward(self, codes: Tensor) -> Tensor:
        """Return the means, shape (n, n_values)."""
        # By subtraction, so that a code which is among the rows is at 0 from itself.
        exact = "donot_use_mm_for_euclid_dist"
        apart = torch.cdist(codes.double(), self.rows, compute_mode=exact)
        distances, nearest = apart.topk(self.n_neighbors, largest=False)
        same = (distances == 0).double()
        inverse = 1 / torch.where(distances == 0, 1.0, distances)
        weights = torch.where(same.any(1, keepdim=True), same, inverse)
        weights = weights / weights.sum(1, keepdim=True)
        return (weights[:, :, None] * self.values[nearest]).sum(1)


class VoteRule(nn.Module):
    """The label that the nearest rows vote for, noise like any cluster.

    Parameters
    ----------
    vote : nn.Module
        Maps codes to the shares of the votes, of noise and of the clusters.
    fill : nn.Module, default=None
        Maps codes to the shares of the clusters alone, where noise is given to them.
    """

    def __init__(self, vote: nn.Module, fill: nn.Module | None = None):
        super().__init__()
        self.vote, self.fill = vote, fill

    def forward(self, codes: Tensor) -> Tensor:
        """Return the labels of codes; -1 is noise."""
        labels: Tensor = self.vote(codes).argmax(1) - 1
        if self.fill is None:
            return labels
        return torch.where(labels < 0, self.fill(codes).argmax(1), labels)


class HeadModule(nn.Module):
    """A fitted head: labels of codes, and memberships where it has them.

    Parameters
    ----------
    place : nn.Module
        Maps codes to the coordinates in which the clusterer works.
    rule : nn.Module
        Maps them to memberships or to labels.
    has_memberships : bool
        Whether they are memberships.
    """

    def __init__(self, place: nn.Module, rule: nn.Module, has_memberships: bool):
        super().__init__()
        self.place, self.rule, self.has_memberships = place, rule, has_memberships

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return labels, -1 for noise, and memberships or None."""
        found = self.rule(self.place(codes))
        return (found.argmax(1), found) if self.has_memberships else (found, None)


def head_module(head: ClusteringHead) -> HeadModule:
    """Return a fitted head as a module from codes to labels and memberships.

    Raises
    ------
    ValueError
        If it is a clusterer whose rule is not known.
    """
    rule: Any = head._rule
    place: nn.Module = nn.Identity()
    if head._placement is not None:
        known = head._placement.codes, head._placement.coordinates.astype(np.float64)
        place = NeighborMean(*map(torch.from_numpy, known))
    if isinstance(rule, NeighborRule):
        return HeadModule(place, _vote_rule(rule, fills=head.noise == "nearest"), False)
    if isinstance(rule.clusterer, PlainMixture):
        return HeadModule(place, _mixture_rule(rule), True)
    if isinstance(rule.clusterer, NearestCenter):
        return HeadModule(place, _center_rule(rule), False)
    raise ValueError(
        f"head={head.head!r} is a clusterer of your own, whose rule is no function of tensors. Use "
        "a head that is told by name, KMeans, GaussianMixture, or what only labels what it has "
        "seen."
    )


def _center_rule(rule: OwnRule) -> CenterRule:
    known = rule.clusterer
    own = torch.from_numpy(known.centers[rule.alive].astype(np.float64))
    return CenterRule(own, known.spherical)


def _vote_rule(rule: NeighborRule, fills: bool) -> VoteRule:
    rows, labels = torch.from_numpy(rule.rows.astype(np.float64)), torch.from_numpy(rule.labels)
    voices = torch.eye(int(labels.max()) + 2, dtype=torch.float64)[labels + 1]
    inside = labels >= 0
    fills = fills and bool(inside.any())
    fill = NeighborMean(rows[inside], voices[inside, 1:]) if fills else None
    return VoteRule(NeighborMean(rows, voices), fill)


def _full_roots(mixture: PlainMixture) -> NDArray[np.float64]:
    """Return the roots of the precisions as matrices, whatever the type of the covariances."""
    roots = mixture.precisions_cholesky
    n_components, width = mixture.means.shape
    if mixture.covariance_type == "tied":
        roots = np.broadcast_to(roots, (n_components, width, width))
    elif mixture.covariance_type in ("diag", "spherical"):
        roots = roots.reshape(n_components, -1, 1) * np.eye(width)
    return np.ascontiguousarray(roots)
