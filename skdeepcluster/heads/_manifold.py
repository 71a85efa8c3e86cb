"""UMAP coordinates of codes, for training codes and for new ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsRegressor

from skdeepcluster._isolation import restored_threads, seeded_eigenvectors

Array = NDArray[np.float64]

# Few enough that the mean of their coordinates does not fall between two clusters.
N_NEIGHBORS = 5
# UMAP squares distances in float32, where those of diverging training would overflow.
LARGEST = 1e15


@dataclass(frozen=True)
class Placement:
    """Where codes go among those that UMAP has embedded.

    A new code goes to the mean of its nearest training codes' coordinates, weighted by the inverse
    of the distance; a code that was in training keeps its coordinates (several such: their mean).
    `UMAP.transform` would not do, for it optimises all new rows together: a row's place would
    depend on the rows beside it. The k-d tree computes distances by subtraction, so that a training
    code is at distance zero from itself; the matrix products of a brute-force search round. It is
    grown when it is first asked.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, latent_dim)
        Training codes.
    coordinates : ndarray of shape (n_samples, n_components)
        Where UMAP has put them.
    """

    codes: Array
    coordinates: NDArray[np.float32]

    @cached_property
    def _search(self) -> KNeighborsRegressor:
        n_neighbors = min(N_NEIGHBORS, len(self.codes))
        search = KNeighborsRegressor(n_neighbors, weights="distance", algorithm="kd_tree")
        return search.fit(self.codes, self.coordinates)

    def predict(self, codes: Array) -> NDArray[Any]:
        """Return the coordinates of codes, of shape (n_samples, n_components)."""
        return self._search.predict(codes)

    def __getstate__(self) -> dict[str, Any]:
        """Keep the arrays, and no tree."""
        return {name: vars(self)[name] for name in ("codes", "coordinates")}


def fit_umap(codes: Array, n_components: int, seed: int, params: Mapping[str, Any]) -> Placement:
    """Embed codes by UMAP, and learn to place new codes among them.

    Training codes beyond a `disconnection_distance` get no coordinates from UMAP, and are placed
    like new ones.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, latent_dim)
        Training codes, at least 3.
    n_components : int
        Dimension of the embedding.
    seed : int
        Seed of UMAP, which runs on one thread to be reproducible.
    params : mapping
        UMAP's parameters that override `n_neighbors=20`, `min_dist=0` and the two above.

    Returns
    -------
    Placement
        Where codes go. UMAP itself is not kept.

    Raises
    ------
    ValueError
        If there are fewer than 3 codes.

    References
    ----------
    .. [1] L. McInnes, J. Healy and J. Melville, "UMAP: Uniform Manifold Approximation and
           Projection for Dimension Reduction", arXiv:1802.03426.
    .. [2] R. McConville et al., "N2D: (Not Too) Deep Clustering via Clustering the Local Manifold
           of an Autoencoded Embedding", ICPR 2020: the settings.
    """
    coordinates = umap_coordinates(codes, n_components, seed, params)
    placed = np.isfinite(coordinates).all(axis=1)  # not so beyond UMAP's `disconnection_distance`
    return Placement(codes[placed], coordinates[placed])


def umap_coordinates(
    rows: Any, n_components: int, seed: int, params: Mapping[str, Any]
) -> NDArray[np.float32]:
    """Return the UMAP coordinates of rows, which no new row can be placed among.

    Parameters
    ----------
    rows : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Rows, at least 3.
    n_components, seed, params
        As in :func:`fit_umap`.

    Returns
    -------
    ndarray of shape (n_samples, n_components)
        Not finite for rows beyond a `disconnection_distance`.

    Raises
    ------
    ValueError
        If there are fewer than 3 rows.
    """
    n_rows = rows.shape[0]
    if n_rows < 3:
        raise ValueError(
            f"manifold='umap' needs at least 3 rows and got {n_rows}; use manifold=None."
        )
    settings: dict[str, Any] = {"n_components": n_components, "n_neighbors": 20, "min_dist": 0.0}
    settings |= {"random_state": seed, "n_jobs": 1, **params}
    settings["n_neighbors"] = min(settings["n_neighbors"], n_rows - 1)
    if n_rows <= settings["n_components"] + 1:
        settings["init"] = "random"  # the spectral start needs more rows than eigenvectors
    with seeded_eigenvectors(seed):
        return _embed(rows, settings)


def check_umap(params: Mapping[str, Any]) -> None:
    """Refuse parameters that UMAP does not take, while there is nothing to lose.

    Raises
    ------
    ValueError
        If a parameter does not exist, or its value is none that UMAP knows.
    """
    try:
        umap = _umap()(**params)
        umap._raw_data, umap._initial_alpha = np.eye(3), umap.learning_rate  # as its fit does
        with warnings.catch_warnings(), _restored_generator(), restored_threads():
            warnings.simplefilter("ignore")  # of what cannot be inverted, which is not asked for
            umap._validate_parameters()
    except (TypeError, ValueError) as error:
        raise ValueError(f"manifold_params does not fit UMAP: {error}") from error


def _umap() -> Any:
    with warnings.catch_warnings(), restored_threads():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap import UMAP
    return UMAP


def _embed(codes: Any, settings: dict[str, Any]) -> NDArray[np.float32]:
    """Run UMAP and leave no trace of it in the process."""
    codes = codes / max(1.0, np.abs(codes).max() / LARGEST)
    kind = _umap()
    with warnings.catch_warnings(), _restored_generator(), restored_threads():
        # Clusters that lie far apart disconnect the graph: welcome here, and UMAP copes.
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        return kind(**settings).fit_transform(codes)


@contextmanager
def _restored_generator() -> Iterator[None]:
    """Undo what UMAP draws from numpy's global generator, for metrics that are callables."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
