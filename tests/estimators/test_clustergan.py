"""ClusterGANClustering: what is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback
from torch import nn

from skdeepcluster import ClusterGANClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy

SMALL = {
    "latent_dim": 2,
    "hidden_layer_sizes": (64, 64),
    "batch_size": 32,
    "lr": 2e-3,
    "device": "cpu",
    "random_state": 0,
}


@pytest.mark.parametrize(("game", "n_critic"), [("wasserstein", 5), ("standard", 1)])
def test_the_generator_uses_up_no_rows(blobs, game, n_critic):
    """Algorithm 3.2: rows for every update of the critic, and noise alone for the generator's.

    150 rows in batches of 32 are 5 updates of the critic an epoch, 30 in six epochs.
    """
    seen = []

    class Counted(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            names = [name for name, _ in named_parameters]
            seen.append("critic" if names[0].startswith("critic") else "generator")

    settings = {**SMALL, "max_epochs": 6, "callbacks": [Counted()]}
    model = ClusterGANClustering(3, adversarial_loss=game, **settings).fit(blobs[0])
    assert model.history_[0]["phase"] == "game"
    assert seen == (["critic"] * n_critic + ["generator"]) * (30 // n_critic)


def test_the_critic_learns_at_its_own_rate(blobs):
    def critic_after(**params):
        settings = {**SMALL, "max_epochs": 1, **params}
        return ClusterGANClustering(3, **settings).fit(blobs[0]).module_.critic[0].weight

    assert not torch.equal(critic_after(), critic_after(critic_lr=1e-4))
    torch.testing.assert_close(critic_after(), critic_after(critic_lr=2e-3))


def test_codes_are_the_priors(blobs):
    model = ClusterGANClustering(3, **SMALL, max_epochs=60).fit(blobs[0])
    codes = model.transform(blobs[0])
    assert codes.shape == (150, 5)
    np.testing.assert_allclose(codes[:, 2:].sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(codes[:, 2:].argmax(1), model.predict(blobs[0]))
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9


def test_generated_rows_stay_in_the_unit_interval():
    X, _ = load_small_digits(return_X_y=True)
    model = ClusterGANClustering(10, **SMALL, max_epochs=2).fit(X[:200])
    rows, _ = model.sample(50, random_state=0)
    assert rows.min() >= 0 and rows.max() <= 1


@pytest.mark.parametrize("sizes", [(), (7,), np.array([9, 5])], ids=str)
def test_hidden_sizes_are_those_asked_for(blobs, sizes):
    settings = {**SMALL, "hidden_layer_sizes": sizes, "max_epochs": 1}
    networks = ClusterGANClustering(3, **settings).fit(blobs[0]).module_
    assert _widths(networks.encoder) == [*sizes, 5]
    assert _widths(networks.critic) == [*sizes, 1]
    assert _widths(networks.generator) == [*reversed(sizes), 6]


def _widths(network: nn.Sequential) -> list[int]:
    return [layer.out_features for layer in network if isinstance(layer, nn.Linear)]


def test_batch_norm_asks_for_two_rows_an_update(blobs):
    with pytest.raises(ValueError, match=r"'batch_size' .* must be an int in the range"):
        ClusterGANClustering(3, **{**SMALL, "batch_size": 1}).fit(blobs[0])


def test_dead_components_are_dropped(blobs):
    with pytest.warns(UserWarning, match="have members"):
        model = ClusterGANClustering(40, **SMALL, max_epochs=10).fit(blobs[0])
    assert model.n_clusters_ < 40
    assert model.predict_proba(blobs[0]).shape == (150, model.n_clusters_)
    np.testing.assert_array_equal(model.labels_, model.predict(blobs[0]))
    np.testing.assert_array_equal(np.unique(model.labels_), np.arange(model.n_clusters_))
    rows, labels = model.sample(20, cluster=model.n_clusters_ - 1, random_state=0)
    assert rows.shape == (20, 6) and (labels == model.n_clusters_ - 1).all()
    model.set_params(n_clusters=1)  # for a later fit
    np.testing.assert_array_equal(model.sample(20, labels[0], random_state=0)[0], rows)


def test_a_critic_of_ones_own(blobs):
    def critic(shape):
        return nn.Sequential(nn.Linear(shape[0], 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))

    model = ClusterGANClustering(3, critic=critic, **SMALL, max_epochs=2).fit(blobs[0])
    assert isinstance(model.module_.critic[1], nn.Tanh)
    with pytest.raises(ValueError, match="critic maps"):
        ClusterGANClustering(3, critic=lambda s: nn.Linear(s[0], 2), **SMALL).fit(blobs[0])


@pytest.mark.parametrize("game", ["wasserstein", "standard"])
def test_digits(game):
    """Far from the best method on small data, but well above chance, which is below .2."""
    X, y = load_small_digits(return_X_y=True)
    settings = {**SMALL, "latent_dim": 10, "lr": 1e-3, "hidden_layer_sizes": (256, 256)}
    model = ClusterGANClustering(10, adversarial_loss=game, **settings, max_epochs=30).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.25


def test_the_critic_may_have_widths_of_its_own(blobs):
    def widths(**params):
        model = ClusterGANClustering(3, **{**SMALL, "max_epochs": 1}, **params).fit(blobs[0])
        critic = model.module_.critic
        return [layer.out_features for layer in critic if isinstance(layer, nn.Linear)]

    assert widths() == [*SMALL["hidden_layer_sizes"], 1]
    assert widths(critic_hidden_layer_sizes=(7,)) == [7, 1]
