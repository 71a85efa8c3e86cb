"""The terms that hold latent groups to their priors, and decoders to encoders."""

from math import exp, log

import pytest
import torch

from skdeepcluster.objectives import (
    cosine_dissimilarity,
    maximum_mean_discrepancy,
    relativistic_adversarial_loss,
)


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("term", "shape"),
    [
        (relativistic_adversarial_loss, (5,)),
        (cosine_dissimilarity, (5, 2, 3)),
        (maximum_mean_discrepancy, (5, 3)),
    ],
)
def test_derivative(term, shape):
    inputs = [torch.randn(shape, dtype=torch.double, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(term, inputs)


def test_relativistic_loss_is_that_of_equations_3_3_and_3_4():
    real, fake = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    discriminator = relativistic_adversarial_loss(real, fake)
    generator = relativistic_adversarial_loss(fake, real)
    for i, (r, f) in enumerate(zip(real.tolist(), fake.tolist(), strict=True)):
        assert discriminator[i].item() == pytest.approx(-log(1 / (1 + exp(f - r))), rel=1e-5)
        assert generator[i].item() == pytest.approx(-log(1 / (1 + exp(r - f))), rel=1e-5)


def test_relativistic_loss_sees_differences_alone_and_has_no_overflow():
    logits, rivals = torch.randn(2, 6)
    loss = relativistic_adversarial_loss(logits, rivals)
    torch.testing.assert_close(relativistic_adversarial_loss(logits + 9, rivals + 9), loss)
    assert relativistic_adversarial_loss(torch.tensor([-1e4]), torch.tensor([1e4])) == 2e4


def test_cosine_by_hand():
    one, other = torch.tensor([[[3.0], [4.0]]]), torch.tensor([[[4.0], [3.0]]])
    assert cosine_dissimilarity(one, other).item() == pytest.approx(1 - 24 / 25)
    torch.testing.assert_close(
        cosine_dissimilarity(7 * one, other), cosine_dissimilarity(one, other)
    )
    zero = torch.zeros(1, 4, requires_grad=True)
    cosine_dissimilarity(zero, torch.ones(1, 4)).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_discrepancy_by_hand():
    """Two codes at 0 and 2, two draws at 0 and 1, in one dimension: C is 2."""

    def k(squared):
        return sum(2 * s / (2 * s + squared) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    found = maximum_mean_discrepancy(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]]))
    expected = k(4) + k(1) - (k(0) + k(1) + k(4) + k(1)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_discrepancy_is_zero_in_the_mean_for_one_distribution_and_large_for_two():
    pairs = torch.randn(400, 2, 8, 3)
    same = torch.stack([maximum_mean_discrepancy(*pair) for pair in pairs])
    assert abs(same.mean()) < 4 * same.std() / 20
    moved = torch.stack([maximum_mean_discrepancy(one, other + 1) for one, other in pairs])
    assert moved.mean() > 10 * same.std() / 20


def test_discrepancy_pulls_codes_towards_the_draws():
    codes = torch.randn(64, 2) + 3
    codes.requires_grad_()
    maximum_mean_discrepancy(codes, torch.randn(64, 2)).backward()
    assert (codes.grad.mean(0) > 0).all()  # downhill is towards the origin
