"""What a fit found of its clusters, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from skdeepcluster.heads import share_of_label, sum_by_label
from skdeepcluster.scaling import chunks

__all__ = ["Clusters", "mean_rows"]

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean, and root of the covariance
STRETCH = 2**16  # codes that are decomposed together


@dataclass(frozen=True)
class Clusters:
    """The clusters that live, and a Gaussian for each, fitted to the codes of its members.

    Beside the networks, it is all that inference needs, and holds nothing but arrays.

    Parameters
    ----------
    live : ndarray of int of shape (n_clusters,)
        Which of the candidates have members: cluster i is candidate ``live[i]``.
    shares : ndarray of shape (n_clusters,)
        Share of the weight that is in each cluster; sums to 1, noise left out.
    means : ndarray of shape (n_clusters, n_components)
        Mean codes.
    roots : ndarray of shape (n_clusters, n_components, n_components)
        Square roots of the covariances, by maximum likelihood.
    members : ndarray of shape (n_clusters, n_members, 2, n_groups, latent_dim), default=None
        Posteriors of members, their means and log-variances, where samples are drawn from these.
    """

    live: NDArray[np.intp]
    shares: Any = None  # like the other two, an array once the clusters are described
    means: Any = None
    roots: Any = None
    members: Any = None

    def describe(
        self, codes: NDArray[Any], labels: NDArray[np.intp], weight: NDArray[np.float64]
    ) -> Self:
        """Return the same clusters, described by weighted codes and their labels; -1 is none."""
        moments, shares = [], np.zeros(len(self.live))
        for label in range(len(self.live)):  # one at a time: there may be many rows
            rows = labels == label
            moments.append(_moments(codes[rows].astype(float), weight[rows]))
            shares[label] = weight[rows].sum()
        width = codes.shape[1]
        return replace(
            self,
            shares=shares / (shares.sum() or 1.0),
            means=np.array([mean for mean, _ in moments]).reshape(-1, width),
            roots=np.array([root for _, root in moments]).reshape(-1, width, width),
        )

    def take_in(
        self,
        codes: NDArray[Any],
        labels: NDArray[np.intp],
        weight: NDArray[np.float64],
        before: NDArray[np.float64],
    ) -> Self:
        """Return the same clusters, described by new codes too, given their weights before."""
        means, roots, weights = self.means.copy(), self.roots.copy(), before.copy()
        for label in np.unique(labels[(labels >= 0) & (weight > 0)]):
            rows = labels == label
            new = _moments(codes[rows].astype(float), weight[rows])
            weights[label] += weight[rows].sum()
            share = 1 - before[label] / weights[label]
            means[label], roots[label] = _pooled((means[label], roots[label]), new, share)
        shares = weights / (weights.sum() or 1.0)
        return replace(self, shares=shares, means=means, roots=roots)

    def draw(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[np.float64]:
        """Draw a code for each label."""
        noise = rng.standard_normal((len(labels), self.means.shape[1]))
        return self.means[labels] + np.einsum("nij,nj->ni", self.roots[labels], noise)


def mean_rows(
    X: Any, labels: NDArray[np.intp], n_clusters: int, weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean row of every cluster, from one pass over weighted rows; -1 is none.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n, n_features)
        Rows, read some at a time.
    labels : ndarray of shape (n,)
        Labels below `n_clusters`, each with a weight among its rows.
    n_clusters : int
        Number of clusters.
    weight : ndarray of shape (n,)
        Weights of the rows.

    Returns
    -------
    means : ndarray of shape (n_clusters, n_features)
        The means.
    """
    share = share_of_label(labels, weight)
    means, begin = np.zeros((n_clusters, X.shape[1])), 0
    for rows, _ in chunks(X, None):
        own = slice(begin, begin := begin + rows.shape[0])
        means += sum_by_label(rows, labels[own], share[own], n_clusters)
    return means


def _pooled(one: Moments, other: Moments, share: float) -> Moments:
    """Return the moments of a mixture of two, of which the second has a share."""
    mean = (1 - share) * one[0] + share * other[0]
    parts = [(1 - share, *one), (share, *other)]
    covariance = sum(w * (root @ root.T + np.outer(m - mean, m - mean)) for w, m, root in parts)
    size, axes = np.linalg.eigh(covariance)
    return mean, (axes * np.sqrt(size.clip(0))) @ axes.T


def _moments(codes: NDArray[np.float64], weight: NDArray[np.float64]) -> Moments:
    """Return the mean of weighted codes, and a square root of their covariance."""
    share = weight / weight.sum()
    mean = share @ codes
    centered = (codes - mean) * np.sqrt(share)[:, None]
    if len(centered) > STRETCH:  # their triangles have the same singular values, and few rows
        parts = (centered[part] for part in gen_batches(len(centered), STRETCH))
        centered = np.concatenate([np.linalg.qr(part, mode="r") for part in parts])
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    return mean, axes.T @ (singular[:, None] * axes)
