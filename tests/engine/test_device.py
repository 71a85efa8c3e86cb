"""Devices, and the global generators that a training must not disturb."""

import os
import random
import threading

import numpy as np
import pytest
import torch
from toys import JUDGE, PLAY, make_rows, make_trainer, same, weights

import skdeepcluster.engine.device as device_module
from skdeepcluster.engine.device import (
    alone,
    precision_on,
    resolve_device,
    seeded,
    settled,
    training,
)
from skdeepcluster.engine.schedule import Phase
from skdeepcluster.engine.table import Table

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", ["cpu", CPU])
def test_a_device_that_is_there_is_taken(device):
    assert resolve_device(device) == CPU


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")],
)
def test_auto_takes_the_best_device(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("device", ["cuda:77", "gpu", "", "cpu:x", "meta", "hpu", "vulkan"])
def test_a_device_that_is_not_there_is_refused_with_advice(device):
    with pytest.raises(ValueError, match=r'is not available here.*device="auto"'):
        resolve_device(device)


def test_a_seed_gives_its_numbers_and_leaves_all_generators_alone():
    def states():
        numpy_state = np.random.get_state()[1].tolist()
        return torch.get_rng_state(), numpy_state, random.getstate()

    before = states()
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed, CPU):
            draws.append(torch.rand(3))
    after = states()
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_seeded_block_may_contain_another():
    with seeded(1, CPU):
        first = torch.rand(1)
        with seeded(5, CPU):
            inner = torch.rand(1)
        second = torch.rand(1)
    with seeded(1, CPU):
        assert torch.equal(torch.rand(2), torch.cat([first, second]))
    with seeded(5, CPU):
        assert torch.equal(torch.rand(1), inner)


def test_an_error_leaves_the_generator_and_the_lock_alone():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"), seeded(1, CPU):
        torch.rand(1)
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), before)
    entered = []

    def enter():
        with seeded(1, CPU):
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(timeout=10)
    assert entered == [True]


def fit(seed, results):
    with seeded(seed, CPU):
        trainer = make_trainer(model=None)
        torch.rand(seed)
        trainer.run(Table(make_rows()), [Phase("game", [JUDGE, PLAY], epochs=10)])
        results[seed] = weights(trainer.model)


def test_fits_in_threads_give_what_they_give_one_after_the_other():
    serial, threaded = {}, {}
    for seed in range(4):
        fit(seed, serial)
    threads = [threading.Thread(target=fit, args=(seed, threaded)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(threaded[seed], serial[seed]) for seed in range(4))
    assert not same(serial[0], serial[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_while_a_thread_fits_may_fit():
    """The locks that it inherits are held by a thread that it does not have."""
    held, done, owner = threading.Event(), threading.Event(), torch.nn.Identity()

    def hold():
        with alone(owner), training():
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        free = not device_module._FITS and device_module._TRAINING.acquire(blocking=False)
        os._exit(0 if free else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_what_callers_have_set_is_theirs():
    with torch.device("meta"), torch.autocast("cpu"), np.errstate(all="raise"):
        with settled():
            assert torch.zeros(2).device == CPU
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            assert np.float32(1e-30) * np.float32(1e-30) == 0
        assert torch.zeros(2).device.type == "meta"
        assert torch.is_autocast_enabled("cpu")
        assert np.geterr()["under"] == "raise"


@pytest.fixture
def processor(monkeypatch):
    """A function that makes torch report what the processor can do."""

    def report(**capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return report


@pytest.mark.parametrize(
    ("device", "precision", "has_amx", "expected"),
    [
        ("cpu", "float32", False, "float32"),
        ("cpu", "bfloat16", True, "bfloat16"),
        ("cuda", "bfloat16", False, "bfloat16"),
    ],
)
def test_the_precision_is_kept_where_it_pays(device, precision, has_amx, expected, processor):
    processor(amx_bf16=has_amx)
    assert precision_on(torch.device(device), precision) == expected


@pytest.mark.parametrize("capabilities", [{"amx_bf16": False}, {"neon": True}])
def test_a_precision_that_does_not_pay_is_ignored_with_a_warning(capabilities, processor):
    processor(**capabilities)
    with pytest.warns(UserWarning, match="no AMX"):
        assert precision_on(CPU, "bfloat16") == "float32"
