"""DCANClustering: what is its own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from skdeepcluster import DCANClustering
from skdeepcluster.datasets import load_digits
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.models.code_mixture import (
    SETTLING_STEPS,
    _place_mixture,
    _reseed_dead,
)
from skdeepcluster.models.pulls import (
    LOG_VARIANCE,
    AdversarialPull,
    DivergencePull,
    EuclideanPull,
)
from skdeepcluster.priors import GaussianMixturePrior
from skdeepcluster.scaling import Scaling

LOSSES = ["adversarial", "euclidean", "kl"]
SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "pretrain_epochs": 10,
    "max_epochs": 5,
    "device": "cpu",
    "random_state": 0,
}


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


def test_training_starts_dead_components_anew(blobs):
    """Of three components and a buffer of two codes, one explains less than half a code."""
    with pytest.warns(ConvergenceWarning, match="were started anew"):
        DCANClustering(3, buffer_size=2, **SMALL).fit(blobs[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mixture_moves_at_its_interval(blobs, loss, monkeypatch):
    steps = []
    em_step = EuclideanPull.em_step
    monkeypatch.setattr(
        "skdeepcluster.models.code_mixture.CodeMixture.em_step",
        lambda model: steps.append(1) or em_step(model),
    )
    DCANClustering(3, clustering_loss=loss, em_interval=2, **SMALL).fit(blobs[0])
    assert len(steps) == 13 + SETTLING_STEPS  # every other one of 5 epochs of 5 batches


# -- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_codes_contract(loss):
    """The share of the codes' variance that lies within clusters falls; .15 is where it starts."""
    X, _ = make_blobs(300, n_features=6, centers=3, cluster_std=3, random_state=3)
    settings = {**SMALL, "clustering_loss": loss, "reconstruction_weight": 1, "max_epochs": 20}
    model = DCANClustering(3, standardize_codes=True, **settings).fit(X)
    start = next(r for r in model.history_ if r["phase"] == "clustering")["within_variance"]
    codes = model.transform(X)
    within = (codes - model.cluster_centers_[model.labels_]).var() / codes.var(0).mean()
    assert within < start / 2


def test_neither_player_wins(blobs):
    """Were the discriminator always right, or no better than chance, nothing could be learnt."""
    model = DCANClustering(3, **{**SMALL, "max_epochs": 30}).fit(blobs[0])
    accuracy = [r["critic_accuracy"] for r in model.history_ if r["phase"] == "clustering"]
    assert 0.52 < np.mean(accuracy[20:]) < 0.95


def test_standardised_codes_cannot_shrink(blobs):
    """A smaller output of the encoder is the same code, and costs the same."""
    model = made(EuclideanPull, standardize=True).float()
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    codes = model.codes({"X": rows})
    torch.testing.assert_close(codes.var(0, correction=0), torch.ones(2), rtol=1e-3, atol=0)
    torch.testing.assert_close(model.codes({"X": rows / 10}), codes, rtol=1e-2, atol=1e-2)


def test_the_game_alone_standardises_codes_unless_asked_to(blobs):
    def standardises(loss, **params):
        model = DCANClustering(3, clustering_loss=loss, **params, **SMALL).fit(blobs[0])
        return isinstance(model.module_.standardize, nn.BatchNorm1d)

    assert [standardises(loss) for loss in LOSSES] == [True, False, False]
    assert standardises("euclidean", standardize_codes=True)
    assert not standardises("adversarial", standardize_codes=False)


def test_only_the_game_has_a_discriminator(blobs):
    for loss in ("euclidean", "kl"):
        model = DCANClustering(3, clustering_loss=loss, critic_lr=0.1, **SMALL).fit(blobs[0])
        assert not hasattr(model.module_, "critic")
        assert not any("critic_loss" in record for record in model.history_)


def test_the_discriminator_learns_at_its_own_rate(blobs):
    def critic_after(**params):
        settings = {**SMALL, "max_epochs": 1, **params}
        return DCANClustering(3, **settings).fit(blobs[0]).module_.critic[0].weight

    assert not torch.equal(critic_after(), critic_after(critic_lr=1e-4))


def test_networks_have_the_sizes_asked_for(blobs):
    settings = {**SMALL, "critic_hidden_layer_sizes": (7, 5)}
    model = DCANClustering(3, conditional=False, **settings).fit(blobs[0]).module_
    assert _widths(model.encoder) == [32, 2]
    assert _widths(model.critic) == [7, 5, 1]
    assert model.critic[0].in_features == 2
    conditional = DCANClustering(3, **settings).fit(blobs[0]).module_
    assert conditional.critic[0].in_features == 2 + 3
    kl = DCANClustering(3, clustering_loss="kl", **settings).fit(blobs[0]).module_
    assert _widths(kl.encoder) == [32, 4]


def _widths(network: nn.Sequential) -> list[int]:
    return [layer.out_features for layer in network if isinstance(layer, nn.Linear)]


# -- the fitted estimator -------------------------------------------------------------------------


def test_the_paper_to_the_letter_has_no_decoder(blobs):
    settings = {**SMALL, "pretrain_epochs": 0, "reconstruction_weight": 0}
    model = DCANClustering(3, sample_scale=1, conditional=False, **settings).fit(blobs[0])
    assert model.module_.decoder is None
    assert {record["phase"] for record in model.history_} == {"clustering"}
    assert all("reconstruction" not in record for record in model.history_)
    for maker in ("sample", "inverse_transform", "score", "score_samples"):
        assert not hasattr(model, maker)
    np.testing.assert_array_equal(model.predict(blobs[0]), model.labels_)


def test_without_its_weight_the_decoder_stays_where_pretraining_left_it(blobs):
    settings = {**SMALL, "reconstruction_weight": 0}
    before = DCANClustering(3, **{**settings, "max_epochs": 0}).fit(blobs[0]).module_.decoder
    after = DCANClustering(3, **settings).fit(blobs[0]).module_.decoder
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_are_those_of_the_mixture(blobs, loss):
    model = DCANClustering(3, clustering_loss=loss, **SMALL).fit(blobs[0])
    prior = model.module_.prior
    reference = GaussianMixture(3, covariance_type="diag")
    reference.weights_ = prior.log_weights().exp().double().numpy()
    reference.means_ = prior.means.double().numpy()
    reference.precisions_cholesky_ = (-prior.log_variances.double() / 2).exp().numpy()
    expected = reference.predict_proba(model.transform(blobs[0]).astype(float))
    np.testing.assert_allclose(model.predict_proba(blobs[0]), expected, atol=1e-4)
    np.testing.assert_array_equal(model.cluster_centers_, prior.means)


def test_samples_come_from_the_component(blobs):
    model = DCANClustering(3, **SMALL).fit(blobs[0])
    codes = model._sample_codes(np.full(4000, 1), np.random.RandomState(0))
    prior = model.module_.prior
    deviation = (prior.log_variances[1] / 2).exp().numpy()
    np.testing.assert_allclose(codes.mean(0), prior.means[1], atol=0.1 * deviation.max())
    np.testing.assert_allclose(codes.std(0), deviation, rtol=0.1)


def test_dead_components_are_dropped(blobs):
    with pytest.warns(UserWarning, match="have members"):
        model = DCANClustering(60, **SMALL).fit(blobs[0])
    assert model.n_clusters_ < 60
    assert model.cluster_centers_.shape == (model.n_clusters_, 2)
    rows, labels = model.sample(20, cluster=model.n_clusters_ - 1, random_state=0)
    assert rows.shape == (20, 6) and (labels == model.n_clusters_ - 1).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_digits(loss):
    """Well above chance, which is below .2."""
    X, y = load_digits(return_X_y=True)
    settings = {**SMALL, "hidden_layer_sizes": (128,), "latent_dim": 10, "lr": 2e-3}
    model = DCANClustering(10, clustering_loss=loss, **settings).fit(X[:900])
    assert clustering_accuracy(y[:900], model.labels_) > 0.4


# -- what it trains by ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_weighted_sum_of_the_terms(blobs, loss):
    settings = {**SMALL, "max_epochs": 2, "reconstruction_weight": 7.0}
    model = DCANClustering(3, clustering_loss=loss, **settings)
    phases = phases_of(model, blobs[0])
    assert list(phases) == ["pretraining", "clustering", "settling"]
    groups = [turn.player for turn in phases["clustering"].turns]
    assert groups == ["critic", "model"][loss != "adversarial" :]
    for record in model.history_[SMALL["pretrain_epochs"] :]:
        assert_loss_is(record, "model_loss", clustering=1.0, reconstruction=7.0)


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


def test_weights_in_the_mixture_stand_for_repeated_rows(blobs):
    """From its start by k-means to its settling, with encoders that do not move."""
    weight = np.where(blobs[1] == 0, 3, 1)
    settings = {**SMALL, "pretrain_epochs": 0, "max_epochs": 0, "standardize_codes": False}
    settings |= {"scaling": None}
    weighted = DCANClustering(3, **settings).fit(blobs[0], sample_weight=weight)
    repeated = DCANClustering(3, **settings).fit(np.repeat(blobs[0], weight, axis=0))
    for model in (weighted, repeated):
        model.order = model.cluster_centers_[:, 0].argsort()
    for name in ("means", "log_variances"):
        one, other = (getattr(m.module_.prior, name)[m.order] for m in (weighted, repeated))
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)
    shares = weighted.module_.prior.log_weights().exp()[weighted.order]
    torch.testing.assert_close(
        shares, repeated.module_.prior.log_weights().exp()[repeated.order], rtol=1e-2, atol=1e-3
    )
    assert weighted.module_.recent_weight.unique().numel() == 2


def test_the_mixture_settles_on_codes_as_prediction_sees_them(blobs):
    model = DCANClustering(3, **SMALL, buffer_size=200).fit(blobs[0])
    recent, codes = model.module_.recent.numpy(), model.transform(blobs[0])
    np.testing.assert_allclose(np.sort(recent, axis=0), np.sort(codes, axis=0), atol=1e-5)


def test_a_component_with_few_codes_is_left_alone():
    model = made(EuclideanPull, n_recent=50)
    near = torch.randn(48, 2, generator=torch.Generator().manual_seed(0)).double()
    model.recent = torch.cat([near, torch.tensor([[6.0, 8.0], [6.1, 8.1]]).double()])
    model.em_step()
    trainer = Trainer(model, optimizer=torch.optim.Adam)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _reseed_dead(trainer, None)


def test_a_fit_outlives_its_parameters(blobs):
    model = DCANClustering(
        3, **{**SMALL, "max_epochs": 1, "pretrain_epochs": 0}, reconstruction_weight=0.0
    ).fit(blobs[0])
    assert not hasattr(model, "sample")
    assert not hasattr(model.set_params(reconstruction_weight=1.0), "sample")
    with pytest.raises(ValueError, match="decoder= would not be used"):
        model.set_params(reconstruction_weight=0.0, decoder=nn.Identity).fit(blobs[0])


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
    _place_mixture(trainer, table, seed=0)
    found = sorted(model.prior.means.numpy().round(3).tolist())
    np.testing.assert_allclose(found, means, atol=1e-3)
