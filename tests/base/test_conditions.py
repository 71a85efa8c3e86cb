"""Parameters that would change nothing are refused: every condition that an estimator declares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from torch import nn

import skdeepcluster
from skdeepcluster import ClusterGANClustering, IMLEClustering, IMSATClustering
from skdeepcluster.base._conditions import MattersIf, check_conditions


def network(*arguments):
    return nn.Identity()


# A value of every such parameter that somebody has chosen.
CHOSEN: dict[str, Any] = {
    "augment": network,
    "balance_weight": 2.0,
    "information_weight": 2.0,
    "n_neighbors": 4,
    "radius": 2.0,
    "component_weight": 2.0,
    "conditional": False,
    "critic": network,
    "critic_hidden_layer_sizes": (3,),
    "critic_lr": 0.1,
    "decoder": network,
    "decoder_epochs": 3,
    "detach_features": True,
    "encoded_samples": "all",
    "encoder": network,
    "epochs_per_refresh": 3,
    "explained_variance": 0.5,
    "feature_weight": 2.0,
    "group_decay": 0.25,
    "head": "kmeans",
    "head_params": {"min_samples": 3},
    "init": [0, 1, 2, 0, 1, 2],
    "init_epochs": 3,
    "manifold": None,
    "manifold_params": {"n_neighbors": 7},
    "matching_weight": 2.0,
    "max_latent_dim": 3,
    "max_samples": 50,
    "min_cluster_size": 0.1,
    "n_critic": 3,
    "n_samples_per_point": 3,
    "noise": "nearest",
    "noise_weight": 2.0,
    "penalty_weight": 2.0,
    "pretrain_epochs": 3,
    "refresh_size": None,
    "sample_scale": 2.0,
    "unsettled": "last",
    "vade_epochs": 3,
}
# Settings with which parameters do not matter, and with which they do; of one name in several
# estimators those that the estimator has.
IDLE: dict[str, dict[str, Any]] = {
    "augment": {"perturbation": "random"},
    "information_weight": {"objective": "iic"},
    "radius": {"perturbation": "augment"},
    "critic": {"clustering_loss": "kl", "regularizer": "mmd"},
    "critic_hidden_layer_sizes": {"critic": network},
    "decoder": {"reconstruction_weight": 0, "pretrain_epochs": 0, "decoder_epochs": 0},
    "decoder_epochs": {"reconstruction_weight": 1.0},
    "detach_features": {"feature_weight": 0},
    "encoder": {"label_source": "centroid_alone"},
    "epochs_per_refresh": {"outlier_weight": 0},
    "explained_variance": {"latent_dim": 2},
    "group_decay": {"n_groups": 1},
    "head": {"init": [0, 1, 2, 0, 1, 2]},
    "init": {"balanced_share": 0},
    "manifold_params": {"manifold": None},
    "min_cluster_size": {"head": "gmm", "n_clusters": 3, "outlier_weight": 0},
    "noise": {"head": "gmm"},
    "n_critic": {"clustering_loss": "kl", "regularizer": "mmd"},
    "n_samples_per_point": {"balanced_share": 1},
    "penalty_weight": {"adversarial_loss": "standard"},
    "pretrain_epochs": {"init": "kmeans"},
    "unsettled": {"max_rounds": 0},
}
# Of one estimator, where others of the name would be refused.
OWN_IDLE = {
    "AAEClustering-pretrain_epochs": {"init": "random"},
    "SPCClustering-manifold_params": {"init": [0], "recluster": None},
}
ACTIVE: dict[str, dict[str, Any]] = {
    "detach_features": {"feature_weight": 1.0},
    "manifold_params": {"manifold": "umap"},
    "min_cluster_size": {"head": "hdbscan"},
    "noise": {"head": "hdbscan"},
}

DECLARED = [
    (getattr(skdeepcluster, name), condition)
    for name in skdeepcluster.__all__
    for condition in getattr(skdeepcluster, name)._conditions
]
IDS = [f"{kind.__name__}-{condition.names[0]}" for kind, condition in DECLARED]


def made(kind: type, settings: dict[str, Any], **more: Any) -> Any:
    """Return an estimator with those of the settings that it has."""
    own = kind().get_params()
    return kind(**{name: value for name, value in settings.items() if name in own}, **more)


def idle_settings(kind: type, condition: MattersIf) -> dict[str, Any]:
    name = condition.names[0]
    return OWN_IDLE.get(f"{kind.__name__}-{name}", IDLE[name])


@pytest.mark.parametrize(("kind", "condition"), DECLARED, ids=IDS)
class TestEveryCondition:
    def test_a_chosen_value_that_changes_nothing_is_refused_by_fit(self, kind, condition):
        idle = idle_settings(kind, condition)
        for name in condition.names:
            estimator = made(kind, {**idle, name: CHOSEN[name]})
            assert not condition.holds(estimator)
            message = rf"^{name}=.* would have no effect: .*{name} at its default, "
            with pytest.raises(ValueError, match=message):
                estimator.fit(np.eye(6))

    def test_defaults_pass(self, kind, condition):
        estimator = made(kind, idle_settings(kind, condition))
        assert not condition.holds(estimator)
        check_conditions(estimator)

    def test_a_value_that_matters_passes(self, kind, condition):
        for name in condition.names:
            estimator = made(kind, {**ACTIVE.get(condition.names[0], {}), name: CHOSEN[name]})
            assert condition.holds(estimator)
            check_conditions(estimator)
            estimator._validate_params()

    def test_it_says_why_and_what_to_do(self, kind, condition):
        reason = condition.otherwise.format_map({name: "" for name in kind().get_params()})
        assert reason and condition.way_out[0].isupper() and not condition.way_out.endswith(".")


def test_a_condition_may_hang_on_the_shape_of_a_row():
    """Images are augmented by default, so that no step is taken; other rows take steps."""
    model = IMSATClustering(2, radius=2.0, max_epochs=1, hidden_layer_sizes=(4,), device="cpu")
    with pytest.raises(ValueError, match=r"radius=2\.0 would have no effect: these rows are augm"):
        model.fit(np.random.rand(20, 8, 8))
    model.fit(np.random.rand(20, 12))  # the same estimator, after the images


def test_the_message_names_the_argument_the_value_why_and_the_way_out():
    estimator = ClusterGANClustering(penalty_weight=3.0, adversarial_loss="standard")
    with pytest.raises(ValueError) as caught:
        estimator.fit(np.eye(6))
    assert str(caught.value) == (
        "penalty_weight=3.0 would have no effect: there is no gradient penalty with "
        "adversarial_loss='standard'. Use adversarial_loss='wasserstein', or leave penalty_weight "
        "at its default, 10.0."
    )


def test_searches_and_clones_go_on_until_a_fit():
    estimator = IMLEClustering(label_source="centroid_alone", noise_weight=1.0)
    other = clone(estimator).set_params(label_source="encoder")
    assert other.noise_weight == 1.0
    check_conditions(other)


def test_defaults_are_those_of_whoever_names_the_parameter():
    class Owner:
        _conditions = (MattersIf(("sizes", "params"), lambda self: False, "so", "Do"),)

        def __init__(self, sizes=(16,), params=None):
            self.sizes, self.params = sizes, params

    class Quiet(Owner):
        def __init__(self, more=1, **rest):
            super().__init__(**rest)

    for sizes in ((16,), [16], np.array([16])):
        check_conditions(Owner(sizes, {}))
        check_conditions(Quiet(sizes=sizes))
    for wrong in (Owner((17,)), Quiet(sizes=(16, 16)), Owner(params={"a": 1})):
        with pytest.raises(ValueError, match=r"would have no effect: so\. Do, or leave"):
            check_conditions(wrong)
