"""What is kept of the codes of every cluster: enough for centres and samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CodeGaussians:
    """A Gaussian per cluster, fitted to the codes of its members.

    Parameters
    ----------
    shares : ndarray of shape (n_clusters,)
        Share of the weight that is in each cluster; sums to 1, noise left out.
    means : ndarray of shape (n_clusters, n_components)
        Mean codes.
    roots : ndarray of shape (n_clusters, n_components, n_components)
        Square roots of the covariances, by maximum likelihood.
    """

    shares: NDArray[np.float64]
    means: NDArray[np.float64]
    roots: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        codes: NDArray[Any],
        labels: NDArray[np.intp],
        weight: NDArray[np.float64],
        n_clusters: int,
    ) -> Self:
        """Describe weighted codes by the labels that they have; -1 is left out."""
        members = [labels == label for label in range(n_clusters)]
        moments = [_moments(codes[rows].astype(float), weight[rows]) for rows in members]
        shares = np.array([weight[rows].sum() for rows in members])
        width = codes.shape[1]
        return cls(
            shares / (shares.sum() or 1.0),
            np.array([mean for mean, _ in moments]).reshape(-1, width),
            np.array([root for _, root in moments]).reshape(-1, width, width),
        )

    def draw(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[np.float64]:
        """Draw a code for each label."""
        noise = rng.standard_normal((len(labels), self.means.shape[1]))
        return self.means[labels] + np.einsum("nij,nj->ni", self.roots[labels], noise)


def _moments(
    codes: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of weighted codes, and a square root of their covariance."""
    share = weight / weight.sum()
    mean = share @ codes
    centered = (codes - mean) * np.sqrt(share)[:, None]
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    return mean, axes.T @ (singular[:, None] * axes)
