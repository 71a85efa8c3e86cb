"""The vote of several runs: matching, shares, and the contract of an estimator."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from registry import ESTIMATORS
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.model_selection import ConsensusClustering


class Told(ClusterMixin, BaseEstimator):
    """Gives each row what a column of X says; each run reads the next column."""

    taken: list[int] = []  # noqa: RUF012 - shared by the clones, so that each reads its own

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.column_ = len(self.taken)
        self.taken.append(self.random_state)
        return self

    def predict(self, X):
        return np.asarray(X)[:, self.column_]


def vote(*runs):
    Told.taken.clear()
    X = np.array(runs).T
    return ConsensusClustering(Told(), n_runs=len(runs), random_state=0).fit(X), X


@parametrize_with_checks([ConsensusClustering(KMeans(2, n_init=1), n_runs=3)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_runs_are_renamed_before_they_vote():
    consensus, _ = vote([0, 0, 0, 1, 1, 1], [5, 5, 5, 3, 3, 3], [1, 1, 0, 0, 0, 0])
    assert consensus.labels_.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(consensus.row_agreement_, [1, 1, 2 / 3, 1, 1, 1])
    np.testing.assert_allclose(consensus.cluster_agreement_, [8 / 9, 1])
    assert (consensus.reference_, consensus.n_clusters_) == (0, 2)


def test_the_reference_agrees_most_and_agreement_is_the_mean_of_all_pairs():
    runs = [0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2]
    consensus, _ = vote(*runs)
    pairs = [(a, b) for i, a in enumerate(runs) for b in runs[:i]]
    expected = np.mean([adjusted_rand_score(a, b) for a, b in pairs])
    np.testing.assert_allclose(consensus.agreement_, expected)
    means = [np.mean([adjusted_rand_score(a, b) for b in runs if b is not a]) for a in runs]
    assert consensus.reference_ == np.argmax(means)


def changed(run, **rows):
    """A run in which rows have other labels: `to_1=[2, 3]` gives rows 2 and 3 the label 1."""
    run = list(run)
    for label, indices in rows.items():
        for index in indices:
            run[index] = int(label.removeprefix("to_"))
    return run


def test_a_majority_outvotes_the_reference():
    reference = [0] * 8 + [1] * 8
    others = changed(reference, to_1=[0, 1, 2]), changed(reference, to_1=[0], to_0=[8, 9])
    consensus, _ = vote(reference, *others)
    assert consensus.reference_ == 0
    assert consensus.labels_.tolist() == changed(reference, to_1=[0])


def test_the_reference_decides_a_tie():
    consensus, _ = vote([0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1])
    assert consensus.labels_.tolist() == [0, 0, 0, 1, 1, 1]
    assert consensus.row_agreement_[3] == 0.5


def test_a_cluster_wins_a_tie_with_noise():
    run = [0, 0, 1, 1, 2, 2]
    consensus, _ = vote(run, run, run, run, run)
    assert consensus.predict(np.array([[0, -1, -1, 1, 1]])).tolist() == [1]


def test_a_cluster_without_counterpart_votes_for_none():
    consensus, _ = vote([0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 0, 2, 1, 1])
    assert consensus.labels_.tolist() == [0, 0, 0, 0, 1, 1]
    np.testing.assert_allclose(consensus.row_agreement_, [1, 1, 1, 2 / 3, 1, 1])


def test_clusters_that_share_no_row_are_no_counterparts():
    reference = [0] * 6 + [1] * 3 + [2] * 3
    other = [0] * 4 + [2] * 2 + [1] * 6  # its 2 and one of the reference's would be left over
    consensus, _ = vote(reference, reference, reference, other)
    assert consensus.predict(np.array([[0, 0, 0, 2]])).tolist() == [0]
    assert consensus.predict(np.array([[9, 9, 9, 2]])).tolist() == [-1]  # nobody has a vote


def test_clusters_are_matched_beside_those_that_are_noise_elsewhere():
    consensus, _ = vote([0, 0, 1, 1, 2, 2], [-1, -1, 0, 0, 1, 1])
    np.testing.assert_allclose(consensus.row_agreement_, [0.5, 0.5, 1, 1, 1, 1])


def test_noise_is_noise_in_every_run_and_no_cluster():
    consensus, _ = vote([0, 0, 1, 1, -1, -1], [1, 1, 0, 0, -1, -1], [0, 0, -1, 1, 1, -1])
    assert consensus.labels_.tolist() == [0, 0, 1, 1, -1, -1]
    assert consensus.n_clusters_ == len(consensus.cluster_agreement_) == 2
    np.testing.assert_allclose(consensus.row_agreement_, [1, 1, 2 / 3, 1, 2 / 3, 1])
    consensus, _ = vote([-1, -1, -1], [-1, -1, -1])
    assert consensus.labels_.tolist() == [-1, -1, -1] and consensus.n_clusters_ == 0


def test_a_cluster_that_wins_no_row_is_dropped():
    reference = [0] * 8 + [1] + [2] * 8
    others = changed(reference, to_2=[8, 0, 1]), changed(reference, to_2=[8], to_0=[15, 16])
    consensus, X = vote(reference, *others)
    assert consensus.reference_ == 0 and consensus.n_clusters_ == 2
    assert consensus.labels_.tolist() == [0] * 8 + [1] * 9
    assert consensus.predict(X).tolist() == consensus.labels_.tolist()


@pytest.mark.parametrize(
    "estimator", [KMeans(5, n_init=1), ESTIMATORS["autoencoder"]], ids=["kmeans", "ours"]
)
class TestConsensus:
    def make(self, estimator, **params):
        return ConsensusClustering(estimator, **{"n_runs": 3, "random_state": 0, **params})

    def test_labels_are_predictions_and_one_seed_gives_one_result(self, estimator, blobs):
        X, _ = blobs
        consensus = self.make(estimator).fit(X)
        assert consensus.labels_.tolist() == consensus.predict(X).tolist()
        again = self.make(estimator).fit(X)
        assert again.labels_.tolist() == consensus.labels_.tolist()
        assert len({run.random_state for run in consensus.estimators_}) == 3
        assert consensus.n_features_in_ == 6
        copied = pickle.loads(pickle.dumps(consensus))
        assert copied.predict(X[:9]).tolist() == consensus.labels_[:9].tolist()

    def test_it_goes_into_a_pipeline(self, estimator, blobs):
        frame = pd.DataFrame(blobs[0], columns=list("abcdef"))
        pipeline = make_pipeline(StandardScaler(), self.make(estimator)).fit(frame)
        assert pipeline.predict(frame).tolist() == pipeline[-1].labels_.tolist()


def test_a_pipeline_is_seeded_and_names_are_kept(blobs):
    frame = pd.DataFrame(blobs[0], columns=list("abcdef"))
    pipeline = make_pipeline(StandardScaler(), KMeans(3, n_init=1))
    consensus = ConsensusClustering(pipeline, n_runs=2, random_state=0).fit(frame)
    assert consensus.feature_names_in_.tolist() == list("abcdef")
    assert consensus.estimators_[0][-1].random_state != consensus.estimators_[1][-1].random_state
    assert pipeline[-1].random_state is None
    assert not hasattr(consensus.fit(blobs[0]), "feature_names_in_")


def test_parameters_of_the_estimator_can_be_searched(blobs):
    X, y = blobs
    search = GridSearchCV(
        ConsensusClustering(KMeans(3, n_init=1), n_runs=2, random_state=0),
        {"estimator__n_clusters": [2, 3]},
        scoring=lambda model, X, y: clustering_accuracy(y, model.predict(X)),
        cv=2,
    )
    assert search.fit(X, y).best_params_ == {"estimator__n_clusters": 3}


def test_runs_side_by_side_change_nothing(blobs):
    make = ConsensusClustering(ESTIMATORS["autoencoder"], n_runs=2, random_state=0)
    with parallel_config(backend="threading"):
        alone, together = (clone(make).set_params(n_jobs=n).fit(blobs[0]) for n in (1, 2))
    for one, same in zip(alone.estimators_, together.estimators_, strict=True):
        np.testing.assert_array_equal(one.code_centers_, same.code_centers_)
    assert alone.labels_.tolist() == together.labels_.tolist()


def test_weights_reach_every_run(blobs):
    X, y = blobs
    weight = (y != 2).astype(float)
    make = ConsensusClustering(KMeans(2, n_init=1), n_runs=3, random_state=0)
    runs = clone(make).fit(X, sample_weight=weight).estimators_
    centers = np.stack([X[y == k].mean(axis=0) for k in (0, 1)])
    for run in runs:
        found = run.cluster_centers_[np.argsort(run.cluster_centers_[:, 0])]
        np.testing.assert_allclose(found, centers[np.argsort(centers[:, 0])], rtol=1e-4)


def test_agreement_is_low_where_there_are_no_clusters(blobs):
    noise = np.random.default_rng(0).uniform(size=(300, 10))
    make = ConsensusClustering(KMeans(3, n_init=1), random_state=0)
    without, with_clusters = clone(make).fit(noise), clone(make).fit(blobs[0])
    assert without.agreement_ < 0.5 < with_clusters.agreement_
    assert without.row_agreement_.mean() < with_clusters.row_agreement_.mean()


def test_what_cannot_work_is_refused(blobs, tmp_path):
    with pytest.raises(ValueError, match="'estimator' parameter of ConsensusClustering must be"):
        ConsensusClustering(AgglomerativeClustering()).fit(blobs[0])
    with pytest.raises(ValueError, match="'n_runs' parameter"):
        ConsensusClustering(KMeans(2), n_runs=1).fit(blobs[0])
    one = clone(ESTIMATORS["autoencoder"]).set_params(checkpoint=tmp_path / "one")
    with pytest.raises(ValueError, match=r"checkpoint=.* would be one file for all runs"):
        ConsensusClustering(one).fit(blobs[0])

    class Same(Told):
        def __init__(self):
            pass

    with pytest.raises(ValueError, match="Same has no random_state"):
        ConsensusClustering(Same()).fit(blobs[0])
