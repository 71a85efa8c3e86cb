"""Plans of phases, intervals of refreshes, and the values of ramps."""

import pickle
from itertools import pairwise

import pytest

from skdeepcluster.engine.schedule import Phase, Progress, Refresh, Turn, one_cycle, warm_up


def at(fraction):
    return Progress(epoch=0, step=0, fraction=fraction)


@pytest.mark.parametrize(("n_critic", "n_player"), [(1, 1), (5, 1), (2, 3)])
def test_a_plan_lists_the_updates_of_each_batch(n_critic, n_player):
    critic, player = Turn("critic", "judge", n_critic), Turn("player", "play", n_player)
    updates = ["critic"] * n_critic + ["player"] * n_player
    together = Phase("game", [critic, player], epochs=1).plan()
    assert [[turn.player for turn in turns] for turns in together] == [updates]
    fresh = Phase("game", [critic, player], epochs=1, fresh=True).plan()
    assert [[turn.player for turn in turns] for turns in fresh] == [[name] for name in updates]


def test_an_update_that_takes_no_rows_goes_with_the_batch_before():
    player = Turn("player", "play", takes_rows=False)
    for turns, expected in (
        ([Turn("critic", "judge", 2), player], [["critic"], ["critic", "player"]]),
        ([player, Turn("critic", "judge")], [["player"], ["critic"]]),  # there is none before
    ):
        plan = Phase("game", turns, epochs=1, fresh=True).plan()
        assert [[turn.player for turn in updates] for updates in plan] == expected


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"), [(3, None, 21), (3, 10, 10), (3, 99, 21), (0, None, 0)]
)
def test_steps_bound_the_batches_of_a_phase(epochs, steps, expected):
    assert Phase("p", [], epochs=epochs, steps=steps).n_batches(per_epoch=7) == expected


def test_a_refresh_is_due_at_the_beginning_and_every_so_many_units():
    refresh = Refresh(run=None, every=3, unit="step")
    assert [count for count in range(8) if refresh.due("step", count)] == [0, 3, 6]
    assert not any(refresh.due("epoch", count) for count in range(8))


@pytest.mark.parametrize(
    ("fraction", "factor"), [(0.0, 0.04), (0.15, 0.52), (0.3, 1.0), (0.65, 0.5), (1.0, 0.0)]
)
def test_one_cycle_passes_through_the_values_of_its_formula(fraction, factor):
    assert one_cycle(at(fraction)) == pytest.approx(factor)


def test_one_cycle_rises_then_falls_and_never_reaches_zero_within_a_phase():
    factors = [one_cycle(at(step / 1000)) for step in range(1000)]
    assert all(a < b for a, b in pairwise(factors[:301]))
    assert all(a > b for a, b in pairwise(factors[300:]))
    assert min(factors) > 0


@pytest.mark.parametrize(("fraction", "weight"), [(0.0, 0.0), (0.1, 1.5), (0.2, 3.0), (0.9, 3.0)])
def test_warm_up_rises_linearly_and_stays(fraction, weight):
    assert warm_up(3.0, fraction=0.2)(at(fraction)) == pytest.approx(weight)


def test_ramps_can_be_pickled():
    for ramp in (one_cycle, warm_up(2.0)):
        assert pickle.loads(pickle.dumps(ramp))(at(0.25)) == ramp(at(0.25))
