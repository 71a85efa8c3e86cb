"""What happens around the updates: starts, refreshes, ends of phases, and any kind of rows."""

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.callbacks import EarlyStopping
from toys import JUDGE, PLAY, Toy, make_rows, make_trainer, moments, on, same, train, weights

from skdeepcluster.engine.schedule import Phase, Refresh, Turn, one_cycle
from skdeepcluster.engine.table import Table

FIT = Turn("player", "fit_target")


def logger(log, entry):
    """A start or the run of a refresh that logs an entry."""
    return lambda trainer, table: log.append(entry)


def phases_run(trainer):
    return [(record["phase"], record["phase_epoch"]) for record in trainer.history.to_list()]


# -- starts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [0, 3])
def test_a_start_runs_once_before_the_first_epoch(epochs):
    log = []
    phase = Phase("p", [PLAY], epochs=epochs, start=logger(log, "start"))
    train([phase], callbacks=[on("on_epoch_begin", lambda net: log.append("epoch"))])
    assert log == ["start"] + ["epoch"] * epochs


def test_epochs_0_leaves_the_model_as_the_start_made_it():
    def start(trainer, table):
        trainer.model.critic.weight.data.fill_(3.0)

    trainer = make_trainer()
    expected = {**weights(trainer.model), "critic.weight": torch.full((1, 4), 3.0)}
    trainer.run(Table(make_rows()), [Phase("p", [PLAY, JUDGE], epochs=0, start=start)])
    assert same(weights(trainer.model), expected)
    assert trainer.history.to_list() == []
    assert not trainer.model.training


def test_callbacks_hear_nothing_of_a_phase_without_epochs():
    """Skorch's EarlyStopping, for one, looks for its last epoch when training ends."""
    stopper = EarlyStopping(monitor="train_loss", load_best=True)
    train([Phase("p", [PLAY], epochs=0), Phase("q", [PLAY], epochs=1)], callbacks=[stopper])


# -- refreshes ----------------------------------------------------------------------------------


def test_everything_comes_in_its_order():
    log = []
    phase = Phase(
        "p",
        [PLAY],
        epochs=2,
        start=logger(log, "start"),
        refresh=[
            Refresh(logger(log, "epoch")),
            Refresh(logger(log, "every second epoch"), every=2),
            Refresh(logger(log, "every fourth step"), every=4, unit="step"),
        ],
    )
    train([phase], callbacks=[on("on_grad_computed", lambda net: log.append("update"))])
    assert log == [
        *["start", "epoch", "every second epoch", "every fourth step"],
        *["update"] * 3,
        *["epoch", "update", "every fourth step", "update", "update"],
    ]


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_a_refresh_sees_all_rows_and_the_next_update_sees_its_columns(unit):
    """Also the very first: the rows of a batch are read after the refresh."""
    X, seen = make_rows(), []

    def refresh(trainer, table):
        codes = trainer.encode(table)
        expected = trainer.model.encoder(torch.from_numpy(X))
        torch.testing.assert_close(codes, expected)
        table.columns["target"] = codes + len(seen)  # tells one refresh from the next
        seen.append(trainer.place_.step)

    class Checked(Toy):
        def fit_target(self, batch):
            age = (batch["target"] - self.codes(batch)).detach()
            torch.testing.assert_close(age, torch.full_like(age, len(seen) - 1))
            return super().fit_target(batch)

    phase = Phase("p", [FIT], epochs=3, refresh=[Refresh(refresh, unit=unit)])
    train([phase], X, Checked(), optimizer=torch.optim.SGD, lr=0.0)
    assert seen == ([0, 3, 6] if unit == "epoch" else list(range(9)))


def test_an_update_follows_every_refresh_by_step():
    """None is due when the batches have run out: the next epoch would do it again."""
    log = []
    phase = Phase(
        "p", [PLAY], epochs=3, steps=8, refresh=[Refresh(logger(log, "refresh"), unit="step")]
    )
    train([phase], callbacks=[on("on_batch_begin", lambda net: log.append("batch"))])
    assert log == ["refresh", "batch"] * 8


def test_refreshes_write_the_mean_of_their_metrics_to_the_history():
    steps = iter(range(100))
    refresh = [
        Refresh(lambda trainer, table: {"step": next(steps)}, unit="step"),
        Refresh(lambda trainer, table: {"rare": torch.tensor(2.5)}, every=2),
        Refresh(lambda trainer, table: None),
    ]
    history = train([Phase("p", [PLAY], epochs=3, refresh=refresh)]).history
    assert history[:, "step"] == [1.0, 4.0, 7.0]
    assert [record.get("rare") for record in history.to_list()] == [2.5, None, 2.5]


def test_updates_are_in_train_mode_whatever_a_refresh_did():
    modes = []
    refresh = Refresh(lambda trainer, table: trainer.model.eval() and None, unit="step")
    look = on("on_grad_computed", lambda net: modes.append(net.model.training))
    trainer = train([Phase("p", [PLAY], epochs=2, refresh=[refresh])], callbacks=[look])
    assert modes == [True] * 6
    assert not trainer.model.training


# -- ends ---------------------------------------------------------------------------------------


def test_until_ends_its_phase_only():
    def until(record):
        return record["phase_epoch"] == 2

    phases = [Phase("a", [PLAY], epochs=5, until=until), Phase("b", [PLAY], epochs=3)]
    assert phases_run(train(phases)) == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]


def test_early_stopping_ends_its_phase_only_and_starts_anew_in_the_next():
    """No improvement reaches the threshold: a phase ends `patience` epochs after its first."""
    stopper = EarlyStopping(monitor="train_loss", patience=2, threshold=1e9, threshold_mode="abs")
    trainer = train([Phase(name, [PLAY], epochs=9) for name in "ab"], callbacks=[stopper])
    assert phases_run(trainer) == [(name, epoch) for name in "ab" for epoch in (1, 2, 3)]
    assert not trainer.interrupted_


def test_the_last_loss_stands_in_epochs_where_the_player_has_no_turn():
    game = Phase("game", [Turn("critic", "judge", 5), PLAY], epochs=13, fresh=True)
    stopper = EarlyStopping(monitor="train_loss", patience=99)
    trainer = train([game], batch_size=64, callbacks=[stopper])
    played = trainer.history[:, "train_loss"]
    assert np.isnan(played[:5]).all()
    assert played[5:] == [played[5]] * 6 + [played[11]] * 2
    assert played[5] != played[11]


@pytest.mark.parametrize(("steps", "epochs_run"), [(1, 1), (3, 1), (4, 2), (99, 5)])
def test_steps_end_a_phase_in_the_middle_of_an_epoch(steps, epochs_run):
    trainer = train([Phase("p", [PLAY], epochs=5, steps=steps)])
    assert len(trainer.model.asked) == min(steps, 15)
    assert len(trainer.history) == epochs_run


def test_optimizers_start_anew_or_are_kept():
    counts = []

    def count(net):
        counts.append([moments(net, group).get("0.step") for group in ("player", "critic")])

    phases = [
        Phase("a", [PLAY, JUDGE], epochs=1),
        Phase("kept", [PLAY], epochs=1, optimizers="keep"),
        Phase("reset", [PLAY], epochs=1),
    ]
    train(phases, callbacks=[on("on_epoch_end", count)])
    assert counts == [[3, 3], [6, 3], [3, None]]


def test_the_ramp_of_a_phase_ends_with_it():
    """A kept optimizer would otherwise go on at the end of the cycle, near zero."""
    phases = [
        Phase("a", [PLAY], epochs=4, lr={"player": one_cycle, "critic": one_cycle}),
        Phase("b", [PLAY], epochs=1, optimizers="keep", lr={"critic": one_cycle}),
    ]
    rates = []
    look = on("on_batch_begin", lambda net: rates.append(net.optimizer_.param_groups[0]["lr"]))
    train(phases, callbacks=[look], lr=0.3)
    assert rates[11] < 0.02
    assert rates[12:] == [0.3] * 3


def test_a_phase_may_scale_its_learning_rate():
    phases = [Phase("a", [PLAY], epochs=1, lr={"player": 0.1}), Phase("b", [PLAY], epochs=1)]
    rates = []
    look = on("on_batch_end", lambda net: rates.append(net.optimizer_.param_groups[0]["lr"]))
    train(phases, callbacks=[look], lr=0.3)
    assert rates == pytest.approx([0.03] * 3 + [0.3] * 3)


def test_every_epoch_is_in_the_history():
    phases = [Phase("a", [PLAY], epochs=1), Phase("b", [JUDGE, PLAY], epochs=2)]
    history = train(phases, stage="first").history
    assert history[:, ("stage", "phase", "phase_epoch", "epoch")] == [
        ("first", "a", 1, 1),
        ("first", "b", 1, 2),
        ("first", "b", 2, 3),
    ]
    assert all(record["seconds"] >= 0 for record in history.to_list())


def test_a_trainer_can_run_again_from_the_beginning():
    trainer = make_trainer()
    phases = [Phase("a", [PLAY], epochs=1), Phase("b", [PLAY], epochs=1)]
    first = phases_run(trainer.run(Table(make_rows()), phases))
    assert phases_run(trainer.run(Table(make_rows()), phases)) == first


# -- rows ---------------------------------------------------------------------------------------


def memory_mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


SOURCES = {
    "memory map": memory_mapped,
    "CSR": lambda X, folder: sparse.csr_array(X),
    "F order": lambda X, folder: np.asfortranarray(X),
    "reversed": lambda X, folder: X[::-1, ::-1].copy()[::-1, ::-1],
    "other byte order": lambda X, folder: X.astype(X.dtype.newbyteorder()),
    "float64": lambda X, folder: X.astype(np.float64),
    "float16": lambda X, folder: X.astype(np.float16),
    "uint8": lambda X, folder: X.astype(np.uint8),
    "int64": lambda X, folder: X.astype(np.int64),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_training_from_any_source_equals_training_from_the_array(source, tmp_path):
    X = np.maximum(np.round(4 * make_rows()), 0)  # whole numbers, which all of these can hold
    phases = [Phase("game", [JUDGE, PLAY], epochs=2)]
    expected = train(phases, X)
    found = train(phases, source(X, tmp_path))
    assert same(weights(found.model), weights(expected.model))
    assert torch.equal(found.encode(Table(source(X, tmp_path))), expected.encode(Table(X)))


@pytest.mark.parametrize(("n", "batch_size"), [(17, 8), (9, 8), (5, 64), (2, 1), (2, 64)])
def test_batch_norm_survives_every_number_of_rows(n, batch_size):
    """A last batch of one row, a batch larger than the data."""
    phases = [Phase("game", [JUDGE, PLAY], epochs=3)]
    trainer = train(phases, make_rows(n), Toy(normed=True), batch_size=batch_size)
    assert all(value.isfinite().all() for value in weights(trainer.model).values())


def test_a_single_row_trains():
    trainer = train([Phase("p", [PLAY], epochs=2)], make_rows(1))
    assert np.isfinite(trainer.history[:, "train_loss"]).all()


# -- for starts and refreshes -------------------------------------------------------------------


@pytest.mark.parametrize("mode", [True, False])
def test_encoding_is_in_eval_mode_and_leaves_the_mode_and_the_statistics(mode):
    trainer = train([Phase("p", [PLAY], epochs=1)], model=Toy(normed=True))
    trainer.model.train(mode)
    start = weights(trainer.model)
    codes = trainer.encode(Table(make_rows()))
    assert not codes.requires_grad
    assert trainer.model.training is mode
    assert same(weights(trainer.model), start)
    torch.testing.assert_close(
        codes, trainer.model.eval().codes({"X": torch.from_numpy(make_rows())})
    )


@pytest.mark.parametrize("rows", [torch.tensor([1, 3]), torch.tensor([0, 1, 0, 1]).bool()])
def test_forgetting_erases_the_moments_of_some_rows(rows):
    trainer = train([Phase("game", [JUDGE, PLAY], epochs=1)], optimizer__amsgrad=True)
    parameter = trainer.model.decoder.weight
    before = {k: v.clone() for k, v in trainer.optimizer_.state[parameter].items()}
    others = moments(trainer, "critic")
    trainer.forget(parameter, rows)
    for name, moment in trainer.optimizer_.state[parameter].items():
        if name == "step":
            assert moment == before["step"]
        else:
            assert (moment[[1, 3]] == 0).all()
            assert torch.equal(moment[[0, 2]], before[name][[0, 2]])
            assert (before[name] != 0).any(1).all()
    assert same(moments(trainer, "critic"), others)


def test_forgetting_before_the_first_update_does_nothing():
    trainer = make_trainer().initialize()
    trainer.forget(trainer.model.decoder.weight, torch.tensor([0]))


# -- names that nobody bears --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (Phase("p", [Turn("payer", "play")], epochs=1), "the player 'payer'"),
        (Phase("p", [Turn("player", "pay")], epochs=1), "the loss 'pay'"),
        (Phase("p", [PLAY], epochs=1, lr={"critc": 0.5}), "the player 'critc'"),
    ],
    ids=["player", "loss", "rate"],
)
def test_a_misspelt_name_is_refused_before_the_first_batch(phase, message):
    """Also in a phase that would come much later."""
    model = Toy()
    with pytest.raises(ValueError, match=message):
        train([Phase("first", [PLAY], epochs=1), phase], model=model)
    assert not model.asked


@pytest.mark.parametrize("fresh", [False, True])
def test_a_weight_that_no_term_bears_is_refused_after_everybodys_first_turn(fresh):
    """In silence, the term that is meant would weigh 1."""
    model, weights = Toy(), {"error": 1.0, "sham": 0.0, "gap": 2.0}
    with pytest.raises(ValueError, match=r"weights the terms \['sham'\].*'shame'"):
        train([Phase("p", [JUDGE, PLAY], epochs=2, fresh=fresh, weights=weights)], model=model)
    assert model.asked == ["judge", "play"]
