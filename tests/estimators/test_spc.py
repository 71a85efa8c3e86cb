"""Self-labelling: what it heals, what it refuses to believe, and how it is told what to do."""

import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skdeepcluster import SPCClustering
from skdeepcluster.augment import RandomFlip
from skdeepcluster.metrics import clustering_accuracy

SMALL = {"hidden_layer_sizes": (16, 16), "decoder_epochs": 0, "random_state": 0, "device": "cpu"}
FAST = {**SMALL, "recluster": None, "max_epochs": 5, "batch_size": 64}


@pytest.fixture(scope="module")
def digits():
    """Images of three digits, and which they are."""
    bunch = load_digits(n_class=3)
    return (bunch.images / 16).astype(np.float32), bunch.target


@pytest.fixture
def two_wrong(digits):
    """Labels of which a tenth is wrong, at random."""
    labels = digits[1].copy()
    wrong = np.random.RandomState(0).rand(len(labels)) < 0.1
    labels[wrong] = (labels[wrong] + 1) % 3
    return labels


def fit_quietly(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


def digits_apart(*classes, step=1):
    """Images of digits that lie apart, so that no rounding decides, and which they are."""
    bunch = load_digits()
    rows = np.flatnonzero(np.isin(bunch.target, classes))[::step]
    return (bunch.images[rows] / 16).astype(np.float32), np.searchsorted(
        classes, bunch.target[rows]
    )


# -- quality --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_finds_digits_and_settles():
    images, digit = digits_apart(0, 4, 6)
    model = SPCClustering(3, max_rounds=2, **SMALL).fit(images)
    for labels in (model.start_labels_, model.labels_):
        assert clustering_accuracy(digit, labels) > 0.9
    assert model.settled_
    assert model.agreement_ >= 0.95
    figures = [r for r in model.history_ if "label_change" in r]
    assert [r["stage"] for r in figures] == ["round 1", "round 2"]
    assert figures[-1]["label_change"] == model.label_change_ <= 0.04
    assert figures[-1]["agreement"] == model.agreement_
    assert 0.5 < figures[-1]["confident"] <= 1


def test_what_it_teaches_last_is_what_it_predicts(digits, two_wrong):
    """Without a round it only distils the labels of the start, and heals single wrong ones."""
    model = SPCClustering(3, init=digits[1], max_rounds=0, **SMALL).fit(digits[0])
    assert (model.predict(digits[0]) == digits[1]).mean() > 0.99
    assert np.isnan(model.label_change_)
    healed = SPCClustering(3, init=two_wrong, max_rounds=0, **SMALL).fit(digits[0])
    assert (healed.labels_ == digits[1]).mean() > (two_wrong == digits[1]).mean() + 0.05


def wrong_starts():
    digit = digits_apart(0, 4, 6, step=2)[1]
    (fours,), (sixes,) = np.nonzero(digit == 1), np.nonzero(digit == 2)
    swallowing, dying = digit.copy(), digit.copy()
    swallowing[fours[::2]] = 0
    dying[sixes[5:]] = 0
    return {
        "at random": np.random.RandomState(0).randint(3, size=len(digit)),
        "one cluster has half of another": swallowing,
        "one cluster has five rows left": dying,
    }


@pytest.mark.slow
@pytest.mark.parametrize("start", wrong_starts())
def test_clustering_anew_heals_a_wrong_start(start):
    images, digit = digits_apart(0, 4, 6, step=2)
    model = SPCClustering(3, init=wrong_starts()[start], max_rounds=2, **SMALL).fit(images)
    assert model.settled_
    assert clustering_accuracy(digit, model.labels_) > 0.97


def nothing_to_find(rows=400):
    images = np.random.RandomState(0).normal(size=(rows, 8, 8))
    return gaussian_filter(images, (0, 1.5, 1.5)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_clusters", "images"),
    [
        pytest.param(6, digits_apart(0, 4, 6, step=2)[0], id="twice as many as there are"),
        pytest.param(2, digits_apart(0, 4, 6, 7, step=2)[0], id="half as many"),
        pytest.param(3, nothing_to_find(), id="one Gaussian"),
    ],
)
def test_it_knows_when_it_does_not_know(n_clusters, images):
    with pytest.warns(ConvergenceWarning, match="those of the start are kept"):
        model = SPCClustering(n_clusters, max_rounds=2, **SMALL).fit(images)
    assert not model.settled_


@pytest.mark.slow
def test_a_rare_class_costs_nothing():
    """Where a twentieth is of one class, the end is not below the start, settled or not."""
    images, digit = digits_apart(0, 4, 6)
    kept = np.sort(np.concatenate([np.flatnonzero(digit < 2), np.flatnonzero(digit == 2)[:9]]))
    images, digit = images[kept], digit[kept]
    model = fit_quietly(SPCClustering(3, max_rounds=2, **SMALL), images)
    of_start = clustering_accuracy(digit, model.start_labels_)
    assert clustering_accuracy(digit, model.labels_) >= of_start - 0.005


@pytest.mark.slow
def test_labels_of_noise_are_not_believed():
    noise = np.random.RandomState(0).uniform(size=(300, 8, 8)).astype(np.float32)
    with pytest.warns(ConvergenceWarning, match="did not settle, and those of the start are kept"):
        model = SPCClustering(4, max_rounds=2, **SMALL).fit(noise)
    assert not model.settled_
    assert (model.labels_ == model.start_labels_).mean() > 0.5


def test_unsettled_clusters_may_be_kept(digits):
    wild = np.random.RandomState(0).randint(3, size=len(digits[0]))
    settings = {**FAST, "init": wild, "max_rounds": 2}
    with pytest.warns(ConvergenceWarning, match="those of the start are kept"):
        start = SPCClustering(3, **settings).fit(digits[0])
    with pytest.warns(ConvergenceWarning, match="those of the last round are kept"):
        last = SPCClustering(3, **settings, unsettled="last").fit(digits[0])
    assert start.label_change_ == last.label_change_ > 0.04
    assert not np.array_equal(start.labels_, last.labels_)


# -- starts ---------------------------------------------------------------------------------------


def test_a_clusterer_or_labels_may_start_it(digits):
    model = fit_quietly(SPCClustering(3, init=KMeans(), max_rounds=1, **FAST), digits[0])
    assert set(model.start_labels_) == {0, 1, 2}
    with pytest.raises(ValueError, match=r"init must give labels in 0\.\.2"):
        SPCClustering(3, init=digits[1] + 1, **FAST).fit(digits[0])


def test_their_number_may_be_left_to_the_start(digits):
    model = fit_quietly(SPCClustering("auto", init=digits[1], max_rounds=1, **FAST), digits[0])
    assert model.n_clusters_ == 3


def test_a_number_that_the_start_does_not_look_at_is_told(digits):
    settings = {**FAST, "init": "umap-hdbscan", "max_rounds": 0, "max_epochs": 1}
    with pytest.warns(UserWarning, match="n_clusters=20 has no effect.*Use n_clusters='auto'"):
        model = SPCClustering(20, **settings).fit(digits[0])
    assert 1 < model.n_clusters_ < 10


def test_noise_is_given_to_clusters_or_kept(digits):
    ones = digits[1] == 1
    labels = np.where(ones, -1, digits[1] // 2)
    settings = {**SMALL, "init": labels, "max_rounds": 0}
    given = SPCClustering(2, **settings).fit(digits[0])
    assert (given.labels_ >= 0).all()
    kept = SPCClustering(2, noise="keep", **settings).fit(digits[0])
    assert ((kept.predict(digits[0]) == -1) == ones).mean() > 0.97
    assert kept.n_clusters_ == 2
    assert not hasattr(kept, "predict_proba")


def test_all_may_be_noise_but_for_one_row(digits):
    labels = np.full(len(digits[0]), -1)
    labels[:4] = digits[1][:4]
    model = fit_quietly(SPCClustering(3, init=labels, max_rounds=0, **FAST), digits[0])
    assert len(model.predict(digits[0])) == len(digits[0])


# -- rows -----------------------------------------------------------------------------------------


def test_a_sample_is_enough(digits):
    settings = {**SMALL, "init": digits[1], "max_rounds": 0, "max_samples": 200}
    model = SPCClustering(3, **settings).fit(digits[0])
    drawn = model.start_labels_ >= 0
    assert drawn.sum() == 200
    assert (model.labels_ == digits[1])[~drawn].mean() > 0.97


def test_rows_of_weight_zero_are_not_drawn(digits):
    weight = (np.arange(len(digits[0])) % 2).astype(float)
    model = SPCClustering(3, init=digits[1], max_rounds=0, **FAST)
    model.fit(digits[0], sample_weight=weight)
    np.testing.assert_array_equal(model.start_labels_ >= 0, weight > 0)
    assert len(model.labels_) == len(digits[0])


# -- networks -------------------------------------------------------------------------------------


def test_augmentation_is_for_images_or_ones_own(digits):
    seen = []

    def note(rows):
        seen.append(rows.shape)
        return rows

    settings = {**FAST, "init": digits[1], "max_rounds": 0}
    SPCClustering(3, augment=note, **settings).fit(digits[0])
    assert {shape[1:] for shape in seen} == {(1, 8, 8)}
    SPCClustering(3, augment=nn.Sequential(RandomFlip()), **settings).fit(digits[0])
    automatic = SPCClustering(3, **settings).fit(digits[0])
    assert automatic.module_.augment is not None
    flat = SPCClustering(3, **{**settings, "hidden_layer_sizes": "auto"})
    assert flat.fit(digits[0].reshape(-1, 64)).module_.augment is None


def test_members_are_networks_of_their_own(digits):
    settings = {**FAST, "init": digits[1], "max_rounds": 1, "n_members": 3}
    model = fit_quietly(SPCClustering(3, **settings), digits[0])
    codes = model.module_.member_codes({"X": torch.from_numpy(digits[0][:5])})
    assert codes.shape == (5, 3, 10)
    assert not torch.allclose(codes[:, 0], codes[:, 1])
    np.testing.assert_allclose(model.transform(digits[0][:5]), codes[:, 0].detach(), rtol=1e-4)


def test_probabilities_are_as_large_as_rounds_agree(digits, two_wrong):
    settings = {**FAST, "init": two_wrong, "max_rounds": 2}
    model = fit_quietly(SPCClustering(3, **settings), digits[0])
    sure = model.predict_proba(digits[0]).max(1).mean()
    wanted = min(1 - model.label_change_, 1 - 1 / len(digits[0]))
    assert sure == pytest.approx(wanted, abs=0.01)


def test_a_decoder_learns_after_or_along(digits):
    settings = {**FAST, "init": digits[1], "max_rounds": 0}
    assert not hasattr(SPCClustering(3, **settings), "sample")
    after = SPCClustering(3, **{**settings, "decoder_epochs": 3}).fit(digits[0])
    along = SPCClustering(3, **settings, reconstruction_weight=1.0).fit(digits[0])
    for model in (after, along):
        assert model.sample(2, random_state=0)[0].shape == (2, 8, 8)
        assert model.score(digits[0]) < 0
    assert [r["phase"] for r in after.history_] == ["learning"] * 5 + ["decoding"] * 3
    assert "reconstruction" in along.history_[0]


def test_the_decoder_leaves_labels_and_codes_alone(digits):
    settings = {**FAST, "init": digits[1], "max_rounds": 0}
    without = SPCClustering(3, **settings).fit(digits[0])
    after = SPCClustering(3, **{**settings, "decoder_epochs": 3}).fit(digits[0])
    np.testing.assert_array_equal(without.labels_, after.labels_)


def test_ones_own_encoder_makes_the_features(digits):
    model = SPCClustering(
        3,
        encoder=lambda shape, n_outputs: nn.Sequential(nn.Flatten(), nn.Linear(64, n_outputs)),
        **{**FAST, "hidden_layer_sizes": "auto", "init": digits[1], "max_rounds": 0},
    ).fit(digits[0])
    batch = {"X": torch.from_numpy(digits[0][:4])}
    torch.testing.assert_close(model.module_.features(batch)[:, 0], model.module_.codes(batch))


def test_few_rows_get_more_epochs(digits):
    settings = {**FAST, "init": digits[1], "max_rounds": 0, "max_epochs": "auto"}
    few = SPCClustering(3, **settings).fit(digits[0])
    assert few.n_iter_ * -(-len(digits[0]) // 64) >= 190
    assert clone(few).set_params(max_epochs=2).fit(digits[0]).n_iter_ == 2
