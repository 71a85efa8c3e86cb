"""IMSAT and IIC as estimators: what they find, how rows are moved, and what is refused."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skdeepcluster import IMSATClustering
from skdeepcluster.augment import RandomFlip
from skdeepcluster.metrics import clustering_accuracy

SMALL = {"hidden_layer_sizes": (16, 16), "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def digits():
    """Images of three digits, and which they are."""
    bunch = load_digits(n_class=3)
    return (bunch.images / 16).astype(np.float32), bunch.target


@pytest.mark.parametrize("objective", ["imsat", "iic"])
def test_the_run_with_the_least_loss_finds_digits(digits, objective):
    """One run alone may join two of them, as its page says, and its loss tells."""
    X, y = digits
    settings = {**SMALL, "objective": objective, "max_epochs": 20, "batch_size": 100}
    runs = [IMSATClustering(3, **{**settings, "random_state": seed}).fit(X) for seed in range(4)]
    best = min(runs, key=lambda model: model.history_[-1]["train_loss"])
    assert clustering_accuracy(y, best.labels_) > 0.85


def test_images_are_augmented_and_other_rows_moved_against_the_clusters(digits):
    X = digits[0][:60]
    assert callable(self_perturbation(X))
    assert self_perturbation(X.reshape(60, -1)) == "adversarial"
    assert self_perturbation(X, perturbation="random") == "random"
    flip = RandomFlip()
    assert self_perturbation(X, augment=flip) is flip


def self_perturbation(X, **settings):
    return IMSATClustering(3, max_epochs=1, **SMALL, **settings).fit(X).module_.perturbation


def test_augmenting_takes_an_augmentation(digits):
    rows = digits[0][:60].reshape(60, -1)
    with pytest.raises(ValueError, match="perturbation='augment' has nothing to augment with"):
        IMSATClustering(3, perturbation="augment", **SMALL).fit(rows)


def test_it_neither_samples_nor_scores(digits):
    model = IMSATClustering(3, max_epochs=1, **SMALL).fit(digits[0][:60])
    for verb in ("sample", "score", "inverse_transform", "reconstruct"):
        assert not hasattr(model, verb)


def test_its_weights_are_those_of_the_paper(digits):
    """At the first update the loss is R - lambda (mu H(Y) - H(Y|X)), from the terms it tells."""
    settings = {"information_weight": 0.5, "balance_weight": 2.0, "max_epochs": 1}
    model = IMSATClustering(3, **settings, **SMALL).fit(digits[0][:60])
    told = model.history_[0]
    expected = told["invariance"] + 0.5 * told["conditional_entropy"] + told["balance"]
    assert told["model_loss"] == pytest.approx(expected, rel=1e-5)
