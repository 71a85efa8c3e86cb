"""k autoencoders computed as one, and the contest for the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch.distributions import Bernoulli, Normal, kl_divergence

from skdeepcluster.engine.callbacks import HoldIdle
from skdeepcluster.engine.schedule import Phase, Turn
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.k_networks import KAutoencoders, _costliest, hold, release
from skdeepcluster.networks import make_decoder, make_encoder, make_grouped
from skdeepcluster.scaling import Scaling


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
    torch.testing.assert_close(
        model.observe(batch, torch.arange(len(told)))[1], torch.stack([s for *_, s in told], 1)
    )
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
