"""Entropies and shared information: closed forms, bounds, weights, gradients."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from skdeepcluster.objectives import entropy, marginal_entropy, mutual_information


def memberships(n=6, heads=2, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, heads, k, generator=generator, dtype=torch.double).log_softmax(2)


def test_entropy_is_that_of_each_row():
    log_proba = torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.double).log()
    expected = [math.log(2), -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))]
    assert entropy(log_proba).tolist() == pytest.approx(expected)


def test_marginal_entropy_is_that_of_the_mean():
    log_proba = torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.double).log()
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert marginal_entropy(log_proba).item() == pytest.approx(expected)


def test_views_that_agree_surely_share_the_entropy_of_the_clusters():
    labels = torch.tensor([0, 0, 1, 2])
    views = torch.eye(3, dtype=torch.double)[labels].clamp_min(1e-300).log()[:, None]
    expected = -(0.5 * math.log(0.5) + 0.5 * math.log(0.25))
    assert mutual_information(views, views).item() == pytest.approx(expected)


def test_views_that_do_not_hang_together_share_nothing():
    same = torch.tensor([0.2, 0.8], dtype=torch.double).log().expand(5, 1, 2)
    assert mutual_information(same, same).item() == pytest.approx(0, abs=1e-12)


def test_shared_information_does_not_hang_on_the_order_of_views_and_is_bounded():
    one, other = memberships(seed=0), memberships(seed=1)
    found = mutual_information(one, other)
    torch.testing.assert_close(found, mutual_information(other, one))
    assert (found >= 0).all() and (found <= math.log(3)).all()


@pytest.mark.parametrize(
    "measure", [marginal_entropy, lambda p, w=None: mutual_information(p, p, w)]
)
def test_a_weight_of_two_counts_a_row_twice(measure):
    log_proba = memberships()
    twice = torch.cat([log_proba, log_proba[:1]])
    weight = torch.tensor([2.0, 1, 1, 1, 1, 1])
    torch.testing.assert_close(measure(log_proba, weight), measure(twice))


def test_gradients():
    logits = torch.randn(4, 2, 3, dtype=torch.double, requires_grad=True)
    others = memberships(4)
    assert gradcheck(lambda x: marginal_entropy(x.log_softmax(2)), logits)
    assert gradcheck(lambda x: mutual_information(x.log_softmax(2), others), logits)
