"""A crash at any moment, and a resumed run that nobody can tell from one without it."""

from dataclasses import asdict

import pytest
import torch
from skorch.callbacks import EarlyStopping
from toys import JUDGE, PLAY, Toy, make_rows, make_trainer, moments, nth, on, same, weights

from skdeepcluster.engine.checkpoint import Checkpoint
from skdeepcluster.engine.schedule import Phase, Refresh, Turn, one_cycle, warm_up
from skdeepcluster.engine.table import Table

FIT = Turn("player", "fit_target")


class Crash(Exception):
    """What the tests raise."""


def crash(*args):
    raise Crash


class Noisy(Toy):
    """A toy with batch norm whose losses draw random numbers."""

    def __init__(self):
        super().__init__(normed=True)

    def play(self, batch):
        return super().play({**batch, "X": batch["X"] + 0.1 * torch.randn_like(batch["X"])})


def place_targets(trainer, table):
    table.columns["target"] = trainer.encode(table) + torch.randn(2)
    trainer.model.decoder.bias.data += torch.rand(4)


def move_targets(trainer, table):
    table.columns["target"] = 0.9 * table.columns["target"] + 0.1 * torch.rand(len(table), 2)
    return {"mean": float(table.columns["target"].mean())}


def shift_column(trainer, table):
    table.columns["shift"].add_(torch.rand(()))  # in place, which a saved state must not notice


def make_phases(place=place_targets, move=move_targets):
    return [
        Phase("pretrain", [PLAY], epochs=3, lr={"player": one_cycle}),
        Phase(
            "cluster",
            [FIT],
            epochs=3,
            steps=7,
            start=place,
            refresh=[Refresh(move), Refresh(shift_column, every=2, unit="step")],
            weights={"miss": warm_up(2.0)},
            optimizers="keep",
        ),
        Phase("game", [Turn("critic", "judge", 4), PLAY], epochs=4, fresh=True),
    ]


def start(phases, seed=0, model=Noisy, **options):
    """A trainer and a table as they are before training."""
    torch.manual_seed(seed)
    trainer = make_trainer(model(), **options)
    torch.manual_seed(seed)
    return trainer, Table(make_rows(), shift=torch.zeros(24)), phases


def snapshot(trainer, table):
    """Everything that a run leaves behind."""
    groups = {group: moments(trainer, group) for group in ("player", "critic")}
    tensors = {"model": weights(trainer.model), **groups, "columns": dict(table.columns)}
    history = [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in trainer.history.to_list()
    ]
    rates = [g["lr"] for name in groups for g in trainer.optimizer_of(name).param_groups]
    tensors["generator"] = {"cpu": torch.get_rng_state()}
    return tensors, repr((history, asdict(trainer.place_), rates))


def assert_same(found, expected):
    assert found[1] == expected[1]
    assert all(same(found[0][name], expected[0][name]) for name in expected[0])


class Thrifty(Checkpoint):
    """A checkpoint that is due at every third epoch."""

    def __init__(self, path):
        super().__init__(path, "fingerprint", seed=0)
        self.asked = 0

    def save_if_due(self, stage, state):
        self.asked += 1
        if self.asked % 3 == 1:
            self.save(stage, state())


class Eager(Checkpoint):
    """A checkpoint that is due at every epoch."""

    def __init__(self, path):
        super().__init__(path, "fingerprint", seed=0)

    def save_if_due(self, stage, state):
        self.save(stage, state())


def run(path, phases, kind=Eager, **options):
    trainer, table, phases = start(phases, **options)
    trainer.run(table, phases, kind(path))
    return snapshot(trainer, table)


def check_resumed(path, crashing, expected, kind=Eager, **options):
    """Run into the crash, then resume in a process that has forgotten everything."""
    with pytest.raises(Crash):
        run(path, **{"kind": kind, **crashing})
    assert path.exists()
    assert_same(run(path, seed=99, kind=kind, **options), expected)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("undisturbed") / "fit.pt", make_phases())


def test_saving_does_not_change_a_run(undisturbed):
    trainer, table, phases = start(make_phases())
    (tensors, _), (expected, _) = snapshot(trainer.run(table, phases), table), undisturbed
    assert all(same(tensors[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", [Eager, Thrifty])
@pytest.mark.parametrize("event", ["on_epoch_begin", "on_epoch_end"])
@pytest.mark.parametrize("epoch", range(2, 11))
def test_a_run_resumes_after_a_crash_in_any_epoch(epoch, event, kind, undisturbed, tmp_path):
    crashing = {"phases": make_phases(), "callbacks": [on(event, nth(epoch, crash))]}
    check_resumed(tmp_path / "fit.pt", crashing, undisturbed, kind, phases=make_phases())


@pytest.mark.parametrize("update", [4, 8, 11, 18, 28])
def test_a_run_resumes_after_a_crash_in_the_middle_of_an_epoch(update, undisturbed, tmp_path):
    crashing = {"phases": make_phases(), "callbacks": [on("on_grad_computed", nth(update, crash))]}
    check_resumed(tmp_path / "fit.pt", crashing, undisturbed, phases=make_phases())


def test_a_run_resumes_after_a_crash_in_a_start(undisturbed, tmp_path):
    def place(trainer, table):
        place_targets(trainer, table)
        raise Crash

    crashing = {"phases": make_phases(place=place)}
    check_resumed(tmp_path / "fit.pt", crashing, undisturbed, phases=make_phases())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_run_resumes_after_a_crash_in_a_refresh(count, undisturbed, tmp_path):
    stop = nth(count, crash)

    def move(trainer, table):
        metrics = move_targets(trainer, table)
        return stop() or metrics

    crashing = {"phases": make_phases(move=move)}
    check_resumed(tmp_path / "fit.pt", crashing, undisturbed, phases=make_phases())


def test_a_run_resumes_after_several_crashes(undisturbed, tmp_path):
    path = tmp_path / "fit.pt"
    for seed in range(4):
        with pytest.raises(Crash):
            run(path, make_phases(), seed=seed, callbacks=[on("on_epoch_begin", nth(3, crash))])
    assert_same(run(path, make_phases(), seed=99), undisturbed)


def test_a_finished_run_is_not_repeated(undisturbed, tmp_path):
    path = tmp_path / "fit.pt"
    run(path, make_phases())
    never = [on(event, crash) for event in ("on_train_begin", "on_epoch_begin")]
    assert_same(run(path, make_phases(place=crash), seed=99, callbacks=never), undisturbed)


# -- phases that end early ----------------------------------------------------------------------


def until_second(record):
    return record["phase_epoch"] == 2


def stopper(patience=2, load_best=False):
    return EarlyStopping(
        monitor="train_loss",
        patience=patience,
        threshold=1e9,
        threshold_mode="abs",
        load_best=load_best,
        sink=lambda text: None,
    )


@pytest.mark.parametrize(
    ("until", "callbacks"),
    [
        (until_second, list),
        (None, lambda: [stopper()]),
        (None, lambda: [stopper(load_best=True)]),
    ],
    ids=["until", "early stopping", "early stopping with the best weights"],
)
@pytest.mark.parametrize("where", ["epoch", "start", "next"])
def test_a_run_resumes_after_a_phase_that_ended_early(until, callbacks, where, tmp_path):
    def make(start=None):
        return [
            Phase("a", [PLAY], epochs=6, until=until),
            Phase("b", [PLAY], epochs=6, start=start, until=until),
        ]

    expected = run(tmp_path / "undisturbed.pt", make(), callbacks=callbacks())
    assert expected[1].count("'phase': 'a'") < 6
    event = on("on_epoch_begin", nth({"epoch": 2, "start": 0, "next": 5}[where], crash))
    crashing = {
        "phases": make(start=crash if where == "start" or (until and where == "next") else None),
        "callbacks": [*callbacks(), event],
    }
    check_resumed(tmp_path / "fit.pt", crashing, expected, phases=make(), callbacks=callbacks())


@pytest.mark.filterwarnings("ignore:The loss of phase")
@pytest.mark.parametrize("place", ["start", "epoch"])
def test_a_run_resumes_after_a_roll_back(place, tmp_path):
    class Explosive(Noisy):
        def play(self, batch):
            terms = super().play(batch)
            # Of the state alone, so that the resumed run fails in the same place.
            broken = self.encoder[1].num_batches_tracked == 8
            return {**terms, "error": terms["error"].masked_fill(broken, torch.nan)}

    def make(start=None):
        return [Phase("a", [PLAY], epochs=4), Phase("b", [JUDGE], epochs=2, start=start)]

    expected = run(tmp_path / "undisturbed.pt", make(), model=Explosive)
    assert "nan" in expected[1]
    epoch = on("on_epoch_begin", nth(5 if place == "epoch" else 0, crash))
    crashing = {
        "phases": make(start=crash if place == "start" else None),
        "callbacks": [epoch],
        "model": Explosive,
    }
    check_resumed(tmp_path / "fit.pt", crashing, expected, phases=make(), model=Explosive)


# -- several stages -----------------------------------------------------------------------------


def fit_in_stages(path, between=None, callbacks=()):
    """Two models, of which the second goes on with the encoder of the first."""
    checkpoint = Eager(path)
    phases = [Phase("a", [PLAY], epochs=2)]
    first, table, _ = start(phases, stage="first")
    first.run(table, phases, checkpoint)
    codes = first.encode(table)
    if between:
        between()
    torch.randn(3)
    second_model = Noisy()
    second_model.encoder = first.model.encoder
    second = make_trainer(second_model, stage="second", callbacks=list(callbacks))
    second.run(table, [Phase("b", [PLAY], epochs=3)], checkpoint)
    return codes, snapshot(first, table), snapshot(second, table)


@pytest.mark.parametrize("epoch", [None, 1, 2, 3])
def test_stages_resume_where_the_crash_was(epoch, tmp_path):
    """Each stage ends as it did, even if its networks were trained on in the next."""
    expected = fit_in_stages(tmp_path / "undisturbed.pt")
    path = tmp_path / "fit.pt"
    with pytest.raises(Crash):
        if epoch is None:
            fit_in_stages(path, between=crash)
        else:
            fit_in_stages(path, callbacks=[on("on_epoch_begin", nth(epoch, crash))])
    codes, _, second = fit_in_stages(path)
    assert torch.equal(codes, expected[0])
    assert_same(second, expected[2])


def test_the_end_of_a_stage_is_saved_even_if_no_epoch_was_due(tmp_path):
    class Never(Eager):
        def save_if_due(self, stage, state):
            pass

    path = tmp_path / "fit.pt"
    run(path, make_phases(), kind=Never)
    never = [on("on_epoch_begin", crash)]
    run(path, make_phases(), kind=Never, callbacks=never)


def test_an_interrupted_run_goes_on_from_its_last_epoch(undisturbed, tmp_path):
    def interrupt(net):
        raise KeyboardInterrupt

    path = tmp_path / "fit.pt"
    trainer, table, phases = start(
        make_phases(), callbacks=[on("on_grad_computed", nth(9, interrupt))]
    )
    trainer.run(table, phases, Eager(path))
    assert trainer.interrupted_
    assert_same(run(path, make_phases(), seed=99), undisturbed)


def test_a_run_does_not_go_on_with_other_networks(tmp_path):
    class Narrow(Noisy):
        def play(self, batch):
            return {"error": super().play(batch)["error"] / 2}

    path = tmp_path / "fit.pt"
    with pytest.raises(Crash):
        run(path, make_phases(), callbacks=[on("on_epoch_begin", nth(3, crash))])
    with pytest.raises(ValueError, match=r"'train' of a fit with other networks.*Change it back"):
        run(path, make_phases(), model=Narrow)
