"""What variational autoencoders share: posteriors, and what a decoder says of rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skdeepcluster.engine.model import Model
from skdeepcluster.objectives import bernoulli_log_likelihood, gaussian_log_likelihood
from skdeepcluster.scaling import Scaling

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
    """

    def __init__(self, shape: tuple[int, ...], bounded: bool, *networks: int):
        super().__init__()
        self.first_axis = -len(shape)
        sizes = (*networks, *[1] * len(networks), math.prod(shape))  # networks, rows, features
        self.log_variance = None if bounded else nn.Parameter(torch.zeros(sizes))

    def mean(self, output: Tensor) -> Tensor:
        """Return the expected rows."""
        return output.sigmoid() if self.log_variance is None else output

    def log_likelihood(self, output: Tensor, rows: Tensor) -> Tensor:
        """Return log p(x | z) per row, and per decoder if there are several."""
        output, rows = output.float().flatten(self.first_axis), rows.flatten(self.first_axis)
        if self.log_variance is None:
            within = rows.clamp(0, 1)
            # A new row may lie beyond the range of the training data, where a Bernoulli variable
            # has no value, and a likelihood above 1 if one is put in.
            beyond = (rows - within).square().sum(-1) / (2 * LEAST_VARIANCE)
            return bernoulli_log_likelihood(output, within) - beyond
        variance = LEAST_VARIANCE + self.log_variance.exp()
        return gaussian_log_likelihood(output, rows, variance.log())


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
        self.observation = Observation(scaling.shape, scaling.bounded, *networks)
