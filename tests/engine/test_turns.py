"""Updates: whose turn it is, what moves, by which gradient, weight and learning rate."""

from itertools import chain

import numpy as np
import pytest
import torch
from skorch.callbacks import Freezer, GradientNormClipping
from toys import JUDGE, PLAY, Toy, make_rows, make_trainer, moments, on, same, train, weights

from skdeepcluster._validation import check_weight
from skdeepcluster.engine.schedule import Phase, Turn, one_cycle, warm_up
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer

GAME = [Turn("critic", "judge", repeat=5), PLAY]


def distance(before, after):
    """The length of the step between two states."""
    return float(torch.cat([(after[name] - before[name]).flatten() for name in after]).norm())


# -- order --------------------------------------------------------------------------------------


def test_every_batch_goes_through_all_turns():
    trainer = train([Phase("game", GAME, epochs=2)])
    assert trainer.model.asked == (["judge"] * 5 + ["play"]) * 6
    seen = trainer.model.seen
    assert all(seen[i] == seen[6 * (i // 6)] for i in range(len(seen)))


def test_fresh_draws_a_batch_for_every_update():
    trainer = train([Phase("game", GAME, epochs=4, fresh=True)])
    assert trainer.model.asked == (["judge"] * 5 + ["play"]) * 2
    epochs = [trainer.model.seen[i : i + 3] for i in range(0, 12, 3)]
    assert all(sorted(chain(*epoch)) == list(range(24)) for epoch in epochs)


def test_a_plan_longer_than_an_epoch_goes_on_in_the_next():
    """One batch per epoch and five turns of the critic: the player must get its turn."""
    trainer = make_trainer(batch_size=64)
    start = weights(trainer.model)
    trainer.run(Table(make_rows(50)), [Phase("game", GAME, epochs=11, fresh=True)])
    assert trainer.model.asked == ["judge"] * 5 + ["play"] + ["judge"] * 5
    assert not torch.equal(trainer.model.decoder.weight, start["decoder.weight"])


def test_every_phase_begins_its_plan():
    phases = [Phase(name, GAME, epochs=1, fresh=True) for name in "ab"]
    assert train(phases, batch_size=64).model.asked == ["judge", "judge"]


# -- whose parameters ---------------------------------------------------------------------------


class Watched(Trainer):
    """Asserts after every update that only the player's side has changed."""

    def train_step(self, batch, turn):
        rivals = [player for player in self.players_ if player != turn.player]
        before = [self._side(player) for player in rivals]
        own = self._side(turn.player)
        loss = super().train_step(batch, turn)
        assert all(same(a, self._side(b)) for a, b in zip(before, rivals, strict=True))
        assert not same(own, self._side(turn.player))
        return loss

    def _side(self, player):
        parameters = self.players_[player].items()
        grads = {f"{n}.grad": p.grad.clone() for n, p in parameters if p.grad is not None}
        return {n: p.detach().clone() for n, p in parameters} | grads | moments(self, player)


@pytest.mark.parametrize("fresh", [False, True])
def test_an_update_touches_only_the_players_side(fresh):
    trainer = make_trainer(kind=Watched, batch_size=8)
    trainer.run(Table(make_rows()), [Phase("game", GAME, epochs=4, fresh=fresh)])
    assert {"judge", "play"} == set(trainer.model.asked)


def test_a_player_without_turns_has_no_gradient_and_no_moments():
    trainer = make_trainer()
    start = weights(trainer.model.critic)
    trainer.run(Table(make_rows()), [Phase("alone", [PLAY], epochs=2)])
    assert same(weights(trainer.model.critic), start)
    assert trainer.model.critic.weight.grad is None
    assert not moments(trainer, "critic")


def test_the_gradient_is_that_of_the_players_loss_alone():
    """Also after the rival's turn on the same batch: nothing is left over from it."""
    found = []

    def compare(net):
        if net.model.asked[-1] == "play":
            rows = torch.tensor(net.model.seen[-1])
            terms = net.model({"X": torch.from_numpy(make_rows())[rows], "index": rows}, "play")
            loss = sum(term.mean() for term in terms.values())
            own = list(net.players_["player"].values())
            expected = torch.autograd.grad(loss, own)
            found.append(all(torch.allclose(p.grad, e) for p, e in zip(own, expected, strict=True)))

    phase = Phase("game", [JUDGE, PLAY], epochs=2, weights={"size": 1e3})
    train([phase], callbacks=[on("on_grad_computed", compare)])
    assert found == [True] * 6


def test_clipping_sees_only_the_players_gradient():
    """A step of plain gradient descent is as long as the bound, whatever the rival's gradient."""
    lengths = []
    trainer = make_trainer(
        optimizer=torch.optim.SGD, lr=1.0, callbacks=[GradientNormClipping(0.01)]
    )
    step = trainer.train_step

    def measured(batch, turn):
        side = {"player": ("encoder", "decoder"), "critic": ("critic",)}[turn.player]
        start = {n: p for n, p in weights(trainer.model).items() if n.startswith(side)}
        loss = step(batch, turn)
        lengths.append(distance(weights(trainer.model), start))
        return loss

    trainer.train_step = measured
    game = Phase("game", [JUDGE, PLAY], epochs=2, weights={"size": 1e4})
    trainer.run(Table(make_rows()), [game])
    assert len(lengths) == 12
    np.testing.assert_allclose(lengths, 0.01, rtol=1e-3)


# -- terms --------------------------------------------------------------------------------------


def test_weights_0_1_2_equal_repeated_rows_in_full_batches():
    X = make_rows(30)
    counts = np.random.default_rng(0).integers(3, size=30)
    assert {0, 1, 2} == set(counts)
    options = {"optimizer": torch.optim.SGD, "lr": 0.1, "batch_size": 100}
    phases = [Phase("game", [JUDGE, PLAY], epochs=20)]
    repeated = train(phases, np.repeat(X, counts, axis=0), **options)
    mean_one = torch.from_numpy(counts / counts.mean()).float()
    zeros_kept = train(phases, X, columns={"weight": mean_one}, **options)
    used = counts > 0
    weight = torch.from_numpy(check_weight(counts, X)[used]).float()
    zeros_dropped = train(phases, X[used], columns={"weight": weight}, **options)
    for name, expected in weights(repeated.model).items():
        for other in (zeros_kept, zeros_dropped):
            torch.testing.assert_close(weights(other.model)[name], expected, rtol=1e-5, atol=1e-6)
    assert repeated.history[-1, "train_loss"] == pytest.approx(
        zeros_dropped.history[-1, "train_loss"], rel=1e-5
    )


def still(phases, **options):
    """Train with learning rate 0, so that every epoch sees the same losses."""
    return train(phases, optimizer=torch.optim.SGD, lr=0.0, **options)


def all_rows(model, X, loss):
    terms = model({"X": torch.from_numpy(X), "index": torch.arange(len(X))}, loss)
    return {name: term.mean().item() for name, term in terms.items()}


def test_the_history_holds_the_mean_of_every_term_over_the_rows():
    """Batches of 8, 8 and 5: a mean of means would be off."""
    X = make_rows(21)
    X[:5] *= 10
    trainer = still([Phase("game", [JUDGE, PLAY], epochs=1)], X=X)
    played, judged = all_rows(trainer.model, X, "play"), all_rows(trainer.model, X, "judge")
    record = trainer.history[-1]
    for name, value in {**played, **judged}.items():
        assert record[name] == pytest.approx(value, rel=1e-5)
    assert record["player_loss"] == pytest.approx(sum(played.values()), rel=1e-5)
    assert record["critic_loss"] == pytest.approx(sum(judged.values()), rel=1e-5)
    assert record["train_loss"] == record["player_loss"]


def test_a_term_is_averaged_over_the_updates_that_produced_it():
    trainer = still([Phase("game", GAME, epochs=1, fresh=True)], batch_size=4)
    seen = [torch.tensor(rows) for rows in trainer.model.seen]
    assert trainer.model.asked == ["judge"] * 5 + ["play"]
    played = all_rows(trainer.model, make_rows()[seen[-1]], "play")
    assert trainer.history[-1, "error"] == pytest.approx(played["error"], rel=1e-5)


def test_terms_are_weighted_by_numbers_and_ramps():
    ramp = warm_up(4.0, fraction=1.0)
    phase = Phase("p", [PLAY], epochs=4, weights={"error": 0.5, "shame": ramp})
    trainer = still([phase], batch_size=100)
    terms = all_rows(trainer.model, make_rows(), "play")
    expected = [0.5 * terms["error"] + k * terms["shame"] for k in range(4)]
    assert trainer.history[:, "player_loss"] == pytest.approx(expected, rel=1e-5)
    assert trainer.history[:, "shame"] == pytest.approx([terms["shame"]] * 4, rel=1e-5)


class Shameless(Toy):
    """A toy whose second term is not a number."""

    def play(self, batch):
        return {**super().play(batch), "shame": torch.full((len(batch["X"]),), torch.nan)}


class Single(Toy):
    """A toy with one term."""

    def play(self, batch):
        return {"error": super().play(batch)["error"]}


def test_a_term_of_weight_0_is_in_the_history_but_not_in_the_loss():
    """Not even if it is not a number, which 0 times it would not hide."""
    single = train([Phase("p", [PLAY], epochs=2)], model=seeded(Single))
    for kind in (Toy, Shameless):
        phase = Phase("p", [PLAY], epochs=2, weights={"shame": 0.0})
        trainer = train([phase], model=seeded(kind))
        assert same(weights(trainer.model), weights(single.model))
        assert len(trainer.history[:, "shame"]) == 2


def seeded(kind):
    torch.manual_seed(1)
    return kind()


def test_nothing_moves_while_all_terms_weigh_0():
    phase = Phase("p", [Turn("critic", "judge"), PLAY], epochs=4, weights={
        "error": lambda progress: float(progress.epoch >= 2), "shame": 0.0, "gap": 0, "size": 0
    })  # fmt: skip
    states = []
    train([phase], callbacks=[on("on_epoch_end", lambda net: states.append(weights(net.model)))])
    assert same(states[0], states[1])
    assert not same(states[1], states[2])
    assert torch.equal(states[3]["critic.weight"], states[0]["critic.weight"])


# -- learning rates -----------------------------------------------------------------------------


def test_ramps_scale_every_parameter_group_of_their_group():
    seen = []

    def look(net):
        optimizers = [net.optimizer_of(group) for group in ("player", "critic")]
        lrs = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
        seen.append((one_cycle(net.progress()), lrs))

    train(
        [Phase("game", [JUDGE, PLAY], epochs=3, lr={"player": one_cycle})],
        callbacks=[on("on_batch_begin", look)],
        lr=0.02,
        critic_optimizer__lr=0.5,
        optimizer__param_groups=[("encoder*", {"lr": 0.1})],
    )
    assert len(seen) == 9
    assert len({factor for factor, _ in seen}) == 9
    for factor, lrs in seen:
        assert lrs == pytest.approx([0.1 * factor, 0.02 * factor, 0.5])


def test_progress_counts_within_the_phase():
    seen = []
    phases = [Phase("a", [PLAY], epochs=1), Phase("b", [PLAY], epochs=2, steps=5)]
    train(phases, callbacks=[on("on_batch_begin", lambda net: seen.append(net.progress()))])
    assert [(p.epoch, p.step) for p in seen[3:]] == [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4)]
    assert [p.fraction for p in seen] == pytest.approx([0, 1 / 3, 2 / 3, 0, 0.2, 0.4, 0.6, 0.8])


# -- what users pass on to skorch ---------------------------------------------------------------


def test_parameters_of_each_optimizer_are_named_by_its_group():
    trainer = train(
        [Phase("game", [JUDGE, PLAY], epochs=1)],
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.3,
        critic_optimizer__lr=0.7,
    )
    player, critic = (trainer.optimizer_of(group).defaults for group in ("player", "critic"))
    assert (player["weight_decay"], player["lr"]) == (0.3, 0.01)
    assert critic["weight_decay"] != 0.3
    assert critic["lr"] == 0.7


def test_a_misspelt_parameter_is_refused():
    with pytest.raises(ValueError, match="crtic_optimizer__lr"):
        train([Phase("p", [PLAY], epochs=1)], crtic_optimizer__lr=0.1)


def test_frozen_parameters_stay():
    model = Toy()
    model.decoder.requires_grad_(False)
    trainer = make_trainer(model, callbacks=[Freezer("encoder*weight")])
    start = weights(model)
    trainer.run(Table(make_rows()), [Phase("p", [PLAY], epochs=2)])
    moved = {name for name, value in weights(model).items() if not torch.equal(value, start[name])}
    assert moved == {"encoder.0.bias"}


def test_compiling_changes_neither_names_nor_results():
    phases = [Phase("game", [JUDGE, PLAY], epochs=2)]
    plain = train(phases)
    compiled = train(phases, compile=True, compile__backend="eager")
    assert compiled.module_ is not compiled.model
    assert same(weights(compiled.model), weights(plain.model))
    assert torch.equal(compiled.encode(Table(make_rows())), plain.encode(Table(make_rows())))


class Typed(Toy):
    """A toy that logs the types of its codes."""

    def __init__(self):
        super().__init__()
        self.types = []

    def codes(self, batch):
        codes = super().codes(batch)
        self.types.append((self.training, codes.dtype))
        return codes


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)]
)
def test_precision_concerns_the_updates_only(precision, dtype):
    trainer = train([Phase("p", [PLAY], epochs=1)], model=Typed(), precision=precision)
    assert set(trainer.model.types) == {(True, dtype), (False, torch.float32)}
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    assert trainer.encode(Table(make_rows())).dtype == torch.float32
