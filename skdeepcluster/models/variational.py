"""What variational autoencoders share: posteriors, and what a decoder says of rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skdeepcluster.engine.model import Model
from skdeepcluster.objectives import (
    bernoulli_log_likelihood,
    categorical_log_likelihood,
    gaussian_log_likelihood,
)
from skdeepcluster.scaling import CATEGORY, FLAG, NUMERIC, Scaling, Segments

__all__ = ["LEAST_VARIANCE", "LOG_VARIANCES", "Observation", "VariationalModel", "drawn"]

LEAST_VARIANCE = 0.01  # of a feature given its code; a constant column would drown all others
LOG_VARIANCES = (-12.0, 12.0)  # of a posterior


class Observation(nn.Module):
    """How rows scatter around what a decoder says: p(x | z).

    Parameters
    ----------
    shape : tuple of int
        Shape of a row.
    bounded : bool
        Whether rows lie in [0, 1]. Then a feature is a Bernoulli variable and the output its
        logit, and what lies beyond [0, 1] is a Gaussian error of the least variance; otherwise a
        Gaussian with a learnt variance, and the output its mean.
    *networks : int
        Number of decoders along the output's first axis, if there are several, each with
        variances of its own.
    segments : tuple of (str, int), default=()
        What the features of a table are, as :class:`~skdeepcluster.scaling.Scaling` has it: a flag
        is a Bernoulli variable, a category one variable for all of its features, and the outputs
        its logits. () if all are numbers, of which the above is said.
    """

    segments: Segments = ()  # also of a file that was written before there were any

    def __init__(
        self, shape: tuple[int, ...], bounded: bool, *networks: int, segments: Segments = ()
    ):
        super().__init__()
        self.first_axis = -len(shape)
        self.segments = segments
        n_numbers = math.prod(shape)
        if segments:
            n_numbers = sum(width for kind, width in segments if kind == NUMERIC)
        sizes = (*networks, *[1] * len(networks), n_numbers)  # networks, rows, features
        self.log_variance = None if bounded else nn.Parameter(torch.zeros(sizes))

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected rows."""
        if not self.segments:
            return self._mean(NUMERIC, output)
        parts = [self._mean(kind, part) for kind, part in self._split(output)]
        return torch.cat(parts, -1)

    def log_likelihood(self, output: Tensor, rows: Tensor) -> Tensor:
        """Return log p(x | z) per row, and per decoder if there are several."""
        output, rows = output.float().flatten(self.first_axis), rows.flatten(self.first_axis)
        if not self.segments:
            return self._of_numbers(output, rows)
        shares = []
        numbers: tuple[list[Tensor], list[Tensor]] = ([], [])
        for (kind, told), (_, seen) in zip(self._split(output), self._split(rows), strict=True):
            if kind == NUMERIC:
                numbers[0].append(told)
                numbers[1].append(seen)
            else:
                shares.append(_of_flags(told, seen) if kind == FLAG else _of_category(told, seen))
        if numbers[0]:
            shares.append(self._of_numbers(*[torch.cat(parts, -1) for parts in numbers]))
        return torch.stack(shares).sum(0)

    def _split(self, values: Tensor) -> list[tuple[str, Tensor]]:
        kinds, widths = zip(*self.segments, strict=True)
        return [*zip(kinds, values.split(widths, -1), strict=True)]

    def _mean(self, kind: str, output: Tensor) -> Tensor:
        if kind == CATEGORY:
            return output.softmax(-1)
        is_probability = kind == FLAG or self.log_variance is None
        return output.sigmoid() if is_probability else output

    def _of_numbers(self, output: Tensor, rows: Tensor) -> Tensor:
        if self.log_variance is None:
            return _of_flags(output, rows)
        variance = LEAST_VARIANCE + self.log_variance.exp()
        return gaussian_log_likelihood(output, rows, variance.log())


def _of_flags(logits: Tensor, rows: Tensor) -> Tensor:
    """Return the log-likelihood of Bernoulli variables.

    A new row may lie beyond the range of the training data, where such a variable has no value, and
    a likelihood above 1 if one is put in. That is a Gaussian error instead.
    """
    within = rows.clamp(0, 1)
    beyond = (rows - within).square().sum(-1) / (2 * LEAST_VARIANCE)
    return bernoulli_log_likelihood(logits, within) - beyond


def _of_category(logits: Tensor, rows: Tensor) -> Tensor:
    """Return the log-likelihood of a category; of a row that has none of them, nothing is said."""
    within = rows.clamp(0, 1)
    beyond = (rows - within).square().sum(-1) / (2 * LEAST_VARIANCE)
    return categorical_log_likelihood(logits, within) - beyond


def drawn(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw codes from a posterior so that gradients reach its mean and its variance."""
    noise = torch.randn(mean.shape, dtype=mean.dtype, device=mean.device, generator=generator)
    return mean + (log_variance / 2).exp() * noise


class VariationalModel(Model):
    """Base of the models that have a p(x | z).

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the encoder's input.
    *networks : int
        Number of decoders, if there are several.
    """

    owns_draws = True

    def __init__(self, scaling: Scaling, *networks: int):
        super().__init__(scaling)
        self.observation = Observation(
            scaling.shape, scaling.bounded, *networks, segments=scaling.segments
        )
