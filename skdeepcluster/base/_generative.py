"""What ClusterGAN and IMLE share: the rows of a cluster are generated on demand."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval
from torch import nn

from skdeepcluster.base._clusterer import DeepClusterer
from skdeepcluster.scaling import Scaling

__all__ = ["GenerativeClusterer"]

LARGEST_SIGMA = 1e15  # squares of codes, and of what is made of them, would overflow float32


class GenerativeClusterer(DeepClusterer):
    """Base of the estimators whose generator draws the rows of a cluster on demand."""

    _streams_not = "its generator learns what all rows are like, not some; use warm_start=True"
    n_clusters: int
    sigma: float

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **DeepClusterer._parameter_constraints,
        "batch_size": [Interval(Integral, 2, None, closed="left")],  # for batch norm
        "noise_weight": [Interval(Real, 0, None, closed="left")],
        "component_weight": [Interval(Real, 0, None, closed="left")],
        "sigma": [Interval(Real, 0, LARGEST_SIGMA, closed="neither")],
    }

    # -- networks -------------------------------------------------------------------------------

    def _sizes(self, channels: Sequence[int]) -> Sequence[int]:
        """Return the user's hidden sizes, or the thesis's: for images the given channels."""
        if not isinstance(self.hidden_layer_sizes, str):
            return self.hidden_layer_sizes
        return channels if len(self._input_shape) == 3 else (256, 256)

    def _leaky(self) -> dict[str, Any]:
        """Return the layers of encoder and critic in the thesis's tables 6.1 to 6.7.

        Without their batch norm: in a critic it standardises real and generated batches apart,
        and so hides how they differ; in the encoder it carries statistics of generated rows over
        to real ones.
        """
        return {
            "hidden_layer_sizes": self._sizes((64, 128)),
            "dense": (1024,) if len(self._input_shape) == 3 else (),
            "activation": "leaky_relu",
        }

    def _make_generator(self, scaling: Scaling) -> nn.Module:
        """Make the generator of the thesis's tables 6.1 to 6.7."""
        is_image = len(self._input_shape) == 3
        return self._make_decoder(
            self.latent_dim + self.n_clusters,
            hidden_layer_sizes=self._sizes((128, 256)),
            dense=(512, 512) if is_image else (),
            activation="relu" if is_image else "leaky_relu",
            batch_norm=True,
            output_activation="sigmoid" if scaling.bounded else None,
        )

    # -- drawing --------------------------------------------------------------------------------

    def _rows_of(self, codes: NDArray[Any]) -> NDArray[Any]:
        return self._generated(codes, self.module_.draw)

    def _sample_codes(self, labels: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[Any]:
        """Draw codes from the prior, given their components."""
        return self._prior_codes(labels, rng)
