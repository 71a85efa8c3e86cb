"""What ClusterGAN and IMLE share: a generator whose code names the cluster.

An encoder may read the code back from what was generated. Equation numbers are those of Vardakas
(2021).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Model
from skdeepcluster.objectives import squared_error
from skdeepcluster.priors import DiscreteContinuousPrior
from skdeepcluster.scaling import Scaling

__all__ = ["CodeGenerator"]


class CodeGenerator(Model):
    """A generator, the prior of its codes, and the encoder that finds them again."""

    owns_draws = True

    encoder: Any  # None, where a method does without

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module | None,
        generator: nn.Module,
        prior: DiscreteContinuousPrior,
    ):
        super().__init__(scaling)
        self.encoder = encoder
        self.generator = generator
        self.prior = prior

    def logits(self, x: Tensor) -> Tensor:
        """Return the encoder's logits of the component, of scaled rows."""
        return self.prior.split(self.encoder(x))[1]

    def code_terms(self, found: Tensor, z: Tensor, components: Tensor) -> dict[str, Tensor]:
        """Return, per row, how badly the encoder's answers tell the codes that were drawn.

        They are the terms in beta_n and beta_c of eq. 3.4, and of eq. 5.1.
        """
        z_n, logits = self.prior.split(found)
        return {
            "noise": squared_error(z_n, self.prior.split(z)[0], reduction="sum"),
            "component": F.cross_entropy(logits, components, reduction="none"),
        }

    def draw(self, z: Tensor) -> Tensor:
        """Return the rows in the user's units that belong to codes of the prior."""
        rows: Tensor = self.scaling.inverse(self.generator(z.float()))
        return rows
