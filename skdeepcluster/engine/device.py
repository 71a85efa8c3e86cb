"""Devices and random generators."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import sklearn
import torch

from skdeepcluster.engine.notices import notice

__all__ = ["alone", "precision_on", "resolve_device", "seeded", "settled", "training"]

# Training draws from torch's global generators, which threads share.
_TRAINING = threading.RLock()
_FITS: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()  # a lock for each estimator


def _renew_locks() -> None:
    """In a forked process the thread that held a lock does not exist: nobody would release it."""
    global _TRAINING
    _TRAINING = threading.RLock()
    _FITS.clear()


def _end_imports() -> None:
    """Wait for what another thread's first optimizer imports, which takes a second."""
    if "torch._dynamo" in sys.modules:
        importlib.import_module("torch._dynamo")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_imports, after_in_child=_renew_locks)


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device meant, the best one at hand for "auto".

    Parameters
    ----------
    device : str or torch.device
        "auto" means "cuda", else "mps", else "cpu"; otherwise anything that torch takes.

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    ValueError
        If the device does not exist here.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        resolved = torch.device(device)
        if torch.ones(1, device=resolved).item() != 1:
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).partition("\n")[0]  # the rest is a list of what torch could run
        raise ValueError(
            f"device={str(device)!r} is not available here: {reason}. "
            'Use device="auto" to take the best device at hand.'
        ) from error
    return resolved


@contextlib.contextmanager
def training() -> Iterator[None]:
    """Let one fit at a time draw from torch's generators."""
    with _TRAINING:
        yield


@contextlib.contextmanager
def alone(estimator: Any) -> Iterator[None]:
    """Let one thread at a time fit an estimator, which would lose its state to another."""
    with _FITS.setdefault(estimator, threading.RLock()):
        yield


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Calculate as in a fresh interpreter, whatever the caller has set for this thread.

    Autocast, a default device, what numpy does about overflows, and the output of scikit-learn's
    transformers are for the caller's own code. What is said of the default type: see `seeded`.
    """
    with contextlib.ExitStack() as stack:
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(np.errstate(all="warn", under="ignore"))
        if sklearn.get_config()["transform_output"] != "default":
            stack.enter_context(sklearn.config_context(transform_output="default"))
        yield


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators inside the block and leave them untouched outside.

    Only one thread at a time may be inside: the generators are global. So is the default type of
    what torch makes, which is float32 inside.
    """
    cuda = device.type == "cuda"
    with training(), torch.random.fork_rng(devices=[device] if cuda else []), _float32():
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def precision_on(device: torch.device, precision: str) -> str:
    """Return the precision that pays on a device: bfloat16 is slower on most processors."""
    if precision == "float32" or device.type != "cpu" or _has_amx():
        return precision
    notice(
        'precision="bfloat16" is ignored: this processor has no AMX tiles, and without them '
        "bfloat16 is slower than float32.",
        UserWarning,
    )
    return "float32"


def _has_amx() -> bool:
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch >= 2.10
    return capabilities.get("amx_bf16", False)
