"""MoEDCClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback
from torch import nn
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from skdeepcluster import MoEDCClustering
from skdeepcluster.datasets import load_digits
from skdeepcluster.engine.callbacks import HoldIdle
from skdeepcluster.engine.schedule import one_cycle
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.estimators import moedc
from skdeepcluster.estimators._experts import (
    ManagedAutoencoder,
    MixtureOfExperts,
    VariationalAutoencoder,
    start_manager,
)
from skdeepcluster.estimators.moedc import principal_width
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.networks import make_decoder, make_encoder, make_mlp
from skdeepcluster.scaling import Scaling

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "lr": 1e-2,
    "min_cluster_size": 0.2,
    "manifold_params": {"n_epochs": 50},
    "pretrain_epochs": 20,
    "manager_epochs": 10,
    "max_epochs": 10,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def told(blobs, monkeypatch):
    """The clusters of the blobs as those that are found, for tests of what follows."""
    labels = blobs[1].astype(np.intp)
    monkeypatch.setattr(MoEDCClustering, "_find_clusters", lambda self, codes, table: labels)
    return labels


def managed(k=3, width=6, latent_dim=2, bounded=True):
    encoder = make_encoder((width,), 2 * latent_dim, (8,))
    decoder = make_decoder(latent_dim, (width,), (8,))
    vae = VariationalAutoencoder(Scaling((width,), bounded=bounded), encoder, decoder)
    return ManagedAutoencoder(vae, make_mlp([latent_dim, 5, k]), k)


def experts(**options):
    """Experts who no longer agree."""
    model = MixtureOfExperts(managed(**options))
    for parameter in model.groups()["experts"]:
        parameter.data += 0.5 * torch.randn_like(parameter)
    return model.eval()


def likelihood(model, output, rows, expert=None):
    """Log p(x | z) by torch's distributions, from the output of one decoder."""
    if model.observation.log_variance is None:
        return Bernoulli(logits=output).log_prob(rows).sum(1)
    log_variance = model.observation.log_variance
    variance = 0.01 + (log_variance if expert is None else log_variance[expert, 0]).exp()
    return Normal(output, variance.sqrt()).log_prob(rows).sum(1)


def posterior(model, rows):
    mean, log_variance = model.encoder(rows).chunk(2, 1)
    return Normal(mean, (log_variance / 2).exp())


def alone(model, expert, z):
    """The output of one expert, layer by layer."""
    first, _, last = model.decoder
    hidden = (z @ first.weight[expert].T + first.bias[expert]).relu()
    return hidden @ last.weight[expert].T + last.bias[expert]


# -- the Z-finder -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spectrum():
    """Rows whose principal components have exactly 8, 4, 2, 1 and 1 sixteenths of the variance."""
    rng = np.random.RandomState(0)
    scores = rng.normal(size=(40, 5))
    scores, _ = np.linalg.qr(scores - scores.mean(0))
    axes, _ = np.linalg.qr(rng.normal(size=(7, 7)))
    return scores * np.sqrt([8, 4, 2, 1, 1]) @ axes[:5]


@pytest.mark.parametrize(
    ("share", "width"), [(0.1, 1), (0.49, 1), (0.51, 2), (0.74, 2), (0.8, 3), (0.9, 4), (0.99, 5)]
)
def test_the_width_explains_the_share_and_no_less_does(spectrum, share, width):
    assert principal_width(spectrum, share, 50, seed=0) == width


def test_components_that_hold_only_rounding_are_not_counted():
    rng = np.random.default_rng(0)
    for _ in range(20):  # of three columns that are given four times over
        rows = np.tile(rng.normal(size=(100, 3)), 4).astype(np.float32)
        assert principal_width(rows, 1.0, 50, seed=0) == 3


def test_the_width_has_its_bounds(spectrum):
    assert principal_width(spectrum, 0.99, 2, seed=0) == 2
    assert principal_width(spectrum, 1.0, 50, seed=0) <= 7
    assert principal_width(np.ones((9, 4)), 0.9, 50, seed=0) == 1


def test_the_width_is_that_of_the_scaled_rows(blobs, told):
    """One column in other units would otherwise be all the variance there is."""
    none = {**SMALL, "latent_dim": None, "pretrain_epochs": 0, "manager_epochs": 0, "max_epochs": 0}
    X = blobs[0] * np.array([1e4, 1, 1, 1, 1, 1])
    model = MoEDCClustering(**none, explained_variance=0.99).fit(X)
    scaled = (X - X.mean(0)) / X.std(0)
    assert model.latent_dim_ == principal_width(scaled, 0.99, 50, seed=0) > 1
    assert model.transform(X).shape == (150, model.latent_dim_ + model.module_.n_experts)
    assert MoEDCClustering(**none, max_latent_dim=1).fit(X).latent_dim_ == 1


def test_principal_components_take_no_more_memory_than_allowed(blobs, told, monkeypatch):
    seen = []
    monkeypatch.setattr(moedc, "PCA_ENTRIES", 600)
    monkeypatch.setattr(moedc, "principal_width", lambda rows, *args: seen.append(rows) or 2)
    none = {**SMALL, "latent_dim": None, "pretrain_epochs": 0, "manager_epochs": 0, "max_epochs": 0}
    for X in (blobs[0], sparse.csr_array(blobs[0])):
        MoEDCClustering(**none, scaling=None).fit(X)
    dense, from_sparse = seen
    assert dense.shape == (100, 6)
    np.testing.assert_array_equal(dense, from_sparse)
    assert len(np.unique(dense, axis=0)) == 100
    assert all((row == blobs[0]).all(1).any() for row in dense)


# -- the losses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bounded", [True, False])
def test_the_manager_joins_the_bound(bounded):
    """Each term by torch's distributions, at the noise that was drawn."""
    model, rows, label = managed(bounded=bounded), torch.rand(9, 6).round(), torch.arange(9) % 3
    torch.manual_seed(1)
    terms = model.negative_elbo({"X": rows, "label": label})
    torch.manual_seed(1)
    q = posterior(model, rows)
    z = q.mean + q.stddev * torch.randn(9, 2)
    found = likelihood(model, model.decoder(z), rows)
    torch.testing.assert_close(terms["reconstruction"], -found)
    torch.testing.assert_close(terms["latent"], kl_divergence(q, Normal(0.0, 1.0)).sum(1))
    routing = Categorical(logits=model.manager(z)).log_prob(label)
    torch.testing.assert_close(terms["routing"], -routing)
    assert len(terms) == 3


def test_experts_start_as_the_autoencoder():
    for bounded in (True, False):
        before = managed(bounded=bounded)
        if not bounded:
            before.observation.log_variance.data.normal_()
        model, rows = MixtureOfExperts(before), torch.rand(4, 6)
        z = before.codes({"X": rows})
        expected = before.observation.log_likelihood(before.decoder(z), rows)
        found = model.observation.log_likelihood(model._outputs(z), rows)
        torch.testing.assert_close(found, expected.expand(3, 4))


@pytest.mark.parametrize("bounded", [True, False])
def test_an_expert_learns_from_the_rows_that_the_manager_sends(bounded):
    model, rows = experts(bounded=bounded), torch.rand(9, 6).round()
    route = model.manager(posterior(model, rows).mean).argmax(1)
    last = model.manager[-1]
    last.bias.data[1] = -1e3  # nobody goes to expert 1
    route = model.manager(posterior(model, rows).mean).argmax(1)
    torch.manual_seed(1)
    found = model.routed({"X": rows})["reconstruction"]
    torch.manual_seed(1)
    q = posterior(model, rows)
    z = q.mean + q.stddev * torch.randn(9, 2)
    each = torch.stack([likelihood(model, alone(model, i, z), rows, i) for i in range(3)])
    torch.testing.assert_close(found, -each[route, torch.arange(9)])
    assert model.idle.tolist() == [i not in route for i in range(3)]
    found.sum().backward()
    assert all(p.grad is None for p in [*model.encoder.parameters(), *model.manager.parameters()])
    for parameter in model.groups()["experts"]:
        moved = parameter.grad.flatten(1).any(1)
        assert moved.tolist() == [i in route for i in range(3)]


@pytest.mark.parametrize("bounded", [True, False])
def test_the_score_is_the_bound_of_the_mixture(bounded):
    model, rows = experts(bounded=bounded), torch.rand(9, 6).round()
    q = posterior(model, rows)
    shares = model.manager(q.mean).softmax(1)
    each = [likelihood(model, alone(model, i, q.mean), rows, i).exp() for i in range(3)]
    expected = (shares * torch.stack(each, 1)).sum(1).log()
    expected = expected - kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(model.elbo({"X": rows}), expected, rtol=1e-4, atol=1e-4)


def test_a_code_names_the_expert_that_decodes_it():
    model, rows = experts(), torch.rand(9, 6)
    codes = model.codes({"X": rows})
    mean, route = posterior(model, rows).mean, model.log_memberships({"X": rows}).argmax(1)
    torch.testing.assert_close(codes[:, :2], mean)
    assert torch.equal(codes[:, 2:].argmax(1), route)
    decoded = model.decode(codes)
    for i, expert in enumerate(route):
        torch.testing.assert_close(decoded[i], alone(model, expert, mean)[i].sigmoid())


# -- the stages ---------------------------------------------------------------------------------


def test_stages_have_their_lengths(blobs, told):
    lengths = {"pretrain_epochs": 1, "manager_epochs": 2, "max_epochs": 3}
    model = MoEDCClustering(**{**SMALL, **lengths}).fit(blobs[0])
    found = [(r["stage"], r["phase"]) for r in model.history_]
    expected = [("vae", "pretraining"), *[("manager", "without noise")] * 2]
    assert found == [*expected, *[("experts", "experts")] * 3]


def test_nothing_is_kept_that_is_not_used(blobs, told):
    module = MoEDCClustering(**{**SMALL, "max_epochs": 0}).fit(blobs[0]).module_
    shapes = sorted(tuple(p.shape) for p in module.parameters())
    encoder, manager = [(32, 6), (32,), (4, 32), (4,)], [(100, 2), (100,), (3, 100), (3,)]
    decoders = [(3, 32, 2), (3, 32), (3, 6, 32), (3, 6), (3, 1, 6)]  # and variances
    assert shapes == sorted([*encoder, *manager, *decoders])


def test_noise_teaches_the_manager_nothing(blobs, told, monkeypatch):
    seen, terms = [], ManagedAutoencoder.terms

    def spy(self, batch, *args):
        seen.append(batch["X"])
        return terms(self, batch, *args)

    monkeypatch.setattr(ManagedAutoencoder, "terms", spy)
    told[:20] = -1
    model = MoEDCClustering(**SMALL, scaling=None).fit(blobs[0])
    np.testing.assert_array_equal(model.noise_, np.arange(150) < 20)
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9  # noise is labelled as well
    rows = torch.cat(seen).numpy()
    assert len(rows) == SMALL["manager_epochs"] * 130
    met = (blobs[0][:, None] == rows).all(2).any(1)
    np.testing.assert_array_equal(met, ~model.noise_)


def test_rows_of_no_weight_are_no_noise(blobs, told, monkeypatch):
    weight = (np.arange(150) % 3 > 0).astype(float)
    labels = np.where(np.arange(100) < 10, -1, told[weight > 0])
    monkeypatch.setattr(MoEDCClustering, "_find_clusters", lambda self, codes, table: labels)
    model = MoEDCClustering(**SMALL).fit(blobs[0], sample_weight=weight)
    np.testing.assert_array_equal(model.noise_, (np.arange(150) < 15) & (weight > 0))


def test_all_noise_is_one_cluster(blobs):
    with pytest.warns(ConvergenceWarning, match="found no cluster"):
        model = MoEDCClustering(**{**SMALL, "min_cluster_size": 0.95}).fit(blobs[0])
    assert model.n_clusters_ == 1
    assert not model.noise_.any()
    assert (model.predict_proba(blobs[0]) == 1).all()
    assert np.isfinite(model.sample(5, cluster=0, random_state=0)[0]).all()


@pytest.mark.parametrize("n_clusters", [1, 3, 5])
def test_a_number_of_clusters_is_honoured(blobs, n_clusters):
    model = MoEDCClustering(n_clusters, **SMALL).fit(blobs[0])
    assert model.module_.n_experts == n_clusters
    assert not model.noise_.any()
    if n_clusters == 3:
        assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_an_untrained_manager_knows_the_clusters(blobs, told):
    """So that Ctrl-C before its training leaves labels of use."""
    model = MoEDCClustering(**{**SMALL, "manager_epochs": 0, "max_epochs": 0}).fit(blobs[0])
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_experts_leave_codes_and_labels_alone_and_explain_more(blobs, told):
    def encoder(shape):
        layers = nn.Linear(shape[0], 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 4)
        return nn.Sequential(*layers)

    before, after = (
        MoEDCClustering(**{**SMALL, "max_epochs": epochs}, encoder=encoder).fit(blobs[0])
        for epochs in (0, 20)
    )
    np.testing.assert_array_equal(before.transform(blobs[0]), after.transform(blobs[0]))
    np.testing.assert_array_equal(before.predict_proba(blobs[0]), after.predict_proba(blobs[0]))
    assert after.score(blobs[0]) > before.score(blobs[0])


def test_a_cluster_is_sampled_by_its_expert(blobs, told):
    model = MoEDCClustering(**SMALL).fit(blobs[0])
    codes = model._sample_codes(np.repeat([0, 2], 50), np.random.RandomState(0))
    np.testing.assert_allclose(codes[:, 2:], np.repeat([[1, 0, 0], [0, 0, 1]], 50, 0), atol=1e-9)


def test_a_decoder_that_cannot_be_grouped_is_refused_at_once(blobs):
    def decoder(shape):
        return nn.Sequential(nn.Linear(2, 8), nn.Dropout(), nn.Linear(8, shape[0]))

    model = MoEDCClustering(**SMALL, decoder=decoder)
    with pytest.raises(ValueError, match=r"Dropout.*cannot be grouped"):
        model.fit(blobs[0])
    assert model.history_ == []


def test_too_few_rows_to_look_for_clusters():
    with pytest.raises(ValueError, match="UMAP takes at least 3 rows"):
        MoEDCClustering(**SMALL).fit(np.eye(2))


def test_a_fit_outlives_its_parameters(blobs, told):
    model = MoEDCClustering(**{**SMALL, "max_epochs": 1}).fit(blobs[0])
    rows, score = model.sample(5, random_state=0)[0], model.score(blobs[0])
    model.set_params(n_clusters=7, latent_dim=4)
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], rows)
    assert model.score(blobs[0]) == score


def test_digits():
    """The number of clusters is found, near ten; the manager knows them; chance is below .2."""
    X, y = load_digits(return_X_y=True)
    model = MoEDCClustering(
        hidden_layer_sizes=(128, 64),
        batch_size=100,
        lr=2e-3,
        pretrain_epochs=25,
        manager_epochs=10,
        max_epochs=5,
        device="cpu",
        random_state=0,
    ).fit(X)
    assert 6 <= model.n_clusters_ <= 16
    assert clustering_accuracy(y, model.labels_) > 0.5
    assert 5 <= model.latent_dim_ <= 30
    experts = [r["reconstruction"] for r in model.history_ if r["stage"] == "experts"]
    assert experts[-1] < experts[0]


def test_the_manager_starts_as_the_nearest_mean_of_weighted_features(blobs):
    """Its logits are log-densities of round Gaussians, up to a constant per row."""
    rows, labels = blobs[0][:60], blobs[1][:60].astype(np.intp)
    weight = torch.from_numpy(np.where(np.arange(60) % 2, 3.0, 1.0)).float()
    model = managed(bounded=False)
    trainer = Trainer(model, optimizer=torch.optim.Adam).initialize()
    start_manager(trainer, Table(rows, weight=weight), labels)
    with torch.no_grad():
        features = model({"X": torch.from_numpy(rows)}, "features")
        logits = model.manager[-1](features)
    label = torch.from_numpy(labels)
    share = torch.nn.functional.one_hot(label, 3).float() * weight[:, None]
    means = share.T @ features / share.sum(0)[:, None]
    spread = (features - means[label]).square().mean()
    expected = -(features[:, None] - means).square().sum(2) / (2 * spread)
    found = logits.log_softmax(1)
    torch.testing.assert_close(found, expected.log_softmax(1), rtol=1e-4, atol=1e-3)


def test_training_follows_its_schedule(blobs, told):
    model = MoEDCClustering(**{**SMALL, "latent_weight": 0.3})
    phases = phases_of(model, blobs[0])
    assert list(phases) == ["pretraining", "without noise", "experts"]
    assert all(list(each.lr.values()) == [one_cycle] for each in phases.values())
    for record in model.history_:
        weights = {"reconstruction": 1.0, "latent": 0.3, "routing": 1.0}
        assert_loss_is(record, **{name: w for name, w in weights.items() if name in record})


def test_clusters_are_numbered_by_their_first_rows():
    found = moedc._numbered(np.array([2, -1, 0, 2, 1]))
    assert found.tolist() == [0, -1, 1, 0, 2]


def test_experts_without_rows_are_held(blobs, told):
    seen = []

    class Seeing(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.extend(type(callback) for _, callback in net.callbacks_)

    MoEDCClustering(**{**SMALL, "callbacks": [Seeing()]}).fit(blobs[0])
    assert HoldIdle in seen
