"""Fits that go on with a fitted model."""

import pickle

import numpy as np
import pytest
from interruption import CtrlC
from registry import ESTIMATORS, ONE_OF_EACH
from saving import assert_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

import skdeepcluster
from skdeepcluster import AutoencoderClustering, DECClustering, VaDEClustering

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WARM = sorted(name for name, each in ESTIMATORS.items() if hasattr(each, "warm_start"))
one_of_each = pytest.mark.parametrize("name", [name for name in ONE_OF_EACH if name in WARM])


def small(kind=AutoencoderClustering, **params):
    sizes = {"n_clusters": 3, "latent_dim": 2, "hidden_layer_sizes": (8,), "max_epochs": 1}
    return kind(**{"random_state": 0, "device": "cpu", **sizes, **params})


_WARM = {}


@pytest.fixture
def warm(name, blobs):
    """A copy of an estimator that was fitted with warm_start."""
    if name not in _WARM:
        _WARM[name] = pickle.dumps(
            clone(ESTIMATORS[name]).set_params(warm_start=True).fit(blobs[0])
        )
    return pickle.loads(_WARM[name])


def state_of(model):
    return {name: value.clone() for name, value in model.module_.state_dict().items()}


@pytest.mark.parametrize("name", WARM)
def test_no_more_epochs_change_nothing(name, warm, blobs):
    labels, codes = warm.labels_, warm.transform(blobs[0])
    before = len(warm.history_)
    warm.set_params(max_epochs=0).fit(blobs[0])
    np.testing.assert_array_equal(warm.labels_, labels)
    if name not in ("dcan", "dcan-kl"):  # whose networks stay, while the mixture settles further
        np.testing.assert_array_equal(warm.transform(blobs[0]), codes)
    assert len(warm.history_) == before == warm.n_iter_


@pytest.mark.parametrize("name", WARM)
def test_the_main_stage_goes_on(name, warm, blobs):
    labels, before, epochs = warm.labels_, state_of(warm), len(warm.history_)
    last = warm.history_[-1]
    warm.set_params(max_epochs=2).fit(blobs[0])
    added = warm.history_[epochs:]
    assert [record["phase"] for record in added] == [last["phase"]] * 2
    assert warm.n_iter_ == epochs + 2
    assert any((before[k] != v).any() for k, v in warm.module_.state_dict().items())
    assert (warm.labels_ == labels).mean() >= 0.99
    np.testing.assert_array_equal(warm.predict(blobs[0]), warm.labels_)
    if hasattr(warm, "start_labels_"):
        np.testing.assert_array_equal(warm.start_labels_, labels)


def test_training_twice_goes_farther_than_training_once(blobs):
    model = small(max_epochs=5, warm_start=True, lr=1e-2).fit(blobs[0])
    once = model.score(blobs[0])
    assert model.fit(blobs[0]).score(blobs[0]) > once
    cold = small(max_epochs=5, lr=1e-2).fit(blobs[0])
    assert cold.fit(blobs[0]).score(blobs[0]) == once


@one_of_each
def test_a_loaded_model_goes_on_as_the_one_that_was_saved(name, warm, blobs, tmp_path):
    warm.set_params(max_epochs=1).save(tmp_path / "model")
    loaded = skdeepcluster.load(tmp_path / "model")
    warm.fit(blobs[0]), loaded.fit(blobs[0])
    del warm.timings_, loaded.timings_
    for model in (warm, loaded):
        for record in model.history_:
            record.pop("seconds"), record.pop("refresh_seconds", None)
    assert_equal(warm, loaded, blobs[0])


@one_of_each
def test_what_the_model_is_made_of_stays(name, warm, blobs):
    before, codes = dict(vars(warm)), warm.transform(blobs[0])
    changed = {"scaling": "minmax"}
    if name not in ("scan", "moedc"):
        changed["latent_dim"] = 4
    for parameter, value in changed.items():
        kept = getattr(warm, parameter)
        warm.set_params(**{parameter: value})
        with pytest.raises(ValueError, match=rf"{parameter}={value!r} is not what.*{kept!r}.*back"):
            warm.fit(blobs[0])
        warm.set_params(**{parameter: kept})
    with pytest.raises(ValueError, match="X has 5 features"):
        warm.fit(blobs[0][:, 1:])
    assert vars(warm) == before
    np.testing.assert_array_equal(warm.transform(blobs[0]), codes)


def test_parameters_that_are_no_numbers_are_compared(blobs):
    model = small(DECClustering, init=np.arange(150) % 3, warm_start=True).fit(blobs[0])
    model.set_params(hidden_layer_sizes=[8], init=np.arange(150) % 3).fit(blobs[0])
    with pytest.raises(ValueError, match=r"^init is not what the model was made with\. "):
        model.set_params(init=np.arange(150) % 2).fit(blobs[0])


def test_how_a_number_is_held_changes_nothing(blobs):
    model = small(DECClustering, init=np.arange(150) % 3, warm_start=True)
    model.set_params(reconstruction_weight=2.0).fit(blobs[0])
    model.set_params(hidden_layer_sizes=np.array([8]), init=[*np.arange(150) % 3])
    model.set_params(n_clusters=np.int64(3), reconstruction_weight=2).fit(blobs[0])
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(9,\) is not.*\(8,\)"):
        model.set_params(hidden_layer_sizes=np.array([9])).fit(blobs[0])


def test_without_the_parameter_a_fit_begins_anew(blobs):
    model = small().fit(blobs[0])
    model.set_params(latent_dim=3).fit(blobs[0][:, 1:])
    assert model.transform(blobs[0][:, 1:]).shape == (150, 3)
    assert model.n_iter_ == 1


def test_a_fit_that_fails_leaves_the_model_as_it_was(blobs):
    model = small(DECClustering, pretrain_epochs=1, warm_start=True).fit(blobs[0])
    before, state = dict(vars(model)), state_of(model)
    model._clustering = lambda start: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        model.fit(blobs[0])
    del model._clustering
    assert vars(model) == before
    assert all((state[k] == v).all() for k, v in model.module_.state_dict().items())


def test_another_table_of_the_kind(blobs):
    """Its rows are scaled as those of the first, and units that differ are told."""
    other = make_blobs(90, n_features=6, centers=3, cluster_std=0.6, random_state=3)[0]
    model = small(VaDEClustering, pretrain_epochs=20, max_epochs=5, batch_size=32, lr=1e-2)
    model.set_params(warm_start=True).fit(blobs[0])
    labels, scaling = model.predict(other), model.module_.scaling
    model.fit(other)
    assert len(model.labels_) == 90
    assert (model.labels_ == labels).mean() >= 0.99
    for name, value in model.module_.scaling.state_dict().items():
        np.testing.assert_array_equal(value, scaling.state_dict()[name])
    with pytest.warns(UserWarning, match="times larger"):
        model.fit(blobs[0] * 1000)


def test_heads_keep_the_numbers_of_their_clusters(blobs):
    order = np.array([2, 0, 1])
    for params in ({"head": "kmeans"}, {"head": "gmm"}, {"head": "agglomerative"}):
        model = small(max_epochs=20, lr=1e-2, batch_size=32, **params).fit(blobs[0])
        head, codes = model.head_, model.transform(blobs[0]).astype(float)
        labels, centers = head.predict(codes), head.cluster_centers_
        head.labels_ = labels.copy()
        head.follow(order[labels])
        np.testing.assert_array_equal(head.predict(codes), order[labels])
        np.testing.assert_array_equal(head.labels_, order[labels])
        np.testing.assert_array_equal(head.cluster_centers_[order], centers)
        if hasattr(head, "predict_proba"):
            np.testing.assert_array_equal(head.predict_proba(codes).argmax(1), order[labels])


def test_a_cluster_without_a_match_comes_last():
    head = skdeepcluster.heads.make_head("kmeans", 3, random_state=0)
    codes = np.repeat([[0.0], [10.0], [20.0]], 4, axis=0)
    head.fit(codes).follow(np.repeat([1, -1, 0], 4))
    np.testing.assert_array_equal(head.predict(codes), np.repeat([1, 2, 0], 4))


def test_a_checkpoint_is_of_a_fit_from_its_beginning(blobs, tmp_path):
    model = small(warm_start=True, checkpoint=tmp_path / "fit").fit(blobs[0])
    with pytest.raises(ValueError, match=r"checkpoint=.*from its beginning.*with warm_start=False"):
        model.fit(blobs[0])
    assert model.set_params(checkpoint=None).fit(blobs[0]).n_iter_ == 2


def test_a_model_of_before_is_refused(blobs):
    model = small(warm_start=True).fit(blobs[0])
    del model._made_with
    with pytest.raises(ValueError, match="saved before models could be trained further"):
        model.fit(blobs[0])


def test_rounds_of_fresh_networks_have_nothing_to_go_on_with():
    assert set(ESTIMATORS) - set(WARM) == {"spc", "spc-members"}


def test_networks_of_another_table_are_a_start(blobs):
    """They are copied, and what they were trained to is where the second fit begins."""
    first = small(max_epochs=5, scaling=None).fit(blobs[0])
    before = state_of(first)
    networks = {
        "encoder": lambda shape, n_outputs: first.module_.encoder,
        "decoder": lambda n_inputs, shape: first.module_.decoder,
    }
    other = blobs[0][:90] + 1
    second = small(DECClustering, pretrain_epochs=0, max_epochs=0, scaling=None, **networks)
    second.set_params(hidden_layer_sizes="auto").fit(other)
    np.testing.assert_array_equal(second.transform(other), first.transform(other))
    second.set_params(max_epochs=1).fit(other)
    assert not np.array_equal(second.transform(other), first.transform(other))
    assert all((before[k] == v).all() for k, v in first.module_.state_dict().items())
    third = small(DECClustering, init=FrozenEstimator(first), pretrain_epochs=0, max_epochs=0)
    np.testing.assert_array_equal(third.fit(other).start_labels_, first.predict(other))


def test_an_interruption_advises_what_is_possible(blobs):
    """A fit that goes on takes no checkpoint."""
    model = small(DECClustering, pretrain_epochs=1, warm_start=True).fit(blobs[0])
    model.callbacks = [CtrlC()]
    for go_on in (model.fit, model.partial_fit):
        with pytest.warns(ConvergenceWarning, match="interrupted.*; train it further"):
            go_on(blobs[0])
        np.testing.assert_array_equal(model.predict(blobs[0]), model.labels_)
