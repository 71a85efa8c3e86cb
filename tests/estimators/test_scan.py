"""SCAN as an estimator: what its heads find together, and what they hang on."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from skdeepcluster import SCANClustering
from skdeepcluster.metrics import clustering_accuracy

SMALL = {"device": "cpu", "random_state": 0, "batch_size": 64, "lr": 1e-2, "max_epochs": 20}


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits(n_class=4)
    return bunch.data / 16, bunch.target


def test_heads_find_digits_together(digits):
    X, y = digits
    model = SCANClustering(4, n_heads=8, manifold=None, head="kmeans", **SMALL).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.9
    heads = model.transform(X).reshape(len(X), 8, 4).argmax(2)
    alone = [clustering_accuracy(y, labels) for labels in heads.T]
    assert clustering_accuracy(y, model.labels_) >= np.mean(alone)


def test_neighbours_are_what_it_learns_from(digits):
    """With the rows of neighbours shuffled there is nothing left to agree on."""
    X, _ = digits
    settings = {"n_heads": 2, "manifold": None, **SMALL}
    own = SCANClustering(4, **settings).fit(X).history_[-1]["disagreement"]
    far = SCANClustering(4, n_neighbors=len(X) - 1, **settings).fit(X).history_[-1]["disagreement"]
    assert own < 0.5 * far


def test_balance_keeps_all_clusters_in_use():
    """Within one blob neighbours agree best if all rows are in one cluster."""
    X = np.random.default_rng(0).normal(size=(200, 4))
    settings = {"manifold": None, "head": "kmeans", **SMALL, "lr": 0.1, "n_heads": 1}
    least = {}
    for weight in (0.0, 5.0):
        model = SCANClustering(2, balance_weight=weight, **settings).fit(X)
        least[weight] = model.transform(X).mean(0).min()
    assert least[0.0] < 0.1 < 0.4 < least[5.0]


def test_the_heads_join_by_the_head_that_is_asked_for(digits):
    X, _ = digits
    model = SCANClustering(4, n_heads=3, manifold=None, head="kmeans", **SMALL).fit(X)
    assert not hasattr(model, "predict_proba")
    assert model.code_centers_.shape == (4, 12)
    assert not hasattr(model, "sample")


def test_it_clusters_by_umap_unless_told_otherwise(digits):
    X, y = digits
    model = SCANClustering(4, n_heads=4, manifold_params={"n_epochs": 50}, **SMALL).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.9
    np.testing.assert_array_equal(model.predict(X[:20]), model.labels_[:20])
    assert clone(model).manifold == "umap"
