"""The mixture that does not hang on its start."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepcluster.heads import SteadyGaussianMixture, make_head


@pytest.fixture(scope="module")
def rows():
    return make_blobs(400, centers=12, n_features=3, cluster_std=0.5, random_state=1)[0]


@parametrize_with_checks([SteadyGaussianMixture(n_init=3)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_its_bound_is_the_best_of_its_runs_and_of_plain_ones(rows):
    steady = SteadyGaussianMixture(12, reg_covar=1e-6, random_state=0).fit(rows)  # as theirs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = [GaussianMixture(12, random_state=seed).fit(rows) for seed in range(5)]
    assert steady.lower_bound_ == steady.run_bounds_[0] == steady.run_bounds_.max()
    assert len(steady.run_bounds_) == 48
    assert steady.lower_bound_ >= max(run.lower_bound_ for run in plain) - 1e-6
    assert steady.lower_bound_ > min(run.lower_bound_ for run in plain) + 0.01


def test_seeds_end_in_the_same_place(rows):
    bounds = [SteadyGaussianMixture(12, random_state=s).fit(rows).lower_bound_ for s in (0, 1, 2)]
    assert np.ptp(bounds) < 1e-2
    one, other = (SteadyGaussianMixture(12, random_state=0).fit(rows).means_ for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_runs_agree_where_there_are_clusters_and_not_where_there_are_none(rows):
    assert SteadyGaussianMixture(12, random_state=0).fit(rows).agreement_ > 0.95
    noise = np.random.RandomState(0).uniform(size=(400, 3))
    assert SteadyGaussianMixture(12, random_state=0).fit(noise).agreement_ < 0.6


def test_one_run_and_one_component_agree_with_themselves(rows):
    assert SteadyGaussianMixture(3, n_init=1).fit(rows).agreement_ == 1
    assert SteadyGaussianMixture(1, n_init=2).fit(rows).agreement_ == 1


def test_labels_are_predictions(rows):
    mixture = SteadyGaussianMixture(12, n_init=4, random_state=0)
    labels = mixture.fit_predict(rows)
    np.testing.assert_array_equal(labels, mixture.predict(rows))
    np.testing.assert_array_equal(labels, clone(mixture).fit(rows).predict(rows))


def test_the_head_takes_its_parameters(rows):
    head = make_head("gmm", 12, head_params={"n_init": 2, "covariance_type": "diag"})
    assert head.fit(rows).n_clusters_ == 12


def test_variances_have_a_floor_that_follows_the_scale_of_the_rows(rows):
    """So that the mixture of rows in another unit is the same mixture."""
    strings = np.concatenate([rows, np.repeat(rows[:1], 20, axis=0)])  # a component could collapse
    one = SteadyGaussianMixture(12, random_state=0).fit(strings)
    other = SteadyGaussianMixture(12, random_state=0).fit(1024 * strings)
    assert np.linalg.eigvalsh(one.covariances_).min() >= 0.9e-4 * strings.var(axis=0).mean()
    assert adjusted_rand_score(one.predict(strings), other.predict(1024 * strings)) > 0.99


def test_weights_count(rows):
    """A row of weight 1000 among rows of weight 1 is a component, one of weight 0 is nothing."""
    far = np.concatenate([rows, rows[:1] + 100])
    heavy = np.ones(len(far))
    heavy[-1] = 1000
    mixture = SteadyGaussianMixture(3, random_state=0).fit(far, sample_weight=heavy)
    assert mixture.weights_.max() == pytest.approx(1000 / heavy.sum(), abs=0.01)
    without = SteadyGaussianMixture(3, random_state=0).fit(far, sample_weight=heavy < 1000)
    assert without.means_.max() < far.max() / 2


@pytest.mark.parametrize("heaviest", [[1e30], [1e308, 1e308]])
def test_weights_that_leave_too_few_rows_are_told(rows, heaviest):
    """No component may stay where it began, without a row, in silence."""
    weight = np.ones(len(rows))
    weight[: len(heaviest)] = heaviest
    with pytest.warns(ConvergenceWarning, match=r"too few for 3 components.*differ less"):
        mixture = SteadyGaussianMixture(3, n_init=4, random_state=0).fit(rows, sample_weight=weight)
    nearest = np.linalg.norm(mixture.means_[:, None] - rows, axis=2).min(1)
    np.testing.assert_allclose(nearest, 0, atol=1e-6)


def test_equal_weights_change_nothing(rows):
    plain = SteadyGaussianMixture(3, random_state=0).fit(rows)
    weighted = SteadyGaussianMixture(3, random_state=0).fit(
        rows, sample_weight=np.full(len(rows), 7)
    )
    np.testing.assert_array_equal(plain.means_, weighted.means_)


def test_a_bayesian_mixture_speaks_for_itself(rows):
    """Its memberships are not those of a plain mixture with its weights and means."""
    mixture = BayesianGaussianMixture(n_components=3, max_iter=500, random_state=0)
    expected = clone(mixture).fit(rows).predict_proba(rows)
    head = make_head(mixture, random_state=0).fit(rows)
    np.testing.assert_allclose(head.predict_proba(rows), expected, atol=1e-10)
