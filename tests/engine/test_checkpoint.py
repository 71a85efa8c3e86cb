"""The file of a checkpoint: written in one step, seldom, and never taken for another's."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from toys import Toy

import skdeepcluster.engine.checkpoint as checkpoint_module
from skdeepcluster.engine.checkpoint import Checkpoint


class Crash(Exception):
    """What the tests raise."""


def test_a_checkpoint_keeps_its_seed_and_its_stages(tmp_path):
    path = tmp_path / "fit.pt"
    first = Checkpoint(path, "mine", seed=5)
    assert first.of("a") is None
    first.save("a", {"weight": torch.ones(2)})
    first.save("b", {"weight": torch.zeros(2)})
    again = Checkpoint(str(path), "mine", seed=6)
    assert (first.seed, again.seed) == (5, 5)
    assert torch.equal(again.of("a")["weight"], torch.ones(2))
    assert torch.equal(again.of("b")["weight"], torch.zeros(2))
    again.discard()
    again.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_saving_leaves_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "fit.pt"
    checkpoint = Checkpoint(path, "mine", seed=5)
    checkpoint.save("a", {"epoch": 1})

    def half(content, where):
        where.write_bytes(b"half of it")
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(checkpoint_module.torch, "save", half)
        checkpoint.save("a", {"epoch": 2})
    assert Checkpoint(path, "mine", seed=0).of("a") == {"epoch": 1}
    checkpoint.save("a", {"epoch": 3})
    assert [file.name for file in tmp_path.iterdir()] == ["fit.pt"]


def test_saving_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    """A clock of our own: saving takes one second, so twenty must pass before the next."""
    now = [0.0]
    monkeypatch.setattr(checkpoint_module.time, "perf_counter", lambda: now[0])

    def save(content, where):
        now[0] += 1.0
        where.touch()

    monkeypatch.setattr(checkpoint_module.torch, "save", save)
    checkpoint = Checkpoint(tmp_path / "fit.pt", "mine", seed=0)
    saved = []
    for _ in range(50):
        checkpoint.save_if_due("a", lambda: saved.append(now[0]) or {})
        now[0] += 1.0
    assert saved == [0.0, 21.0, 42.0]


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
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(content, tmp_path):
    path = tmp_path / "precious.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"precious.*not a checkpoint.*Remove the file or choose"):
        Checkpoint(path, "mine", seed=0)
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    path = tmp_path / "fit.pt"
    Checkpoint(path, "mine", seed=0).save("a", {})
    with pytest.raises(ValueError, match=r"fit\.pt.*other parameters or other data.*start anew"):
        Checkpoint(path, "yours", seed=0)


def test_a_folder_that_is_not_there_is_told_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.*does not exist"):
        Checkpoint(tmp_path / "nowhere" / "fit.pt", "mine", seed=0)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        Checkpoint(tmp_path, "mine", seed=0)
