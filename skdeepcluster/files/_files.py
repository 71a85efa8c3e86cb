"""The bytes of a file: safetensors, whose one entry of metadata is the JSON of everything else.

The JSON comes first in the file, so that its beginning tells whether a file is one of ours. A
digest covers the JSON and every array. Equal contents have equal bytes.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

__all__ = ["FORMAT", "Damaged", "Foreign", "dumps", "loads", "partial_files", "write_file"]

FORMAT = 1  # raised when a file of today could no longer be read as it is
KEY = "skdeepcluster"
RANDOM = 8  # bytes in the name of a file that is being written
LENGTH = 8  # bytes that say how long the header is
MAGIC = f'{{"__metadata__":{{"{KEY}":'.encode()  # what the header of a file of ours begins with

Arrays = Mapping[str, NDArray[Any]]


class Foreign(ValueError):
    """A file that is not one of ours, or not of the kind that is asked for."""


class Damaged(ValueError):
    """A file of ours that is not what was written."""


def dumps(kind: str, content: Any, arrays: Arrays) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    kind : str
        What the file holds, such as "model".
    content : object
        JSON, as :class:`Writer` makes it.
    arrays : mapping of str to ndarray
        The arrays that it names.

    Returns
    -------
    raw : bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> raw = dumps("toy", {"x": {"array": "x"}}, {"x": np.arange(3)})
    >>> loads(raw, "toy")[1]["x"]
    array([0, 1, 2])
    """
    header = {"format": FORMAT, "kind": kind, "content": content}
    header["digest"] = _digest(header, arrays)
    return safetensors.numpy.save(dict(arrays), {KEY: _json(header)})


def loads(raw: bytes, kind: str) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return the content of a file and its arrays.

    Parameters
    ----------
    raw : bytes
        The file.
    kind : str
        What it should hold.

    Returns
    -------
    content, arrays : object, dict of str to ndarray
        As they were given to :func:`dumps`; the arrays are read-only.

    Raises
    ------
    Foreign
        If the file is another program's, or of another kind.
    Damaged
        If it was cut short or changed since.
    ValueError
        If it is of a later version of this package.
    """
    if not raw[LENGTH:].startswith(MAGIC):
        raise Foreign("is not a file of skdeepcluster")
    header = _header(raw)
    if header["format"] > FORMAT:
        raise ValueError(
            f"is of format {header['format']}, and this version of skdeepcluster reads files up to "
            f"format {FORMAT}. Use the version that wrote it, or a later one."
        )
    if header["kind"] != kind:
        raise Foreign(f"holds a {header['kind']} and no {kind}")
    digest = header.pop("digest", None)
    try:
        arrays = safetensors.numpy.load(raw)
        found = _digest(header, arrays)
    except Exception as error:  # of a header that was changed, of almost any kind
        raise Damaged(f"is damaged: {error}") from error
    if digest != found:
        raise Damaged("is damaged: it was changed since it was written (its digest differs)")
    return header.get("content"), arrays


def _header(raw: bytes) -> dict[str, Any]:
    """Return our header, if the file is as long as it says and the header is whole."""
    end = LENGTH + int.from_bytes(raw[:LENGTH], "little")
    try:
        outer = json.loads(raw[LENGTH:end]) if end <= len(raw) else {}
        inner = json.loads(outer.pop("__metadata__")[KEY])
        ends = [int(each["data_offsets"][1]) for each in outer.values()]
        known = isinstance(inner["format"], int) and isinstance(inner["kind"], str)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        cut = f"cut short after {len(raw)} bytes" if end > len(raw) else "its header is broken"
        raise Damaged(f"is damaged: {cut}") from error
    if not known:
        raise Damaged("is damaged: its header is broken")
    if end + max(ends, default=0) > len(raw):
        raise Damaged(f"is damaged: cut short after {len(raw)} bytes")
    return inner


def _digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    """Return a hash of the header and of every array, by name, type, shape and entries."""
    found = hashlib.sha256(_json(header).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        found.update(_json([name, array.dtype.str, array.shape]).encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def write_file(path: str | os.PathLike[str], raw: bytes, mode: int = 0o666) -> None:
    """Write a file in one step: a reader finds all of it, or what was there before.

    Parameters
    ----------
    path : str or path
        The file. What stands there is replaced, also if it is a link.
    raw : bytes
        Its content.
    mode : int, default=0o666
        Who may read and write it, less what the process masks.
    """
    partial = f"{os.fspath(path)}.{secrets.token_hex(RANDOM)}.partial"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(partial, flags, mode), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def partial_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return what was left beside a file by those who were killed while they wrote it."""
    path = Path(path)
    digits = "[0-9a-f]" * 2 * RANDOM
    return list(path.parent.glob(f"{glob.escape(path.name)}.{digits}.partial"))
