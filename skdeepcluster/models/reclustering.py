"""Clusters among raw rows, and among what a network sees in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from skdeepcluster.engine.table import Table, encoded, tiled
from skdeepcluster.heads import count_clusters, make_head, mixture, umap_coordinates
from skdeepcluster.models.labelings import (
    Labeling,
    confident_rows,
    matched,
    numbered,
    sure_rows,
    vote,
)
from skdeepcluster.models.self_labels import SelfLabeler
from skdeepcluster.scaling import Scaling

__all__ = ["Reclustering", "start_rows"]

WIDTH = 10  # dimensions of the embedding
MOST_NEIGHBORS, LEAST_NEIGHBORS, SHARE = 20, 5, 7  # of a row; a seventh of a cluster's rows
DENSE_ENTRIES, SVD_WIDTH = 50_000_000, 100  # numbers of sparse rows that UMAP sees, or their axes


@dataclass(frozen=True)
class Reclustering:
    """The steady mixture, or HDBSCAN, on UMAP coordinates.

    Parameters
    ----------
    seed : int
        Of UMAP and of the mixture.
    umap_params : mapping, default={}
        Parameters of UMAP that override those chosen here.
    """

    seed: int
    umap_params: Mapping[str, Any] = field(default_factory=dict)

    def embed(
        self, rows: NDArray[Any], n_clusters: int, metric: str = "euclidean"
    ) -> NDArray[np.float64]:
        """Return UMAP coordinates, shape (n, 10).

        A graph should rather join rows of a cluster than clusters, so that the neighbours of a row
        are at most a seventh of a cluster of the mean size.
        """
        n_neighbors = np.clip(len(rows) // (SHARE * n_clusters), LEAST_NEIGHBORS, MOST_NEIGHBORS)
        params = {"n_neighbors": int(n_neighbors), "metric": metric, **self.umap_params}
        place = umap_coordinates(rows, WIDTH, self.seed, params).astype(float)
        return np.where(np.isfinite(place), place, np.nanmean(place, axis=0))

    def start(self, rows: NDArray[Any], n_clusters: int | None, metric: str) -> Labeling:
        """Return the clusters among raw rows; without a number of them HDBSCAN counts them."""
        place = self.embed(rows, n_clusters or WIDTH, metric)
        return self.mix(place, n_clusters or count_clusters(place, {}))

    def find(self, rows: NDArray[Any], metric: str) -> Labeling:
        """Return what HDBSCAN finds among raw rows; if all is noise, one cluster."""
        head = make_head("hdbscan", random_state=self.seed).fit(self.embed(rows, WIDTH, metric))
        labels = numbered(head.labels_) if head.n_clusters_ else np.zeros(len(rows), int)
        return Labeling(labels, labels >= 0)

    def mix(self, place: NDArray[np.float64], n_clusters: int) -> Labeling:
        """Return the components of a steady mixture."""
        fitted = mixture(place, n_clusters, self.seed).fit(place)
        responsibility = fitted.predict_proba(place)
        labels = numbered(responsibility.argmax(1))
        return Labeling(labels, sure_rows(labels, responsibility.max(1)), fitted.agreement_)

    def anew(self, model: SelfLabeler, sample: Table, among_features: bool) -> Labeling:
        """Return the clusters among what a model sees, numbered as it numbers them.

        Parameters
        ----------
        model : SelfLabeler
            Trained.
        sample : Table
            The rows.
        among_features : bool
            Whether features are clustered. Otherwise the model's own labels are taken.

        Returns
        -------
        labeling : Labeling
            Not in doubt are rows on which all members and the model agree.
        """
        proba = tiled(model.log_memberships, sample).exp().cpu().numpy()
        guess = proba.argmax(1)
        found = [Labeling(guess, np.ones(len(guess), dtype=bool))]
        if among_features:
            found = [self._by_member(model, m, sample) for m in range(model.n_members)]
        labels = [matched(each.labels, guess, model.n_clusters) for each in found]
        voted, unanimous = vote(np.stack(labels))
        confident = confident_rows(voted, np.where(unanimous, guess, -1), proba.max(1))
        agreement = float(np.mean([each.agreement for each in found]))
        return Labeling(voted, confident, agreement, float((voted == guess).mean()))

    def _by_member(self, model: SelfLabeler, member: int, sample: Table) -> Labeling:
        features = encoded(lambda batch: model.features(batch)[:, member], sample).cpu().numpy()
        own = Reclustering(self.seed + member, self.umap_params)
        return own.mix(own.embed(features, model.n_clusters), model.n_clusters)


def start_rows(
    rows: Any, drawn: NDArray[np.intp], sample: Table, scaling: Scaling, seed: int
) -> NDArray[Any]:
    """Return the rows of a sample as networks see them; of wide sparse ones their main axes."""
    if sparse.issparse(rows) and len(drawn) * rows.shape[1] > DENSE_ENTRIES:
        return TruncatedSVD(SVD_WIDTH, random_state=seed).fit_transform(rows[drawn])
    scaled: torch.Tensor = tiled(lambda batch: scaling(batch["X"]).flatten(1), sample)
    return scaled.cpu().numpy()
