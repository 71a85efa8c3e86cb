"""What learns from labels that were found: members, each an encoder with a classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Model, Player
from skdeepcluster.engine.schedule import Phase, Training, Turn, one_cycle
from skdeepcluster.engine.table import Batch, Table, tiled
from skdeepcluster.models.labelings import Labeling, calibrated_temperature
from skdeepcluster.networks import make_grouped
from skdeepcluster.objectives import squared_error
from skdeepcluster.priors import responsibilities_of
from skdeepcluster.scaling import Scaling

__all__ = ["SelfLabeler", "calibrate", "decoding", "learning", "place_classifiers", "taught"]


class SelfLabeler(Model):
    """Networks that learn the labels they are given, from rows that are changed at random.

    Parameters
    ----------
    scaling : Scaling
        Maps rows to the networks' input.
    trunks : sequence of nn.Module
        Maps rows to features, one for each member.
    code_layers : sequence of nn.Module
        Maps features to codes, one for each member.
    n_clusters : int
        Number of labels.
    latent_dim : int
        Width of a code.
    augment : callable or None
        Changes a batch of scaled rows at random.
    decoder : nn.Module or None
        Maps the first member's codes back to rows.
    label_smoothing : float
        Share of each target that is spread over all labels.
    joint : bool
        Whether encoder and decoder learn to reconstruct together.
    """

    log_temperature: Tensor

    def __init__(
        self,
        scaling: Scaling,
        trunks: Sequence[nn.Module],
        code_layers: Sequence[nn.Module],
        n_clusters: int,
        latent_dim: int,
        augment: Callable[[Tensor], Tensor] | None,
        decoder: nn.Module | None,
        label_smoothing: float,
        joint: bool,
    ):
        super().__init__(scaling)
        self.n_clusters = n_clusters
        self.n_members = len(trunks)
        self.augment = augment
        self.label_smoothing = label_smoothing
        self.joint = joint
        classifiers = [nn.Linear(latent_dim, n_clusters) for _ in trunks]
        self.trunk, self.code_layer, self.classifier = map(
            self._one, (trunks, code_layers, classifiers)
        )
        self.decoder = decoder
        self.register_buffer("log_temperature", torch.zeros(()))

    def _one(self, networks: Sequence[nn.Module]) -> nn.Module:
        return make_grouped(networks) if self.n_members > 1 else networks[0]

    def players(self) -> dict[str, Player]:
        """Return who learns the labels, and who learns to decode."""
        parts = [self.trunk, self.code_layer, self.classifier]
        labeler = [p for part in parts for p in part.parameters()]
        decoder = [] if self.decoder is None else [*self.decoder.parameters()]
        if self.joint or self.decoder is None:
            return {"model": Player(labeler + decoder)}
        return {"model": Player(labeler), "decoder": Player(decoder)}

    # -- row by row -----------------------------------------------------------------------------

    def members(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, codes and logits by each member, of rows by member or of one for all.

        Their shapes are (n_members, n, ...).
        """
        if self.n_members == 1:
            features = self.trunk(rows)
            codes = self.code_layer(features)
            return features[None], codes[None], self.classifier(codes)[None]
        features = self.trunk(rows.unflatten(0, (self.n_members, -1)))
        codes = self.code_layer(features)
        return features, codes, self.classifier(codes)

    def _repeated(self, rows: Tensor) -> Tensor:
        """Return a copy of the rows for each member."""
        return rows.repeat(self.n_members, *[1] * (rows.ndim - 1))

    def features(self, batch: Batch) -> Tensor:
        """Return the features by each member, shape (n, n_members, n_features)."""
        return self._by_member(batch, 0).flatten(2)

    def member_codes(self, batch: Batch) -> Tensor:
        """Return the codes by each member, shape (n, n_members, latent_dim)."""
        return self._by_member(batch, 1)

    def member_logits(self, batch: Batch) -> Tensor:
        """Return the logits by each member, shape (n, n_members, n_clusters)."""
        return self._by_member(batch, 2)

    def _by_member(self, batch: Batch, part: int) -> Tensor:
        return self.members(self._repeated(self.inputs(batch)))[part].transpose(0, 1)

    def codes(self, batch: Batch) -> Tensor:
        """Return the first member's codes."""
        return self.members(self._repeated(self.inputs(batch)))[1][0]

    def observe(self, batch: Batch, live: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the first member's codes, and the logarithm of the members' mean probabilities."""
        _, codes, logits = self.members(self._repeated(self.inputs(batch)))
        log_proba = (logits / self.log_temperature.exp()).log_softmax(2)
        return codes[0], log_proba.logsumexp(0) - math.log(self.n_members)

    def log_memberships(self, batch: Batch) -> Tensor:
        """Return the logarithm of the members' mean probabilities, shape (n, n_clusters)."""
        return self.observe(batch)[1]

    def decode(self, codes: Tensor) -> Tensor:
        """Return the rows that belong to codes of the first member."""
        assert self.decoder is not None
        return cast(Tensor, self.decoder(codes))

    # -- losses ---------------------------------------------------------------------------------

    def labeling(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of the labels, a mean over members, for rows to learn from."""
        inputs = self.inputs(batch)
        _, codes, logits = self.members(self.augmented(self._repeated(inputs)))
        terms = {"classification": self._cross_entropy(logits, batch["label"])}
        if "confident" in batch:
            terms["classification"] = terms["classification"] * batch["confident"]
        if self.joint:
            terms["reconstruction"] = squared_error(self.decode(codes[0]), inputs)
        return terms

    def _cross_entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        losses = F.cross_entropy(
            logits.flatten(0, 1),
            label.repeat(self.n_members),
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        return losses.unflatten(0, (self.n_members, -1)).mean(0)

    def reconstruction(self, batch: Batch) -> dict[str, Tensor]:
        """Return the squared error of the decoder, from codes that stay as they are."""
        for part in (self.trunk, self.code_layer):
            part.eval()  # the statistics of batches too are of the training that has ended
        with torch.no_grad():
            codes = self.codes(batch)
        return {"reconstruction": squared_error(self.decode(codes), self.inputs(batch))}


def place_classifiers(training: Training, table: Table) -> None:
    """Start every classifier as the rule of the nearest mean code.

    So the labels are useful even where nothing is trained, after Ctrl-C.
    """
    model, label = training.model, table.columns["label"]
    codes = training.apply(model.member_codes, table).transpose(0, 1)
    member = responsibilities_of(label, model.n_clusters, table.columns.get("weight"))
    rules = [nearest_mean_rule(own, member) for own in codes]
    weight, bias = (torch.stack(part) for part in zip(*rules, strict=True))
    if model.n_members == 1:
        weight, bias = weight[0], bias[0]
    last = model.classifier[0] if model.n_members > 1 else model.classifier
    last.weight.data.copy_(weight)
    last.bias.data.copy_(bias)


def nearest_mean_rule(codes: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the linear layer whose largest output is at the nearest mean.

    Outputs vary by about one, so that training begins from them as from any other start.
    """
    means = member.T @ codes / member.sum(0).clamp_min(1e-12)[:, None]
    weight, bias = means, -means.square().sum(1) / 2
    scale = (codes @ weight.T + bias).std().clamp_min(1e-6).nan_to_num(1.0)
    return weight / scale, bias / scale


def taught(sample: Table, labeling: Labeling, all_rows: bool) -> Table:
    """Return the rows to learn from, with their labels.

    Parameters
    ----------
    sample : Table
        The rows that were labelled.
    labeling : Labeling
        Their labels.
    all_rows : bool
        Whether rows in doubt are among them, to be reconstructed alone.
    """
    rows = np.arange(len(sample)) if all_rows else np.flatnonzero(labeling.confident)
    table = sample.subset(torch.from_numpy(rows))
    label = torch.from_numpy(labeling.labels[rows]).to(table.device)
    table.columns["label"] = label.clamp_min(0)
    if all_rows:
        confident = torch.from_numpy(labeling.confident[rows])
        table.columns["confident"] = confident.float().to(table.device)
    return table


def learning(epochs: int, reconstruction_weight: float) -> Phase:
    """Return the phase in which labels are learnt."""
    weights = {"reconstruction": reconstruction_weight} if reconstruction_weight else {}
    turns, lr = [Turn("model", "labeling")], {"model": one_cycle}
    return Phase("learning", turns, epochs, start=place_classifiers, lr=lr, weights=weights)


def decoding(epochs: int) -> Phase:
    """Return the phase in which the decoder learns, from codes that stay."""
    turns = [Turn("decoder", "reconstruction")]
    return Phase("decoding", turns, epochs, lr={"decoder": one_cycle})


def calibrate(model: SelfLabeler, sample: Table, label_change: float) -> None:
    """Let probabilities be as large, in the mean, as members agree; or rounds, of one member.

    Parameters
    ----------
    model : SelfLabeler
        Trained.
    sample : Table
        The rows that it was taught.
    label_change : float
        Share of the labels that the last round changed; NaN leaves one member as it is.
    """
    logits = tiled(model.member_logits, sample)
    guesses, agree = logits.argmax(2), 1 - label_change
    if model.n_members > 1:
        agree = (guesses[:, 1:] == guesses[:, :1]).float().mean().item()
    if math.isfinite(agree):
        accuracy = float(np.clip(agree, 1 / model.n_clusters, 1 - 1 / len(sample)))
        model.log_temperature.fill_(math.log(calibrated_temperature(logits, accuracy)))
