"""The random numbers of one fit, which fits in other threads do not disturb."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from skdeepcluster.engine.device import seeded, training

__all__ = ["Draws"]


class Draws:
    """Generators that a fit owns.

    torch's own generators are global. What draws from them, such as the first weights of a network,
    runs where :meth:`as_global` lends them this fit's state, one fit at a time. What is told a
    generator need not wait: :meth:`aside` lets other fits in meanwhile. The numbers are the same
    either way.

    Parameters
    ----------
    seed : int
        The seed.
    device : torch.device
        Where the fit trains.
    is_lent : bool, default=False
        Whether torch's generators are this fit's from the beginning, and nobody else's.
    """

    def __init__(self, seed: int, device: torch.device, is_lent: bool = False):
        self.seed = seed
        self.device = device
        kinds = {"cpu", device.type} & {"cpu", "cuda"}
        places = {kind: device if kind == device.type else torch.device(kind) for kind in kinds}
        self._own = {
            kind: torch.Generator(place).manual_seed(seed) for kind, place in places.items()
        }
        self._lent = contextlib.ExitStack()
        self._is_lent = is_lent

    def on(self, device: torch.device) -> torch.Generator | None:
        """Return the generator to draw with on a device; None is the global one."""
        return None if self._is_lent else self._own.get(device.type)

    @contextlib.contextmanager
    def as_global(self) -> Iterator[None]:
        """Lend this fit's state to torch's generators; other fits wait."""
        if self._is_lent:
            yield
            return
        with self._lent:
            self._lent.enter_context(self._lending())
            yield

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Take the state back inside the block, where nothing draws from torch's generators.

        Where torch's default type is another outside, the block runs as it is: that too is global.
        """
        if self._outside != torch.float32:
            yield
            return
        self._lent.close()
        try:
            yield
        finally:
            self._lent.enter_context(self._lending())

    @contextlib.contextmanager
    def _lending(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(training())
            self._outside = torch.get_default_dtype()
            stack.enter_context(seeded(self.seed, self.device))
            self._set_global({kind: own.get_state() for kind, own in self._own.items()})
            self._is_lent = True
            try:
                yield
            finally:
                for kind, state in self._global().items():
                    self._own[kind].set_state(state)
                self._is_lent = False

    def state(self) -> dict[str, Any]:
        """Return the state of every generator, wherever it is at the moment."""
        if self._is_lent:
            return self._global()
        return {kind: own.get_state() for kind, own in self._own.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        if self._is_lent:
            return self._set_global(state)
        for kind, own in self._own.items():
            own.set_state(state[kind])

    def _global(self) -> dict[str, Any]:
        state = {"cpu": torch.get_rng_state()}
        return state | ({"cuda": torch.cuda.get_rng_state(self.device)} if self._has_cuda else {})

    def _set_global(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        if self._has_cuda:
            torch.cuda.set_rng_state(state["cuda"], self.device)

    @property
    def _has_cuda(self) -> bool:
        return "cuda" in self._own
