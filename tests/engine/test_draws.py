"""The random numbers of a fit: the same from its own generators and from torch's."""

import threading

import pytest
import torch
from sklearn.base import clone
from toys import JUDGE, PLAY, make_rows, make_trainer, same, weights

from skdeepcluster import DECClustering, IMLEClustering, VaDEClustering
from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.model import Model
from skdeepcluster.engine.schedule import Phase
from skdeepcluster.engine.table import Table
from skdeepcluster.models.dec import DEC
from skdeepcluster.models.vade import VaDE

CPU = torch.device("cpu")
SMALL = {"latent_dim": 2, "hidden_layer_sizes": (16,), "max_epochs": 2, "device": "cpu"}


def numbers(draws, n=3):
    return torch.rand(n, generator=draws.on(CPU))


def test_a_stream_goes_on_wherever_it_is_drawn_from():
    expected = torch.rand(12, generator=torch.Generator().manual_seed(7))
    before, draws = torch.get_rng_state(), Draws(7, CPU)
    found = [numbers(draws)]
    with draws.as_global():
        found.append(torch.rand(3))
        with draws.aside():
            assert torch.equal(torch.get_rng_state(), before)
            found.append(numbers(draws))
        with draws.as_global():
            found.append(torch.rand(3))
    assert torch.equal(torch.cat(found), expected)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("lent", [False, True])
def test_a_state_is_restored_wherever_it_is(lent):
    draws = Draws(3, CPU)

    def look():
        state = draws.state()
        first = numbers(draws) if not lent else torch.rand(3)
        draws.restore(state)
        return first, numbers(draws) if not lent else torch.rand(3)

    if lent:
        with draws.as_global():
            first, again = look()
    else:
        first, again = look()
    assert torch.equal(first, again)


def test_another_default_type_outside_keeps_the_fit_to_itself():
    """Torch's default type is global as well, and another fit would take it away."""
    before, draws = torch.get_default_dtype(), Draws(3, CPU)
    torch.set_default_dtype(torch.float64)
    try:
        with draws.as_global(), draws.aside():
            assert draws.on(CPU) is None
            assert torch.get_default_dtype() == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_a_training_is_the_same_with_generators_of_its_own():
    phases = [Phase("game", [JUDGE, PLAY], epochs=3)]
    models = []
    for aside in (False, True):
        draws = Draws(5, CPU)
        with draws.as_global():
            trainer = make_trainer(draws=draws)
            if aside:
                with draws.aside():
                    trainer.run(Table(make_rows()), phases)
            else:
                trainer.run(Table(make_rows()), phases)
        models.append(weights(trainer.model))
    assert same(*models)


def meet(monkeypatch, model, loss, barrier):
    """Let fits wait for one another in a loss, which those that wait for a lock never would."""
    own = getattr(model, loss)

    def waiting(self, batch):
        barrier.wait()
        return own(self, batch)

    monkeypatch.setattr(model, loss, waiting)


@pytest.mark.parametrize(
    ("estimator", "model", "loss"),
    [
        (VaDEClustering(3, pretrain_epochs=2, **SMALL), VaDE, "negative_elbo"),
        (DECClustering(3, pretrain_epochs=2, tol=0, **SMALL), DEC, "both"),
    ],
    ids=["vade", "dec"],
)
def test_fits_in_threads_train_side_by_side_as_one_after_the_other(
    blobs, monkeypatch, estimator, model, loss
):
    expected = [_fitted(estimator, seed, blobs) for seed in (0, 1)]
    meet(monkeypatch, model, loss, threading.Barrier(2, timeout=60))
    found: dict[int, object] = {}

    def fit(seed):
        found[seed] = _fitted(estimator, seed, blobs)

    threads = [threading.Thread(target=fit, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, serial in enumerate(expected):
        torch.testing.assert_close(found[seed], serial, rtol=0, atol=0)
    assert not torch.equal(*expected)


def _fitted(estimator, seed, blobs):
    model = clone(estimator).set_params(random_state=seed, batch_size=50).fit(blobs[0])
    return torch.from_numpy(model.transform(blobs[0]))


def drawing_encoder(shape, n_outputs):
    return torch.nn.Sequential(torch.nn.Linear(*shape, n_outputs), torch.nn.Dropout(0.3))


def test_networks_of_a_user_may_draw_from_torch(blobs):
    """Their fits wait for one another, and so are the same every time."""
    params = {**SMALL, "encoder": drawing_encoder, "random_state": 0}
    before = torch.get_rng_state()
    one, other = (IMLEClustering(3, **params).fit(blobs[0]) for _ in range(2))
    assert (one.transform(blobs[0]) == other.transform(blobs[0])).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_must_say_that_its_losses_draw_with_its_own():
    assert not Model.owns_draws
