"""IMLEClustering: what is its own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from schedules import assert_loss_is, phases_of
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback
from torch import nn

from skdeepcluster import ClusterGANClustering, IMLEClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.estimators.imle import _late_fall
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.networks import make_mlp

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (64, 64),
    "batch_size": 32,
    "lr": 2e-3,
    "max_epochs": 30,
    "device": "cpu",
    "random_state": 0,
}
WITHOUT_ENCODER = {"prior": "gaussian_mixture", "label_source": "centroid_alone"}
VARIANTS = {
    "simple": {**WITHOUT_ENCODER, "search": "global"},
    "2s": WITHOUT_ENCODER,
    "encoder": {},
    "encoder-centroid": {"label_source": "centroid"},
    "final": {"feature_weight": 0.5},
    "final-centroid": {"feature_weight": 0.5, "label_source": "centroid"},
}


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_rows_are_pulled_several_times_for_a_matching(blobs):
    calls = []

    class Counted(nn.Sequential):
        def forward(self, z):
            calls.append((self.training, z))
            return super().forward(z)

    def decoder(n_inputs, shape):
        return Counted(*make_mlp((5, 8, *shape)))

    settings = {**SMALL, "max_epochs": 1, "batch_size": 150}
    IMLEClustering(3, updates_per_matching=3, decoder=decoder, **settings).fit(blobs[0])
    codes = [z for training, z in calls if training and len(z) >= 150]
    assert len(codes) == 3
    assert codes[0].equal(codes[1]) and codes[0].equal(codes[2])


# -- components that come to life and die ---------------------------------------------------------


def test_rows_are_assigned_evenly_at_first(blobs):
    settings = {**SMALL, "batch_size": 150, "max_epochs": 2}
    even = IMLEClustering(3, balanced_share=1, **settings).fit(blobs[0][:120])
    assert even.module_.matches.tolist() == [40, 40, 40]
    free = IMLEClustering(3, balanced_share=0, **settings).fit(blobs[0][:120])
    assert free.module_.matches.tolist() != [40, 40, 40]


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
    model = IMLEClustering(3, **SMALL, label_source="centroid_alone").fit(blobs[0])
    codes, proba = model.transform(blobs[0]), model.predict_proba(blobs[0])
    assert (codes <= 0).all()
    np.testing.assert_array_equal(codes.argmax(1), model.labels_)
    np.testing.assert_allclose(torch.from_numpy(codes).softmax(1), proba, atol=1e-6)
    assert model.module_.encoder is None


def test_features_are_those_of_a_sequence_of_layers(blobs):
    with pytest.raises(ValueError, match="got Linear"):
        IMLEClustering(
            3, latent_dim=2, feature_weight=1.0, encoder=lambda shape, n: nn.Linear(*shape, n)
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
    X, y = load_small_digits(return_X_y=True)
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


@pytest.mark.parametrize("estimator", [IMLEClustering, ClusterGANClustering])
def test_noise_whose_squares_overflow_is_refused(estimator, blobs):
    with pytest.raises(ValueError, match="'sigma' parameter"):
        estimator(3, sigma=1e30).fit(blobs[0])
