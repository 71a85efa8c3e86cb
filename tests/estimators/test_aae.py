"""AAEClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from skdeepcluster import AAEClustering
from skdeepcluster.metrics import clustering_accuracy

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "pretrain_epochs": 10,
    "init_epochs": 10,
    "max_epochs": 20,
    "critic_hidden_layer_sizes": (64,),
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fitted(blobs):
    return AAEClustering(3, **{**SMALL, "max_epochs": 40}).fit(blobs[0])


def test_categories_are_the_clusters_and_nearly_one_hot(fitted, blobs):
    assert clustering_accuracy(blobs[1], fitted.labels_) > 0.95
    codes = fitted.transform(blobs[0])
    np.testing.assert_array_equal(codes[:, 2:].argmax(1), fitted.labels_)
    assert np.mean(codes[:, 2:].max(1)) > 0.95


def test_the_game_makes_styles_standard(blobs):
    """Which they are far from before."""
    before = AAEClustering(3, **{**SMALL, "max_epochs": 0}).fit(blobs[0])
    after = clone(before).set_params(max_epochs=40, regularization_weight=5.0).fit(blobs[0])

    def departure(model):
        styles = model.transform(blobs[0])[:, :2]
        return np.abs(styles.mean(0)).sum() + np.abs(np.log(styles.std(0))).sum()

    assert departure(after) < departure(before) / 2


def test_styles_are_held_by_the_seed_and_varied_by_another(fitted):
    """A sample of two clusters with one seed differs in the category alone."""
    codes = {
        (cluster, seed): fitted._sample_codes(np.full(5, cluster), np.random.RandomState(seed))
        for cluster in (0, 1)
        for seed in (0, 1)
    }
    np.testing.assert_array_equal(codes[0, 0][:, :2], codes[1, 0][:, :2])
    assert not np.allclose(codes[0, 0][:, :2], codes[0, 1][:, :2])
    np.testing.assert_array_equal(codes[1, 0][:, 2:], np.eye(3)[np.full(5, 1)])


def test_rows_drawn_of_a_cluster_belong_to_it(fitted):
    for cluster in range(3):
        rows, _ = fitted.sample(50, cluster=cluster, random_state=0)
        assert np.mean(fitted.predict(rows) == cluster) > 0.8


def test_the_games_own_start_has_no_first_clusters(blobs):
    settings = {**SMALL, "max_epochs": 2}
    del settings["pretrain_epochs"], settings["init_epochs"]
    model = AAEClustering(3, **settings, init="random").fit(blobs[0])
    assert {record["phase"] for record in model.history_} == {"game"}
    assert not hasattr(model, "start_labels_")


def test_given_clusters_are_learnt_with_their_shares(blobs):
    labels = np.where(blobs[1] == 2, 1, blobs[1])
    model = AAEClustering(2, **SMALL, init=labels).fit(blobs[0])
    assert np.mean(model.labels_ == labels) > 0.95
    shares = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(model.module_.shares, shares, rtol=1e-5)
