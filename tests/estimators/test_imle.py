"""IMLEClustering: what is its own."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from skdeepcluster import ClusterGANClustering, IMLEClustering
from skdeepcluster.datasets import load_digits
from skdeepcluster.engine.schedule import Progress
from skdeepcluster.estimators._matching import MatchedGenerator
from skdeepcluster.estimators.imle import _late_fall, _watch
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.networks import make_mlp
from skdeepcluster.priors import DiscreteContinuousPrior
from skdeepcluster.scaling import Scaling

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (64, 64),
    "batch_size": 32,
    "lr": 2e-3,
    "max_epochs": 30,
    "device": "cpu",
    "random_state": 0,
}
WITHOUT_ENCODER = {"prior": "gaussian_mixture", "use_encoder": False}
VARIANTS = {
    "simple": {**WITHOUT_ENCODER, "search": "global"},
    "2s": WITHOUT_ENCODER,
    "encoder": {},
    "encoder-centroid": {"label_source": "centroid"},
    "final": {"feature_weight": 0.5},
    "final-centroid": {"feature_weight": 0.5, "label_source": "centroid"},
}
ROWS = torch.tensor([[0.1, 0.9, 0.0], [0.0, 0.2, 0.7], [0.3, 0.1, 0.8], [0.0, 0.0, 0.5]])


def small_model(generator=None, encoder=None, **settings) -> MatchedGenerator:
    """Two components, one coordinate of noise; samples and encodings are codes by default."""
    settings = {
        "search": "two_stage",
        "n_samples_per_point": 3,
        "encode_all": False,
        "has_features": False,
        "detach_features": False,
        "labels_by_encoder": True,
        **settings,
    }
    prior = settings.pop("prior", DiscreteContinuousPrior(2, 1))
    networks = encoder or nn.Identity(), generator or nn.Identity()
    return MatchedGenerator(Scaling((prior.dim,)), *networks, prior, **settings)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


# -- the objective ------------------------------------------------------------------------------


@pytest.mark.parametrize("encode_all", [False, True])
def test_the_terms_are_those_of_equation_5_1(encode_all):
    """The networks are identities, so that all is known but which sample is the nearest."""
    model = small_model(encode_all=encode_all)
    terms = model.match({"X": ROWS})
    z, components, index = model.matching
    assert torch.bincount(components).tolist() == [6, 6]  # 4 rows, 3 samples for each
    chosen = torch.tensor([0, 1, 1, 1])  # the component whose samples' mean is nearest
    distances = (ROWS[:, None] - z).square().sum(2)
    distances[components != chosen[:, None]] = torch.inf
    torch.testing.assert_close(terms["matching"], distances.amin(1))
    assert index.equal(distances.argmin(1))
    cross_entropy = F.cross_entropy(z[:, 1:], components, reduction="none")
    wanted = cross_entropy.mean() if encode_all else cross_entropy[index]
    torch.testing.assert_close(terms["component"], wanted)
    torch.testing.assert_close(terms["noise"], torch.zeros_like(wanted))  # E(G(z)) is z
    assert model.matches.tolist() == [1, 3]


def test_the_global_search_ignores_components():
    """The only sample near the row belongs to the component with the far centroid."""
    z = torch.tensor([[0.0, 0, 0], [0, 4, 4]]), torch.tensor([0, 1])
    row = torch.tensor([[0.0, 3, 3]])
    samples = torch.cat([z[0], torch.tensor([[0.0, 30, 30]])])
    components = torch.tensor([0, 1, 1])
    assert small_model()._search(row, samples, components).tolist() == [0]
    assert small_model(search="global")._search(row, samples, components).tolist() == [1]


def test_samples_that_were_matched_are_those_that_are_pulled():
    """One pass generates all samples, since batch norm makes others of the matched ones alone."""
    generator = make_mlp((3, 8, 3), batch_norm=True).train()
    model, calls = small_model(generator), []
    generator.register_forward_hook(lambda module, z, samples: calls.append(samples))
    terms = model.match({"X": ROWS})
    (samples,) = calls
    assert len(samples) == 12
    found = (samples[model.matching.of_row] - ROWS).square().sum(1)
    torch.testing.assert_close(terms["matching"], found)
    alone = generator(model.matching.z[model.matching.of_row])
    assert not torch.allclose(alone, samples[model.matching.of_row], atol=1e-3)
    again = model.pull({"X": ROWS})  # the same codes in the same company
    torch.testing.assert_close(again["matching"], terms["matching"])


def test_rows_are_pulled_several_times_for_a_matching(blobs):
    calls = []

    class Counted(nn.Sequential):
        def forward(self, z):
            calls.append((self.training, z))
            return super().forward(z)

    def decoder(shape):
        return Counted(*make_mlp((5, 8, *shape)))

    settings = {**SMALL, "max_epochs": 1, "batch_size": 150}
    IMLEClustering(3, updates_per_matching=3, decoder=decoder, **settings).fit(blobs[0])
    codes = [z for training, z in calls if training and len(z) >= 150]
    assert len(codes) == 3
    assert codes[0].equal(codes[1]) and codes[0].equal(codes[2])


def test_features_can_leave_the_encoder_alone():
    def gradients(detach_features):
        encoder = make_mlp((3, 5, 3), activation="tanh")
        generator = make_mlp((3, 5, 3), activation="tanh")
        model = small_model(generator, encoder, has_features=True, detach_features=detach_features)
        model.match({"X": ROWS})["features"].sum().backward()
        return encoder[0].weight.grad, generator[0].weight.grad

    reached, of_generator = gradients(False)
    assert reached.abs().sum() > 0 and of_generator.abs().sum() > 0
    left_alone, of_generator = gradients(True)
    assert left_alone is None and of_generator.abs().sum() > 0


def test_features_are_those_of_the_last_hidden_layer():
    encoder = make_mlp((3, 5, 3))
    model = small_model(encoder=encoder, has_features=True)
    found = model.match({"X": ROWS})["features"]
    matched = model.matching.z[model.matching.of_row]
    hidden = encoder[:-1](ROWS) - encoder[:-1](matched)
    torch.testing.assert_close(found, hidden.square().sum(1))


def test_rows_and_samples_share_the_encoders_batch_norm():
    seen = []
    encoder = make_mlp((3, 5, 3), batch_norm=True).train()
    encoder[2].register_forward_hook(lambda module, rows, out: seen.append(len(rows[0])))
    small_model(encoder=encoder).match({"X": ROWS})
    small_model(encoder=encoder, encode_all=True).match({"X": ROWS})
    assert seen == [8, 16]


# -- components that come to life and die ---------------------------------------------------------


def test_rows_are_assigned_evenly_at_first(blobs):
    settings = {**SMALL, "batch_size": 150, "max_epochs": 2}
    even = IMLEClustering(3, balanced_share=1, **settings).fit(blobs[0][:120])
    assert even.module_.matches.tolist() == [40, 40, 40]
    free = IMLEClustering(3, balanced_share=0, **settings).fit(blobs[0][:120])
    assert free.module_.matches.tolist() != [40, 40, 40]


def test_no_component_has_fewer_rows_than_its_share():
    """With seven samples each, 64 rows would leave six of one component behind."""
    prior = DiscreteContinuousPrior(10, 1)
    model = small_model(prior=prior)
    model.balanced, rows = True, torch.zeros(64, 11)
    counts = []
    for _ in range(200):
        model.match({"X": rows})
        counts.append(torch.bincount(model.matching.components[model.matching.of_row]))
        assert model.matching.of_row.unique().tolist() == list(range(64))
    counts = torch.stack(counts)
    assert counts.unique().tolist() == [6, 7]
    np.testing.assert_allclose(counts.double().mean(0), 6.4, atol=0.2)  # who has seven goes round


def test_a_batch_of_fewer_rows_than_components_is_matched():
    model = small_model(prior=DiscreteContinuousPrior(10, 1))
    for model.balanced, n_samples in ((True, 4), (False, 20)):
        model.match({"X": torch.zeros(4, 11)})
        assert len(model.matching.z) == n_samples


def test_a_dead_component_gets_rows():
    model = small_model()

    def before(epoch):
        trainer = SimpleNamespace(model=model, progress=lambda: Progress(epoch, 0, 0.0))
        return _watch(trainer, None, n_balanced=1)

    assert before(0) == {"dead": 0} and model.balanced
    model.matches += torch.tensor([3, 1])
    assert before(1) == {"dead": 0} and not model.balanced
    model.matches += torch.tensor([0, 4])
    with pytest.warns(ConvergenceWarning, match="1 components lost all their rows"):
        assert before(2) == {"dead": 1}
    assert model.balanced
    model.match({"X": ROWS})
    assert model.matches.tolist() == [2, 2]


def test_the_learning_rate_falls_late():
    factors = [_late_fall(Progress(0, 0, fraction)) for fraction in (0.0, 0.5, 0.75, 0.99)]
    assert factors == pytest.approx([1, 1, 0.5, 0.02])


# -- the variants ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request, blobs):
    return IMLEClustering(3, **{**SMALL, **VARIANTS[request.param]}).fit(blobs[0])


def test_every_variant_keeps_the_contract(variant, blobs):
    X = blobs[0]
    np.testing.assert_array_equal(variant.labels_, variant.predict(X))
    proba = variant.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(proba.argmax(1), variant.labels_)
    codes = variant.transform(X)
    assert codes.shape == (150, 3)
    assert variant.inverse_transform(codes).shape == X.shape
    np.testing.assert_array_equal(variant.predict(X[7:9]), variant.labels_[7:9])
    again = pickle.loads(pickle.dumps(variant))
    np.testing.assert_array_equal(again.transform(X), codes)
    assert variant.score(X) > variant.score(X + 20)


def test_every_variant_clusters_blobs(variant, blobs):
    assert adjusted_rand_score(blobs[1], variant.labels_) > 0.9
    rows, labels = variant.sample(300, random_state=0)
    assert (variant.predict(rows) == labels).mean() > 0.9


def test_labels_by_centroid_are_the_nearest(blobs):
    model = IMLEClustering(3, **SMALL, label_source="centroid").fit(blobs[0])
    rows = [model.sample(2000, cluster, random_state=cluster)[0].mean(0) for cluster in range(3)]
    fixed = model.module_.scaling.inverse(model.module_.centroids).numpy()
    np.testing.assert_allclose(fixed, rows, atol=1)  # clusters are ten apart
    distances = np.square(blobs[0][:, None] - fixed).sum(2)
    np.testing.assert_array_equal(model.labels_, distances.argmin(1))


def test_without_an_encoder_codes_tell_the_distances(blobs):
    model = IMLEClustering(3, **SMALL, use_encoder=False).fit(blobs[0])
    codes, proba = model.transform(blobs[0]), model.predict_proba(blobs[0])
    assert (codes <= 0).all()
    np.testing.assert_array_equal(codes.argmax(1), model.labels_)
    np.testing.assert_allclose(torch.from_numpy(codes).softmax(1), proba, atol=1e-6)
    assert model.module_.encoder is None


def test_who_has_no_encoder_cannot_ask_it(blobs):
    with pytest.raises(ValueError, match="needs use_encoder=True"):
        IMLEClustering(3, use_encoder=False, label_source="encoder").fit(blobs[0])
    with pytest.raises(ValueError, match=r"an nn\.Sequential, .* got NoneType"):
        IMLEClustering(3, use_encoder=False, feature_weight=1.0).fit(blobs[0])
    with pytest.raises(ValueError, match="got Linear"):
        IMLEClustering(
            3, latent_dim=2, feature_weight=1.0, encoder=lambda shape: nn.Linear(shape[0], 5)
        ).fit(blobs[0])


def test_weights_move_the_result(blobs):
    weight = np.where(blobs[1] == 0, 10.0, 1.0)
    settings = {**SMALL, "max_epochs": 2}
    one = IMLEClustering(3, **settings).fit(blobs[0])
    other = IMLEClustering(3, **settings).fit(blobs[0], sample_weight=weight)
    assert not np.allclose(one.transform(blobs[0]), other.transform(blobs[0]))


def test_components_that_no_row_is_in_are_dropped(blobs):
    with pytest.warns(ConvergenceWarning, match="have members"):
        model = IMLEClustering(40, **{**SMALL, "max_epochs": 3}, balanced_share=0).fit(blobs[0])
    last = model.n_clusters_ - 1
    assert last < 39
    rows, labels = model.sample(20, cluster=last, random_state=0)
    assert rows.shape == (20, 6) and (labels == last).all()
    assert model.interpolate(0, last).shape == (10, 6)


# -- what is drawn --------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [IMLEClustering, ClusterGANClustering])
def test_interpolation_goes_from_one_cluster_to_the_other(estimator, blobs):
    model = estimator(3, **{**SMALL, "max_epochs": 2}).fit(blobs[0])
    rows = model.interpolate(0, 2, n_steps=5, random_state=3)
    assert rows.shape == (5, 6) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows, model.interpolate(0, 2, n_steps=5, random_state=3))
    back = model.interpolate(2, 0, n_steps=5, random_state=3)
    np.testing.assert_allclose(rows[::-1], back, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rows[:1], model.interpolate(0, 1, random_state=3)[:1], rtol=1e-4)
    still = model.interpolate(1, 1, n_steps=3, random_state=3)
    np.testing.assert_allclose(still, np.repeat(still[:1], 3, 0), rtol=1e-4)
    for bad in ({"cluster_b": 3}, {"cluster_b": -1}, {"cluster_b": 1, "n_steps": 1}):
        with pytest.raises(ValueError, match="must be"):
            model.interpolate(0, **bad)


def test_the_output_fits_the_data(blobs):
    X = (blobs[0] - blobs[0].min()) / np.ptp(blobs[0])
    settings = {**SMALL, "max_epochs": 1}
    bounded = IMLEClustering(3, **settings).fit(X).module_.generator
    linear = IMLEClustering(3, **settings).fit(blobs[0]).module_.generator
    assert isinstance(bounded[-1], nn.Sigmoid) and isinstance(linear[-1], nn.Linear)


def test_digits():
    """What a component generates is, to the encoder, of that component."""
    X, y = load_digits(return_X_y=True)
    settings = {**SMALL, "latent_dim": 10, "lr": 1e-3, "hidden_layer_sizes": (256, 256)}
    model = IMLEClustering(10, **{**settings, "max_epochs": 15}).fit(X)
    for cluster in range(model.n_clusters_):
        rows, labels = model.sample(200, cluster, random_state=0)
        assert rows.min() >= 0 and rows.max() <= 1
        assert (model.predict(rows) == labels).mean() >= 0.95
    assert clustering_accuracy(y, model.labels_) > 0.5


# -- what it trains by ----------------------------------------------------------------------------


def test_the_loss_is_the_weighted_sum_of_the_terms(blobs):
    weights = {"feature_weight": 0.5, "noise_weight": 0.3, "component_weight": 0.7}
    model = IMLEClustering(3, **{**SMALL, "max_epochs": 2}, **weights).fit(blobs[0])
    for record in model.history_:
        assert_loss_is(record, matching=1.0, features=0.5, noise=0.3, component=0.7)


def test_training_follows_its_schedule(blobs):
    betas = []

    class Betas(Callback):
        def on_epoch_end(self, net, **kwargs):
            betas.append(net.optimizer_of("model").param_groups[0]["betas"])

    model = IMLEClustering(3, **{**SMALL, "max_epochs": 2}, callbacks=[Betas()])
    assert phases_of(model, blobs[0])["matching"].lr == {"model": _late_fall}
    assert set(betas) == {(0.5, 0.99)}
    np.testing.assert_array_equal(model.labels_, model.transform(blobs[0]).argmax(1))


@pytest.mark.parametrize("encode_all", [False, True])
def test_the_generator_learns_to_be_told_apart(encode_all):
    model = small_model(nn.Linear(3, 3), nn.Linear(3, 3), encode_all=encode_all)
    model.match({"X": ROWS})["component"].sum().backward()
    assert model.generator.weight.grad.any()


def test_errors_of_the_noise_are_summed():
    model = MatchedGenerator(
        Scaling((3,)),
        nn.Identity(),
        nn.Identity(),
        DiscreteContinuousPrior(2, 2),
        search="global",
        n_samples_per_point=1,
        encode_all=False,
        has_features=False,
        detach_features=False,
        labels_by_encoder=True,
    )
    found = torch.tensor([[1.0, 2.0, 0.0, 3.0]])
    terms = model.code_terms(found, torch.tensor([[0.0, 4.0, 0.0, 1.0]]), torch.tensor([1]))
    assert terms["noise"].item() == 1 + 4
    assert terms["component"].item() == pytest.approx(np.log1p(np.exp(-3)))


def test_centroids_and_their_variance_are_those_of_the_samples():
    model = small_model()
    model.fix_centroids(seed=3)
    generator = torch.Generator().manual_seed(3)
    drawn = [model.prior.sample(200, i, generator=generator)[0] for i in range(2)]
    torch.testing.assert_close(model.centroids, torch.stack([z.mean(0) for z in drawn]))
    spread = torch.stack([z.var(0, correction=0) for z in drawn]).mean()
    torch.testing.assert_close(model.variance, spread)
    squared = (ROWS[:, None] - model.centroids).square().sum(2)
    expected = -squared / (2 * spread)
    torch.testing.assert_close(model.proximity({"X": ROWS}), expected)


def test_equal_memberships_mix_the_components():
    found = small_model().decode(torch.zeros(1, 2))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.5, 0.5]]))


def test_an_encoder_that_would_not_be_used_is_refused(blobs):
    with pytest.raises(ValueError, match="encoder= would not be used"):
        IMLEClustering(3, use_encoder=False, encoder=lambda shape: nn.Identity()).fit(blobs[0])


@pytest.mark.parametrize("estimator", [IMLEClustering, ClusterGANClustering])
def test_noise_whose_squares_overflow_is_refused(estimator, blobs):
    with pytest.raises(ValueError, match="'sigma' parameter"):
        estimator(3, sigma=1e30).fit(blobs[0])
