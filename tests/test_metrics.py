"""Scores against brute force, and at the edges: noise, text, unequal numbers, nothing at all."""

from itertools import permutations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV

from skdeepcluster.metrics import (
    clustering_accuracy,
    labeled_accuracy,
    labeled_fraction,
    purity_score,
)

SCORES = [clustering_accuracy, labeled_accuracy, labeled_fraction, purity_score]


def best_accuracy_by_trial(y, labels):
    """Try every way to name the clusters; surplus clusters get a name that no class has."""
    clusters = [c for c in np.unique(labels) if c != -1]
    names = [*np.unique(y), *(-2 for _ in clusters)]
    best = 0.0
    for naming in permutations(names, len(clusters)):
        name_of = dict(zip(clusters, naming, strict=True))
        best = max(best, np.mean(y == [name_of.get(c, -2) for c in labels]))
    return best


@pytest.mark.parametrize("with_noise", [False, True])
@pytest.mark.parametrize(("n_classes", "n_clusters"), [(3, 3), (4, 2), (2, 4), (1, 3), (3, 1)])
def test_accuracy_equals_the_best_naming_by_brute_force(n_classes, n_clusters, with_noise):
    rng = np.random.default_rng(10 * n_classes + n_clusters)
    for _ in range(5):
        y = rng.integers(n_classes, size=25)
        labels = rng.integers(-1 if with_noise else 0, n_clusters, size=25)
        assert clustering_accuracy(y, labels) == pytest.approx(best_accuracy_by_trial(y, labels))


def test_accuracy_matches_one_to_one_where_purity_may_repeat_a_class():
    y, labels = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]
    assert clustering_accuracy(y, labels) == pytest.approx(4 / 6)
    assert purity_score(y, labels) == 1.0


def test_accuracy_is_not_the_greedy_matching():
    # Greedily the cell with 3 rows comes first and leaves 0; the best matching takes 2 + 2.
    y = [0, 0, 0, 0, 0, 1, 1]
    labels = [0, 0, 0, 1, 1, 0, 0]
    assert clustering_accuracy(y, labels) == pytest.approx(4 / 7)


def test_purity_takes_the_most_frequent_class_of_each_cluster():
    y = ["a", "a", "b", "b", "b", "c"]
    labels = [0, 0, 0, 1, 1, 1]
    assert purity_score(y, labels) == pytest.approx((2 + 2) / 6)
    assert purity_score(y, [0, 0, -1, 1, 1, 1]) == pytest.approx((2 + 2) / 6)
    assert purity_score(y, [0, -1, -1, 1, 1, 1]) == pytest.approx((1 + 2) / 6)


def test_noise_is_an_error_for_all_rows_and_left_out_of_the_labeled_ones():
    y, labels = [0, 0, 0, 1, 1, 1], [5, 5, -1, 7, 5, -1]
    assert clustering_accuracy(y, labels) == pytest.approx(3 / 6)
    assert labeled_accuracy(y, labels) == pytest.approx(3 / 4)
    assert labeled_fraction(y, labels) == pytest.approx(4 / 6)


def test_noise_rows_of_one_class_are_no_cluster_of_their_own():
    assert clustering_accuracy([0, 0, 1, 1], [0, 0, -1, -1]) == 0.5


def test_minus_one_is_an_ordinary_class_among_the_true_labels():
    assert clustering_accuracy([-1, -1, 0, 0], [3, 3, 4, 4]) == 1.0


@pytest.mark.parametrize("score", SCORES)
def test_all_noise_scores_zero(score):
    assert score([0, 1, 1], [-1, -1, -1]) == 0.0


@pytest.mark.parametrize("score", SCORES)
def test_single_row(score):
    assert score([3], [0]) == 1.0


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("container", [list, np.array, lambda x: np.array(x, dtype=object)])
def test_text_scores_as_numbers_do(score, container):
    y, labels = [0, 0, 1, 1, 2], [1, 1, 0, -1, 1]
    names = {-1: "-1", 0: "zero", 1: "one", 2: "two"}
    as_text = container([names[c] for c in y]), container([names[c] for c in labels])
    assert score(*as_text) == score(y, labels)


def test_mixed_list_of_names_and_minus_one():
    assert labeled_fraction(None, ["a", "b", -1]) == pytest.approx(2 / 3)
    assert labeled_fraction(None, np.array(["a", "b", -1], dtype=object)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("score", SCORES)
def test_renaming_and_reordering_change_nothing(score):
    rng = np.random.default_rng(0)
    y, labels = rng.integers(4, size=60), rng.integers(-1, 5, size=60)
    order = rng.permutation(60)
    renamed = np.where(labels < 0, labels, 100 - 7 * labels)
    assert score(9 - y[order], renamed[order]) == score(y, labels)


@pytest.mark.parametrize("score", SCORES)
def test_no_rows_is_an_error(score):
    with pytest.raises(ValueError, match="no labels"):
        score([], [])


@pytest.mark.parametrize("score", [clustering_accuracy, labeled_accuracy, purity_score])
def test_unequal_lengths_are_an_error(score):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        score([0, 1], [0, 1, 1])


@pytest.mark.parametrize("score", SCORES)
def test_two_columns_are_an_error(score):
    with pytest.raises(ValueError, match="1d array"):
        score(np.zeros((3, 2)), np.zeros((3, 2)))


@pytest.mark.parametrize("score", SCORES)
def test_returns_a_plain_float(score):
    assert type(score(np.array([0, 1], dtype=np.uint8), np.array([0, -1]))) is float


def test_scorer_selects_the_number_of_clusters_in_a_grid_search():
    X, y = make_blobs(n_samples=90, centers=3, cluster_std=0.3, random_state=0)
    search = GridSearchCV(
        KMeans(n_init=3, random_state=0),
        {"n_clusters": [2, 3, 6]},
        scoring={score.__name__: make_scorer(score) for score in SCORES},
        refit="clustering_accuracy",
        error_score="raise",
        cv=2,
    ).fit(X, y)
    assert search.best_params_ == {"n_clusters": 3}
    assert search.best_score_ == 1.0
    assert (search.cv_results_["mean_test_labeled_fraction"] == 1.0).all()


def test_labels_of_dbscan():
    X, y = make_blobs(n_samples=90, centers=3, cluster_std=0.3, random_state=0)
    X[0] = 100.0
    labels = DBSCAN(eps=1.0).fit_predict(X)
    assert labeled_accuracy(y, labels) == 1.0
    assert clustering_accuracy(y, labels) == pytest.approx(89 / 90)


@pytest.mark.parametrize(
    "labels",
    [
        [1.0, -1.0, 0.0, 0.0],
        np.array([1.0, -1.0, 0.0, 0.0], dtype=object),
        np.array([1, np.int64(-1), 0.0, 0], dtype=object),
        ["1.0", "-1.0", "0.0", "0.0"],
        ["b", "-1", "a", "a"],
        ["b", -1.0, "a", "a"],
        [1.0, np.nan, 0.0, 0.0],
        np.array([1.0, np.nan, 0.0, 0.0], dtype=object),
        [1, None, 0, 0],
        ["b", None, "a", "a"],
        ["b", "", "a", "a"],
        pd.Series([1, None, 0, 0], dtype="Int64"),
        pd.Series(["b", None, "a", "a"]),
        pd.Categorical(["b", None, "a", "a"]),
        pl.Series([1, None, 0, 0]),
    ],
    ids=str,
)
def test_noise_is_noise_in_any_type(labels):
    true = ["cat", "cat", "dog", "dog"]
    found = [score(true, labels) for score in SCORES]
    assert found == [score(true, [1, -1, 0, 0]) for score in SCORES] == [0.75, 1, 0.75, 0.75]


def test_nothing_is_an_ordinary_class_among_the_true_labels():
    true = ["cat", None, None, "-1", -1, "-1"]
    assert clustering_accuracy(true, [0, 1, 1, 2, 2, 2]) == 1
    assert clustering_accuracy(["01", "1"], [0, 1]) == 1  # text is what it is
