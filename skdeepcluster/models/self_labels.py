"""What learns from labels that were found: members, each an encoder with a classifier.

Beside the networks stand the pure steps between two trainings: matching two labelings, choosing the
rows to learn from, and telling whether the labels have come to rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from skdeepcluster.engine.model import Model, Player
from skdeepcluster.engine.schedule import Training
from skdeepcluster.engine.table import Batch, Table
from skdeepcluster.networks import make_grouped
from skdeepcluster.objectives import squared_error
from skdeepcluster.priors import responsibilities_of
from skdeepcluster.scaling import Scaling

__all__ = [
    "Labeling",
    "Labels",
    "SelfLabeler",
    "calibrated_temperature",
    "confident_rows",
    "matched",
    "place_classifiers",
    "sure_rows",
    "vote",
]

Labels = NDArray[np.int64]

SURE = 0.99  # responsibility from which on a row of the first clusters is learnt from
LEAST_AGREEMENT = 0.7  # between classifier and clusters, below which all rows are learnt from
DOUBTFUL = 0.1  # share of the rows that agree which are left out for the classifier's doubt
TEMPERATURES = (1e-2, 1e2)


@dataclass(frozen=True)
class Labeling:
    """Labels of rows, and what is known of them.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        From 0; -1 is noise.
    confident : ndarray of bool of shape (n,)
        The rows to learn from; none of them noise.
    agreement : float, default=1
        How far the runs that found the labels agree, an adjusted Rand index.
    classifier_agreement : float, default=1
        Share of the rows on which the labels are those of the classifier.
    """

    labels: Labels
    confident: NDArray[np.bool_]
    agreement: float = 1.0
    classifier_agreement: float = 1.0

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields as tensors, which a checkpoint keeps."""
        return {name: torch.as_tensor(value) for name, value in vars(self).items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Labeling:
        """Return the labeling whose fields are these."""
        values: dict[str, Any] = {k: v.numpy() if v.ndim else v.item() for k, v in tensors.items()}
        return cls(**values)


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
        rows = self._repeated(inputs)
        if self.augment is not None:
            rows = self.augment(rows)
        _, codes, logits = self.members(rows)
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


def matched(labels: Labels, reference: Labels, n_clusters: int) -> Labels:
    """Renumber labels so that as many as possible agree with a reference; -1 counts for neither.

    Parameters
    ----------
    labels, reference : ndarray of shape (n,)
        Labels below `n_clusters`.
    n_clusters : int
        Number of clusters.

    Returns
    -------
    labels : ndarray of shape (n,)
        The same clusters under other numbers.

    Examples
    --------
    >>> import numpy as np
    >>> matched(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 1]), 2)
    array([1, 1, 0, 0])
    """
    both = (labels >= 0) & (reference >= 0)
    counts = np.zeros((n_clusters, n_clusters), dtype=int)
    np.add.at(counts, (labels[both], reference[both]), 1)
    _, number = linear_sum_assignment(counts, maximize=True)
    return np.where(labels >= 0, number[labels], -1)


def vote(labels: NDArray[np.int64]) -> tuple[Labels, NDArray[np.bool_]]:
    """Return the label that most members give each row, and whether all give it.

    Parameters
    ----------
    labels : ndarray of shape (n_members, n)
        Labels of each member, matched.

    Returns
    -------
    labels : ndarray of shape (n,)
        Of labels with as many votes the smallest.
    unanimous : ndarray of bool of shape (n,)
        Whether the members agree.

    Examples
    --------
    >>> import numpy as np
    >>> vote(np.array([[0, 1], [0, 2], [0, 2]]))
    (array([0, 2]), array([ True, False]))
    """
    votes = (labels[:, :, None] == np.arange(labels.max() + 1)).sum(0)
    return votes.argmax(1), votes.max(1) == len(labels)


def confident_rows(
    labels: Labels, guess: Labels, probability: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Return the rows to learn from: classifier and clusters agree, and it is not in doubt.

    Where they agree on too few rows, all are taken. So are the rows of a cluster that would have
    none: the classifier can only learn what it is shown.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        The clusters that were found.
    guess : ndarray of shape (n,)
        What the classifier says.
    probability : ndarray of shape (n,)
        How sure it is.

    Returns
    -------
    confident : ndarray of bool of shape (n,)
        The rows.
    """
    agree = labels == guess
    if agree.mean() < LEAST_AGREEMENT:
        return np.ones(len(labels), dtype=bool)
    confident = agree & (probability >= np.quantile(probability, DOUBTFUL))
    forgotten = np.setdiff1d(labels, labels[confident])
    return confident | np.isin(labels, forgotten)


def sure_rows(labels: Labels, responsibility: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the rows to learn from at first: those that are surely of their cluster.

    Of each cluster they are at least half, so that none is left out.
    """
    sure = responsibility >= SURE
    for label in np.unique(labels):
        (own,) = np.nonzero(labels == label)
        sure[own] |= responsibility[own] >= np.median(responsibility[own])
    return sure


def calibrated_temperature(logits: Tensor, accuracy: float) -> float:
    """Return the temperature at which the mean of the largest probability is what it should be.

    Parameters
    ----------
    logits : Tensor of shape (n, n_members, n_clusters)
        Of the members.
    accuracy : float
        The share of the rows that the labels are believed to be right on, in [0, 1].

    Returns
    -------
    temperature : float
        Between .01 and 100.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[4.0, 0.0]], [[0.0, 4.0]]])
    >>> round(calibrated_temperature(logits, 0.9), 2)
    1.82
    """
    low, high = np.log(TEMPERATURES)
    for _ in range(40):  # halvings
        middle = (low + high) / 2
        sureness = (logits / np.exp(middle)).softmax(2).mean(1).amax(1).mean()
        low, high = (middle, high) if sureness > accuracy else (low, middle)
    return float(np.exp((low + high) / 2))
