"""The file of a checkpoint: written in one step, seldom, and never taken for another's."""

import io
import os
import pickle
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import torch
from toys import Toy

import skdeepcluster.engine.checkpoint as checkpoint_module
from skdeepcluster.engine.checkpoint import Checkpoint, plain
from skdeepcluster.files import dumps
from skdeepcluster.files._files import MAGIC


class Crash(Exception):
    """What the tests raise."""


def saved(path, **stages):
    """Save a checkpoint of some stages, and let go of it."""
    checkpoint = Checkpoint(path, "mine", seed=5)
    for name, state in stages.items():
        checkpoint.save(name, state)
    checkpoint.close()
    return checkpoint


def loaded(path):
    """Open a checkpoint, and let go of it."""
    return saved(path)


def test_a_checkpoint_keeps_its_seed_and_its_stages(tmp_path):
    path = tmp_path / "fit.pt"
    assert saved(path, a={"weight": torch.ones(2)}, b={"weight": torch.zeros(2)}).of("c") is None
    again = Checkpoint(str(path), "mine", seed=6)
    assert again.seed == 5
    assert torch.equal(again.of("a")["weight"], torch.ones(2))
    assert torch.equal(again.of("b")["weight"], torch.zeros(2))
    again.discard()
    again.discard()
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_saving_leaves_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "fit.pt"
    checkpoint = Checkpoint(path, "mine", seed=5)
    checkpoint.save("a", {"epoch": 1})

    def crash(handle):
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(checkpoint_module.os, "fsync", crash)
        checkpoint.save("a", {"epoch": 2})
    checkpoint.close()
    assert loaded(path).of("a") == {"epoch": 1}
    assert saved(path, a={"epoch": 3}).of("a") == {"epoch": 3}
    assert [file.name for file in tmp_path.iterdir()] == ["fit.pt"]


def test_saving_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    """A clock of our own: saving takes one second, so twenty must pass before the next."""
    now = [0.0]
    monkeypatch.setattr(checkpoint_module.time, "perf_counter", lambda: now[0])

    def save(path, raw, mode):
        now[0] += 1.0

    monkeypatch.setattr(checkpoint_module, "write_file", save)
    checkpoint = Checkpoint(tmp_path / "fit.pt", "mine", seed=0)
    asked = []
    for _ in range(50):
        checkpoint.save_if_due("a", lambda: asked.append(now[0]) or {})
        now[0] += 1.0
    assert asked == [0.0, 21.0, 42.0]


# -- a file that cannot be written ----------------------------------------------------------------


def test_a_full_disk_is_warned_about_once_and_leaves_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "fit.pt"
    checkpoint = Checkpoint(path, "mine", seed=0)
    checkpoint.save("a", {"epoch": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr(checkpoint_module.os, "fsync", full)
        checkpoint.save("a", {"epoch": 2})
        checkpoint.save("a", {"epoch": 3})
    assert [str(w.message).split(":")[1] for w in caught] == [
        " [Errno 28] No space left on device. "
        "Training goes on, and what was saved before, if anything, stays. Later epochs try again."
    ]
    assert {file.name for file in tmp_path.iterdir()} == {"fit.pt", "fit.pt.lock"}
    checkpoint.close()
    assert loaded(path).of("a") == {"epoch": 1}


def test_what_cannot_be_stored_is_named(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit.pt", "mine", seed=0)
    with pytest.warns(UserWarning, match=r"cannot be saved: a Crash is neither a tensor nor plain"):
        checkpoint.save("a", {"state": [Crash()]})


def test_a_folder_that_takes_no_file_is_told_before_training(tmp_path, monkeypatch):
    def refuse(**where):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint_module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(ValueError, match=r"cannot be written: .*Permission denied.*Choose a file"):
        Checkpoint(tmp_path / "fit.pt", "mine", seed=0)


# -- two at once ----------------------------------------------------------------------------------


def test_a_second_fit_leaves_the_file_to_the_first(tmp_path):
    path = tmp_path / "fit.pt"
    first = Checkpoint(path, "mine", seed=5)
    first.save("a", {"epoch": 1})
    with pytest.warns(UserWarning, match=r"in use by another fit.*saves no progress"):
        second = Checkpoint(path, "mine", seed=6)
    assert (second.seed, second.of("a")) == (6, None)
    second.save("a", {"epoch": 9})
    second.discard()
    second.close()
    first.close()
    assert loaded(path).of("a") == {"epoch": 1}


def test_a_fit_that_was_killed_keeps_nobody_out(tmp_path):
    path = tmp_path / "fit.pt"
    code = (
        "import os; from skdeepcluster.engine.checkpoint import Checkpoint\n"
        f"Checkpoint({str(path)!r}, 'mine', seed=5).save('a', {{'epoch': 1}}); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded(path).of("a") == {"epoch": 1}


def test_what_a_killed_fit_was_writing_is_swept_up(tmp_path):
    path = tmp_path / "fit [1].pt"
    left = tmp_path / f"{path.name}.{'0f' * 8}.partial"
    others = [f"fit 1.pt.{'0f' * 8}.partial", f"{path.name}.b.{'0f' * 8}.partial", "my.partial"]
    for name in (left.name, *others):
        (tmp_path / name).write_bytes(b"half")
    saved(path, a={})
    assert {file.name for file in tmp_path.iterdir()} == {path.name, *others}


# -- whose it is ----------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes and links are of POSIX")
def test_a_checkpoint_is_its_owners_alone(tmp_path):
    path, precious = tmp_path / "fit.pt", tmp_path / "precious.txt"
    precious.write_text("mine")
    path.symlink_to(precious)
    with pytest.raises(ValueError, match="not a checkpoint"):
        loaded(path)
    path.unlink()
    before = os.umask(0)
    try:
        saved(path, a={})
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


class Planted:
    """What somebody left in place of a checkpoint."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def planted(content, **arrays):
    """A file that holds what no checkpoint does, with the right digest."""
    return dumps("checkpoint", content, arrays)


PLANTED = {
    "a pickle inside": planted({"map": {}}, x=np.frombuffer(pickle.dumps(Planted()), np.uint8)),
    "a class to be looked up": planted({"object": "os.system", "state": {}}),
    "a function to be looked up": planted({"partial": [{"known": "os.mkdir"}, ["ran"], {}]}),
    "a module of nobody's": planted({"module": "subprocess.Popen"}),
    "a network of the user's": planted({"own": ["encoder"], "name": "x", "state": {}}),
    "nothing": planted({}),
    "a list": planted([1, 2]),
    "an array that is not there": planted({"map": {"fingerprint": {"array": "x"}}}),
}


@pytest.mark.parametrize("content", PLANTED.values(), ids=PLANTED)
def test_a_planted_file_runs_no_code(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.pt").write_bytes(content)
    with pytest.raises(ValueError, match="not a checkpoint"):
        loaded(tmp_path / "fit.pt")
    assert not (tmp_path / "ran").exists()


def test_what_callbacks_record_is_kept_as_far_as_it_is_plain():
    found = plain({"a": np.float32(2), "b": np.arange(2), "c": [(1, "x")], "d": Crash(), "e": None})
    assert found == {"a": 2.0, "b": [0, 1], "c": [(1, "x")], "e": None}
    assert type(found["a"]) is float


# -- damage ---------------------------------------------------------------------------------------


def test_a_damaged_file_is_named_set_aside_and_not_believed(tmp_path):
    path = tmp_path / "fit.pt"
    saved(path, a={"weight": torch.ones(50)})
    good = path.read_bytes()
    start = 8 + len(MAGIC)  # before which it is no file of ours
    flipped = [
        bytes([*good[:i], good[i] ^ 16, *good[i + 1 :]]) for i in range(start, len(good), 97)
    ]
    cut = [good[:n] for n in range(start, len(good), 211)]
    for i, content in enumerate(flipped + cut):
        path.write_bytes(content)
        aside = f"fit.pt.damaged{i or ''}"
        with pytest.warns(UserWarning, match=rf"fit\.pt' is damaged.*kept as '.*{aside}'"):
            assert loaded(path).of("a") is None
        assert (tmp_path / aside).read_bytes() == content
        assert not path.exists()


def dumped(value, save=torch.save):
    buffer = io.BytesIO()
    save(value, buffer)
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", "nothing to see")
    return buffer.getvalue()


FILES = {
    "empty": b"",
    "text": b"These are my notes, not a checkpoint.\n",
    "bytes": bytes(range(256)),
    "truncated": dumped({"fingerprint": "mine", "rest": torch.ones(100)})[:200],
    "zip": zipped(),
    "npy": dumped(np.arange(3), save=lambda value, file: np.save(file, value)),
    "tensor": dumped(torch.ones(3)),
    "list": dumped([1, 2]),
    "model": dumped(Toy().state_dict()),
    "pickle": pickle.dumps({"a": 1}),
    "number": pickle.dumps(3),
    "class that is not there": b"\x80\x04\x8c\x07nowhere\x8c\x05Thing\x93.",
    "fingerprint alone": dumped({"fingerprint": "mine"}),
    "saved model": dumps("model", {}, {}),
    "another safetensors": safetensors.numpy.save({"x": np.ones(3)}),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(content, tmp_path):
    path = tmp_path / "precious.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"precious.*not a checkpoint.*Remove the file or choose"):
        loaded(path)
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    path = tmp_path / "fit.pt"
    saved(path, a={})
    with pytest.raises(ValueError, match=r"fit\.pt.*other parameters or other data.*start anew"):
        Checkpoint(path, "yours", seed=0)


def test_a_folder_that_is_not_there_is_told_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.*does not exist"):
        Checkpoint(tmp_path / "nowhere" / "fit.pt", "mine", seed=0)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        Checkpoint(tmp_path, "mine", seed=0)
