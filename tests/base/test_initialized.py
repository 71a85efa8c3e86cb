"""A start from clusters found elsewhere: what all estimators that have `init` share."""

from __future__ import annotations

import os
import signal
import warnings

import numpy as np
import pytest
from interruption import Crash, CtrlC
from registry import ESTIMATORS, ONE_OF_EACH, stages
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepcluster import (
    AutoencoderClustering,
    DECClustering,
    KDVAEClustering,
    VaDEClustering,
)
from skdeepcluster.base import _initialized

SMALL = {
    "n_clusters": 3,
    "latent_dim": 2,
    "hidden_layer_sizes": (16,),
    "batch_size": 32,
    "lr": 1e-2,
    "max_epochs": 5,
    "device": "cpu",
    "random_state": 0,
}


# What each trains before its main stage, and what else makes it train for the whole of that.
SETTINGS: dict[type, dict[str, float]] = {
    DECClustering: {"pretrain_epochs": 30, "tol": 0},
    KDVAEClustering: {"init_epochs": 30},
    VaDEClustering: {"pretrain_epochs": 30},
}
FIRST = {kind: next(iter(settings)) for kind, settings in SETTINGS.items()}


@pytest.fixture(params=FIRST, ids=lambda kind: kind.__name__)
def start(request):
    """Make the estimator with a start."""
    return lambda init: request.param(**SMALL, **SETTINGS[request.param], init=init)


@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_begin", "on_train_end"])
def test_ctrl_c_in_the_first_clusterer_ends_the_whole_fit(blobs, start, event):
    init = VaDEClustering(
        3, hidden_layer_sizes=(8,), latent_dim=2, pretrain_epochs=6, callbacks=[CtrlC(event=event)]
    )
    with pytest.warns(ConvergenceWarning, match="interrupted after 0 epochs"):
        model = start(init).fit(blobs[0])
    assert len(model.predict(blobs[0])) == 150


class Counted(KMeans):
    """Count how often it is fitted, and press Ctrl-C a number of times meanwhile."""

    presses = fits = 0

    def fit(self, X, y=None, sample_weight=None):
        type(self).fits += 1
        for _ in range(self.presses):
            os.kill(os.getpid(), signal.SIGINT)
        return super().fit(X, y, sample_weight)


def test_ctrl_c_lets_another_clusterer_finish(blobs, start, monkeypatch):
    """Its labels are the best that there is; pressed again, the key ends everything."""
    monkeypatch.setattr(Counted, "presses", 1)
    with pytest.warns(ConvergenceWarning, match="interrupted after 0 epochs"):
        model = start(Counted()).fit(blobs[0])
    assert len(model.predict(blobs[0])) == 150
    monkeypatch.setattr(Counted, "presses", 2)
    with pytest.raises(KeyboardInterrupt):
        start(Counted()).fit(blobs[0])


def test_a_fit_that_resumes_does_not_fit_the_clusterer_again(blobs, start, monkeypatch, tmp_path):
    monkeypatch.setattr(Counted, "fits", 0)
    model = start(Counted(random_state=1)).set_params(checkpoint=tmp_path / "progress")
    with pytest.raises(RuntimeError, match="crash"):
        clone(model).set_params(callbacks=[Crash(after=31)]).fit(blobs[0])
    continued = model.fit(blobs[0])
    assert Counted.fits == 1
    whole = clone(model).set_params(checkpoint=None).fit(blobs[0])
    np.testing.assert_array_equal(continued.transform(blobs[0]), whole.transform(blobs[0]))


def test_a_fit_resumes_from_a_frozen_clusterer_of_the_package(blobs, start, tmp_path):
    settings = {"latent_dim": 2, "hidden_layer_sizes": (16,), "max_epochs": 20, "lr": 1e-2}
    first = AutoencoderClustering(3, **settings, device="cpu", random_state=0)
    path = tmp_path / "progress"
    for callbacks in ([Crash(after=3)], None):
        init = FrozenEstimator(clone(first).fit(blobs[0]))  # as a script that runs again would
        model = start(init).set_params(checkpoint=path, callbacks=callbacks)
        if callbacks:
            with pytest.raises(RuntimeError, match="crash"):
                model.fit(blobs[0])
            assert path.exists()
    assert model.fit(blobs[0]).n_iter_ == 35


def test_a_pipeline_is_seeded_and_sized_as_its_last_step(blobs, start):
    def found(random_state):
        kmeans = KMeans(n_init=1, init="random", max_iter=1)
        model = start(make_pipeline(StandardScaler(), PCA(2), kmeans))
        model.set_params(**{FIRST[type(model)]: 0}, max_epochs=0, random_state=random_state)
        noise = np.random.RandomState(0).uniform(size=(300, 6)).astype(np.float32)
        return model.fit(noise).labels_

    before = np.random.get_state()[1].copy()
    first, second, other = found(0), found(0), found(1)
    np.testing.assert_array_equal(first, second)
    assert adjusted_rand_score(first, other) < 0.95
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_images_are_images_to_a_clusterer_of_the_package(start):
    seen = []

    class Seeing(AutoencoderClustering):
        def fit(self, X, y=None, sample_weight=None):
            seen.append(X.shape)
            return super().fit(X, y, sample_weight)

    images = np.random.RandomState(0).uniform(size=(30, 8, 8)).astype(np.float32)
    none = {"max_epochs": 0, "hidden_layer_sizes": (4,)}
    for init in (Seeing(max_epochs=0), make_pipeline(Seeing(max_epochs=0))):
        model = start(init)
        model.set_params(**{FIRST[type(model)]: 0}, **none).fit(images)
    assert seen == [(30, 8, 8), (30, 64)]


def test_labels_are_given_for_rows_without_weight_as_well(blobs, start):
    weight = np.ones(150)
    weight[::4] = 0
    labels = np.where(weight > 0, blobs[1], 2 - blobs[1])  # nonsense where it does not count
    model = start(labels).fit(blobs[0], sample_weight=weight)
    assert adjusted_rand_score(blobs[1], model.labels_) == 1
    with pytest.raises(ValueError, match="each of the 150 rows"):
        start(labels[weight > 0]).fit(blobs[0], sample_weight=weight)


@pytest.mark.parametrize("init", [KMeans(), AgglomerativeClustering()], ids=str)
def test_a_clusterer_is_cloned_fitted_and_given_the_number_of_clusters(blobs, start, init):
    """One that predicts, and one that has labels alone; dense and sparse."""
    model = start(init)
    assert adjusted_rand_score(blobs[1], clone(model).fit(blobs[0]).labels_) > 0.9
    assert not hasattr(init, "labels_")
    if isinstance(init, KMeans):
        sparse_rows = sparse.csr_array(blobs[0])
        model.set_params(init__n_init=2, scaling="standard").fit(sparse_rows)
        assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_a_clusterer_of_the_package_starts_with_the_weights_of_the_rows(blobs, start):
    seen = []

    class Weighted(AutoencoderClustering):
        def fit(self, X, y=None, sample_weight=None):
            seen.append((X, sample_weight))
            return super().fit(X, y, sample_weight)

    keep = np.arange(150) % 3 > 0
    init = Weighted(
        3, latent_dim=2, hidden_layer_sizes=(32,), max_epochs=20, lr=1e-2, batch_size=32
    )
    model = start(init).fit(blobs[0], sample_weight=keep * 5.0)
    (found,) = seen
    np.testing.assert_array_equal(found[0], blobs[0][keep])
    np.testing.assert_allclose(found[1], 1)
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_a_frozen_clusterer_predicts(blobs, start):
    fitted = KMeans(3, n_init=1, random_state=5).fit(blobs[0][:50])
    model = start(FrozenEstimator(fitted)).fit(blobs[0])
    np.testing.assert_array_equal(model.labels_, fitted.predict(blobs[0]))


def test_a_frozen_clusterer_does_not_miss_the_names_of_columns(blobs, start):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(blobs[0], columns=list("abcdef"))
    init = FrozenEstimator(KMeans(3, n_init=1, random_state=5).fit(frame))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*feature names")
        start(init).fit(frame)


def test_a_clusterer_that_finds_too_many_is_refused(blobs, start):
    with pytest.raises(ValueError, match=r"labels in 0\.\.2.*got 0\.\.4"):
        start(KMeans(5)).fit(blobs[0])


def test_what_does_not_cluster_is_refused(blobs, start):
    with pytest.raises(TypeError, match="PCA does not cluster"):
        start(PCA(2)).fit(blobs[0])
    with pytest.raises(ValueError, match=r"init=HDBSCAN\(\) labels none of the rows"):
        start(HDBSCAN(min_cluster_size=140)).fit(blobs[0])


def test_labels_that_count_for_nothing_are_refused(blobs, start):
    labels, weight = np.where(np.arange(150) < 5, 0, -1), np.ones(150)
    weight[:5] = 0
    with pytest.raises(ValueError, match="none of the rows that have a weight"):
        start(labels).fit(blobs[0], sample_weight=weight)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(7, dtype=int), r"each of the 150 rows.*got shape \(7,\)"),
        (np.zeros(150), "type float64"),
        (np.full(150, 3), r"labels in 0\.\.2.*got 3\.\.3"),
        (np.full(150, -2), "or -1 for none"),
        (np.full(150, -1), "labels none of the rows"),
    ],
    ids=["too few", "not integers", "too large", "too small", "none at all"],
)
def test_labels_that_cannot_be_a_start_are_refused(blobs, start, labels, message):
    with pytest.raises(ValueError, match=message):
        start(labels).fit(blobs[0])


# -- names of clusterers ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("n2d", "autoencoder"), ("spc", "spc")])
def test_a_name_stands_for_a_clusterer_with_the_data_and_device_of_its_owner(name, kind):
    owner = VaDEClustering(5, init=name, image_shape=(1, 8, 8), scaling="minmax", device="cpu")
    first = owner._first_clusterer()
    assert type(first).__module__.endswith(kind)
    shared = {"n_clusters": 5, "image_shape": (1, 8, 8), "scaling": "minmax", "device": "cpu"}
    assert shared.items() <= first.get_params().items()


def test_a_named_start_is_fitted_once(blobs, start, monkeypatch):
    monkeypatch.setattr(Counted, "fits", 0)
    monkeypatch.setitem(_initialized._MAKERS, "n2d", lambda owner: Counted(owner.n_clusters))
    model = start("n2d").fit(blobs[0])
    assert Counted.fits == 1
    assert adjusted_rand_score(blobs[1], model.start_labels_) == 1


# -- laws of all estimators that have `init` ---------------------------------------------------

STARTING = [name for name in ONE_OF_EACH if "init" in ESTIMATORS[name].get_params()]
starting = pytest.mark.parametrize("name", STARTING)


def given(name, init):
    """Return a setting of the registry with another start, less what that makes idle."""
    estimator = clone(ESTIMATORS[name]).set_params(init=init)
    for condition in estimator._conditions:
        if not condition.holds(estimator):
            defaults = type(estimator)().get_params(deep=False)
            estimator.set_params(**{each: defaults[each] for each in condition.names})
    return estimator


@starting
def test_given_clusters_come_out_and_rows_without_one_find_theirs(blobs, name):
    labels = np.where(np.arange(150) % 3 > 0, blobs[1], -1)
    model = given(name, labels).fit(blobs[0])
    np.testing.assert_array_equal(model.labels_, blobs[1])  # numbered alike
    np.testing.assert_array_equal(model.start_labels_, labels)
    assert model.history_[-1]["start_agreement"] == 1


@starting
def test_a_pipeline_that_finds_noise_is_a_start(blobs, name):
    """Its noise is without a label, and gets one by training."""
    init = make_pipeline(StandardScaler(), DBSCAN(eps=0.4))
    model = given(name, init).fit(blobs[0])
    assert -1 in model.start_labels_
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.95


@starting
@pytest.mark.parametrize("labels", [np.zeros(7, dtype=int), np.zeros(150)], ids=["few", "float"])
def test_labels_that_are_not_an_integer_for_each_row_are_refused(blobs, name, labels):
    with pytest.raises(ValueError, match="init must hold an integer for each of the 150 rows"):
        given(name, labels).fit(blobs[0])


@starting
def test_a_fit_from_given_clusters_resumes_where_it_was(blobs, name, monkeypatch, tmp_path):
    monkeypatch.setattr(Counted, "fits", 0)
    model = given(name, Counted(random_state=1))
    model.set_params(**stages(model, 4), checkpoint=tmp_path / "progress")
    with pytest.raises(RuntimeError, match="crash"):
        clone(model).set_params(callbacks=[Crash(after=3)]).fit(blobs[0])
    continued = model.fit(blobs[0])
    assert Counted.fits == 1
    whole = clone(model).set_params(checkpoint=None).fit(blobs[0])
    np.testing.assert_array_equal(continued.transform(blobs[0]), whole.transform(blobs[0]))
    np.testing.assert_array_equal(continued.start_labels_, whole.start_labels_)
    told = [[r.get("start_agreement") for r in m.history_] for m in (continued, whole)]
    assert told[0] == told[1]


# -- what became of the start -----------------------------------------------------------------


def test_agreement_with_the_start_is_told_of_every_phase(blobs, start):
    labels = np.where(np.arange(150) % 3 > 0, blobs[1], -1)
    model = start(labels).fit(blobs[0])
    last = {record["phase"]: record for record in model.history_}
    told = {name for name, record in last.items() if "start_agreement" in record}
    assert told == set(last) - {"pretraining"}
    assert all(last[name]["start_agreement"] == 1 for name in told)
    assert sum("start_agreement" in record for record in model.history_) == len(told)
    np.testing.assert_array_equal(model.start_labels_, labels)


def test_a_start_that_training_leaves_is_told(blobs, start):
    """Labels drawn at random are not clusters, and no method keeps them."""
    labels = np.random.RandomState(0).randint(3, size=150)
    model = start(labels)
    model.set_params(**{FIRST[type(model)]: 5}, max_epochs=20)
    with pytest.warns(
        ConvergenceWarning, match=r"[3-7]\d% of the rows have left.*index -?0\.\d\d; most"
    ):
        model.fit(blobs[0])
    found = adjusted_rand_score(labels, model.labels_)
    assert model.history_[-1]["start_agreement"] == pytest.approx(found) and found < 0.5
