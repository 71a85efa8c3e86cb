"""VaDEClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skdeepcluster import DCANClustering, VaDEClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "pretrain_epochs": 10,
    "max_epochs": 5,
    "device": "cpu",
    "random_state": 0,
}


def test_bounded_rows_are_bernoulli_and_others_gaussian(blobs):
    X, _ = load_small_digits(return_X_y=True)
    bernoulli = VaDEClustering(3, **{**SMALL, "max_epochs": 1}).fit(X[:200])
    assert bernoulli.module_.observation.log_variance is None
    rows, _ = bernoulli.sample(50, random_state=0)
    assert rows.min() >= 0 and rows.max() <= 1
    assert (bernoulli.score_samples(X) < 0).all()
    gaussian = VaDEClustering(3, **SMALL).fit(blobs[0])
    assert gaussian.module_.observation.log_variance.shape == (6,)
    assert (gaussian.module_.observation.log_variance < 0).all()  # learnt: residuals are small


def test_the_mixture_starts_where_the_codes_are(blobs):
    model = VaDEClustering(3, **{**SMALL, "max_epochs": 0}).fit(blobs[0])
    codes, prior = model.transform(blobs[0]), model.module_.prior
    for label in range(3):
        members = codes[model.labels_ == label]
        np.testing.assert_allclose(model.code_centers_[label], members.mean(0), atol=1e-2)
    _, log_variance = model.module_.posterior(torch.zeros(1, 6))
    assert (log_variance < prior.log_variances.amin(0)).all()
    assert (log_variance > prior.log_variances.amin(0) - 0.2).all()


def test_training_raises_the_bound(blobs):
    scores = [
        VaDEClustering(3, **{**SMALL, "max_epochs": epochs}).fit(blobs[0]).score(blobs[0])
        for epochs in (0, 20)
    ]
    assert scores[1] > scores[0] + 1


def test_the_bound_is_trained_at_a_falling_rate(blobs):
    rates = []

    class Rate(Callback):
        def on_epoch_end(self, net, **kwargs):
            optimizer = net.optimizer_of("model")
            rates.append((net.phase_.name, optimizer.param_groups[0]["lr"], optimizer.defaults))

    settings = {**SMALL, "pretrain_epochs": 1, "max_epochs": 21}
    VaDEClustering(3, **settings, callbacks=[Rate()]).fit(blobs[0])
    found = [rate for phase, rate, _ in rates if phase == "elbo"]
    assert found == pytest.approx([1e-2] * 10 + [9e-3] * 10 + [8.1e-3])
    assert rates[-1][2]["eps"] == 1e-4


def test_weights_count_in_a_start_from_labels(blobs):
    settings = {**SMALL, "max_epochs": 0, "init": blobs[1]}
    weight = np.where(blobs[1] == 0, 10.0, 1.0)
    model = VaDEClustering(3, **settings).fit(blobs[0], sample_weight=weight)
    shares = model.module_.prior.log_weights().exp().tolist()
    assert shares == pytest.approx([10 / 12, 1 / 12, 1 / 12])


def test_clusters_are_sampled_from_their_components(blobs):
    model = VaDEClustering(3, **SMALL).fit(blobs[0])
    prior = model.module_.prior
    codes = model._sample_codes(np.full(4000, 1), np.random.RandomState(0))
    np.testing.assert_allclose(codes.mean(0), prior.means[1].detach(), atol=0.1)
    np.testing.assert_allclose(codes.var(0), prior.log_variances[1].exp().detach(), rtol=0.1)


def test_prediction_draws_nothing(blobs):
    model = VaDEClustering(3, **SMALL).fit(blobs[0])
    torch.testing.assert_close(model.score_samples(blobs[0]), model.score_samples(blobs[0]))
    joint = model.module_.prior.log_joint(torch.from_numpy(model.transform(blobs[0])))
    np.testing.assert_allclose(model.predict_proba(blobs[0]), joint.softmax(1).detach(), atol=1e-6)


def test_a_fit_outlives_its_parameters(blobs):
    model = VaDEClustering(3, **{**SMALL, "max_epochs": 1}).fit(blobs[0])
    rows, score = model.sample(5, random_state=0)[0], model.score(blobs[0])
    model.set_params(n_clusters=7, latent_dim=4)
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], rows)
    assert model.score(blobs[0]) == score


def test_digits():
    """Well above chance, which is below .2, and the bound rises from where the mixture starts."""
    X, y = load_small_digits(return_X_y=True)
    settings = {**SMALL, "latent_dim": 10, "hidden_layer_sizes": (256, 128), "lr": 2e-3}
    settings |= {"batch_size": 100, "pretrain_epochs": 20, "max_epochs": 15}
    model = VaDEClustering(10, **settings).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.6
    bounds = [r["train_loss"] for r in model.history_ if r["phase"] == "elbo"]
    assert bounds[-1] < bounds[0] - 2


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_codes_that_are_all_alike_are_one_cluster(noise):
    """Far from 0, where rounding would swallow what is left of their variance."""
    rows = 5 + noise * np.random.RandomState(0).standard_normal((60, 4))
    for seed in range(5):
        model = VaDEClustering(
            3,
            hidden_layer_sizes=(8,),
            latent_dim=3,
            pretrain_epochs=2,
            max_epochs=1,
            scaling=None,
            device="cpu",
            random_state=seed,
        )
        assert -1e4 < model.fit(rows).score(rows) < 100


@pytest.mark.parametrize("kind", [VaDEClustering, DCANClustering])
def test_the_mixture_is_told_as_arrays(blobs, kind):
    model = kind(3, latent_dim=2, hidden_layer_sizes=(16,), max_epochs=2, random_state=0)
    assert not hasattr(model, "weights_")
    model.fit(blobs[0])
    k = model.n_clusters_
    assert model.weights_.shape == (k,)
    assert model.weights_.sum() == pytest.approx(1)
    np.testing.assert_array_equal(model.means_, model.code_centers_)
    assert model.covariances_.shape == (k, 2)
    codes = torch.from_numpy(model.transform(blobs[0]))
    parts = torch.distributions.Normal(
        torch.from_numpy(model.means_), torch.from_numpy(model.covariances_).sqrt()
    )
    joint = parts.log_prob(codes[:, None]).sum(2) + torch.from_numpy(model.weights_).log()
    if kind is DCANClustering:  # VaDE's memberships are those of its posterior
        expected = joint.softmax(1).numpy()
        np.testing.assert_allclose(model.predict_proba(blobs[0]), expected, atol=1e-4)
