"""The progress of a fit on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback

__all__ = ["Checkpoint", "copied", "plain_state"]

SHARE = 0.05  # of the time that saving may take


class Checkpoint:
    """A file that a fit saves its progress in, and continues from.

    The file belongs to one fit: it holds the fingerprint of the parameters and the data, the seed,
    and for every stage of training either its end or the last epoch saved. Like a pickle, open
    only a file that you trust.

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
        not exist.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str, seed: int):
        self.path = Path(path)
        self._content: dict[str, Any] = {"fingerprint": fingerprint, "seed": seed, "stages": {}}
        self._saved_at = -float("inf")
        self._cost = 0.0
        if not self.path.parent.is_dir():
            raise ValueError(
                f"the folder of checkpoint {str(self.path)!r} does not exist. Create it first."
            )
        if self.path.is_dir():
            raise ValueError(f"checkpoint {str(self.path)!r} is a folder. Name a file in it.")
        if self.path.exists():
            self._load(fingerprint)

    @property
    def seed(self) -> int:
        """The seed of the fit."""
        return self._content["seed"]

    def of(self, stage: str) -> dict[str, Any] | None:
        """Return the state saved for a stage, or None."""
        return self._content["stages"].get(stage)

    def save(self, stage: str, state: dict[str, Any]) -> None:
        """Write the state of a stage, replacing the file in one step."""
        begin = time.perf_counter()
        self._content["stages"][stage] = state
        partial = self.path.with_name(self.path.name + ".partial")
        torch.save(self._content, partial)
        os.replace(partial, self.path)
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - begin

    def save_if_due(self, stage: str, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state, unless saving would take more than a small share of the time."""
        if (time.perf_counter() - self._saved_at) * SHARE >= self._cost:
            self.save(stage, state())

    def discard(self) -> None:
        """Remove the file: the fit is complete."""
        self.path.unlink(missing_ok=True)

    def _load(self, fingerprint: str) -> None:
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=False)
            if set(content) != set(self._content):
                raise KeyError("its content is another")
        except OSError:
            raise
        except Exception as error:  # a file of another kind can raise almost any
            raise ValueError(
                f"checkpoint {str(self.path)!r} is not a checkpoint of this package. "
                "Remove the file or choose another path."
            ) from error
        if content["fingerprint"] != fingerprint:
            raise ValueError(
                f"checkpoint {str(self.path)!r} belongs to a fit with other parameters or other "
                "data. Remove the file to start anew, or choose another path."
            )
        self._content = content


def copied(tree: Any) -> Any:
    """Copy the tensors in nested dicts and lists."""
    if torch.is_tensor(tree):
        return tree.clone()
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list) else tree


def plain_state(callback: Callback) -> dict[str, Any]:
    """Return the plain values that a callback learned, by skorch's trailing underscore."""
    plain = (bool, int, float, str, list, dict, type(None))
    return {
        name: value
        for name, value in vars(callback).items()
        if name.endswith("_") and isinstance(value, plain)
    }
