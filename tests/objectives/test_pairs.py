"""The terms about pairs against loops written from the equations."""

from math import inf

import pytest
import torch

from skdeepcluster.objectives import (
    between_similarity,
    pairwise_discrimination,
    within_similarity,
)

LABELS = torch.tensor([0, 2, 2, 0, 3, 3, 3])  # cluster 1 is absent
WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 1.0, 3.0], dtype=torch.double)
N_CLUSTERS = 4


@pytest.fixture
def codes():
    """Codes of unequal lengths, no two of them near a right angle, where |C| has its kink."""
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        codes = torch.randn(7, 3, dtype=torch.double, generator=generator)
        units = torch.nn.functional.normalize(codes)
        if (units @ units.T).abs().min() > 0.02:
            return codes.requires_grad_()
    raise AssertionError("no seed gives such codes")


@pytest.fixture
def anchors():
    pairs = torch.zeros(7, 7, dtype=torch.bool)
    pairs[[0, 3, 4, 1], [3, 5, 6, 2]] = True
    return pairs | pairs.T


def cosine(a, b):
    dot, of_a, of_b = 0.0, 0.0, 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        dot, of_a, of_b = dot + x * y, of_a + x * x, of_b + y * y
    return dot / (of_a * of_b) ** 0.5


def equation_5(codes, anchors, alpha):
    apart = together = 0.0
    n_anchors = 0
    for i in range(len(codes)):
        for j in range(len(codes)):
            if anchors[i, j]:
                n_anchors += 1
                together += cosine(codes[i], codes[j])
            else:
                apart += abs(cosine(codes[i], codes[j]))
    return apart / (len(codes) ** 2 - n_anchors) - (1 - alpha) / n_anchors * together


def members(codes, labels, k):
    return [z for z, label in zip(codes, labels.tolist(), strict=True) if label == k]


def equation_9(codes, labels):
    worst = -inf
    for k in set(labels.tolist()):
        for other in set(labels.tolist()) - {k}:
            ours, theirs = members(codes, labels, k), members(codes, labels, other)
            total = sum(abs(cosine(a, b)) for a in ours for b in theirs)
            worst = max(worst, total / (len(ours) * len(theirs)))
    return worst


def equation_10(codes, labels):
    total = 0.0
    for k in set(labels.tolist()):
        own = members(codes, labels, k)
        total += sum(cosine(a, b) for a in own for b in own) / len(own) ** 2
    return total


def repeated(weights):
    return torch.arange(len(weights)).repeat_interleave(weights.long())


# -- equations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.3, -0.5])
def test_discrimination_is_equation_5(codes, anchors, alpha):
    found = pairwise_discrimination(codes, anchors, alpha=alpha)
    assert found.item() == pytest.approx(equation_5(codes, anchors, alpha), abs=1e-12)


def test_between_is_equation_9(codes):
    found = between_similarity(codes, LABELS, N_CLUSTERS)
    assert found.item() == pytest.approx(equation_9(codes, LABELS), abs=1e-12)


def test_within_is_equation_10(codes):
    found = within_similarity(codes, LABELS, N_CLUSTERS)
    assert found.item() == pytest.approx(equation_10(codes, LABELS), abs=1e-12)


def test_derivatives(codes, anchors):
    for term in (
        lambda z: pairwise_discrimination(z, anchors, alpha=0.2),
        lambda z: pairwise_discrimination(z, anchors, sample_weight=WEIGHTS),
        lambda z: between_similarity(z, LABELS, N_CLUSTERS),
        lambda z: between_similarity(z, LABELS, N_CLUSTERS, WEIGHTS),
        lambda z: within_similarity(z, LABELS, N_CLUSTERS),
        lambda z: within_similarity(z, LABELS, N_CLUSTERS, WEIGHTS),
    ):
        assert torch.autograd.gradcheck(term, (codes,))


def test_weights_are_repetitions(codes, anchors):
    copies = repeated(WEIGHTS)
    more, labels = codes[copies], LABELS[copies]
    torch.testing.assert_close(
        pairwise_discrimination(codes, anchors, sample_weight=WEIGHTS),
        pairwise_discrimination(more, anchors[copies][:, copies]),
    )
    for term in (between_similarity, within_similarity):
        torch.testing.assert_close(
            term(codes, LABELS, N_CLUSTERS, WEIGHTS), term(more, labels, N_CLUSTERS)
        )


def test_lengths_of_codes_do_not_count(codes, anchors):
    longer = codes * torch.linspace(0.1, 9, 7, dtype=torch.double)[:, None]
    torch.testing.assert_close(
        pairwise_discrimination(codes, anchors), pairwise_discrimination(longer, anchors)
    )


# -- at the edge --------------------------------------------------------------------------------


def test_without_anchors_all_pairs_are_apart(codes):
    nobody = torch.zeros(7, 7, dtype=torch.bool)
    units = torch.nn.functional.normalize(codes)
    expected = (units @ units.T).abs().mean()
    torch.testing.assert_close(pairwise_discrimination(codes, nobody), expected)


def test_one_cluster_has_no_worst_pair(codes):
    labels = torch.zeros(7, dtype=torch.long)
    similarity = between_similarity(codes, labels, 3)
    assert similarity == 0
    similarity.backward()
    assert not codes.grad.any()


def test_codes_without_direction_give_finite_gradients(anchors):
    codes = torch.zeros(7, 3, requires_grad=True)
    loss = pairwise_discrimination(codes, anchors) - within_similarity(codes, LABELS, N_CLUSTERS)
    (loss + between_similarity(codes, LABELS, N_CLUSTERS)).backward()
    assert codes.grad.isfinite().all()
