"""Every term against its equation, its derivative, and inputs at the edge."""

from functools import partial
from math import log, nan, pi

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence as distribution_kl

from skdeepcluster.objectives import (
    bernoulli_log_likelihood,
    gaussian_kl_divergence,
    gaussian_log_likelihood,
    gradient_penalty,
    kl_divergence,
    squared_error,
    standard_adversarial_loss,
    student_t_log_proba,
    target_distribution,
    wasserstein_adversarial_loss,
)

GAMES = [standard_adversarial_loss, wasserstein_adversarial_loss]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def double(*shape):
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


def proba(n=6, k=4):
    return torch.randn(n, k, dtype=torch.double).softmax(1)


# -- derivatives --------------------------------------------------------------------------------

DERIVATIVES = {
    "mean error": (squared_error, [(5, 3), (5, 3)]),
    "image error": (squared_error, [(5, 2, 3, 2), (5, 2, 3, 2)]),
    "sum error": (partial(squared_error, reduction="sum"), [(5, 3), (5, 3)]),
    "student t": (student_t_log_proba, [(5, 3), (4, 3)]),
    "student t, alpha 2": (partial(student_t_log_proba, alpha=2.0), [(5, 3), (4, 3)]),
    "target": (lambda x: target_distribution(x.softmax(1)), [(5, 3)]),
    "weighted target": (lambda x, w: target_distribution(x.softmax(1), w.exp()), [(5, 3), (5,)]),
    "kl": (lambda p, q: kl_divergence(p.softmax(1), q.log_softmax(1)), [(5, 3), (5, 3)]),
    "bernoulli": (lambda x, p: bernoulli_log_likelihood(x, p.sigmoid()), [(5, 3), (5, 3)]),
    "gaussian": (gaussian_log_likelihood, [(5, 3), (5, 3), (3,)]),
    "gaussian kl": (gaussian_kl_divergence, [(5, 1, 3), (5, 1, 3), (4, 3), (4, 3)]),
    "standard, real": (partial(standard_adversarial_loss, as_real=True), [(5,)]),
    "standard, fake": (partial(standard_adversarial_loss, as_real=False), [(5,)]),
    "wasserstein, real": (partial(wasserstein_adversarial_loss, as_real=True), [(5,)]),
    "wasserstein, fake": (partial(wasserstein_adversarial_loss, as_real=False), [(5,)]),
}


@pytest.mark.parametrize("term", DERIVATIVES)
def test_derivative(term):
    function, shapes = DERIVATIVES[term]
    assert torch.autograd.gradcheck(function, [double(*shape) for shape in shapes])


def test_derivative_of_the_penalty_for_the_critic():
    """Where real and fake coincide nothing is random, and the gradient is the critic's own."""
    rows = torch.randn(5, 3, dtype=torch.double)

    def penalty(first, second):
        return gradient_penalty(lambda x: (x @ first).tanh() @ second, rows, rows)

    assert torch.autograd.gradcheck(penalty, [double(3, 4), double(4)])


# -- squared error ------------------------------------------------------------------------------


def test_squared_error_by_hand():
    prediction, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3, 1]])
    assert squared_error(prediction, target).tolist() == [2.5, 5.0]
    assert squared_error(prediction, target, reduction="sum").tolist() == [5.0, 10.0]


def test_squared_error_does_not_see_the_shape_of_a_row():
    prediction, target = torch.randn(4, 2, 3, 5), torch.randn(4, 2, 3, 5)
    flat = squared_error(prediction.flatten(1), target.flatten(1))
    torch.testing.assert_close(squared_error(prediction, target), flat)


# -- Student-t assignment -----------------------------------------------------------------------


def test_student_t_by_hand():
    """Squared distances 0 and 4 with two degrees of freedom: 1 against 3 to the power -1.5."""
    codes, centers = torch.zeros(1, 2), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    far = 3**-1.5
    expected = torch.tensor([[1 / (1 + far), far / (1 + far)]])
    torch.testing.assert_close(student_t_log_proba(codes, centers, alpha=2.0).exp(), expected)


def test_student_t_tends_to_a_gaussian():
    codes, centers = double(5, 3), double(4, 3)
    gaussian = (-torch.cdist(codes, centers).square() / 2).log_softmax(1)
    torch.testing.assert_close(
        student_t_log_proba(codes, centers, alpha=1e8), gaussian, rtol=0, atol=1e-5
    )


def test_student_t_sees_distances_alone():
    codes, centers = double(5, 3), double(4, 3)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.double))
    shift = torch.randn(3, dtype=torch.double)
    moved = student_t_log_proba(codes @ rotation + shift, centers @ rotation + shift)
    torch.testing.assert_close(moved, student_t_log_proba(codes, centers))


def test_student_t_is_exact_for_codes_far_from_the_origin():
    codes = torch.tensor([[1e4, 1e4 + 1]])
    centers = torch.tensor([[1e4, 1e4], [1e4, 1e4 + 2]])
    torch.testing.assert_close(student_t_log_proba(codes, centers).exp(), torch.full((1, 2), 0.5))


@pytest.mark.parametrize("alpha", [1.0, 1e4])
@pytest.mark.parametrize("distance", [0.0, 1e4, 1e15])
def test_student_t_far_from_every_centre(alpha, distance):
    codes = torch.full((2, 3), distance, requires_grad=True)
    centers = torch.randn(4, 3, requires_grad=True)
    log_q = student_t_log_proba(codes, centers, alpha)
    target = target_distribution(log_q.exp().detach())
    kl_divergence(target, log_q).sum().backward()
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(2))
    for values in (log_q, target, codes.grad, centers.grad):
        assert values.isfinite().all()


def test_student_t_at_a_centre_has_a_gradient():
    codes = torch.zeros(1, 2, requires_grad=True)
    log_q = student_t_log_proba(codes, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    log_q[0, 1].backward()
    assert codes.grad.isfinite().all() and codes.grad[0, 0] > 0


def test_student_t_keeps_float32_beside_half_precision_codes():
    codes = torch.randn(3, 2).bfloat16()
    assert student_t_log_proba(codes, torch.randn(4, 2)).dtype == torch.float32


# -- target distribution ------------------------------------------------------------------------


@pytest.mark.parametrize("power", [2, 3.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_target_by_the_printed_equation(weighted, power):
    q = proba()
    weight = torch.rand(6, dtype=torch.double) if weighted else None
    w = weight.tolist() if weighted else [1.0] * 6
    f = [sum(w[i] * q[i, j].item() for i in range(6)) for j in range(4)]
    ratios = [[q[i, j].item() ** power / f[j] for j in range(4)] for i in range(6)]
    expected = torch.tensor([[r / sum(row) for r in row] for row in ratios], dtype=torch.double)
    torch.testing.assert_close(target_distribution(q, weight, power), expected)


def test_target_weights_are_repetitions():
    q = proba(3)
    times = torch.tensor([2, 0, 3])
    repeated = target_distribution(q.repeat_interleave(times, 0))
    weighted = target_distribution(q, times.double())
    torch.testing.assert_close(weighted.repeat_interleave(times, 0), repeated)


def test_target_does_not_see_the_scale_of_the_weights():
    q, weight = proba(), torch.rand(6, dtype=torch.double)
    torch.testing.assert_close(target_distribution(q, weight), target_distribution(q, 7 * weight))


def test_target_leaves_certainty_and_ignorance_alone():
    certain = torch.eye(3)[torch.tensor([0, 0, 1, 2])]
    assert target_distribution(certain).equal(certain)
    torch.testing.assert_close(
        target_distribution(torch.full((5, 4), 0.25)), torch.full((5, 4), 0.25)
    )


def test_target_sharpens():
    """Each row and its mirror image make both clusters equally frequent."""
    q = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    assert target_distribution(q)[0, 0] > 0.7


def test_target_is_sharper_with_a_higher_power():
    q = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    sure = [target_distribution(q, power=power)[0, 0].item() for power in (1, 2, 4, 10)]
    assert sure[0] == pytest.approx(0.7) and sure == sorted(set(sure))


def test_target_of_a_thousand_clusters_is_finite_with_the_highest_power():
    """Memberships of a row that is at home nowhere are 1 / k, and the tenth power 1e-30."""
    target = target_distribution(torch.full((3, 1000), 1e-3), power=10)
    torch.testing.assert_close(target, torch.full((3, 1000), 1e-3))


def test_target_favours_the_rarer_cluster():
    q = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]])
    assert target_distribution(q)[0, 1] > 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_target_of_dead_clusters_and_dead_rows(dtype):
    q = torch.tensor([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]], dtype=dtype)
    dead_cluster = target_distribution(q[:2])
    assert (dead_cluster[:, 2] == 0).all()
    for weight in ([1, 1, 1], [1, 1, 0], [0, 0, 0]):
        target = target_distribution(q, torch.tensor(weight, dtype=dtype))
        torch.testing.assert_close(target.sum(1), torch.ones(3, dtype=dtype))


# -- Kullback-Leibler divergence ----------------------------------------------------------------


def test_kl_against_torch_distributions():
    p, q = proba(), proba()
    torch.testing.assert_close(
        kl_divergence(p, q.log()), distribution_kl(Categorical(p), Categorical(q))
    )


def test_kl_of_certainty_by_hand():
    p, q = torch.eye(3), torch.tensor([[0.5, 0.25, 0.25]]).expand(3, 3)
    expected = torch.tensor([log(2), log(4), log(4)])
    torch.testing.assert_close(kl_divergence(p, q.log()), expected)


def test_kl_is_zero_only_between_equals():
    p, q = proba(), proba()
    torch.testing.assert_close(kl_divergence(p, p.log()), torch.zeros(6, dtype=torch.double))
    assert (kl_divergence(p, q.log()) > 0).all()


# -- the adversarial game -----------------------------------------------------------------------


def test_standard_loss_by_hand():
    logits = torch.tensor([0.0, log(3.0)], dtype=torch.double)  # D = 1/2, 3/4
    real, fake = (standard_adversarial_loss(logits, as_real=verdict) for verdict in (True, False))
    torch.testing.assert_close(real, torch.tensor([log(2), log(4 / 3)], dtype=torch.double))
    torch.testing.assert_close(fake, torch.tensor([log(2), log(4)], dtype=torch.double))


def test_standard_loss_at_the_extremes():
    """A lost game costs the logit itself and leaves the generator its full gradient."""
    logits = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = standard_adversarial_loss(logits, as_real=True)
    assert loss.tolist() == [1e4, 0.0]
    loss.sum().backward()
    assert logits.grad.tolist() == [-1.0, 0.0]


def test_wasserstein_loss_by_hand():
    scores = torch.tensor([2.0, -3.0])
    assert wasserstein_adversarial_loss(scores, as_real=True).tolist() == [-2.0, 3.0]
    assert wasserstein_adversarial_loss(scores, as_real=False).tolist() == [2.0, -3.0]


@pytest.mark.parametrize("game", GAMES)
def test_verdicts_pull_in_opposite_directions(game):
    scores = torch.linspace(-3, 3, 7)
    assert (game(scores, as_real=True).diff() < 0).all()
    assert (game(scores, as_real=False).diff() > 0).all()
    torch.testing.assert_close(game(scores, as_real=True), game(-scores, as_real=False))


# -- gradient penalty ---------------------------------------------------------------------------


def test_penalty_of_a_linear_critic_by_hand():
    weight = torch.tensor([3.0, 4.0])
    penalty = gradient_penalty(lambda x: x @ weight, torch.randn(6, 2), torch.randn(6, 2))
    torch.testing.assert_close(penalty, torch.full((6,), 16.0))


def test_penalty_takes_the_norm_over_all_pixels():
    real, fake = torch.randn(2, 3, 2, 5, 5)
    penalty = gradient_penalty(lambda x: x.flatten(1).sum(1), real, fake)
    torch.testing.assert_close(penalty, torch.full((3,), (50**0.5 - 1) ** 2))


def test_penalty_is_taken_on_lines_between_real_and_fake():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.square().sum((1, 2)) / 2  # the gradient is x itself

    penalty = gradient_penalty(critic, torch.zeros(200, 2, 3), torch.ones(200, 2, 3))
    share = seen[0][:, 0, 0]
    assert seen[0].equal(share[:, None, None].expand(200, 2, 3))  # one share in each row
    assert share.min() >= 0 and share.max() <= 1
    assert share.unique().numel() > 190
    assert abs(share.mean() - 0.5) < 0.1
    torch.testing.assert_close(penalty, (share * 6**0.5 - 1).square())


def test_penalty_of_a_flat_critic_is_finite():
    critic = nn.Linear(3, 1)
    nn.init.zeros_(critic.weight)
    penalty = gradient_penalty(lambda x: critic(x).squeeze(1), torch.ones(4, 3), torch.zeros(4, 3))
    assert penalty.tolist() == [1.0] * 4
    penalty.sum().backward()
    assert critic.weight.grad.isfinite().all()


def test_penalty_reaches_the_critic_and_not_the_generator():
    scale, fake = torch.tensor(2.0, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    penalty = gradient_penalty(lambda x: scale * x.square().sum(1), torch.randn(4, 3), fake)
    penalty.sum().backward()
    assert scale.grad.abs() > 0
    assert fake.grad is None


def test_penalty_ignores_autocast():
    critic = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    rows = torch.randn(5, 8).bfloat16()
    expected = gradient_penalty(critic, rows.float(), rows.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = gradient_penalty(critic, rows.float(), rows)
    assert penalty.dtype == torch.float32
    assert penalty.equal(expected)


# -- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", [name for name in DERIVATIVES if "target" not in name])
def test_rows_do_not_see_each_other(term):
    """A row of NaN spoils its own value alone; centres are shared, so they stay whole."""
    function, shapes = DERIVATIVES[term]
    inputs = [torch.randn(shape) for shape in shapes]
    whole = function(*inputs)
    inputs[0][2] = nan
    spoiled = function(*inputs)
    others = torch.tensor([0, 1, 3, 4])
    assert spoiled[2].isnan().all()
    assert spoiled[others].equal(whole[others])


# -- likelihoods and their latent price -----------------------------------------------------------


def test_bernoulli_log_likelihood_is_that_of_the_distribution():
    logits, rows = 5 * torch.randn(4, 5, 3).double(), torch.rand(5, 3).round().double()
    expected = Bernoulli(logits=logits).log_prob(rows.expand_as(logits)).sum(2)
    torch.testing.assert_close(bernoulli_log_likelihood(logits, rows), expected)


def test_bernoulli_log_likelihood_takes_shades_and_certainty():
    shade = torch.tensor([[0.25]])
    best = 0.25 * log(0.25) + 0.75 * log(0.75)
    assert bernoulli_log_likelihood(shade.logit(), shade).item() == pytest.approx(best)
    sure = torch.tensor([[200.0, -200.0]])
    assert bernoulli_log_likelihood(sure, torch.tensor([[1.0, 0.0]])).item() == 0
    assert bernoulli_log_likelihood(sure, torch.tensor([[0.0, 1.0]])).item() == -400


def test_gaussian_log_likelihood_is_that_of_the_distribution():
    mean, rows = torch.randn(4, 5, 3).double(), torch.randn(5, 3).double()
    log_variance = torch.randn(4, 1, 3).double()
    expected = Normal(mean, (log_variance / 2).exp()).log_prob(rows).sum(2)
    torch.testing.assert_close(gaussian_log_likelihood(mean, rows, log_variance), expected)


def test_gaussian_log_likelihood_by_hand():
    """At the mean with variance 4, and one standard deviation beside it."""
    rows, log_variance = torch.tensor([[1.0], [3.0]]), torch.tensor([log(4)])
    at_mean = -0.5 * log(2 * pi * 4)
    found = gaussian_log_likelihood(torch.ones(2, 1), rows, log_variance)
    torch.testing.assert_close(found, torch.tensor([at_mean, at_mean - 0.5]))


def test_gaussian_kl_divergence_is_that_of_the_distributions():
    mean, log_variance = torch.randn(6, 1, 3).double(), torch.randn(6, 1, 3).double()
    means, log_variances = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    posterior, prior = (
        Normal(m, (v / 2).exp()) for m, v in ((mean, log_variance), (means, log_variances))
    )
    expected = distribution_kl(posterior, prior).sum(2)
    found = gaussian_kl_divergence(mean, log_variance, means, log_variances)
    torch.testing.assert_close(found, expected)
    assert gaussian_kl_divergence(mean, log_variance, mean, log_variance).abs().max() == 0
