"""Rows that do not belong: noise, scores and their thresholds."""

import numpy as np
import pytest
from registry import HIERARCHY
from sklearn.base import clone
from test_continuing import small

from skdeepcluster import AutoencoderClustering, HRWAEGANClustering, SCANClustering, load

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DENSITY = {"head": "hdbscan", "min_cluster_size": 20}
FINDERS = {
    "autoencoder": AutoencoderClustering("auto", hidden_layer_sizes=(16,), **DENSITY),
    "hrwaegan": HRWAEGANClustering("auto", **{**HIERARCHY, **DENSITY}, n_groups=1),
    "scan": SCANClustering(3, n_heads=2, n_neighbors=5, manifold=None, **DENSITY),
}


@pytest.fixture
def strange(blobs):
    """Blobs with some rows far from all, and between them."""
    rng = np.random.RandomState(0)
    return np.r_[blobs[0], rng.uniform(-12, 12, size=(20, 6))].astype(np.float32)


@pytest.mark.parametrize("name", sorted(FINDERS))
def test_every_head_keeps_noise_or_gives_it_to_clusters(name, strange, tmp_path):
    settings = {"max_epochs": 5, "batch_size": 50, "random_state": 0, "device": "cpu"}
    keeping = clone(FINDERS[name]).set_params(**settings).fit(strange)
    filling = clone(keeping).set_params(noise="nearest").fit(strange)
    noise = keeping.labels_ < 0
    assert noise.any()
    np.testing.assert_array_equal(filling.labels_[~noise], keeping.labels_[~noise])
    assert (filling.labels_ >= 0).all() and filling.n_clusters_ == keeping.n_clusters_
    np.testing.assert_array_equal(filling.labels_, filling.predict(strange))
    np.testing.assert_array_equal(filling.outlier_scores_, keeping.outlier_scores_)
    np.testing.assert_array_equal(filling.probabilities_ == 0, keeping.probabilities_ == 0)
    filling.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").labels_, filling.labels_)


def test_noise_that_there_cannot_be_is_refused(blobs):
    with pytest.raises(ValueError, match="noise='nearest' would have no effect: no row is noise"):
        small(noise="nearest").fit(blobs[0])


# -- thresholds ---------------------------------------------------------------------------------


def test_a_threshold_is_a_quantile_of_the_training_rows(fitted, blobs):
    if not fitted._decodes:
        assert not hasattr(fitted, "is_outlier") and not hasattr(fitted, "outlier_threshold")
        return
    scores = fitted.score_samples(blobs[0])
    for share in (0.01, 0.1, 0.25, 0.5):
        threshold = fitted.outlier_threshold(share)
        assert threshold == np.quantile(scores, share, method="higher")
        odd = fitted.is_outlier(blobs[0], share)
        np.testing.assert_array_equal(odd, scores < threshold)
        assert odd.dtype == bool and abs(odd.mean() - share) <= 1 / len(odd)
    assert fitted.is_outlier(blobs[0][:5] * 50).all()
    np.testing.assert_array_equal(fitted.predict(blobs[0]), fitted.labels_)


def test_rows_of_no_weight_set_no_threshold(blobs):
    X = np.r_[blobs[0], blobs[0][:30] * 40]
    weight = np.r_[np.ones(150), np.zeros(30)]
    model = small(scaling=None).fit(X, sample_weight=weight)
    scores = model.score_samples(blobs[0])
    assert model.outlier_threshold(0.1) == np.quantile(scores, 0.1, method="higher")
    assert model.is_outlier(X, 0.1)[150:].all()


def test_rows_of_no_weight_set_no_threshold_of_density(strange, tmp_path):
    weight = np.r_[np.ones(150), np.zeros(20)]
    settings = {"max_epochs": 5, "batch_size": 50, "random_state": 0, "device": "cpu"}
    model = clone(FINDERS["autoencoder"]).set_params(**settings)
    model.fit(strange, sample_weight=weight)
    expected = np.quantile(model.outlier_scores_[:150], 0.9, method="lower")
    assert expected < np.quantile(model.outlier_scores_, 0.9, method="lower")
    assert model.outlier_threshold(0.1, "outlier_scores") == expected
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").outlier_threshold(0.1, "outlier_scores") == expected
    model.fit(strange)
    assert model.outlier_threshold(0.1, "outlier_scores") in model.outlier_scores_
    assert np.mean(model.outlier_scores_ > model.outlier_threshold(0.1, "outlier_scores")) <= 0.1


def test_both_scores_have_thresholds(strange, tmp_path):
    settings = {"max_epochs": 5, "batch_size": 50, "random_state": 0, "device": "cpu"}
    model = clone(FINDERS["autoencoder"]).set_params(**settings).fit(strange)
    by_density = model.is_outlier(strange, 0.1, score="outlier_scores")
    threshold = model.outlier_threshold(0.1, "outlier_scores")
    np.testing.assert_array_equal(by_density, model.outlier_scores_ > threshold)
    assert 0 < by_density.mean() <= 0.1
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").outlier_threshold(0.03) == model.outlier_threshold(0.03)
    scan = clone(FINDERS["scan"]).set_params(max_epochs=2, random_state=0).fit(strange)
    np.testing.assert_array_equal(
        scan.is_outlier(strange), scan.is_outlier(strange, score="outlier_scores")
    )
    with pytest.raises(ValueError, match=r"score='score_samples' is none.*: outlier_scores\."):
        scan.is_outlier(strange, score="score_samples")


def test_shares_of_more_digits_lie_in_between(blobs):
    model = small().fit(blobs[0])
    low, middle, high = map(model.outlier_threshold, (0.1, 0.105, 0.11))
    assert low <= middle <= high


@pytest.mark.parametrize("share", [0, 0.51, -1, np.nan, "auto", None])
def test_shares_out_of_range_are_refused(share, blobs):
    with pytest.raises(ValueError, match=r"contamination=.*must be a share in"):
        small().fit(blobs[0]).is_outlier(blobs[0], share)


def test_a_model_of_before_has_no_threshold(blobs):
    model = small().fit(blobs[0])
    del model._low_scores
    with pytest.raises(ValueError, match="saved before thresholds"):
        model.is_outlier(blobs[0])
