"""What a training shows, and skorch's own callbacks on our trainer."""

import io
import re

import numpy as np
import pytest
import torch
from skorch.callbacks import (
    EarlyStopping,
    EpochTimer,
    Initializer,
    LRScheduler,
    ParamMapper,
    PrintLog,
)
from toys import JUDGE, PLAY, nth, on, train

from skdeepcluster.engine.callbacks import EpochLog, ProgressBar
from skdeepcluster.engine.schedule import Phase, Refresh

PHASES = [
    Phase("pretrain", [PLAY], epochs=2),
    Phase("game", [JUDGE, PLAY], epochs=3, refresh=[Refresh(lambda trainer, table: {"purity": 1})]),
]


def test_the_log_has_a_line_per_epoch_with_every_term(capsys):
    trainer = train(PHASES, stage="vae", callbacks=[EpochLog()])
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split("  ")[0] for line in lines]
    assert [re.sub(r" [a-z_]+ [-\d.e]+$", "", head) for head in heads] == [
        *["vae: pretrain 1/2", "vae: pretrain 2/2"],
        *["vae: game 1/3", "vae: game 2/3", "vae: game 3/3"],
    ]
    for name in ("purity", "gap", "size", "error", "shame", "critic_loss", "train_loss"):
        assert f"{name} {trainer.history[-1, name]:.4g}" in lines[-1]
    assert "batches" not in lines[-1]


def test_the_log_shows_what_callbacks_recorded(capsys):
    """Text too."""
    note = on("on_epoch_begin", lambda net: net.history.record("note", "warm"))
    train([Phase("p", [PLAY], epochs=1)], callbacks=[note, EpochLog()])
    assert "note warm" in capsys.readouterr().out


def test_the_bar_tells_stage_phase_loss_and_place(capsys):
    trainer = train(PHASES, stage="vae", callbacks=[ProgressBar()])
    out, err = capsys.readouterr()
    assert out == ""
    assert "vae: pretrain: 100%" in err
    assert "vae: game: 100%" in err
    assert "3/3" in err
    assert f"loss={trainer.history[-1, 'train_loss']:.4g}" in err


def test_the_bar_of_a_phase_that_is_bounded_by_steps_fills(capsys):
    train([Phase("p", [PLAY], epochs=50, steps=4)], callbacks=[ProgressBar()])
    assert "2/2" in capsys.readouterr().err


def test_phases_without_epochs_show_no_bar(capsys):
    train([Phase("p", [PLAY], epochs=0)], callbacks=[ProgressBar()])
    assert capsys.readouterr().err == ""


def test_the_bar_is_closed_when_a_phase_stops_early():
    def stop(net):
        raise KeyboardInterrupt

    bar = ProgressBar()
    train([Phase("p", [PLAY], epochs=5)], callbacks=[bar, on("on_epoch_end", nth(2, stop))])
    assert bar.bar_.n == 2
    assert bar.bar_.disable


# -- skorch's -----------------------------------------------------------------------------------


def test_the_history_times_epochs_for_skorchs_timer_and_log():
    sink = io.StringIO()
    log = PrintLog(sink=lambda text: print(text, file=sink))
    trainer = train(PHASES, callbacks=[EpochTimer(), log], verbose=1)
    assert all(duration >= 0 for duration in trainer.history[:, "dur"])
    assert "train_loss" in sink.getvalue()


def test_a_scheduler_of_skorch_drives_the_main_player():
    rates = []
    look = on("on_epoch_begin", lambda net: rates.append(net.optimizer_.param_groups[0]["lr"]))
    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    train([Phase("p", [PLAY], epochs=3)], lr=1.0, callbacks=[scheduler, look])
    np.testing.assert_allclose(rates, [1.0, 0.1, 0.01])


def test_a_scheduler_of_skorch_goes_on_through_the_phases():
    """A new optimizer must know where it started, which torch asks once there is a history."""
    rates = []
    look = on("on_epoch_end", lambda net: rates.append(net.optimizer_.param_groups[0]["lr"]))
    scheduler = LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=[halved])
    phases = [Phase(name, [PLAY], epochs=2) for name in "pq"]
    train(phases, lr=1.0, callbacks=[look, scheduler])
    np.testing.assert_allclose(rates, [1.0, 0.5, 0.25, 0.125])


def halved(epoch):
    return 0.5**epoch


def test_early_stopping_brings_back_the_best_weights():
    """No improvement reaches the threshold, so those of the first epoch."""
    states = []
    keep = on("on_epoch_end", lambda net: states.append(net.model.decoder.weight.clone()))
    options = {"threshold": 1e9, "threshold_mode": "abs", "load_best": True}
    stopper = EarlyStopping(monitor="train_loss", patience=2, **options)
    trainer = train([Phase("p", [PLAY], epochs=9)], callbacks=[keep, stopper])
    assert len(states) == 3
    assert torch.equal(trainer.model.decoder.weight, states[0])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("kind", [Initializer, ParamMapper])
def test_parameters_can_be_mapped_by_name(kind):
    mapper = kind("critic.weight", fn=lambda p: torch.nn.init.constant_(p, 2.0))
    trainer = train([Phase("p", [PLAY], epochs=1)], callbacks=[mapper])
    assert (trainer.model.critic.weight == 2).all()
