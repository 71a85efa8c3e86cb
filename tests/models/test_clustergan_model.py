"""The model of ClusterGAN."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skdeepcluster.models.clustergan import ClusterGAN
from skdeepcluster.priors import DiscreteContinuousPrior
from skdeepcluster.scaling import Scaling


@pytest.mark.parametrize("game", ["wasserstein", "standard"])
def test_the_terms_are_those_of_the_thesis(game):
    """Equations 3.5 to 3.7, from networks whose outputs are known."""
    prior = DiscreteContinuousPrior(2, 1)
    scaling = Scaling((3,))
    model = ClusterGAN(scaling, nn.Identity(), nn.Identity(), _FirstColumn(), prior, game)
    batch = {"X": torch.tensor([[2.0, 0.0, 1.0], [-1.0, 1.0, 0.0]])}

    torch.manual_seed(0)
    terms = model.judgement(batch)
    torch.manual_seed(0)
    z, components = prior.sample(2)
    real, fake = batch["X"][:, 0], z[:, 0]
    if game == "wasserstein":
        torch.testing.assert_close(terms["real"], -real)
        torch.testing.assert_close(terms["fake"], fake.mean())
        torch.testing.assert_close(terms["penalty"], torch.tensor(0.0))  # a slope of one
    else:
        torch.testing.assert_close(terms["real"], -torch.sigmoid(real).log())
        torch.testing.assert_close(terms["fake"], -(1 - torch.sigmoid(fake)).log().mean())
        assert "penalty" not in terms

    torch.manual_seed(0)
    terms = model.generation(batch)
    wanted = -fake if game == "wasserstein" else -torch.sigmoid(fake).log()
    torch.testing.assert_close(terms["adversarial"], wanted.mean())
    torch.testing.assert_close(terms["noise"], torch.tensor(0.0))  # E(G(z)) is z
    torch.testing.assert_close(terms["component"], F.cross_entropy(z[:, 1:], components))


class _FirstColumn(nn.Module):
    """A critic whose score is the first column."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0]
