"""The values of an epoch, from which the history is written."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Ledger"]


class Ledger:
    """Named values, remembered where they are and read once an epoch.

    Reading a value from an accelerator waits for it, so a loss is not read at every update.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.note("loss", torch.tensor(1.0), n_rows=3)
    >>> ledger.note("loss", torch.tensor(5.0), n_rows=1)
    >>> ledger.means()
    {'loss': 2.0}
    """

    def __init__(self) -> None:
        self._noted: dict[str, list[tuple[Tensor, int]]] = {}

    def note(self, name: str, value: Tensor, n_rows: int = 1) -> None:
        """Remember a value, and how many rows it is of."""
        self._noted.setdefault(name, []).append((value.detach(), n_rows))

    def means(self) -> dict[str, float]:
        """Return the mean of every name over the rows that its values are of."""
        return {name: _weighted_mean(noted) for name, noted in self._noted.items()}


def _weighted_mean(noted: list[tuple[Tensor, int]]) -> float:
    values = torch.stack([value.float() for value, _ in noted]).cpu()
    counts = torch.tensor([count for _, count in noted], dtype=values.dtype)
    return float((values * counts).sum() / counts.sum())
