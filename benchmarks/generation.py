"""How good generated rows are, by a judge that knows the classes.

The judge is a network trained on the rows and their true classes. No method sees it, and no setting
was chosen by it. Beside what a method generates stand the rows themselves, and draws from one
Gaussian per cluster among the raw values, which needs no network at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks.data import Data, load
from skdeepcluster.networks import make_feature_encoder

WIDTH = 64  # of the judge's features, whose covariance a few thousand rows can tell
MOST_ROWS = 5_000  # that are generated


@dataclass(frozen=True)
class Judge:
    """A network that has learnt the classes of a data set.

    Parameters
    ----------
    net : NeuralNetClassifier
        Trained; its module ends in a linear classifier of the features.
    shape : tuple of int
        Of a row.
    """

    net: NeuralNetClassifier
    shape: tuple[int, ...]

    def classes(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Return the class that the judge sees in each row."""
        seen: NDArray[np.int64] = self.net.predict(self._shaped(rows))
        return seen

    def features(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return what the judge looks at, shape (n, 64)."""
        module = self.net.module_.eval()
        with torch.no_grad():
            parts = torch.from_numpy(self._shaped(rows)).split(1_000)
            return torch.cat([module[:-1](part) for part in parts]).double().numpy()

    def _shaped(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(rows, dtype=np.float32).reshape(-1, *self.shape)


@lru_cache(maxsize=1)
def judge_of(name: str) -> Judge:
    """Return the judge of a data set of DATA, trained once."""
    data = load(name)
    shape = data.image_shape or data.X.shape[1:]
    torch.manual_seed(0)
    encoder = make_feature_encoder(shape, WIDTH)
    net = NeuralNetClassifier(
        nn.Sequential(encoder, nn.ReLU(), nn.Linear(WIDTH, data.n_classes)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=10,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    judge = Judge(net, tuple(shape))
    net.fit(judge._shaped(data.X), data.y)
    return judge


def generation(model: Any, data: Data, labels: NDArray[Any], seed: int) -> dict[str, float]:
    """Return the figures of what a fitted model generates.

    Parameters
    ----------
    model : estimator
        With `sample`.
    data : Data
        Dense rows, with their classes.
    labels : ndarray of shape (n,)
        The model's clusters of these rows; -1 is noise.
    seed : int
        Of the draws.

    Returns
    -------
    figures : dict of str to float
        `class_share`: share of the generated rows in which the judge sees the class that their
        cluster stands for. `frechet`: distance between generated rows and rows, see
        `frechet_distance`. The same of the rows themselves (`rows_class_share`, and between halves
        of the rows `rows_frechet`), and of a Gaussian per cluster (`gaussian_...`).
    """
    judge, rng = judge_of(data.name), np.random.default_rng(seed)
    half = rng.permutation(len(data.y)) % 2 == 0
    stands_for = class_of_clusters(data.y, labels)
    rows, clusters = data.X[labels >= 0], labels[labels >= 0]
    n_rows = min(MOST_ROWS, len(rows))
    made = model.sample(n_rows, random_state=seed)
    shown = {
        "": (made[0].reshape(n_rows, -1), made[1]),
        "gaussian_": gaussian_per_cluster(rows, clusters, n_rows, rng),
    }
    real = judge.features(data.X)
    found = {
        "rows_class_share": float((judge.classes(rows) == stands_for[clusters]).mean()),
        "rows_frechet": frechet_distance(real[half], real[~half]),
    }
    for name, (generated, of) in shown.items():
        found[f"{name}class_share"] = float((judge.classes(generated) == stands_for[of]).mean())
        found[f"{name}frechet"] = frechet_distance(judge.features(generated), real)
    return found


def class_of_clusters(y: NDArray[np.int64], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class that each cluster stands for.

    Clusters are matched one to one; those beyond the number of classes stand for their most
    frequent class.

    Examples
    --------
    >>> import numpy as np
    >>> class_of_clusters(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 2]))
    array([1, 0, 1])
    """
    kept = labels >= 0
    counts = contingency_matrix(y[kept], labels[kept])
    numbers, classes = np.unique(labels[kept]), np.unique(y[kept])
    chosen = counts.argmax(0)
    known, matched = linear_sum_assignment(counts, maximize=True)
    chosen[matched] = known
    stands_for = np.full(numbers.max() + 1, -1)
    stands_for[numbers] = classes[chosen]
    return stands_for


def gaussian_per_cluster(
    rows: NDArray[Any], clusters: NDArray[Any], n_rows: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Draw from a Gaussian with the mean and the covariance of each cluster's raw values."""
    numbers, sizes = np.unique(clusters, return_counts=True)
    of = rng.choice(numbers, n_rows, p=sizes / sizes.sum())
    drawn = np.empty((n_rows, rows.shape[1]))
    for number in np.unique(of):
        own = rows[clusters == number].astype(float)
        centred, place = own - own.mean(0), of == number
        # A draw is a random combination of the centred rows, so that no covariance is needed.
        amounts = rng.standard_normal((place.sum(), len(own))) / np.sqrt(len(own))
        drawn[place] = own.mean(0) + amounts @ centred
    return drawn, of


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    r"""Distance between the Gaussians with the moments of two samples.

    .. math:: \|\mu_a - \mu_b\|^2 + \mathrm{tr}(C_a + C_b - 2 (C_a C_b)^{1/2})

    as in the Fréchet inception distance (Heusel et al., NeurIPS 2017).

    Examples
    --------
    >>> import numpy as np
    >>> a = np.random.default_rng(0).standard_normal((1000, 3))
    >>> round(frechet_distance(a, a + 2), 6)
    12.0
    """
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b)]
    # The product has the eigenvalues of a positive semi-definite matrix, but for rounding.
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    return float(shift + sum(np.trace(c) for c in covariances) - 2 * roots)
