"""What a training shows, and skorch's own callbacks on our trainer."""

import io
import re
import subprocess
import sys

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
from skdeepcluster.engine.checkpoint import Checkpoint
from skdeepcluster.engine.schedule import Phase, Refresh, Turn

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


def test_a_bar_in_a_log_file_has_a_line_an_epoch(capsys):
    """At most: quick epochs share one; and one at the start, one at the end."""
    bar = ProgressBar()
    hurried = on("on_train_begin", lambda net: setattr(bar.bar_, "mininterval", 0))
    train([Phase("p", [PLAY], epochs=5)], callbacks=[bar, hurried])
    lines = [x for x in re.split(r"[\r\n]+", capsys.readouterr().err) if x.strip()]
    assert len(lines) <= 7


def test_the_log_is_written_at_once(monkeypatch):
    class Pipe(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed += 1

    monkeypatch.setattr(sys, "stdout", Pipe())
    train([Phase("p", [PLAY], epochs=3)], callbacks=[EpochLog()])
    assert sys.stdout.flushed == 3


@pytest.mark.parametrize(("callback", "stream"), [(EpochLog, "out"), (ProgressBar, "err")])
def test_a_resumed_fit_says_so(callback, stream, tmp_path, capsys):
    phases = [Phase("p", [PLAY], epochs=2), Phase("q", [PLAY], epochs=2)]
    checkpoint = Checkpoint(tmp_path / "fit.pt", "mine", seed=0)
    train(phases, checkpoint=checkpoint, callbacks=[callback()])
    assert "resumed" not in getattr(capsys.readouterr(), stream)
    train(phases, checkpoint=checkpoint, callbacks=[callback()])
    told = getattr(capsys.readouterr(), stream)
    assert told.count("train: resumed from the checkpoint after 4 epochs") == 1


@pytest.mark.parametrize("callback", [EpochLog, ProgressBar])
def test_a_program_without_a_console_may_ask_for_progress(callback, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    train([Phase("p", [PLAY], epochs=2)], callbacks=[callback()])


def test_a_notebooks_widgets_are_not_looked_for_before_a_bar_is_shown():
    code = "import sys, skdeepcluster; print('tqdm.auto' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.strip() == "False", told.stderr


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


@pytest.mark.parametrize("kind", [torch.optim.lr_scheduler.StepLR, None])
def test_a_scheduler_and_a_ramp_are_multiplied(kind):
    """In every phase, and whether the scheduler calculates step by step or from the start."""
    rates = []
    look = on("on_grad_computed", lambda net: rates.append(net.optimizer_.param_groups[0]["lr"]))
    options = {"step_size": 1, "gamma": 0.5} if kind else {"lr_lambda": [halved]}
    scheduler = LRScheduler(kind or torch.optim.lr_scheduler.LambdaLR, **options)
    ramp = {"player": lambda progress: 1.0 + progress.epoch}
    phases = [Phase("p", [PLAY], epochs=2, lr=ramp), Phase("q", [PLAY], epochs=2)]
    phases.append(Phase("r", [PLAY], epochs=2, lr={"player": 0.25}, optimizers="keep"))
    train(phases, lr=1.0, batch_size=24, callbacks=[look, scheduler])
    np.testing.assert_allclose(rates, [1, 2 / 2, 1 / 4, 1 / 8, 0.25 / 16, 0.25 / 32])


@pytest.mark.parametrize("epoch", [2, 3, 4, 5])
def test_a_scheduler_goes_on_after_a_crash(epoch, tmp_path):
    def run(checkpoint, *callbacks):
        scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
        phases = [Phase(name, [PLAY], epochs=3) for name in "pq"]
        callbacks = [scheduler, *callbacks]
        return train(phases, lr=1.0, checkpoint=checkpoint, callbacks=callbacks, batch_size=24)

    def crash(net):
        raise RuntimeError("crash")

    expected = run(None).history[:, "event_lr"]
    checkpoint = Checkpoint(tmp_path / "fit.pt", "mine", seed=0)
    checkpoint.save_if_due = lambda stage, state: checkpoint.save(stage, state())
    with pytest.raises(RuntimeError, match="crash"):
        run(checkpoint, on("on_epoch_begin", nth(epoch, crash)))
    assert run(checkpoint).history[:, "event_lr"] == expected == [0.5**i for i in range(6)]


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


LATE = {  # in the first epochs the player has no turn
    "fresh": Phase("p", [Turn("critic", "judge", 7), PLAY], epochs=8, fresh=True),
    "by step": Phase("p", [Turn("critic", "judge", 4), PLAY], epochs=8, fresh=True, steps=20),
}


@pytest.mark.parametrize("monitor", ["train_loss", "player_loss", "error"])
@pytest.mark.parametrize("phase", LATE.values(), ids=LATE)
def test_nobody_judges_a_loss_that_is_not_of_this_epoch(phase, monitor):
    """A loss that is repeated, or not there yet, is no miss: of 24 rows an epoch has 3 batches."""
    seen = []
    look = on("on_epoch_end", lambda net: seen.append("player_loss" in net.history[-1]))
    options = {"monitor": monitor, "threshold": 1e9, "threshold_mode": "abs"}
    stopper = EarlyStopping(patience=2, sink=lambda text: None, **options)
    plateau = LRScheduler(
        torch.optim.lr_scheduler.ReduceLROnPlateau, monitor=monitor, patience=0, threshold=1e9
    )
    trainer = train([phase], callbacks=[look, plateau, stopper])
    # The first own loss is the best; the stopper bears one miss, and not a second.
    assert not seen[0]
    assert (sum(seen), seen[-1]) == (3, True) or len(seen) == trainer.n_epochs_
    np.testing.assert_allclose(trainer.optimizer_.param_groups[0]["lr"], 0.01 * 0.1 ** sum(seen))


def test_a_loss_that_does_not_exist_is_still_an_error():
    stopper = EarlyStopping(monitor="nonsense")
    with pytest.raises(KeyError, match="nonsense"):
        train([Phase("p", [JUDGE, PLAY], epochs=3)], callbacks=[stopper])


@pytest.mark.parametrize("kind", [Initializer, ParamMapper])
def test_parameters_can_be_mapped_by_name(kind):
    mapper = kind("critic.weight", fn=lambda p: torch.nn.init.constant_(p, 2.0))
    trainer = train([Phase("p", [PLAY], epochs=1)], callbacks=[mapper])
    assert (trainer.model.critic.weight == 2).all()
