"""Losses that are not finite, and Ctrl-C at every moment."""

import os
import signal
import threading
import warnings

import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from toys import JUDGE, PLAY, Toy, make_rows, make_trainer, moments, nth, on, same, train, weights

from skdeepcluster.engine.interruption import on_ctrl_c
from skdeepcluster.engine.schedule import Phase, Refresh
from skdeepcluster.engine.table import Table


def press_ctrl_c(*args):
    os.kill(os.getpid(), signal.SIGINT)


def raise_interrupt(*args):
    raise KeyboardInterrupt


# -- not finite ---------------------------------------------------------------------------------


class Explosive(Toy):
    """A toy whose n-th loss in play goes wrong."""

    def __init__(self, n, how):
        super().__init__(normed=True)
        self.how = nth(n, how)

    def play(self, batch):
        terms = super().play(batch)
        return self.how(self, terms) or terms


def infinite_loss(model, terms):
    return {**terms, "error": terms["error"] * torch.inf}


def infinite_row(model, terms):
    first = torch.arange(len(terms["error"])) == 0
    return {**terms, "error": terms["error"].masked_fill(first, torch.nan)}


def infinite_gradient(model, terms):
    """A finite loss whose gradient is not: the square root at zero."""
    zero = (model.decoder.bias.sum() * 0).abs().sqrt()
    return {**terms, "root": zero}


def infinite_parameter(model, terms):
    model.decoder.weight.data[0, 0] = -torch.inf


def infinite_statistics(model, terms):
    model.encoder[1].running_var.data.fill_(torch.nan)


WAYS = [infinite_loss, infinite_row, infinite_gradient, infinite_parameter, infinite_statistics]


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.__name__)
def test_everything_goes_back_to_the_end_of_the_last_finite_epoch(how):
    """Three batches per epoch: the eighth is in the third epoch of the first phase."""
    saved = {}

    def save(net):
        saved[net.phase_.name, net.place_.epoch] = everything(net)

    def everything(net):
        groups = {group: moments(net, group) for group in ("player", "critic")}
        return {"model": weights(net.model), **groups, "columns": dict(table.columns)}

    def mark(trainer, table):
        table.columns["age"] = torch.full((len(table),), float(trainer.place_.epoch))

    torch.manual_seed(0)
    model = Explosive(8, how)
    table = Table(make_rows())
    trainer = make_trainer(model, callbacks=[on("on_epoch_end", save)])
    after = []
    phases = [
        Phase("a", [JUDGE, PLAY], epochs=5, refresh=[Refresh(mark)]),
        Phase(
            "b",
            [PLAY],
            epochs=2,
            optimizers="keep",
            start=lambda trainer, table: after.append(everything(trainer)),
        ),
    ]
    with pytest.warns(ConvergenceWarning, match=r"phase 'a' was not finite in epoch 3.*lower lr"):
        trainer.run(table, phases)
    safe, found = saved["a", 2], after[0]
    assert safe.keys() == found.keys()
    assert all(same(safe[name], found[name]) for name in safe)
    assert (found["columns"]["age"] == 1).all()
    assert [record["phase"] for record in trainer.history.to_list()] == list("aaabb")
    assert all(value.isfinite().all() for value in weights(trainer.model).values())
    assert not trainer.interrupted_


def test_codes_that_are_not_finite_are_a_failure_of_their_own():
    """The last update may leave parameters that are finite, and make nothing of rows."""

    class Blind(Toy):
        n_calls = 0

        def codes(self, batch):
            if self.training:
                return super().codes(batch)
            self.n_calls += 1
            return super().codes(batch) / (self.n_calls < 4)  # once before training

    trainer = make_trainer(model := Blind())
    with pytest.warns(ConvergenceWarning, match="phase 'a' was not finite in epoch 3"):
        trainer.run(Table(make_rows()), [Phase("a", [PLAY], epochs=5)])
    assert model.n_calls == 4


def test_a_loss_that_is_never_finite_leaves_the_model_of_the_start():
    model = Explosive(1, infinite_loss)
    start = weights(model)
    with pytest.warns(ConvergenceWarning, match="in epoch 1"):
        train([Phase("a", [PLAY], epochs=3)], model=model)
    assert same(weights(model), start)


def test_finite_training_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train([Phase("a", [JUDGE, PLAY], epochs=3)], model=Toy(normed=True))


# -- Ctrl-C -------------------------------------------------------------------------------------

MOMENTS = [
    "on_train_begin",
    "on_epoch_begin",
    "on_batch_begin",
    "on_grad_computed",
    "on_batch_end",
    "on_epoch_end",
    "on_train_end",
]


@pytest.mark.parametrize("event", MOMENTS)
def test_ctrl_c_ends_the_training_but_runs_the_remaining_starts(event):
    log = []
    phases = [
        Phase(name, [PLAY], epochs=2, start=lambda trainer, table: log.append(trainer.phase_.name))
        for name in "abc"
    ]
    handler = signal.getsignal(signal.SIGINT)
    trainer = train(phases, callbacks=[on(event, nth(1, press_ctrl_c))])
    assert trainer.interrupted_
    assert log == ["a", "b", "c"]
    assert {record["phase"] for record in trainer.history.to_list()} <= {"a"}
    assert len(trainer.model.asked) <= 6
    assert not trainer.model.training
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_epoch_cut_short_leaves_no_half_record():
    trainer = train(
        [Phase("p", [PLAY], epochs=9)], callbacks=[on("on_grad_computed", nth(5, press_ctrl_c))]
    )
    assert [record["phase_epoch"] for record in trainer.history.to_list()] == [1]


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_ctrl_c_cuts_a_refresh_short(unit):
    log = []

    def refresh(trainer, table):
        press_ctrl_c()
        log.append("not reached")

    phases = [Phase(name, [PLAY], epochs=2, refresh=[Refresh(refresh, unit=unit)]) for name in "ab"]
    trainer = train(phases)
    assert trainer.interrupted_
    assert log == []
    assert trainer.model.asked == []


def test_ctrl_c_lets_a_start_finish():
    """A model without its start is of no use, nor is one with half of it, or with it twice."""
    log = []

    def start(trainer, table):
        log.append("begin")
        if trainer.phase_.name == "a":
            press_ctrl_c()
        log.append("end")

    trainer = train([Phase(name, [PLAY], epochs=2, start=start) for name in "ab"])
    assert trainer.interrupted_
    assert log == ["begin", "end"] * 2
    assert trainer.model.asked == []


def test_ctrl_c_again_ends_everything():
    def start(trainer, table):
        press_ctrl_c()
        press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        train([Phase("p", [PLAY], epochs=2, start=start)])


def test_a_trainer_that_was_interrupted_before_runs_starts_alone():
    """As the later stages of a fit do."""
    log = []
    trainer = make_trainer()
    trainer.interrupted_ = True
    trainer.run(
        Table(make_rows()),
        [Phase("p", [PLAY], epochs=2, start=lambda trainer, table: log.append("start"))],
    )
    assert log == ["start"]
    assert trainer.model.asked == []


def test_ctrl_c_and_a_loss_that_is_not_finite():
    """No warning, since nothing ends that had not ended, but the model is finite."""
    model = Explosive(5, infinite_parameter)
    states = []
    callbacks = [
        on("on_epoch_end", lambda net: states.append(weights(net.model))),
        on("on_batch_end", nth(5, press_ctrl_c)),
    ]
    trainer = train([Phase("p", [PLAY], epochs=3)], model=model, callbacks=callbacks)
    assert trainer.interrupted_
    assert same(weights(model), states[0])


def test_a_handler_that_raises_nothing_is_respected():
    """The training then ends with its epoch."""
    heard = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        trainer = train(
            [Phase("p", [PLAY], epochs=5)], callbacks=[on("on_batch_end", nth(4, press_ctrl_c))]
        )
    finally:
        signal.signal(signal.SIGINT, handler)
    assert heard == [signal.SIGINT]
    assert trainer.interrupted_
    assert len(trainer.history) == 2


def test_ignored_signals_stay_ignored():
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        trainer = train(
            [Phase("p", [PLAY], epochs=2)], callbacks=[on("on_batch_end", nth(1, press_ctrl_c))]
        )
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not trainer.interrupted_
    assert len(trainer.history) == 2


@pytest.mark.parametrize("event", ["on_epoch_begin", "on_grad_computed"])
def test_an_interrupt_in_a_thread_needs_no_signal(event):
    """Signals reach the main thread alone; an interruption raised in another one counts as well."""
    done = []

    def work():
        callback = on(event, nth(2, raise_interrupt))
        done.append(train([Phase(name, [PLAY], epochs=3) for name in "ab"], callbacks=[callback]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (trainer,) = done
    assert trainer.interrupted_
    assert {record["phase"] for record in trainer.history.to_list()} <= {"a"}


def test_stopping_early_is_no_interruption():
    trainer = train(
        [Phase(name, [PLAY], epochs=3) for name in "ab"],
        callbacks=[on("on_epoch_end", nth(1, raise_interrupt))],
    )
    assert not trainer.interrupted_
    assert [record["phase"] for record in trainer.history.to_list()] == list("abbb")


def test_other_errors_pass_and_restore_the_handler():
    handler = signal.getsignal(signal.SIGINT)

    def fail(net):
        raise RuntimeError("from a callback")

    with pytest.raises(RuntimeError, match="from a callback"):
        train([Phase("p", [PLAY], epochs=1)], callbacks=[on("on_epoch_end", fail)])
    assert signal.getsignal(signal.SIGINT) is handler


def test_blocks_around_are_told_and_the_innermost_decides():
    told = []

    def decide(name, answer):
        return lambda: told.append(name) or answer

    with on_ctrl_c(decide("outer", True)):
        with on_ctrl_c(decide("inner", False)):
            press_ctrl_c()
        assert told == ["outer", "inner"]
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()
    assert told == ["outer", "inner", "outer"]
