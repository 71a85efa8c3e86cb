"""The progress of a fit on disk."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from skorch.callbacks import Callback

from skdeepcluster.engine.notices import warn
from skdeepcluster.files import (
    Damaged,
    Foreign,
    Reader,
    Writer,
    dumps,
    loads,
    partial_files,
    write_file,
)

__all__ = ["Checkpoint", "copied", "plain", "plain_state"]

KIND, MODE = "checkpoint", 0o600  # its owner's alone
SHARE = 0.05  # of the time that saving may take


class Checkpoint:
    """A file that a fit saves its progress in, and continues from.

    The file belongs to one fit: it holds the fingerprint of the parameters and the data, the seed,
    and for every stage of training either its end or the last epoch saved. It is its owner's alone
    to read, nothing in it is run, and while a fit uses it a lock beside it keeps others out.

    Parameters
    ----------
    path : str or Path
        The file. Its folder must exist.
    fingerprint : str
        What the progress belongs to.
    seed : int
        The seed of a fit that begins; a fit that continues takes :attr:`seed` from the file.

    Raises
    ------
    ValueError
        If the file belongs to another fit or is none of ours, is a folder, or its folder does
        not exist or takes no files.

    Warns
    -----
    UserWarning
        If the file is damaged, and therefore set aside; if another fit uses it, so that this one
        does not; if progress cannot be saved.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str, seed: int):
        self.path = Path(path)
        self._content: dict[str, Any] = {"fingerprint": fingerprint, "seed": seed, "stages": {}}
        self._saved_at = -float("inf")
        self._cost = 0.0
        self._warned = False
        self._prefix = ""
        self._lock = FileLock(f"{path}.lock", mode=0o600, thread_local=False)
        if not self.path.parent.is_dir():
            raise ValueError(
                f"the folder of checkpoint {str(self.path)!r} does not exist. Create it first."
            )
        if self.path.is_dir():
            raise ValueError(f"checkpoint {str(self.path)!r} is a folder. Name a file in it.")
        if not self._acquire():
            return
        try:
            for left in partial_files(self.path):  # by a fit that was killed
                left.unlink(missing_ok=True)
            if self.path.exists():
                self._load()
        except BaseException:
            self.close()
            raise

    @property
    def seed(self) -> int:
        """The seed of the fit."""
        return self._content["seed"]

    def of(self, stage: str) -> dict[str, Any] | None:
        """Return the state saved for a stage, or None."""
        return self._content["stages"].get(self._prefix + stage)

    def save(self, stage: str, state: dict[str, Any]) -> None:
        """Write the state of a stage, replacing the file in one step.

        A file that cannot be written does not end a training: a warning tells of it, once.
        """
        if not self._lock.is_locked:
            return
        begin = time.perf_counter()
        try:
            self._content["stages"][self._prefix + stage] = _storable(state)
            self._write()
        except (OSError, TypeError) as error:
            self._warn_of(error)
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - begin

    def save_if_due(self, stage: str, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state, unless saving would take more than a small share of the time."""
        if (time.perf_counter() - self._saved_at) * SHARE >= self._cost:
            self.save(stage, state())

    def part(self, name: str) -> Checkpoint:
        """Return the same file for one of several fits, whose stages are kept under its name."""
        twin = copy.copy(self)
        twin._prefix = f"{name}: "
        return twin

    def discard(self) -> None:
        """Remove the file: the fit is complete."""
        if self._lock.is_locked:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others use the file."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                os.unlink(self._lock.lock_file)  # before the release: the next one makes its own
            self._lock.release()

    def _acquire(self) -> bool:
        """Take the lock, or say who keeps it; tell whether the file is ours."""
        try:
            tempfile.TemporaryFile(dir=self.path.parent).close()
            self._lock.acquire(blocking=False)
        except Timeout:
            warn(
                f"checkpoint {str(self.path)!r} is in use by another fit, which may be the same "
                "script run twice. This fit begins anew and saves no progress. Give each fit a "
                "checkpoint of its own.",
                UserWarning,
            )
        except OSError as error:
            raise ValueError(
                f"checkpoint {str(self.path)!r} cannot be written: {error}. Choose a file in a "
                "folder that you may write to."
            ) from error
        return self._lock.is_locked

    def _write(self) -> None:
        writer = Writer()
        content = writer.write(self._content)
        write_file(self.path, dumps(KIND, content, writer.arrays), MODE)

    def _warn_of(self, error: Exception) -> None:
        if not self._warned:
            warn(
                f"checkpoint {str(self.path)!r} cannot be saved: {error}. Training goes on, and "
                "what was saved before, if anything, stays. Later epochs try again.",
                UserWarning,
            )
        self._warned = True

    def _load(self) -> None:
        try:
            tree, arrays = loads(self.path.read_bytes(), KIND)
            content = Reader(arrays).read(tree)
            fingerprint = content["fingerprint"]
        except Damaged:
            return self._set_aside()
        except (Foreign, LookupError, TypeError) as error:
            raise ValueError(
                f"checkpoint {str(self.path)!r} is not a checkpoint of this package ({error}). "
                "Remove the file or choose another path."
            ) from error
        except ValueError as error:
            raise ValueError(f"checkpoint {str(self.path)!r} {error}") from error
        if fingerprint != self._content["fingerprint"]:
            raise ValueError(
                f"checkpoint {str(self.path)!r} belongs to a fit with other parameters or other "
                "data. Remove the file to start anew, or choose another path."
            )
        self._content = content

    def _set_aside(self) -> None:
        """Keep a damaged file under another name."""
        names = (f"{self.path}.damaged{i or ''}" for i in itertools.count())
        aside = next(name for name in names if not os.path.lexists(name))
        os.replace(self.path, aside)
        warn(
            f"checkpoint {str(self.path)!r} is damaged: its content is not what was written, and "
            "may have been cut short or changed on disk. The fit starts anew, and the file is "
            f"kept as {aside!r}.",
            UserWarning,
        )


def copied(tree: Any) -> Any:
    """Copy the tensors in nested dicts and lists."""
    if torch.is_tensor(tree):
        return tree.clone()
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list) else tree


def plain_state(callback: Callback) -> dict[str, Any]:
    """Return the plain values that a callback learned, by skorch's trailing underscore."""
    return plain({name: value for name, value in vars(callback).items() if name.endswith("_")})


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a checkpoint can hold; a person's callback may record any others."""
    kept = {}
    for name, value in values.items():
        with contextlib.suppress(TypeError):
            kept[name] = _storable(value)
    return kept


def _storable(value: Any) -> Any:
    """Return a value in the types that are read without running code."""
    if type(value) in (bool, int, float, str, type(None)) or torch.is_tensor(value):
        return value
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biufUS":
        return value.tolist()
    if isinstance(value, Mapping):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        items = [_storable(inner) for inner in value]
        return tuple(items) if isinstance(value, tuple) else items
    raise TypeError(f"a {type(value).__name__} is neither a tensor nor plain")
