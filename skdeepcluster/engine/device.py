"""Devices and random generators."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

import torch

__all__ = ["TRAINING", "precision_on", "resolve_device", "seeded"]

# Training draws from torch's global generators, which threads share.
TRAINING = threading.RLock()


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
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={str(device)!r} is not available here: {error}. "
            'Use device="auto" to take the best device at hand.'
        ) from error
    return resolved


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators inside the block and leave them untouched outside.

    Only one thread at a time may be inside: the generators are global. So is the default type of
    what torch makes, which is float32 inside.
    """
    cuda = device.type == "cuda"
    with TRAINING, torch.random.fork_rng(devices=[device] if cuda else []), _float32():
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
    warnings.warn(
        'precision="bfloat16" is ignored: this processor has no AMX tiles, and without them '
        "bfloat16 is slower than float32.",
        UserWarning,
        stacklevel=2,
    )
    return "float32"


def _has_amx() -> bool:
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch >= 2.10
    return capabilities.get("amx_bf16", False)
