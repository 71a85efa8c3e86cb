"""HRWAEGANClustering: what is its own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hierarchies import BRIEF, QUIET, REGULARIZERS, SMALL, THREE, batch_of, unfitted
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback
from torch import nn

from skdeepcluster import HRWAEGANClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.engine.schedule import Progress
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Place, Trainer
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.models.hierarchy import Gaussian
from skdeepcluster.scaling import Scaling


@pytest.fixture(scope="module")
def hierarchy(blobs):
    """Two groups, clustered by Gaussian mixtures; tests must not change it."""
    return HRWAEGANClustering(3, **SMALL, n_groups=2, head="gmm").fit(blobs[0])


@pytest.fixture(scope="module")
def by_umap(blobs):
    """One group, clustered by UMAP and HDBSCAN; tests must not change it."""
    settings = {**SMALL, "manifold": "umap", "manifold_params": {"n_neighbors": 15}}
    return HRWAEGANClustering(**settings, n_groups=1, outlier_weight=0.0).fit(blobs[0])


# -- the groups -------------------------------------------------------------------------------


def test_every_group_is_clustered(hierarchy, blobs):
    assert hierarchy.group_labels_.shape == (150, 2)
    np.testing.assert_array_equal(hierarchy.labels_, hierarchy.group_labels_[:, 0])
    assert adjusted_rand_score(blobs[1], hierarchy.labels_) > 0.8


def test_groups_are_the_codes_of_transform(hierarchy, blobs):
    groups = hierarchy.transform_groups(blobs[0])
    assert groups.shape == (150, 2, 2)
    np.testing.assert_array_equal(groups[:, 0], hierarchy.transform(blobs[0]))
    np.testing.assert_array_equal(hierarchy.transform_groups(blobs[0][5:6]), groups[5:6])
    assert hierarchy.transform_groups(blobs[0].astype(float)).dtype == np.float64


def test_another_group_may_stand_for_the_rows(blobs):
    model = HRWAEGANClustering(**BRIEF, n_groups=2, cluster_group=1).fit(blobs[0])
    np.testing.assert_array_equal(model.labels_, model.group_labels_[:, 1])
    codes = model.transform(blobs[0])
    np.testing.assert_array_equal(codes, model.transform_groups(blobs[0])[:, 1])
    # A mixture's own means are not those of the rows that it labels, but near them.
    own = model._heads[1].cluster_centers_
    np.testing.assert_allclose(model.code_centers_, own, rtol=1e-6)
    means = [codes[model.labels_ == label].mean(0) for label in range(model.n_clusters_)]
    np.testing.assert_allclose(own, means, atol=0.5 * codes.std())
    assert model.inverse_transform(codes).shape == blobs[0].shape
    assert model._clusters.members.shape[3] == 2  # samples of its clusters need both groups
    assert model.sample(5, random_state=0)[0].shape == (5, 6)


def test_groups_add_up_to_the_row(hierarchy, blobs):
    """The first group alone tells less than all."""
    rows = blobs[0]
    scaled = hierarchy.module_.scaling(torch.from_numpy(rows)).numpy()
    whole = hierarchy.module_.scaling(torch.from_numpy(hierarchy.reconstruct(rows))).numpy()
    first = hierarchy.inverse_transform(hierarchy.transform(rows))
    part = hierarchy.module_.scaling(torch.from_numpy(first)).numpy()
    assert np.square(whole - scaled).mean() < np.square(part - scaled).mean()
    errors = np.square(whole - scaled).mean(1)
    np.testing.assert_allclose(hierarchy.score_samples(rows), -errors, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_groups": 3}, "n_groups=3 is more than the 2 cells"),
        ({"cluster_group": 2}, "from 0 to n_groups - 1 = 1"),
        ({"decoder": lambda n_inputs, shape: nn.Linear(2, *shape)}, "n_groups=1 or decoder=None"),
    ],
)
def test_groups_that_do_not_exist(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        HRWAEGANClustering(**BRIEF).set_params(**params).fit(blobs[0])


def test_networks_of_ones_own(blobs):
    def encoder(shape, n_outputs):
        return nn.Sequential(nn.Linear(*shape, 16), nn.ReLU(), nn.Linear(16, n_outputs))

    def decoder(n_inputs, shape):
        return nn.Linear(n_inputs, *shape)

    settings = {**SMALL, "n_clusters": 3, "head": "gmm", "encoder": encoder}
    model = HRWAEGANClustering(**settings, n_groups=1, decoder=decoder)
    assert adjusted_rand_score(blobs[1], model.fit(blobs[0]).labels_) > 0.8
    model = HRWAEGANClustering(**{**settings, "max_epochs": 2}, n_groups=2).fit(blobs[0])
    assert model.transform_groups(blobs[0]).shape == (150, 2, 2)


@pytest.mark.parametrize("shape", [(12, 12), (3, 9, 7)])
def test_images(shape):
    images = np.random.RandomState(0).uniform(size=(40, *shape)).astype(np.float32)
    settings = {**BRIEF, "hidden_layer_sizes": (4, 8, 8), "n_groups": 3}
    model = HRWAEGANClustering(**settings).fit(images)
    assert model.module_.is_binary == (len(shape) == 2)  # colour has a squared error
    assert model.reconstruct(images).shape == images.shape
    assert model.sample_prior(4, random_state=0).shape == (4, *shape)


# -- the cycle --------------------------------------------------------------------------------


class Turns(Callback):
    """Write down which player's gradients were computed, and their norm after other callbacks."""

    def __init__(self, seen):
        self.seen = seen

    def __deepcopy__(self, memo):
        return self

    def on_grad_computed(self, net, named_parameters, **kwargs):
        norm = sum(p.grad.square().sum() for _, p in named_parameters if p.grad is not None)
        player = named_parameters[0][0].partition(".")[0]
        self.seen.append((player, float(norm) ** 0.5))


def test_gradients_are_clipped(blobs):
    seen = []
    settings = {**BRIEF, "regularization_weight": 1e4, "callbacks": [Turns(seen)]}
    HRWAEGANClustering(**settings).fit(blobs[0])
    norms = [norm for player, norm in seen if player == "encoder"]
    assert max(norms) == pytest.approx(1, rel=1e-3)


def test_players_take_n_and_m_turns_on_batches_of_their_own(blobs):
    seen = []
    params = {"n_autoencoder": 2, "n_critic": 3, "callbacks": [Turns(seen)]}
    HRWAEGANClustering(**BRIEF, **params).fit(blobs[0])  # two epochs of five batches
    own, rival = ["encoder"] * 2, ["discriminators"] * 3
    assert [player for player, _ in seen] == 2 * (own + rival)


@pytest.mark.parametrize("regularizer", ["mmd", "kl"])
def test_without_a_game_there_is_one_player(blobs, regularizer):
    seen = []
    params = {"regularizer": regularizer, "callbacks": [Turns(seen)]}
    model = HRWAEGANClustering(**BRIEF, **params).fit(blobs[0])
    assert {player for player, _ in seen} == {"encoder"}
    assert not any("critic_loss" in record for record in model.history_)


def test_weights_warm_up_step_by_step_and_decrease_from_group_to_group():
    settings = {"regularization_weight": 0.8, "group_decay": 0.5, "n_groups": 3}
    weights = HRWAEGANClustering(**settings)._cycle(0).weights
    early, late = Progress(0, 1, 0.25), Progress(9, 9, 0.9)
    at = [weights[f"regularization_{group}"] for group in range(3)]
    assert [ramp(Progress(0, 0, 0.0)) for ramp in at] == [0, 0, 0]
    assert [ramp(early) for ramp in at] == pytest.approx([0.4, 0.2, 0.1])
    assert [ramp(late) for ramp in at] == pytest.approx([0.8, 0.4, 0.2])
    assert [weights[f"discrimination_{group}"] for group in range(3)] == [1, 0.5, 0.25]


@pytest.mark.filterwarnings("ignore:HDBSCAN found no cluster")
@pytest.mark.parametrize("refresh_size", [None, 60])
def test_noise_is_detected_every_few_epochs(blobs, refresh_size):
    """A cluster of 149 of 150 rows does not exist, so that all of them are noise."""
    settings = {**SMALL, "min_cluster_size": 149, "max_epochs": 5, "epochs_per_refresh": 2}
    history = HRWAEGANClustering(**settings, refresh_size=refresh_size).fit(blobs[0]).history_
    shares = {r["phase_epoch"]: r["noise_share"] for r in history if "noise_share" in r}
    assert shares == {3: 1.0, 5: 1.0}  # before these epochs, and not before the first
    assert all(r["refresh_seconds"] > 0 for r in history if "noise_share" in r)
    assert [r["noise"] for r in history[:2]] == [0.0, 0.0]
    for record in history[2:]:  # the rows stay marked until the next search
        assert record["noise"] == pytest.approx(record["reconstruction"])


class FirstRowsAreNoise:
    """A head that remembers what it is fitted to, and rejects codes that are left of its median."""

    def __init__(self, seen):
        self.seen = seen

    def fit(self, codes):
        self.seen.append(codes)
        self.median = np.median(codes[:, 0])
        return self

    def predict(self, codes):
        return np.where(codes[:, 0] < self.median, -1, 0)


@pytest.mark.parametrize("refresh_size", [None, 60])
def test_noise_is_looked_for_among_the_codes_of_the_first_group(blobs, monkeypatch, refresh_size):
    estimator, table, seen = unfitted(refresh_size=refresh_size), Table(blobs[0]), []
    monkeypatch.setattr(estimator, "_make_head", lambda *told: FirstRowsAreNoise(seen))
    trainer = Trainer(estimator._make_model(Scaling((6,))).eval()).initialize()
    trainer.place_, trainer.n_batches_ = Place(epoch=1), 1
    estimator._find_outliers(trainer, table, seed=0)
    first = trainer.apply(trainer.model.posteriors, table)[:, 0, 0].numpy()
    (codes,) = seen
    assert len(codes) == (refresh_size or 150)
    assert {tuple(code) for code in codes} <= {tuple(code) for code in first}
    expected = first[:, 0] < np.median(codes[:, 0])
    np.testing.assert_array_equal(table.array("noise"), expected)


def test_rows_of_a_cluster_are_no_noise(blobs):
    settings = {**SMALL, "n_groups": 1, "epochs_per_refresh": 30}
    (share,) = [
        r["noise_share"]
        for r in HRWAEGANClustering(**settings).fit(blobs[0]).history_
        if "noise_share" in r
    ]
    assert share < 0.5


# -- stability --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_groups", [1, 3])
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_all_regularizers_train_all_depths(blobs, regularizer, n_groups):
    settings = {**QUIET, **THREE, "max_epochs": 15}
    settings |= {"regularizer": regularizer, "n_groups": n_groups}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = HRWAEGANClustering(**settings).fit(blobs[0])
    first, last = (model.history_[epoch]["reconstruction"] for epoch in (0, -1))
    assert last < first / 2


def test_posteriors_do_not_collapse_to_points(blobs):
    settings = {**SMALL, "n_clusters": 3, "head": "gmm", "regularization_weight": 0.0}
    model = HRWAEGANClustering(**settings).fit(blobs[0])
    log_variance = model.module_.posteriors(batch_of(blobs[0]))[:, 1]
    assert log_variance.min() >= -5 and log_variance.max() <= 5


# -- the priors -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_digits():
    """Three groups of codes of digits, and the rows; tests must not change the model."""
    X, _ = load_small_digits(return_X_y=True)
    settings = {**QUIET, **THREE, "latent_dim": 4, "n_clusters": 10}
    # Few updates: the regularizer that needs no game, which ends elsewhere on every processor.
    settings |= {"regularizer": "mmd", "regularization_weight": 1.0}
    model = HRWAEGANClustering(**settings).fit(X[:600]).module_
    return model, torch.from_numpy(X[:600])


def test_ancestral_codes_match_the_aggregate_posterior_group_by_group(of_digits):
    """A descent from N(0, I) alone, against the posteriors of all rows."""
    model, rows = of_digits
    descent = []

    def choose(index, features, parameters):
        descent.append(Gaussian.of(parameters).draw())
        return descent[-1]

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        _, latents = model._pass(rows, Gaussian.draw)
        top = torch.randn(600, 4)
        model.decoder(top, choose)
    for drawn, latent in zip([top, *descent], latents, strict=True):
        spread = latent.z.std(0)
        assert ((drawn.mean(0) - latent.z.mean(0)).abs() < 0.6 * spread).all()
        assert (drawn.std(0) / spread).log().abs().max() < 0.7


def test_priors_follow_the_posteriors_of_the_same_row(of_digits):
    """Draws of p(z_l | z_<l) against those of q(z_l | x, z_<l), for the same z_<l."""
    model, rows = of_digits
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        _, latents = model._pass(rows, Gaussian.draw)
        for latent in latents[1:]:
            z, ancestral = latent.z, latent.prior.draw()
            spread = z.std(0)
            assert ((z.mean(0) - ancestral.mean(0)).abs() < 0.5 * spread).all()
            assert (ancestral.std(0) / spread).log().abs().max() < 0.7
            # The prior listens to the earlier groups: it is narrower than the marginal.
            marginal = torch.distributions.Normal(z.mean(0), spread).log_prob(z).mean()
            prior = torch.distributions.Normal(
                latent.prior.mean, (latent.prior.log_variance / 2).exp()
            )
            assert prior.log_prob(z).mean() > marginal


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_what_regularizes_brings_codes_to_their_prior(blobs, regularizer):
    """How far the first two moments of z_0 are from 0 and 1, beside those of a free code."""

    def distance(**params):
        model = HRWAEGANClustering(**settings, **params).fit(blobs[0]).module_
        mean, log_variance = model.posteriors(batch_of(blobs[0]))[:, :, 0].unbind(1)
        variance = mean.var(0) + log_variance.exp().mean(0)  # of the aggregate posterior
        return (mean.mean(0).square() + variance.log().square()).sum()

    settings = {**QUIET, "n_groups": 1}
    free = distance(regularization_weight=0.0)
    assert distance(regularizer=regularizer, regularization_weight=0.2) < free / 2


def test_samples_of_a_cluster_are_its_members_perturbed(hierarchy, blobs):
    rows, labels = hierarchy.sample(60, cluster=1, random_state=0)
    assert (labels == 1).all()
    assert (hierarchy.predict(rows) == 1).mean() > 0.6
    members = blobs[0][hierarchy.labels_ == 1]
    spread = blobs[0].std(0)
    assert (np.abs(rows.mean(0) - members.mean(0)) < 0.5 * spread).all()


def test_temperature_scales_what_is_random(hierarchy):
    def spread(temperature):
        rows = hierarchy.sample_prior(200, random_state=0, temperature=temperature)
        return rows.std(0).mean()

    assert spread(0.0) < 1e-4 < spread(0.5) < spread(1.0)
    cold, _ = hierarchy.sample(100, cluster=0, random_state=0, temperature=0.0)
    warm, _ = hierarchy.sample(100, cluster=0, random_state=0)
    assert cold.std(0).mean() < warm.std(0).mean()
    for draw in (hierarchy.sample, hierarchy.sample_prior):
        for temperature in (-1.0, np.nan, np.inf):
            with pytest.raises(ValueError, match="temperature"):
                draw(2, temperature=temperature)
        with pytest.raises(TypeError, match="temperature"):
            draw(2, temperature="hot")
    with pytest.raises(ValueError, match="n_samples"):
        hierarchy.sample_prior(0)


# -- the heads --------------------------------------------------------------------------------


def test_the_number_of_clusters_is_found(by_umap, blobs):
    assert by_umap.n_clusters_ == 3
    assert adjusted_rand_score(blobs[1], by_umap.labels_) > 0.8


def test_labels_by_umap_and_hdbscan_are_predictions_row_by_row(by_umap, blobs):
    """Laws 1 and 2, where a new row is placed by its nearest training rows."""
    np.testing.assert_array_equal(by_umap.labels_, by_umap.predict(blobs[0]))
    X = np.tile(blobs[0], (3, 1)) + np.linspace(0, 1, 450, dtype=np.float32)[:, None]
    whole = by_umap.predict(X)
    order = np.random.RandomState(0).permutation(len(X))
    np.testing.assert_array_equal(by_umap.predict(X[order]), whole[order])
    np.testing.assert_array_equal(by_umap.predict(X[:7]), whole[:7])
    np.testing.assert_array_equal(by_umap.predict(X[99:100]), whole[99:100])


def test_neighbours_of_umap_follow_the_number_of_rows():
    """Equation 3.8, with 5 as a floor, and equation 4.3 for the clusters."""
    for n_rows, expected in ((300, 5), (3000, 10), (10_000, 33), (70_000, 100)):
        head = unfitted(manifold="umap")._make_group_head(0, n_rows, "hdbscan")
        assert head.umap_params["n_neighbors"] == expected
    head = unfitted(min_cluster_size=60)._make_group_head(0, 500, "hdbscan", share=0.1)
    assert head.head_params == {"min_cluster_size": 6}  # of a sample of the rows
    own = unfitted(manifold="umap", manifold_params={"n_neighbors": 7})._make_group_head(0, 900)
    assert own.umap_params["n_neighbors"] == 7


@pytest.mark.parametrize("head", ["gmm", "agglomerative", "kmeans", KMeans()], ids=str)
@pytest.mark.parametrize("n_clusters", ["auto", 2])
def test_other_heads_take_the_number_or_find_it(blobs, head, n_clusters):
    settings = {**SMALL, "head": head, "n_clusters": n_clusters}
    model = HRWAEGANClustering(**settings, n_groups=1).fit(blobs[0])
    assert model.n_clusters_ == (3 if n_clusters == "auto" else 2)
    assert hasattr(model, "predict_proba") == (head == "gmm")
    assert not hasattr(model, "outlier_scores_")


def test_hdbscan_does_not_look_at_a_number(blobs):
    settings = {**SMALL, "max_epochs": 2, "n_groups": 1}
    free = HRWAEGANClustering(**settings).fit(blobs[0])
    with pytest.warns(UserWarning, match="n_clusters=2 has no effect"):
        told = HRWAEGANClustering(2, **settings).fit(blobs[0])
    np.testing.assert_array_equal(free.labels_, told.labels_)


def test_outliers_are_those_of_the_last_fit(blobs):
    model = HRWAEGANClustering(**SMALL, n_groups=1).set_params(max_epochs=1).fit(blobs[0])
    assert model.outlier_scores_.shape == (150,)
    model.set_params(head="gmm", n_clusters=3).fit(blobs[0][:50])
    assert not hasattr(model, "outlier_scores_")


def test_outliers_have_high_scores(blobs):
    far = 40 * np.eye(6, dtype=np.float32)[:3]
    model = HRWAEGANClustering(**SMALL, n_groups=1).fit(np.vstack([blobs[0], far]))
    scores = model.outlier_scores_
    assert scores.shape == (153,)
    assert scores.min() >= 0 and scores.max() <= 1
    assert np.median(scores[-3:]) > np.median(scores[:-3])
    assert not hasattr(model, "predict_proba")


def test_rows_that_are_all_noise_are_still_of_use(blobs):
    with pytest.warns(ConvergenceWarning, match="no cluster"):
        model = HRWAEGANClustering(**{**SMALL, "min_cluster_size": 149}).fit(blobs[0])
    assert model.n_clusters_ == 0
    np.testing.assert_array_equal(model.predict(blobs[0]), -1)
    assert model.code_centers_.shape == (0, 2)
    assert model.transform(blobs[0]).shape == (150, 2)
    assert np.isfinite(model.score(blobs[0]))
    assert np.isfinite(model.sample_prior(3, random_state=0)).all()
    with pytest.raises(ValueError, match="No cluster was found"):
        model.sample(3)


def test_one_cluster_for_a_head_that_was_told_no_number(blobs):
    settings = {**SMALL, "min_cluster_size": 149, "head": "gmm"}
    with pytest.warns(ConvergenceWarning, match="no cluster"):
        model = HRWAEGANClustering(**settings).fit(blobs[0])
    assert model.n_clusters_ == 1
    assert model.sample(3, random_state=0)[0].shape == (3, 6)


def test_a_fit_outlives_its_parameters(blobs):
    model = HRWAEGANClustering(**BRIEF, n_groups=2).fit(blobs[0])
    codes, rows = model.transform(blobs[0]), model.sample(5, random_state=0)[0]
    model.set_params(n_clusters=7, latent_dim=4, n_groups=1, cluster_group=5)
    np.testing.assert_array_equal(model.transform(blobs[0]), codes)
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], rows)
    assert hasattr(model.set_params(head="hdbscan"), "predict_proba")
    by_density = HRWAEGANClustering(**{**SMALL, "max_epochs": 2}).fit(blobs[0])
    assert not hasattr(by_density.set_params(head="gmm"), "predict_proba")


def test_digits():
    """Well above chance, which is below .2."""
    X, y = load_small_digits(return_X_y=True)
    settings = {**QUIET, "latent_dim": 10, "hidden_layer_sizes": (128, 64), "lr": 2e-3}
    model = HRWAEGANClustering(**settings | {"n_clusters": 10, "n_groups": 1}).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.5


# -- discriminators and heads of one's own ------------------------------------------------------


def test_a_critic_of_ones_own_sees_codes_and_the_map_of_the_groups_above(blobs):
    def critic(shape):
        shapes.append(shape)
        return nn.Sequential(nn.Linear(*shape, 1), nn.Flatten(0))

    shapes = []
    model = HRWAEGANClustering(**BRIEF, n_groups=2, critic=critic).fit(blobs[0])
    assert shapes == [(2,), (2 + 32,)]
    assert np.isfinite([record["critic_loss"] for record in model.history_]).all()


def test_discriminators_have_the_widths_asked_for():
    for sizes, expected in (("auto", [128, 128, 1]), ((7, 5), [7, 5, 1]), ((7,), [7, 1])):
        critic = unfitted(critic_hidden_layer_sizes=sizes)._make_discriminator(None)
        linear = [layer for layer in critic.modules() if isinstance(layer, nn.Linear)]
        assert [layer.out_features for layer in linear] == expected
    with pytest.raises(ValueError, match="at least one width"):
        unfitted(critic_hidden_layer_sizes=())._make_discriminator(None)


def test_parameters_of_a_head_reach_it(blobs):
    head = unfitted(head_params={"covariance_type": "diag"})._make_group_head(0, 150)
    assert head.head_params == {"covariance_type": "diag"}
    assert unfitted(min_cluster_size=0.1)._make_group_head(0, 150, "hdbscan").head_params == {
        "min_cluster_size": 0.1
    }
