"""DECClustering: what is its own."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import clone

from skdeepcluster import AutoencoderClustering, DECClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "pretrain_epochs": 10,
    "max_epochs": 5,
    "device": "cpu",
    "random_state": 0,
}


def test_training_stops_when_labels_do(blobs):
    model = DECClustering(3, **{**SMALL, "max_epochs": 50}).fit(blobs[0])
    clustering = [r for r in model.history_ if r["phase"] == "clustering"]
    assert 2 <= len(clustering) < 50
    assert "label_change" not in clustering[0]
    assert clustering[-1]["label_change"] < model.tol
    endless = DECClustering(3, **{**SMALL, "max_epochs": 12, "tol": 0}).fit(blobs[0])
    assert endless.n_iter_ == 22


def test_the_target_moves_at_its_interval(blobs):
    model = DECClustering(3, epochs_per_update=2, **{**SMALL, "tol": 0}).fit(blobs[0])
    clustering = [r for r in model.history_ if r["phase"] == "clustering"]
    assert ["label_change" in r for r in clustering] == [False, False, True, False, True]


def test_dec_leaves_the_decoder_where_it_was(blobs):
    """Without a reconstruction term, the second phase trains the encoder and the centres."""
    before = DECClustering(3, reconstruction_weight=0, **{**SMALL, "max_epochs": 0}).fit(blobs[0])
    after = DECClustering(3, reconstruction_weight=0, **SMALL).fit(blobs[0])
    states = [m.module_.state_dict() for m in (before, after)]
    moved = {k for k in states[0] if not torch.equal(states[0][k], states[1][k])}
    assert not any(k.startswith("decoder") for k in moved)
    assert "centers" in moved and any(k.startswith("encoder") for k in moved)
    records = [r for r in after.history_ if r["phase"] == "clustering"]
    assert all("reconstruction" not in r for r in records)


def test_idec_keeps_reconstructing(blobs):
    dec = DECClustering(3, reconstruction_weight=0, **{**SMALL, "tol": 0}).fit(blobs[0])
    idec = DECClustering(3, **{**SMALL, "tol": 0}).fit(blobs[0])
    assert idec.score(blobs[0]) > dec.score(blobs[0])


def test_a_higher_power_makes_assignments_more_confident(blobs):
    shared = {**SMALL, "tol": 0}
    dec, dbc = (DECClustering(3, target_power=a, **shared).fit(blobs[0]) for a in (2.0, 4.0))
    confidence = [m.predict_proba(blobs[0]).max(1).mean() for m in (dec, dbc)]
    assert confidence[1] > confidence[0]


def test_training_makes_assignments_confident(blobs):
    before = DECClustering(3, **{**SMALL, "max_epochs": 0}).fit(blobs[0])
    after = DECClustering(3, **{**SMALL, "tol": 0}).fit(blobs[0])
    confidence = [m.predict_proba(blobs[0]).max(1).mean() for m in (before, after)]
    assert confidence[1] > confidence[0]


def test_centers_are_the_learned_ones(blobs):
    model = DECClustering(3, **SMALL).fit(blobs[0])
    np.testing.assert_array_equal(model.code_centers_, model.module_.centers.detach().numpy())


def test_weights_move_the_clusters(blobs):
    weight = np.where(blobs[1] == 0, 10.0, 1.0)
    one, other = clone(base := DECClustering(3, **SMALL)), clone(base)
    one.fit(blobs[0]), other.fit(blobs[0], sample_weight=weight)
    assert not np.allclose(one.code_centers_, other.code_centers_)


def test_digits():
    """Clustering adds to what the autoencoder found."""
    X, y = load_small_digits(return_X_y=True)
    shared = {**SMALL, "hidden_layer_sizes": (256, 128), "latent_dim": 10, "lr": 1e-3}
    epochs = {"pretrain_epochs": 20, "max_epochs": 20}
    scores = []
    for seed in range(2):
        common = {**shared, "random_state": seed}
        idec = DECClustering(10, **{**common, **epochs}).fit(X)
        del common["pretrain_epochs"]
        plain = AutoencoderClustering(10, **{**common, "max_epochs": 20}).fit(X)
        scores.append([clustering_accuracy(y, m.labels_) for m in (plain, idec)])
    plain_mean, idec_mean = np.mean(scores, axis=0)
    assert idec_mean > plain_mean
    assert idec_mean > 0.65
