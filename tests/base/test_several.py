"""Several fits of one estimator: which is kept, and what the others leave behind."""

from __future__ import annotations

import numpy as np
import pytest
from interruption import Crash, CtrlC
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from skdeepcluster import AutoencoderClustering, IMSATClustering, KDAEClustering
from skdeepcluster.base import DeepClusterer
from skdeepcluster.metrics import mean_agreement

SMALL = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_epochs": 2, "device": "cpu"}
PLAIN = AutoencoderClustering(5, **SMALL, random_state=0)  # of three blobs, so that fits differ


@pytest.fixture
def found(monkeypatch):
    """The labels of every fit, in turn."""
    labels: list[np.ndarray] = []
    complete = DeepClusterer._complete

    def noting(self, run, X, weight):
        complete(self, run, X, weight)
        labels.append(self.labels_)

    monkeypatch.setattr(DeepClusterer, "_complete", noting)
    return labels


def test_the_fit_that_agrees_most_is_kept(blobs, found):
    model = clone(PLAIN).set_params(n_init=4).fit(blobs[0])
    assert len(found) == 4
    pairs = np.array([[adjusted_rand_score(a, b) for a in found] for b in found])
    np.testing.assert_allclose(model.run_agreement_, (pairs.sum(0) - 1) / 3)
    assert len(np.unique(model.run_agreement_)) > 1
    np.testing.assert_array_equal(model.labels_, found[model.run_agreement_.argmax()])
    np.testing.assert_array_equal(model.labels_, model.predict(blobs[0]))
    assert len(model.history_) == model.n_iter_ == 2


def test_the_first_of_several_is_the_only_one_of_one(blobs, found):
    one = clone(PLAIN).fit(blobs[0])
    clone(PLAIN).set_params(n_init=3).fit(blobs[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert not hasattr(one, "run_agreement_")


def test_nothing_is_left_of_several_fits(blobs):
    model = clone(PLAIN).set_params(n_init=2).fit(blobs[0])
    assert model.run_agreement_.shape == (2,)
    model.set_params(n_init=1).fit(blobs[0])
    assert vars(model).keys() == vars(clone(PLAIN).fit(blobs[0])).keys()


def test_nothing_is_left_of_an_earlier_fit(blobs):
    model = clone(PLAIN).set_params(head="hdbscan", n_clusters="auto", n_init=2).fit(blobs[0])
    assert hasattr(model, "outlier_scores_")
    model.set_params(head="kmeans", n_clusters=5).fit(blobs[0])
    assert not hasattr(model, "outlier_scores_")


def test_of_two_the_better_explained_is_kept(blobs):
    weight = np.linspace(0, 1, len(blobs[0]))
    model = clone(PLAIN).set_params(n_init=2).fit(blobs[0], sample_weight=weight)
    assert model.run_agreement_[0] == model.run_agreement_[1]
    first = clone(PLAIN).fit(blobs[0], sample_weight=weight)
    scores = [each.score(blobs[0], sample_weight=weight) for each in (model, first)]
    assert scores[0] >= scores[1]


def test_a_method_without_a_score_keeps_the_first_of_two(blobs):
    plain = IMSATClustering(3, **SMALL, batch_size=50, random_state=0)
    model = clone(plain).set_params(n_init=2).fit(blobs[0])
    np.testing.assert_array_equal(model.labels_, clone(plain).fit(blobs[0]).labels_)


def test_a_fit_of_several_resumes_where_it_was(blobs, tmp_path):
    """Fits that were complete are not trained again."""
    stages = {"init_epochs": 2, "pretrain_epochs": 2}
    plain = KDAEClustering(3, **SMALL, **stages, n_init=3, random_state=0)
    whole = clone(plain).fit(blobs[0])
    in_the_second = whole.n_iter_ + 3
    crash = {"callbacks": [Crash(in_the_second)], "checkpoint": tmp_path / "fit"}
    with pytest.raises(RuntimeError, match="crash"):
        clone(plain).set_params(**crash).fit(blobs[0])
    counter = Crash(after=1000)
    resumed = clone(plain).set_params(callbacks=[counter], checkpoint=tmp_path / "fit")
    resumed.fit(blobs[0])
    assert whole.n_iter_ < counter.seen <= 2 * whole.n_iter_
    np.testing.assert_array_equal(resumed.run_agreement_, whole.run_agreement_)
    np.testing.assert_array_equal(resumed.transform(blobs[0]), whole.transform(blobs[0]))
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_all(blobs, found):
    model = clone(PLAIN).set_params(n_init=5, callbacks=[CtrlC(after=3)])
    with pytest.warns(Warning, match="Training was interrupted"):
        model.fit(blobs[0])
    assert len(found) == 2  # of two epochs each
    assert model.predict(blobs[0]).shape == (len(blobs[0]),)


def test_progress_tells_which_fit_it_is(blobs, capsys):
    clone(PLAIN).set_params(n_init=3, verbose=2).fit(blobs[0])
    told = capsys.readouterr().out
    assert "fit 1 of 3" in told and "fit 3 of 3" in told and "is kept" in told


def test_equal_fits_agree():
    labels = np.array([0, 1, 1])
    np.testing.assert_array_equal(mean_agreement([labels]), [1])
    np.testing.assert_array_equal(mean_agreement([labels, 1 - labels]), [1, 1])
