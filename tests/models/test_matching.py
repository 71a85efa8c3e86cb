"""The generator that is matched with rows, of IMLE."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.nn import functional as F

from skdeepcluster.engine.schedule import Progress
from skdeepcluster.estimators.imle import _late_fall
from skdeepcluster.models.matching import MatchedGenerator, watch_matches
from skdeepcluster.networks import make_mlp
from skdeepcluster.priors import DiscreteContinuousPrior
from skdeepcluster.scaling import Scaling

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
        return watch_matches(trainer, None, n_balanced=1)

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
    torch.testing.assert_close(model.proximity(ROWS), expected)


def test_equal_memberships_mix_the_components():
    found = small_model().decode(torch.zeros(1, 2))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.5, 0.5]]))
