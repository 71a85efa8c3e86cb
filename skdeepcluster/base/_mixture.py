"""What the estimators share whose model has a Gaussian mixture over its codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skdeepcluster.base._clusterer import DeepClusterer

__all__ = ["MixtureClusterer"]


class MixtureClusterer(DeepClusterer):
    """Base of the estimators whose clusters are the components of ``module_.prior``."""

    @property
    def weights_(self) -> NDArray[Any]:
        """Weights of the components that have members; they sum to 1."""
        weights = self._of_components(self.module_.prior.log_weights().exp())
        return weights / weights.sum()

    @property
    def means_(self) -> NDArray[Any]:
        """Their means."""
        return self._of_components(self.module_.prior.means)

    @property
    def covariances_(self) -> NDArray[Any]:
        """The diagonals of their covariances."""
        return self._of_components(self.module_.prior.log_variances.exp())

    def _of_components(self, values: Tensor) -> NDArray[Any]:
        """Return the values of the components that are clusters."""
        return values.detach().cpu().numpy()[self._clusters.live]

    def _learned_centers(self) -> Tensor:
        means: Tensor = self.module_.prior.means
        return means

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw codes from the components."""
        return self._prior_codes(labels, rng, self.module_.prior.means.device)
