"""Rows that are changed at random in training: what the estimators that may do so share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skdeepcluster import AutoencoderClustering, DCNClustering, DECClustering, VaDEClustering
from skdeepcluster.models.dec import DEC
from skdeepcluster.objectives import kl_divergence, student_t_log_proba
from skdeepcluster.scaling import Scaling

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (16,),
    "batch_size": 32,
    "max_epochs": 2,
    "device": "cpu",
    "random_state": 0,
}
KINDS = [
    AutoencoderClustering(3, **SMALL),
    DECClustering(3, **SMALL, pretrain_epochs=2),
    DECClustering(3, **SMALL, pretrain_epochs=2, reconstruction_weight=0),
    DCNClustering(3, **SMALL, pretrain_epochs=2),
    VaDEClustering(3, **SMALL, pretrain_epochs=2),
]
IDS = ["autoencoder", "idec", "dec", "dcn", "vade"]
each = pytest.mark.parametrize("estimator", KINDS, ids=IDS)


def as_it_is(rows):
    return rows


def mirrored(rows):
    return -rows


def codes(estimator, X, augment):
    return clone(estimator).set_params(augment=augment).fit(X).transform(X)


@each
def test_only_changes_that_change_something_matter(blobs, estimator):
    plain = codes(estimator, blobs[0], None)
    np.testing.assert_array_equal(codes(estimator, blobs[0], as_it_is), plain)
    np.testing.assert_array_equal(codes(estimator, blobs[0], "auto"), plain)  # of no image
    assert not np.allclose(codes(estimator, blobs[0], mirrored), plain)


@each
def test_images_are_moved_and_one_seed_moves_them_alike(estimator):
    images = np.random.RandomState(0).uniform(size=(40, 1, 8, 8)).astype(np.float32)
    estimator = clone(estimator).set_params(hidden_layer_sizes=(4,))
    state = torch.get_rng_state()
    first, second = (codes(estimator, images, "auto") for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.allclose(first, codes(estimator, images, None))


def test_every_phase_takes_changed_rows(blobs):
    """In DEC and DCN both the reconstruction and the clustering, in VaDE the bound as well."""
    for estimator in KINDS[1:]:
        seen = []

        def note(rows, seen=seen):
            seen.append(len(rows))
            return rows

        model = clone(estimator).set_params(augment=note).fit(blobs[0])
        assert len(seen) == 5 * model.n_iter_  # batches of an epoch


def test_the_target_of_a_changed_row_is_that_of_the_row_itself():
    """DEC-DA: KL(p(x) || q(T(x))), where p comes from the unchanged rows."""
    linear = torch.nn.Linear(2, 2)
    model = DEC(Scaling((2,)), linear, torch.nn.Linear(2, 2), (3, 2))
    torch.nn.init.normal_(model.centers)
    model.augment = mirrored
    batch = {"X": torch.randn(5, 2), "target": torch.rand(5, 3).softmax(1)}
    x = model.inputs(batch)
    expected = kl_divergence(batch["target"], student_t_log_proba(linear(-x), model.centers))
    torch.testing.assert_close(model.clustering(batch)["clustering"], expected)
    torch.testing.assert_close(model.both(batch)["clustering"], expected)
    clean = student_t_log_proba(linear(x), model.centers)
    torch.testing.assert_close(model.log_memberships(batch), clean)
