"""KDVAEClustering and KDAEClustering: what is their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from skdeepcluster import (
    KDAEClustering,
    KDVAEClustering,
)
from skdeepcluster.datasets import load_digits
from skdeepcluster.engine.callbacks import HoldIdle
from skdeepcluster.engine.schedule import Phase, Turn
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators._k_autoencoders import KAutoencoders, _costliest, hold, release
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.networks import make_decoder, make_encoder, make_grouped
from skdeepcluster.scaling import Scaling

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (16,),
    "batch_size": 32,
    "lr": 1e-2,
    "pretrain_epochs": 5,
    "max_epochs": 5,
    "init": "kmeans",
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def separate(k=4, width=6, latent_dim=2, bounded=True, variational=True):
    """Networks one by one, and the model that joins them."""
    n_outputs = latent_dim * (2 if variational else 1)
    encoders = [make_encoder((width,), n_outputs, (8,)) for _ in range(k)]
    decoders = [make_decoder(latent_dim, (width,), (8,)) for _ in range(k)]
    grouped = make_grouped(encoders), make_grouped(decoders)
    scaling = Scaling((width,), bounded=bounded)
    return encoders, decoders, KAutoencoders(scaling, *grouped, k, latent_dim, variational)


def by_hand(encoder, decoder, rows, model, network, noise=None):
    """What one network says of rows: log p(x | z), the divergence, and the score of eq. 8."""
    if not model.variational:
        z, divergence, price = encoder(rows), torch.zeros(len(rows)), torch.zeros(len(rows))
    else:
        mean, log_variance = encoder(rows).chunk(2, 1)
        posterior, prior = Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)
        z = mean if noise is None else mean + posterior.stddev * noise
        divergence = kl_divergence(posterior, prior).sum(1)
        price = (posterior.log_prob(mean) - prior.log_prob(mean)).sum(1)  # eq. 7
    output = decoder(z)
    if model.observation.log_variance is None:
        likelihood = Bernoulli(logits=output).log_prob(rows).sum(1)
    else:
        variance = 0.01 + model.observation.log_variance[network].exp()
        likelihood = Normal(output, variance.sqrt()).log_prob(rows).sum(1)
    return likelihood, divergence, likelihood - price


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("variational", [True, False])
def test_the_scores_are_those_of_the_paper(bounded, variational):
    """Eq. 8 from eq. 7 by torch's distributions, and the bound of every network."""
    encoders, decoders, model = separate(bounded=bounded, variational=variational)
    rows = torch.rand(9, 6).round()
    told = [
        by_hand(e, d, rows, model, i)
        for i, (e, d) in enumerate(zip(encoders, decoders, strict=True))
    ]
    batch = {"X": rows}
    torch.testing.assert_close(model.scores(batch), torch.stack([s for *_, s in told], 1))
    bounds = torch.stack([likelihood - divergence for likelihood, divergence, _ in told], 1)
    torch.testing.assert_close(model.bounds(batch), bounds)


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("variational", [True, False])
def test_training_takes_the_winner_with_the_noise_that_made_it_win(bounded, variational):
    """Equation 6 network by network, values and gradients."""
    encoders, decoders, model = separate(bounded=bounded, variational=variational)
    rows, free = torch.rand(9, 6).round(), torch.full((9,), -1)
    torch.manual_seed(1)
    terms = model.winner_loss({"X": rows, "label": free})
    torch.manual_seed(1)
    noise = torch.randn(4, 9, 2)
    each = zip(encoders, decoders, noise, strict=True)
    told = [by_hand(e, d, rows, model, i, n) for i, (e, d, n) in enumerate(each)]
    likelihood, divergence = (torch.stack([t[i] for t in told]) for i in (0, 1))
    best, winner = (likelihood - divergence).max(0)
    torch.testing.assert_close(sum(terms.values()), -best)
    torch.testing.assert_close(terms["reconstruction"], -likelihood[winner, torch.arange(9)])
    assert ("latent" in terms) == variational

    scatter = [p for p in [model.observation.log_variance] if p is not None]
    by_torch = torch.autograd.grad((-best).mean(), scatter, retain_graph=True) if scatter else []
    sum(terms.values()).mean().backward()
    for parameter, expected in zip(scatter, by_torch, strict=True):
        torch.testing.assert_close(parameter.grad, expected)
    (-best).mean().backward()
    for i in range(4):
        for one, many in zip(
            [*encoders[i].parameters(), *decoders[i].parameters()],
            [*model.encoder.parameters(), *model.decoder.parameters()],
            strict=True,
        ):
            expected = torch.zeros_like(one) if one.grad is None else one.grad
            torch.testing.assert_close(many.grad[i], expected, rtol=1e-4, atol=1e-6)
    assert model.wins.tolist() == torch.bincount(winner, minlength=4).tolist()
    assert model.idle.tolist() == (model.wins == 0).tolist()


@pytest.mark.parametrize("bias", [-1e3, 1e3])
def test_posteriors_do_not_become_points_or_planes(bias):
    *_, model = separate()
    model.encoder[-1].bias.data[..., 2:].fill_(bias)  # the log-variances
    terms = model.winner_loss({"X": torch.rand(6, 6), "label": torch.full((6,), -1)})
    sum(term.sum() for term in terms.values()).backward()
    assert all(torch.isfinite(term).all() for term in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_held_rows_train_the_network_that_holds_them():
    *_, model = separate()
    rows, label = torch.rand(6, 6), torch.tensor([3, 3, 0, 3, 0, 3])
    sum(t.sum() for t in model.winner_loss({"X": rows, "label": label}).values()).backward()
    assert model.wins.tolist() == [2, 0, 0, 4]
    assert not model.encoder[0].weight.grad[1:3].any()
    assert model.encoder[0].weight.grad[[0, 3]].flatten(1).any(1).all()


def test_bfloat16_trains_the_winners_after_they_were_scored():
    """Autocast remembers weights that were cast without gradients."""
    *_, model = separate()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = model.winner_loss({"X": torch.rand(9, 6), "label": torch.full((9,), -1)})
    loss = sum(term.sum() for term in terms.values())
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("held", [True, False])
def test_networks_that_win_nothing_stay_where_they_are(held):
    """Momentum from a first epoch would carry the second network on; its callback does not."""
    *_, model = separate(k=2)
    rows = np.random.RandomState(0).uniform(size=(20, 6)).astype(np.float32)
    callbacks = [HoldIdle()] if held else []
    options = {"optimizer": torch.optim.Adam, "lr": 0.01, "batch_size": 10}
    trainer = Trainer(model, callbacks=callbacks, **options)
    turns = [Turn("model", "winner_loss")]

    def only_the_first(trainer, table):
        hold(trainer, table, np.zeros(20, dtype=int))
        model.before = [p.detach().clone() for p in model.parameters()]

    both = Phase("both", turns, 2, start=lambda *a: hold(*a, np.arange(20) % 2))
    one = Phase("one", turns, 2, start=only_the_first, optimizers="keep")
    trainer.run(Table(rows), [both, one])
    moved = [
        [not torch.equal(p[i], before[i]) for i in range(2)]
        for p, before in zip(model.parameters(), model.before, strict=True)
    ]
    assert all(first for first, _ in moved)
    assert any(second for _, second in moved) != held


def test_dead_networks_are_started_anew(blobs):
    """All rows start in one cluster, so two networks win nothing; in the end each has a blob."""
    settings = {**SMALL, "init": np.zeros(150, dtype=int), "max_epochs": 30}
    with pytest.warns(ConvergenceWarning, match="2 networks won no rows and were started anew"):
        model = KDVAEClustering(3, **settings).fit(blobs[0])
    winners = [r for r in model.history_ if r["phase"] == "winners"]
    assert winners[0]["reseeded"] == 2
    assert not any(r["reseeded"] for r in winners[1:])
    assert model.n_clusters_ == 3
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_networks_without_members_win_no_new_rows():
    """Of 20 untrained networks few explain any of 40 rows best, and others some of 500 more."""
    X, _ = make_blobs(540, n_features=6, centers=3, random_state=0)
    settings = {**SMALL, "init": "kmeans", "pretrain_epochs": 0, "max_epochs": 0}
    with pytest.warns(ConvergenceWarning, match="of 20 clusters have members"):
        model = KDVAEClustering(20, **settings).fit(X[:40])
    winner = model.transform(X[40:])[:, -20:].argmax(1)
    live = model.module_.live.numpy()
    np.testing.assert_array_equal(live[model.predict(X[40:])], winner)
    np.testing.assert_array_equal(live, np.unique(model.transform(X[:40])[:, -20:].argmax(1)))


def test_a_new_start_takes_a_copy_and_the_worst_rows():
    """Network 1 is dead; of the other two, network 2 explains the rows of ones best."""
    *_, model = separate(k=3)
    for network, logit in ((0, -4.0), (1, 0.0), (2, 2.0)):
        for parameter in model.parameters():
            parameter.data[network] = 0
        model.decoder[-1].bias.data[network] = logit
    model.wins = torch.tensor([5.0, 0.0, 5.0])
    rows = np.array([[0.0] * 6] * 8 + [[1.0] * 6] * 4, dtype=np.float32)
    trainer, table = Trainer(model, optimizer=torch.optim.Adam).initialize(), Table(rows)
    with pytest.warns(ConvergenceWarning, match="1 networks"):
        assert release(trainer, table, seed=0) == {"reseeded": 1.0}
    assert table.columns["label"].tolist() == [-1] * 8 + [1] * 4
    torch.testing.assert_close(model.decoder[-1].bias[1], torch.full((6,), 2.0))
    assert not model.wins.any()


def test_a_new_start_has_no_momentum_and_is_no_copy_of_the_dead():
    """Both dead networks explain the rows better than the living, whom they must not copy."""
    *_, model = separate(k=3)
    for network, logit in ((0, 3.0), (1, -1.0), (2, 3.0)):
        for parameter in model.parameters():
            parameter.data[network] = 0
        model.decoder[-1].bias.data[network] = logit
    trainer = Trainer(model, optimizer=torch.optim.Adam).initialize()
    table = Table(np.ones((6, 6), dtype=np.float32))
    for parameter in model.parameters():
        for moment in ("exp_avg", "exp_avg_sq"):
            trainer.optimizer_of("model").state[parameter][moment] = torch.ones_like(parameter)
    model.wins = torch.tensor([0.0, 6.0, 0.0])
    with pytest.warns(ConvergenceWarning, match="2 networks"):
        release(trainer, table, seed=0)
    taken = sorted(set(table.columns["label"].tolist()) - {-1})
    bias = model.decoder[-1].bias
    assert set(taken) <= {0, 2}
    assert all((bias[network] == -1).all() for network in taken)
    for moment in trainer.memory_of(bias):
        assert moment[1].all()
        assert not any(moment[network].any() for network in taken)


def test_a_new_start_heeds_weights():
    best, weight = torch.tensor([-1.0, -9.0, -5.0, -2.0]), torch.tensor([1.0, 1e-6, 1.0, 1.0])
    assert _costliest(best, weight, 1, 3).tolist() == [2]
    assert _costliest(best, torch.ones(4), 1, 2).tolist() == [1, 2]
    assert _costliest(best, weight, 1, 100).tolist() == [2]  # one at least


def test_outliers_of_little_weight_take_no_network(blobs):
    far = np.random.RandomState(0).uniform(-60, 60, (40, 6)).astype(np.float32)
    rows, weight = np.vstack([blobs[0], far]), np.repeat([1, 1e-6], [150, 40])
    settings = {**SMALL, "init": np.zeros(190, dtype=int), "max_epochs": 30}
    with pytest.warns(ConvergenceWarning, match="started anew"):
        model = KDVAEClustering(3, **settings).fit(rows, sample_weight=weight)
    assert adjusted_rand_score(blobs[1], model.labels_[:150]) > 0.9


def test_the_first_k_means_heeds_weights():
    """The two heavy rows are the two clusters, however many light ones lie elsewhere."""
    rows = np.repeat([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0]], [1, 1, 30], axis=0)
    weight = np.repeat([1e6, 1e6, 1.0], [1, 1, 30])
    settings = {**SMALL, "pretrain_epochs": 0, "max_epochs": 0, "scaling": None}
    held = []
    model = KDVAEClustering(2, **settings)
    first = model._first_labels
    model._first_labels = lambda table: held.append(first(table)) or held[0]
    model.fit(rows, sample_weight=weight)
    assert held[0][0] != held[0][1]


def test_clusters_without_members_are_never_drawn():
    """What is the second cluster after one died is another network."""
    X, _ = make_blobs(540, n_features=6, centers=3, random_state=0)
    settings = {**SMALL, "init": "kmeans", "pretrain_epochs": 0, "max_epochs": 0}
    with pytest.warns(ConvergenceWarning, match="clusters have members"):
        model = KDVAEClustering(20, **settings).fit(X[:40])
    last = model.n_clusters_ - 1
    codes = model._sample_codes(np.array([0, last]), np.random.RandomState(0))
    live = model.module_.live.tolist()
    assert codes[:, 2:].argmax(1).tolist() == [live[0], live[-1]]
    assert live[-1] != last


def test_networks_are_small_unless_they_are_told_otherwise():
    X, _ = make_blobs(30, n_features=6, centers=3, random_state=0)
    none = {"pretrain_epochs": 0, "max_epochs": 0, "init": "kmeans"}
    shapes = [p.shape for p in KDVAEClustering(3, **none).fit(X).module_.encoder.parameters()]
    assert shapes[::2] == [(3, 500, 6), (3, 100, 500), (3, 20, 100)]


def test_phases_have_their_lengths(blobs):
    epochs = {"vade_pretrain_epochs": 1, "vade_epochs": 2, "pretrain_epochs": 3, "max_epochs": 4}
    model = KDVAEClustering(3, **{**SMALL, **epochs, "init": "vade"}).fit(blobs[0])
    found = [(r["stage"], r["phase"]) for r in model.history_]
    assert found == (
        [("vade", "pretraining")]
        + [("vade", "elbo")] * 2
        + [("networks", "first clusters")] * 3
        + [("networks", "winners")] * 4
    )
    assert not hasattr(model.module_, "prior")  # nothing of VaDE is kept


def test_a_code_names_its_network(blobs):
    model = KDVAEClustering(3, **SMALL).fit(blobs[0])
    codes = model.transform(blobs[0])
    assert codes.shape == (150, 5)
    np.testing.assert_array_equal(codes[:, 2:].argmax(1), model.labels_)
    errors = np.square(model.inverse_transform(codes) - blobs[0]).mean()
    other = np.hstack([codes[:, :2], np.roll(codes[:, 2:], 1, axis=1)])
    assert errors < np.square(model.inverse_transform(other) - blobs[0]).mean() / 10


def test_the_score_is_the_bound_of_the_mixture(blobs):
    model = KDVAEClustering(3, **SMALL).fit(blobs[0])
    with torch.no_grad():
        bounds = model.module_({"X": torch.from_numpy(blobs[0])}, "bounds")
    expected = bounds.logsumexp(1) - math.log(3)
    np.testing.assert_allclose(model.score_samples(blobs[0]), expected, rtol=1e-4)


def test_kdvae_samples_from_its_prior_and_kdae_from_its_codes(blobs):
    labels = np.full(4000, 1)
    variational = KDVAEClustering(3, **SMALL).fit(blobs[0])
    codes = variational._sample_codes(labels, np.random.RandomState(0))
    np.testing.assert_allclose(codes[:, :2].mean(0), 0, atol=0.1)
    np.testing.assert_allclose(codes[:, :2].std(0), 1, atol=0.1)
    assert (codes[:, 2:] == [0, 1, 0]).all()
    plain = KDAEClustering(3, **SMALL).fit(blobs[0])
    members = plain.transform(blobs[0])[plain.labels_ == 1]
    drawn = plain._sample_codes(labels, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(0), members.mean(0), atol=0.1)
    assert plain.module_.encoder[-1].bias.shape == (3, 2)


def test_networks_of_ones_own(blobs):
    def encoder(shape):
        return nn.Sequential(nn.Linear(shape[0], 9), nn.Tanh(), nn.Linear(9, 4))

    model = KDVAEClustering(3, **SMALL, encoder=encoder).fit(blobs[0])
    assert model.module_.encoder[0].weight.shape == (3, 9, 6)
    with pytest.raises(ValueError, match=r"Dropout.*cannot be grouped"):
        bad = lambda shape: nn.Sequential(nn.Linear(shape[0], 4), nn.Dropout())  # noqa: E731
        KDVAEClustering(3, **SMALL, encoder=bad).fit(blobs[0])


def test_a_fit_outlives_its_parameters(blobs):
    model = KDVAEClustering(3, **{**SMALL, "max_epochs": 1}).fit(blobs[0])
    rows, score = model.sample(5, random_state=0)[0], model.score(blobs[0])
    model.set_params(n_clusters=7, latent_dim=4)
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], rows)
    assert model.score(blobs[0]) == score


def test_digits():
    """From one start, the networks raise the bound and keep more than chance, which is .2."""
    X, y = load_digits(return_X_y=True)
    settings = {**SMALL, "latent_dim": 10, "hidden_layer_sizes": (64, 32), "lr": 2e-3}
    settings |= {"batch_size": 100, "pretrain_epochs": 10, "max_epochs": 10}
    model = KDVAEClustering(10, **settings).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.7
    held = [r["train_loss"] for r in model.history_ if r["phase"] == "first clusters"]
    won = [r["train_loss"] for r in model.history_ if r["phase"] == "winners"]
    assert held[-1] < held[0] - 10
    assert won[-1] < won[0] < held[-1]
