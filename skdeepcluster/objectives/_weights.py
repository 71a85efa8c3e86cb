"""The weights of rows in sums over a batch, and divisors that are never zero."""

from __future__ import annotations

import torch
from torch import Tensor


def weights_of(rows: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Return the weight of every row, 1 where none is given."""
    return rows.new_ones(len(rows)) if sample_weight is None else sample_weight.to(rows.dtype)


def positive(total: Tensor) -> Tensor:
    """Return a divisor that turns the 0 / 0 of nothing into 0."""
    return total.clamp_min(torch.finfo(total.dtype).tiny)
