"""The networks of IMLE clustering, and how rows are matched with generated samples.

Numbers of equations and algorithms are those of Vardakas (2021), chapter 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skdeepcluster.engine.model import Player
from skdeepcluster.engine.notices import notice
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.models.generator import CodeGenerator
from skdeepcluster.neighbors import (
    distances,
    distinct_nearest,
    distinct_within,
    nearest,
    two_stage_distinct,
    two_stage_nearest,
)
from skdeepcluster.objectives import squared_error
from skdeepcluster.priors import DiscreteContinuousPrior
from skdeepcluster.scaling import Scaling

__all__ = ["MatchedGenerator", "watch_matches"]

LEAST_VARIANCE = 1e-6  # around a centroid, lest a generator that is constant divides by 0
FIXED_DRAW = 200  # codes per component, of which the final centroids are means


class Matching(NamedTuple):
    """Codes, their components, and the number of the code that each row is matched with."""

    z: Tensor
    components: Tensor
    of_row: Tensor


class MatchedGenerator(CodeGenerator):
    """The generator, perhaps an encoder, and the centroids of what the components generate."""

    centroids: Tensor
    variance: Tensor
    matches: Tensor

    def __init__(
        self,
        scaling: Scaling,
        encoder: nn.Module | None,
        generator: nn.Module,
        prior: DiscreteContinuousPrior,
        *,
        search: str,
        n_samples_per_point: int,
        encode_all: bool,
        has_features: bool,
        detach_features: bool,
        labels_by_encoder: bool,
    ):
        super().__init__(scaling, encoder, generator, prior)
        self.search = search
        self.n_samples_per_point = n_samples_per_point
        self.encode_all = encode_all
        self.has_features = has_features
        self.detach_features = detach_features
        self.labels_by_encoder = labels_by_encoder
        self.balanced = False
        self.holds_start = False  # whether rows go to the component of their first label
        self.matching: Matching | None = None  # of the batch that is being trained on
        self.register_buffer("centroids", torch.zeros(prior.n_clusters, *scaling.shape))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("matches", torch.zeros(prior.n_clusters))

    def players(self) -> dict[str, Player]:
        """Return the one player, generator and encoder together."""
        return {"model": Player(self.parameters(), adam={"betas": (0.5, 0.99)})}

    # -- training -------------------------------------------------------------------------------

    def match(self, batch: Batch) -> dict[str, Tensor]:
        """Match every row with a sample, and return the terms of eq. 5.1.

        All samples are generated once, with gradients. Were the matched ones generated again
        alone, batch norm would make other samples of them.
        """
        rows = self.inputs(batch)
        start = batch.get("start") if self.holds_start else None
        z, components = self._draw_codes(rows, start)
        samples = self.generator(z)
        index = self._search_held(rows, samples.detach().float(), components, start)
        self.matching = Matching(z, components, index)
        self.matches += torch.bincount(components[index], minlength=len(self.matches))
        return self._terms(rows, samples, self.matching)

    def pull(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms once more, for the codes that the rows are matched with already."""
        assert self.matching is not None, "match comes first"
        return self._terms(self.inputs(batch), self.generator(self.matching.z), self.matching)

    def _draw_codes(self, rows: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draw a code of its component for every row with a first label, and others balanced."""
        if start is None:
            components = self._draw_components(len(rows))
        else:
            components = start.clone()
            components[start < 0] = self._draw_components(int((start < 0).sum())).to(rows.device)
        return self.prior.sample(
            len(components),
            components.to(rows.device),
            generator=self.random_on(rows.device),
            device=rows.device,
        )

    def _draw_components(self, n_rows: int) -> Tensor:
        """Draw components for some rows, each equally often.

        Where every row gets a sample of its own there is one code for each. Of more, the worst
        would be left behind: always those of one component, which then starves. So the components
        that have a code more than others are drawn by lot, anew for every batch.
        """
        n_clusters = self.prior.n_clusters
        if self.balanced:
            rounds, more = divmod(n_rows, n_clusters)
        else:  # nothing is left behind, and no component is without a sample
            rounds, more = math.ceil(n_rows * self.n_samples_per_point / n_clusters), 0
        lot = torch.randperm(n_clusters, generator=self.random_on(torch.device("cpu")))[:more]
        return torch.cat([torch.arange(n_clusters).repeat(rounds), lot])

    def _search_held(
        self, rows: Tensor, samples: Tensor, components: Tensor, start: Tensor | None
    ) -> Tensor:
        """Match rows with samples: among those of their first label's component, if they have one.

        The code at the place of such a row is of that component, so each finds one of its own. The
        other rows search among the codes at their own places.
        """
        if start is None:
            return self._search(rows, samples, components)
        index = torch.empty_like(components)
        held, free = ((start >= 0) == each for each in (True, False))
        for of, search in ((held, self._hold), (free, self._search)):
            here = of.nonzero().flatten()
            if len(here):
                index[here] = here[search(rows[here], samples[here], components[here])]
        return index

    @staticmethod
    def _hold(rows: Tensor, samples: Tensor, components: Tensor) -> Tensor:
        return distinct_within(rows, samples, components, components)

    def _search(self, rows: Tensor, samples: Tensor, components: Tensor) -> Tensor:
        """Return the index of the sample that each row is matched with."""
        if self.search == "global":
            return distinct_nearest(rows, samples) if self.balanced else nearest(rows, samples)
        find = two_stage_distinct if self.balanced else two_stage_nearest
        return find(rows, samples, components, self.prior.n_clusters)

    def _terms(self, rows: Tensor, samples: Tensor, matching: Matching) -> dict[str, Tensor]:
        """Return the terms of eq. 5.1, alpha's first."""
        z, components, index = matching
        matched = samples[index]
        terms = {"matching": squared_error(matched, rows, reduction="sum")}
        if self.encoder is None:
            return terms
        if self.has_features:
            terms["features"] = self._feature_error(rows, matched)
        if self.encode_all:  # whose samples are no row's, hence unweighted
            all_terms = self.code_terms(self._encode_beside(rows, samples), z, components)
            return terms | {name: term.mean() for name, term in all_terms.items()}
        found = self._encode_beside(rows, matched)
        return terms | self.code_terms(found, z[index], components[index])

    def _encode_beside(self, rows: Tensor, samples: Tensor) -> Tensor:
        """Encode samples, in one batch with rows for the sake of an encoder with batch norm."""
        return self.encoder(torch.cat([rows, samples]))[len(rows) :]

    def _feature_error(self, rows: Tensor, matched: Tensor) -> Tensor:
        """Return how far apart rows and samples are in the encoder's last hidden layer."""
        front, together = self.encoder[:-1], torch.cat([rows, matched])
        if self.detach_features:
            fixed = {name: weight.detach() for name, weight in front.named_parameters()}
            features = torch.func.functional_call(front, fixed, together)
        else:
            features = front(together)
        real, generated = features.chunk(2)
        return squared_error(generated, real, reduction="sum")

    # -- afterwards -----------------------------------------------------------------------------

    @torch.no_grad()
    def fix_centroids(self, seed: int) -> None:
        """Compute the centroids, and the mean variance around them, from a large fixed draw."""
        self.eval()
        self.matching = None
        generator = torch.Generator().manual_seed(seed)
        variances = []
        for component in range(self.prior.n_clusters):
            z, _ = self.prior.sample(FIXED_DRAW, component, generator=generator)
            samples = self.generator(z.to(self.centroids.device)).float()
            self.centroids[component] = samples.mean(0)
            variances.append(samples.var(0, correction=0).mean())
        self.variance.copy_(torch.stack(variances).mean())

    def proximity(self, x: Tensor) -> Tensor:
        """Return log-densities of round Gaussians at the centroids, up to a constant."""
        squared = distances(x, self.centroids).square()
        return -squared / (2 * self.variance.clamp_min(LEAST_VARIANCE))

    def codes(self, batch: Batch) -> Tensor:
        """Return the encoder's logits of the component, or what stands in for them."""
        return self._codes(self.inputs(batch))

    def observe(self, batch: Batch, live: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, and log-memberships by the source of the labels."""
        x = self.inputs(batch)
        codes = self._codes(x)
        by_code = self.labels_by_encoder or self.encoder is None
        return codes, codes if by_code else self.proximity(x)

    def _codes(self, x: Tensor) -> Tensor:
        return self.proximity(x) if self.encoder is None else self.logits(x)

    def decode(self, codes: Tensor) -> Tensor:
        """Generate from the mean code of the components, mixed by the memberships."""
        return self.generator(self.prior.center(codes.softmax(1)))


def watch_matches(trainer: Training, table: Table, n_balanced: int) -> Mapping[str, float]:
    """Decide whether an epoch gives every row a sample of its own: at first, and after a death."""
    model, epoch = trainer.model, trainer.progress().epoch
    dead = int((model.matches == 0).sum()) if epoch else 0
    model.balanced = epoch < n_balanced or dead > 0
    model.holds_start = epoch < n_balanced
    model.matches.zero_()
    if dead:
        notice(
            f"{dead} components lost all their rows. In the next epoch every row gets a sample "
            "of its own.",
        )
    return {"dead": dead}
