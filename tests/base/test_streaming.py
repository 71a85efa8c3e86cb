"""Rows that come a few at a time."""

import pickle
import re

import numpy as np
import pytest
import torch
from registry import ESTIMATORS, ONE_OF_EACH
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from test_continuing import small, state_of

from skdeepcluster import AutoencoderClustering, DECClustering, SPCClustering, VaDEClustering
from skdeepcluster.base._clusters import Clusters
from skdeepcluster.objectives import target_distribution

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STREAMS = sorted(name for name, each in ESTIMATORS.items() if hasattr(each, "partial_fit"))
OTHERS = [name for name in ONE_OF_EACH if name not in STREAMS]


@pytest.fixture(scope="module")
def more():
    """New rows of the kinds of the blobs."""
    return make_blobs(150, n_features=6, centers=3, cluster_std=0.6, random_state=3)[0][:90]


def copied(fitted):
    return pickle.loads(pickle.dumps(fitted))


def test_these_methods_take_rows_one_after_the_other():
    kinds = {type(ESTIMATORS[name]).__name__ for name in STREAMS}
    named = ("DCN", "DEC", "KDAE", "KDVAE", "SPC", "VaDE")
    assert kinds == {f"{name}Clustering" for name in named}


@pytest.mark.parametrize("name", OTHERS)
def test_the_others_say_why_not(name):
    estimator = ESTIMATORS[name]
    with pytest.raises(AttributeError) as caught:
        estimator.partial_fit  # noqa: B018 - asking is what is tested
    assert "a few at a time: its" in str(caught.value.__cause__)


@pytest.mark.parametrize("name", STREAMS)
def test_new_rows_of_known_kinds_leave_the_clusters(name, fitted, blobs, more):
    model, before = copied(fitted), state_of(fitted)
    n_epochs, labels = len(model.history_), model.labels_
    for chunk in np.array_split(more, 3):
        assert model.partial_fit(chunk) is model
        np.testing.assert_array_equal(model.labels_, model.predict(chunk))
    assert model.n_samples_seen_ == 240
    assert model.n_iter_ == len(model.history_) == n_epochs + 3
    assert any((before[k] != v).any() for k, v in model.module_.state_dict().items())
    assert (model.predict(blobs[0]) == labels).mean() > 0.99
    assert model.n_clusters_ == 3 == len(model.cluster_centers_)


@pytest.mark.parametrize("name", STREAMS)
def test_rows_of_one_kind_are_not_spread_over_clusters(name, fitted, blobs):
    model = copied(fitted)
    labels = model.labels_
    one = blobs[0][labels == 1]
    for _ in range(3):
        model.partial_fit(one)
    assert set(model.labels_) == {1}
    assert (model.predict(blobs[0]) == labels).mean() > 0.99
    weights = np.bincount(labels) + np.array([0, 3 * len(one), 0])
    np.testing.assert_allclose(model._clusters.shares, weights / weights.sum())
    np.testing.assert_allclose(model.cluster_centers_, fitted.cluster_centers_, atol=1e-5)


@pytest.mark.parametrize("name", STREAMS)
def test_the_first_call_is_fit(name, blobs):
    one, other = (clone(ESTIMATORS[name]).set_params(max_epochs=1) for _ in range(2))
    np.testing.assert_array_equal(
        one.partial_fit(blobs[0]).transform(blobs[0]), other.fit(blobs[0]).transform(blobs[0])
    )
    assert not hasattr(one, "n_samples_seen_")
    one.partial_fit(blobs[0][:40])
    assert one.fit(blobs[0]).n_iter_ == other.n_iter_ and not hasattr(one, "n_samples_seen_")


def test_the_stability_of_digits():
    """Of rows that lie close together: half the digits come in three parts of the other half."""
    X = load_digits().data[np.random.RandomState(0).permutation(1797)] / 16
    model = VaDEClustering(
        10,
        latent_dim=5,
        hidden_layer_sizes=(64,),
        pretrain_epochs=10,
        max_epochs=10,
        random_state=0,
    ).fit(X[:900])
    for chunk in np.array_split(X[900:], 3):
        labels = model.predict(X[:900])
        model.partial_fit(chunk)
        assert (model.predict(X[:900]) == labels).mean() > 0.99


def test_weights_and_few_rows(fitted_vade, more):
    model = copied(fitted_vade)
    twice = copied(fitted_vade).partial_fit(np.repeat(more[:20], 2, axis=0))
    assert twice.n_samples_seen_ == 190
    model.partial_fit(more[:3], sample_weight=[1, 1, 0])
    assert len(model.labels_) == 3
    for few in ({"X": more[:1]}, {"X": more[:2], "sample_weight": [1, 0]}):
        with pytest.raises(ValueError, match="at least 2 rows"):
            model.partial_fit(**few)
    with pytest.raises(ValueError, match="X has 5 features"):
        model.partial_fit(more[:, 1:])


@pytest.fixture(scope="module")
def fitted_vade(blobs):
    return clone(ESTIMATORS["vade"]).fit(blobs[0])


def test_rows_of_no_weight_count_for_nothing(blobs, more):
    """Neither those of the fit nor those that come: shares and means are of the others."""
    far = np.full((300, 6), 4.0)
    of_fit, of_more = np.repeat([1.0, 0.0], [150, 300]), np.repeat([1.0, 0.0], [90, 300])
    model = small(DECClustering, lr=1e-9, max_epochs=0)
    among = clone(model).fit(np.r_[blobs[0], far], sample_weight=of_fit)
    among.partial_fit(np.r_[more, far], sample_weight=of_more)
    alone = model.fit(blobs[0]).partial_fit(more)
    assert among.n_samples_seen_ == alone.n_samples_seen_ == 240
    np.testing.assert_allclose(among.cluster_centers_, alone.cluster_centers_, atol=1e-4)
    np.testing.assert_allclose(among._clusters.shares, alone._clusters.shares, atol=1e-6)


def test_what_the_model_is_made_of_stays(fitted_vade, more):
    model = copied(fitted_vade).set_params(latent_dim=3)
    with pytest.raises(ValueError, match=r"latent_dim=3 is not what.*, 2\..*begin anew by `fit`\."):
        model.partial_fit(more)
    model.set_params(latent_dim=2, lr=-1)
    with pytest.raises(ValueError, match="'lr' parameter"):
        model.partial_fit(more)


def test_clusters_that_have_died_stay_dead(blobs):
    model = small(DECClustering, n_clusters=4, init=blobs[1], pretrain_epochs=5, max_epochs=0)
    model.fit(blobs[0])
    live = model._clusters.live
    model.partial_fit(blobs[0][:40])
    np.testing.assert_array_equal(model._clusters.live, live)


def test_noise_that_was_taught_stays_noise(blobs):
    start = np.where(blobs[1] == 2, -1, blobs[1])
    model = clone(ESTIMATORS["spc-members"]).set_params(
        n_clusters=2, init=start, noise="keep", max_rounds=0, recluster=None
    )
    model.fit(blobs[0])
    before = model.labels_
    assert (before == -1).any()
    model.partial_fit(blobs[0])
    assert (model.labels_ == before).mean() > 0.99
    assert isinstance(model, SPCClustering)


def test_moments_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(60, 3)), np.repeat([0, 1, 2], 20)
    codes += labels[:, None]
    weight = rng.uniform(0.5, 2, size=60)
    first = np.arange(60) % 3 > 0
    first[40:] = True  # the last cluster gets no further rows
    whole = Clusters(np.arange(3)).describe(codes, labels, weight)
    part = Clusters(np.arange(3)).describe(codes[first], labels[first], weight[first])
    before = np.bincount(labels[first], weight[first])
    joined = part.take_in(codes[~first], labels[~first], weight[~first], before)
    for name in ("shares", "means", "roots"):
        np.testing.assert_allclose(getattr(joined, name), getattr(whole, name), atol=1e-9)


def test_targets_know_the_rows_of_before():
    q = torch.tensor([[0.9, 0.1], [0.6, 0.4]])
    alone = target_distribution(q)
    assert alone[1].argmax() == 1  # as if the first cluster were too large
    seen = target_distribution(q, seen=torch.tensor([50.0, 50.0]))
    assert seen[1].argmax() == 0
    expected = q**2 / (torch.tensor([50.0, 50.0]) + q.sum(0))
    torch.testing.assert_close(seen, expected / expected.sum(1, keepdim=True))


def test_the_reason_is_in_the_traceback():
    import traceback

    try:
        AutoencoderClustering().partial_fit([[0.0]])
    except AttributeError as error:
        text = "".join(traceback.format_exception(error))
    assert re.search("its head clusters the codes of all rows together", text)
