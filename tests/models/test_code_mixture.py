"""The mixture over moving codes, and the pulls of DCAN, ABC and the KL variant."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.code_mixture import (
    _reseed_dead,
    place_by_kmeans,
)
from skdeepcluster.models.pulls import (
    LOG_VARIANCE,
    AdversarialPull,
    DivergencePull,
    EuclideanPull,
)
from skdeepcluster.priors import GaussianMixturePrior
from skdeepcluster.scaling import Scaling


def made(kind, n_recent=4, **options):
    """Codes are the rows; of the two components one is at 0, the other at (6, 8)."""
    prior = GaussianMixturePrior(2, 2)
    means = torch.tensor([[0.0, 0.0], [6.0, 8.0]])
    variances = torch.tensor([[1.0, 4.0], [0.25, 1.0]])
    options = {"n_recent": n_recent, "standardize": False, **options}
    model = kind(Scaling((2,)), nn.Identity(), nn.Identity(), prior, **options).double()
    prior.place(torch.tensor([0.25, 0.75]), means, variances)
    return model


def game(**options):
    """A model whose discriminator is linear in the code."""
    critic = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    defaults = {"critic": critic, "conditional": False, "sample_scale": 1.0}
    return made(AdversarialPull, **{**defaults, **options})


ROWS = torch.tensor([[1.0, -1.0], [7.0, 7.0], [-2.0, 0.5]], dtype=torch.double)
OWN = torch.tensor([0, 1, 0])


# -- closed forms -------------------------------------------------------------------------------


def test_rows_belong_to_the_component_of_the_largest_posterior():
    model = made(EuclideanPull)
    assert model.assign(ROWS).equal(OWN)
    # Halfway between the means the wider component wins.
    assert model.assign(ROWS.new_tensor([[3.0, 4.0]])).item() == 0


def test_the_kl_variant_is_the_divergence_from_the_component_to_the_code():
    model = made(DivergencePull)
    raw = torch.tensor([[0.3, -0.2], [5.0, -5.0], [0.0, 0.1]], dtype=torch.double)
    sigma = (LOG_VARIANCE * raw.tanh() / 2).exp()
    prior = model.prior
    component = Independent(Normal(prior.means, (prior.log_variances / 2).exp()), 1)
    row = Independent(Normal(ROWS, sigma), 1)
    chosen = type(component)(
        Normal(component.base_dist.loc[OWN], component.base_dist.scale[OWN]), 1
    )
    found = model.pull(ROWS, OWN, raw)
    torch.testing.assert_close(found, kl_divergence(chosen, row) / 2)


def test_with_unit_variances_the_kl_variant_is_abc():
    """Lemma 1."""
    abc, kl = made(EuclideanPull), made(DivergencePull)
    for model in (abc, kl):
        model.prior.log_variances.zero_()
    expected = torch.tensor([1.0 + 1, 1 + 1, 4 + 0.25], dtype=torch.double) / 2 / 2
    torch.testing.assert_close(abc.pull(ROWS, OWN, ROWS[:, 2:]), expected)
    torch.testing.assert_close(kl.pull(ROWS, OWN, 0 * ROWS), expected)


def test_sigma_is_bounded():
    model = made(DivergencePull)
    wild = torch.full((3, 2), 1e6, dtype=torch.double)
    for raw in (wild, -wild):
        assert torch.isfinite(model.pull(ROWS, OWN, raw)).all()


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_the_discriminator_compares_codes_with_draws_of_their_components(scale):
    """Eq. 15 and 17, and the encoder's form of 18."""
    model, rows = game(sample_scale=scale).float(), ROWS.float()
    torch.manual_seed(0)
    terms = model.judgement({"X": rows})
    torch.manual_seed(0)
    noise = torch.randn(3, 2)
    deviation = (model.prior.log_variances[OWN] / 2).exp()
    drawn = model.prior.means[OWN] + scale * deviation * noise
    real, fake = (model.critic(z).sigmoid() for z in (drawn, rows))
    torch.testing.assert_close(terms["real"], -real.log())
    torch.testing.assert_close(terms["fake"], -(1 - fake).log())
    right = (real > 0.5).sum() + (fake < 0.5).sum()
    assert terms["critic_accuracy"].item() == pytest.approx(right.item() / 6)
    torch.testing.assert_close(model.pull(rows, OWN, rows[:, 2:]), -fake.log())


def test_a_conditional_discriminator_sees_the_component_and_its_units():
    critic = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    model = game(conditional=True, critic=critic)
    seen = []
    critic.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model.score(ROWS, OWN)
    expected = [[1, -0.5, 1, 0], [2, -1, 0, 1], [-2, 0.25, 1, 0]]
    torch.testing.assert_close(seen[0], torch.tensor(expected, dtype=torch.double))


@pytest.mark.parametrize("kind", [EuclideanPull, DivergencePull, None], ids=["abc", "kl", "dcan"])
def test_the_losses_have_their_derivatives(kind):
    model = game() if kind is None else made(kind)
    codes, rest = torch.randn(2, 3, 2, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *parts: model.pull(parts[0], OWN, parts[1]), (codes, rest)
    )


# -- the mixture ----------------------------------------------------------------------------------


def test_recent_codes_take_the_place_of_the_oldest():
    model = made(EuclideanPull)
    for first, weight in ((0, None), (3, torch.tensor([2.0, 2.0, 2.0]).double())):
        model.remember(torch.arange(first, first + 3).double()[:, None].expand(3, 2), weight)
    assert model.recent[:, 0].tolist() == [2, 3, 4, 5]
    assert model.recent_weight.tolist() == [1, 2, 2, 2]
    model.remember(torch.arange(9).double()[:, None].expand(9, 2), None)
    assert model.recent[:, 0].tolist() == [5, 6, 7, 8]


def test_training_remembers_codes_and_learns_no_mixture_by_gradient():
    model = made(EuclideanPull).float()
    model.both({"X": ROWS.float(), "weight": torch.tensor([1.0, 2.0, 3.0])})
    torch.testing.assert_close(model.recent[1:], ROWS.float())
    assert model.recent_weight.tolist() == [1, 1, 2, 3]
    assert not any(p.requires_grad for p in model.prior.parameters())


def test_an_em_step_is_that_of_scikit_learn():
    z = np.random.RandomState(0).normal(size=(300, 2)) * [3, 4] + [3, 4]
    model = made(EuclideanPull, n_recent=300)
    model.remember(torch.from_numpy(z), None)
    prior = model.prior
    reference = GaussianMixture(
        2,
        covariance_type="diag",
        weights_init=prior.log_weights().exp().numpy(),
        means_init=prior.means.numpy(),
        precisions_init=(-prior.log_variances).exp().numpy(),
        max_iter=1,
        reg_covar=0,
    )
    with pytest.warns(ConvergenceWarning):
        reference.fit(z)
    floor = 1e-3 * z.var(0).mean()
    share = model.em_step()["within_variance"].item()
    np.testing.assert_allclose(prior.log_weights().exp(), reference.weights_, rtol=1e-6)
    np.testing.assert_allclose(prior.means, reference.means_, rtol=1e-6)
    variances = np.maximum(reference.covariances_, floor)
    np.testing.assert_allclose(prior.log_variances.exp(), variances, rtol=1e-6)
    assert share == pytest.approx(reference.weights_ @ variances.mean(1) / z.var(0).mean())


def test_variances_stay_above_a_share_of_the_codes():
    model = made(EuclideanPull, n_recent=3)
    model.recent = torch.tensor([[0.0, 0.0], [6.0, 8.0], [6.0, 8.0]]).double()
    model.em_step()
    floor = 1e-3 * model.recent.var(0, correction=0).mean()
    torch.testing.assert_close(model.prior.log_variances.exp(), floor.expand(2, 2))
    model.recent = torch.ones(3, 2).double()  # codes that collapsed
    model.em_step()
    assert torch.isfinite(model.prior.log_joint(model.recent)).all()


def test_a_component_without_recent_codes_is_started_anew():
    model = made(EuclideanPull, n_recent=50)
    model.recent = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    model.em_step()  # none is near (6, 8)
    with pytest.warns(ConvergenceWarning, match="1 clusters lost .* started anew"):
        _reseed_dead(Trainer(model), Table(np.zeros((1, 2))))
    assert model.prior.log_weights().exp().tolist() == pytest.approx([0.5, 0.5])
    model.em_step()
    assert model.assign(model.recent).unique().tolist() == [0, 1]


def test_standardised_codes_cannot_shrink(blobs):
    """A smaller output of the encoder is the same code, and costs the same."""
    model = made(EuclideanPull, standardize=True).float()
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    codes = model.codes({"X": rows})
    torch.testing.assert_close(codes.var(0, correction=0), torch.ones(2), rtol=1e-3, atol=0)
    torch.testing.assert_close(model.codes({"X": rows / 10}), codes, rtol=1e-2, atol=1e-2)


def test_the_encoder_says_sigma_beside_the_code():
    model = made(DivergencePull)
    codes, rest = model._encoded(torch.tensor([[1.0, 2.0, 3.0, 4.0]]).double())
    assert codes.tolist() == [[1, 2]]
    assert rest.tolist() == [[3, 4]]


def test_reconstruction_reaches_the_encoder():
    model = made(EuclideanPull).float()
    model.encoder = nn.Linear(2, 2)
    model.both({"X": ROWS})["reconstruction"].sum().backward()
    assert model.encoder.weight.grad.any()


def test_weights_in_em_stand_for_repeated_codes():
    codes = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).double()
    weight = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 1.0]).double()
    weighted, repeated = made(EuclideanPull, n_recent=6), made(EuclideanPull, n_recent=10)
    weighted.recent, weighted.recent_weight = codes, weight
    repeated.recent = codes.repeat_interleave(weight.long(), 0)
    repeated.recent_weight = torch.ones(10).double()
    for model in (weighted, repeated):
        model.em_step()
    torch.testing.assert_close(weighted.prior.means, repeated.prior.means)
    torch.testing.assert_close(weighted.prior.log_weights(), repeated.prior.log_weights())


def test_a_component_with_few_codes_is_left_alone():
    model = made(EuclideanPull, n_recent=50)
    near = torch.randn(48, 2, generator=torch.Generator().manual_seed(0)).double()
    model.recent = torch.cat([near, torch.tensor([[6.0, 8.0], [6.1, 8.1]]).double()])
    model.em_step()
    trainer = Trainer(model, optimizer=torch.optim.Adam)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _reseed_dead(trainer, None)


@pytest.mark.parametrize(
    ("rows", "weight", "means"),
    [
        ([[0, 0], [1, 0], [20, 0], [20, 1]], [3, 1, 1, 1], [[0.25, 0], [20, 0.5]]),
        ([[0, 0], [0, 1], [9, 0], [9, 0]], [1e6, 1e6, 1, 1], [[0, 0], [0, 1]]),
    ],
    ids=["means", "k-means"],
)
def test_weights_count_where_the_mixture_starts(rows, weight, means):
    model = made(EuclideanPull).float()
    model.encoder = nn.Linear(2, 2)  # an optimizer must have something
    model.encoder.weight.data.copy_(torch.eye(2))
    model.encoder.bias.data.zero_()
    trainer = Trainer(model, optimizer=torch.optim.Adam).initialize()
    table = Table(np.array(rows, dtype=np.float32), weight=torch.tensor(weight).float())
    place_by_kmeans(trainer, table, seed=0)
    found = sorted(model.prior.means.numpy().round(3).tolist())
    np.testing.assert_allclose(found, means, atol=1e-3)
