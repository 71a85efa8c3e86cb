"""Small class-balanced subsets, drawn from files that the tests write."""

import numpy as np
import pytest
from scipy import sparse

from skdeepcluster import datasets


def save_digits(folder, name, n_per_class, X=None):
    y = np.tile(np.arange(10), n_per_class)
    if X is None:
        X = np.random.default_rng(0).integers(256, size=(len(y), 28, 28), dtype=np.uint8)
    np.savez(folder / f"{name}.npz", X=X, y=y)


def test_class_subset_draws_evenly_without_replacement_in_the_order_of_the_rows():
    y = np.random.default_rng(0).integers(4, size=200)
    rows, target = datasets.class_subset(np.arange(200), y, n_per_class=30, random_state=0)
    assert np.bincount(target).tolist() == [30] * 4
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(target, y[rows])


def test_class_subset_merges_and_numbers_as_listed():
    y = np.repeat(["a", "b", "c", "d"], 20)
    rows, target = datasets.class_subset(
        np.arange(80), y, n_per_class=15, classes=["d", ("a", "c")], random_state=0
    )
    assert set(y[rows[target == 0]]) == {"d"}
    assert set(y[rows[target == 1]]) == {"a", "c"}
    assert np.bincount(target).tolist() == [15, 15]


def test_class_subset_depends_on_the_seed_alone():
    X, y = np.arange(100), np.repeat([0, 1], 50)
    first, again, other = (
        datasets.class_subset(X, y, n_per_class=5, random_state=seed)[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_class_subset_of_sparse_rows():
    X = sparse.csr_matrix(np.arange(1, 11).reshape(-1, 1))
    subset, target = datasets.class_subset(X, [0, 1] * 5, n_per_class=5, random_state=0)
    np.testing.assert_array_equal(subset.toarray(), X.toarray())
    np.testing.assert_array_equal(target, [0, 1] * 5)


def test_class_subset_says_which_class_is_too_small():
    with pytest.raises(ValueError, match="Class 1 has 2 rows, fewer than n_per_class=3"):
        datasets.class_subset(np.arange(6), [0, 0, 0, 0, 1, 1], n_per_class=3)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("mnist", [50] * 10),
        ("mnist-4", [50] * 4),
        ("fashion-mnist", [50] * 10),
        ("fashion-mnist-5", [100] * 5),
        ("pendigits", [200] * 10),
        ("pendigits-odd", [400] * 5),
        ("pendigits-even", [400] * 5),
        ("synthetic", [100] * 4),
    ],
)
def test_vardakas_subsets_have_the_sizes_of_the_thesis(name, counts, tmp_path):
    save_digits(tmp_path, "mnist", 60)
    save_digits(tmp_path, "fashion_mnist", 110)
    pens = np.random.default_rng(0).uniform(0, 100, size=(4100, 16)).astype(np.float32)
    save_digits(tmp_path, "pendigits", 410, pens)
    subset = datasets.fetch_vardakas2021(name, data_home=tmp_path, random_state=0)
    assert np.bincount(subset.target).tolist() == counts
    assert len(subset.target_names) == len(counts)
    assert subset.data.dtype == np.float32
    assert subset.data.min() >= 0.0 and 0.8 < subset.data.max() <= 1.0
    assert ("images" in subset) == ("mnist" in name)


def save_labels_as_pixels(folder, name):
    """Save images that show nothing but their class, in a scale up to 90."""
    y = np.repeat(np.arange(10), 400)
    X = np.broadcast_to((10 * y.astype(np.uint8))[:, None, None], (4000, 28, 28))
    np.savez(folder / f"{name}.npz", X=X, y=y)


def test_vardakas_subset_takes_and_merges_the_classes_it_names(tmp_path):
    save_labels_as_pixels(tmp_path, "fashion_mnist")
    subset = datasets.fetch_vardakas2021("fashion-mnist-5", data_home=tmp_path, random_state=0)
    shown = [
        set(np.rint(subset.data[subset.target == k, 0] * 9).astype(int).tolist()) for k in range(5)
    ]
    assert shown == [{0, 3}, {1}, {2, 4, 6}, {8}, {5, 7, 9}]
    assert subset.target_names.tolist() == [
        "T-shirt/top + Dress",
        "Trouser",
        "Pullover + Coat + Shirt",
        "Bag",
        "Sandal + Sneaker + Ankle boot",
    ]


def test_vardakas_pair(tmp_path):
    save_digits(tmp_path, "mnist", 60)
    X, y = datasets.fetch_vardakas2021(
        "mnist-4", data_home=tmp_path, random_state=0, return_X_y=True
    )
    assert X.shape == (200, 784) and y.shape == (200,)


def test_unknown_vardakas_subset_is_an_error_that_lists_the_names():
    with pytest.raises(
        ValueError, match=r"'cifar' is not a subset.*'fashion-mnist-5'.*'synthetic'"
    ):
        datasets.fetch_vardakas2021("cifar")
