"""Callbacks and parameters of skorch's: taken, or refused with advice."""

import threading

import numpy as np
import pytest
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    InputShapeSetter,
    LoadInitState,
    PassthroughScoring,
    TensorBoard,
    TrainEndCheckpoint,
)
from toys import PLAY, train

from skdeepcluster.engine.options import RESERVED, check_callbacks, check_trainer_params
from skdeepcluster.engine.schedule import Phase


def test_callbacks_are_the_users_own():
    stopper = EarlyStopping(monitor="train_loss")
    named = ("clip", GradientNormClipping(1.0))
    assert check_callbacks([stopper, named, EpochTimer]) == [stopper, named, EpochTimer]
    assert check_callbacks(None) == []
    assert len(check_callbacks(np.array([stopper, EpochTimer()]))) == 2


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Checkpoint(), "Checkpoint saves or loads skorch's net.*checkpoint=.*joblib"),
        (("saver", TrainEndCheckpoint()), "TrainEndCheckpoint saves or loads"),
        (Checkpoint, "Checkpoint saves or loads"),
        (EarlyStopping(), "'valid_loss'.*no validation set.*train_loss"),
        (EarlyStopping, "'valid_loss'"),
        (("stop", EarlyStopping(monitor="valid_acc")), "'valid_acc'"),
        (EpochScoring("r2"), "EpochScoring compares predictions with targets"),
        (("score", BatchScoring("r2")), "BatchScoring compares"),
        (LoadInitState(Checkpoint()), "LoadInitState saves or loads"),
        (InputShapeSetter(), "InputShapeSetter sets the input's shape"),
        (PassthroughScoring("valid_loss"), "PassthroughScoring compares"),
        ((), "pairs of a name and one"),
        (("name", EpochTimer(), 3), "pairs of a name and one"),
        (print, "must be skorch callbacks"),
        ("disable", "must be skorch callbacks"),
    ],
)
def test_callbacks_that_cannot_work_are_refused(callback, message):
    with pytest.raises(ValueError, match=message):
        check_callbacks([EpochTimer(), callback])


def test_parameters_of_the_trainer_pass_as_a_copy():
    params = {
        "optimizer__weight_decay": 1e-5,
        "critic_optimizer__lr": 0.1,
        "callbacks__clip__gradient_clip_value": 2.0,
        "compile": True,
    }
    found = check_trainer_params(params)
    assert found == params
    assert found is not params
    assert check_trainer_params(None) == {}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_parameters_that_are_the_estimators_own_are_refused(name):
    with pytest.raises(ValueError, match=f"cannot set '{name}'"):
        check_trainer_params({"optimizer__eps": 1e-8, name: 1})


@pytest.mark.parametrize(
    "name", ["module__width", "criterion__x", "dataset__length", "iterator_train__shuffle"]
)
def test_parameters_of_parts_that_are_not_skorchs_are_refused(name):
    with pytest.raises(ValueError, match=f"cannot set '{name}'"):
        check_trainer_params({name: 1})


class Log(Callback):
    """A callback that holds what cannot be copied, and counts epochs."""

    def __init__(self, file):
        self.file, self.n_epochs = file, 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        print(net.history[-1, "train_loss"], file=self.file)


def test_callbacks_collect_into_themselves(tmp_path):
    """Whether by what they hold, an open file, or by attributes of theirs."""
    with open(tmp_path / "log.txt", "w") as file:
        log = Log(file)
        train([Phase("p", [PLAY], epochs=3)], callbacks=check_callbacks([("log", log)]))
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 3
    assert log.n_epochs == 3


class Board:
    """What matters of a SummaryWriter: it takes numbers alone."""

    def __init__(self):
        self.lock, self.names = threading.Lock(), set()

    def add_scalar(self, tag, scalar_value, **kwargs):
        self.names.add(tag)
        float(scalar_value)

    def close(self):
        pass


@pytest.mark.parametrize("ignored", [None, "seconds", ["seconds"]])
def test_a_logger_of_numbers_gets_no_text(ignored):
    board = Board()
    callback = TensorBoard(board, keys_ignored=ignored)
    train([Phase("p", [PLAY], epochs=2)], callbacks=check_callbacks([callback]))
    assert {"Loss/train_loss", "error"} <= board.names
    assert ("seconds" in board.names) == (ignored is None)
    assert callback.keys_ignored == ignored


@pytest.mark.parametrize(
    ("name", "own"), [("optimizer__lr", "lr"), ("critic_optimizer__lr", "critic_lr")]
)
def test_a_rate_that_the_estimator_has_is_set_there(name, own):
    with pytest.raises(ValueError, match=f"'{name}': use the estimator's {own}="):
        check_trainer_params({name: 0.1}, {"lr", "critic_lr"})
    if own != "lr":
        assert check_trainer_params({name: 0.1}, {"lr"}) == {name: 0.1}


def test_names_are_text():
    with pytest.raises(TypeError, match="must be strings, got 1"):
        check_trainer_params({1: 2})
