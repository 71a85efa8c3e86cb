"""What users hand over, taken or refused with advice."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    TrainEndCheckpoint,
)

from skdeepcluster.validation import (
    RESERVED,
    as_rows,
    check_callbacks,
    check_image_shape,
    check_network,
    check_trainer_params,
    check_weight,
)

# -- rows ---------------------------------------------------------------------------------------

X = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    "rows", [X, X.tolist(), sparse.csr_array(X), pd.DataFrame(X), pl.DataFrame(X), np.array(3)]
)
def test_rows_pass_as_they_are(rows):
    found, shape = as_rows(rows)
    assert found is rows
    assert shape is None


def test_images_of_several_sizes_are_refused():
    with pytest.raises(ValueError, match=r"2 shapes, such as \(2, 2\) and \(2, 3\)"):
        as_rows([np.zeros((2, 3)), np.zeros((2, 2))])


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (X.reshape(4, 2, 3), (2, 3)),
        (X.reshape(4, 1, 2, 3), (1, 2, 3)),
        (X.reshape(4, 3, 2, 1), (3, 2, 1)),
        (np.zeros((0, 8, 8)), (8, 8)),
    ],
)
def test_images_become_rows(images, shape):
    found, own = as_rows(images)
    assert own == shape
    assert found.shape == (len(images), np.prod(shape))
    np.testing.assert_array_equal(found.reshape(images.shape), images)
    assert found.size == 0 or np.shares_memory(found, images)


@pytest.mark.parametrize("kind", [list, tuple, np.ndarray.tolist])
def test_a_list_of_images_becomes_rows(kind):
    found, shape = as_rows(kind(X.reshape(4, 2, 3)))
    assert shape == (2, 3)
    np.testing.assert_array_equal(found, X)


def test_images_with_their_channels_last_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"channels last.*transpose\(0, 3, 1, 2\)"):
        as_rows(np.zeros((5, 28, 28, 3)))
    found, shape = as_rows(np.zeros((5, 28, 28, 3)).transpose(0, 3, 1, 2))
    assert (found.shape, shape) == ((5, 2352), (3, 28, 28))


@pytest.mark.parametrize(
    ("tensor", "dtype"),
    [
        (torch.ones(4, 6, requires_grad=True), np.float32),
        (torch.ones(4, 6, dtype=torch.float64), np.float64),
        (torch.ones(4, 6, dtype=torch.bfloat16), np.float32),
        (torch.ones(4, 6, dtype=torch.uint8), np.uint8),
        (torch.ones(4, 6, dtype=torch.bool), np.uint8),
    ],
)
def test_tensors_become_arrays(tensor, dtype):
    found, _ = as_rows(tensor)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.ones((4, 6)))


def test_a_tensor_of_images_becomes_rows():
    found, shape = as_rows(torch.ones(4, 2, 3))
    assert (found.shape, shape) == ((4, 6), (2, 3))


@pytest.mark.parametrize("order", ["C", "F"])
def test_bits_become_bytes_without_a_copy(order):
    bits = np.asarray(X > 11, order=order)
    bits.flags.writeable = False
    found, _ = as_rows(bits)
    assert found.dtype == np.uint8
    assert np.shares_memory(found, bits)
    np.testing.assert_array_equal(found, X > 11)


# -- image_shape --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image_shape", "row_shape", "expected"),
    [
        (None, None, (192,)),
        (None, (8, 24), (1, 8, 24)),
        (None, (3, 8, 8), (3, 8, 8)),
        ((3, 8, 8), None, (3, 8, 8)),
        ([3, 8, 8], (3, 8, 8), (3, 8, 8)),
        (np.array([1, 8, 24]), (8, 24), (1, 8, 24)),
    ],
)
def test_the_shape_of_an_input_is_found(image_shape, row_shape, expected):
    assert check_image_shape(image_shape, row_shape, 192) == expected


@pytest.mark.parametrize(
    ("image_shape", "row_shape", "expected"),
    [
        ((3, 8, 9), None, "product is 192"),
        ((8, 24), None, "product is 192"),
        ((-3, -8, 8), None, "product is 192"),
        ((3, 8, 8), (8, 24), r"\(1, 8, 24\)"),
        ((8, 24), (8, 24), r"\(1, 8, 24\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(image_shape, row_shape, expected):
    with pytest.raises(ValueError, match=f"does not fit the data.*{expected}"):
        check_image_shape(image_shape, row_shape, 192)


# -- weights ------------------------------------------------------------------------------------


def test_weights_have_mean_1_over_the_rows_that_count():
    weight = check_weight([0, 1, 2, 0], X)
    np.testing.assert_allclose(weight, [0, 2 / 3, 4 / 3, 0])
    np.testing.assert_allclose(check_weight([0, 5e-300, 1e-299, 0], X), weight)
    np.testing.assert_allclose(check_weight([0, 8e307, 1.6e308, 0], X), weight)
    assert check_weight(None, X) is None
    np.testing.assert_array_equal(check_weight(3.0, X), np.ones(4))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -1, 1, 1], "[Nn]egative"),
        ([0, 0, 0, 0], "zero"),
        ([1, np.nan, 1, 1], "NaN"),
        ([1, np.inf, 1, 1], "infinity"),
        ([1, 1], "shape"),
        (np.ones((4, 1)), "1D"),
        (["a", "b", "c", "d"], "could not convert"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        check_weight(weight, X)


# -- callbacks and parameters of skorch ---------------------------------------------------------


def test_callbacks_are_copied():
    stopper = EarlyStopping(monitor="train_loss")
    named = ("clip", GradientNormClipping(1.0))
    found = check_callbacks([stopper, named, EpochTimer])
    stopper.misses_ = 7
    assert found[0] is not stopper
    assert found[0].misses_ == 0
    assert found[1][0] == "clip"
    assert found[1][1] is not named[1]
    assert found[2] is EpochTimer
    assert check_callbacks(None) == []
    assert len(check_callbacks(np.array([stopper, EpochTimer()]))) == 2


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Checkpoint(), "Checkpoint saves skorch's net.*checkpoint=.*joblib"),
        (("saver", TrainEndCheckpoint()), "TrainEndCheckpoint saves"),
        (Checkpoint, "Checkpoint saves"),
        (EarlyStopping(), "'valid_loss'.*no validation set.*train_loss"),
        (EarlyStopping, "'valid_loss'"),
        (("stop", EarlyStopping(monitor="valid_acc")), "'valid_acc'"),
        (EpochScoring("r2"), "EpochScoring compares predictions with targets"),
        (("score", BatchScoring("r2")), "BatchScoring compares"),
        (print, "must be skorch callbacks"),
        ("disable", "must be skorch callbacks"),
    ],
)
def test_callbacks_that_cannot_work_are_refused(callback, message):
    with pytest.raises(ValueError, match=message):
        check_callbacks([EpochTimer(), callback])


def test_parameters_of_the_trainer_pass_as_a_copy():
    params = {
        "optimizer__weight_decay": 1e-5,
        "critic_optimizer__lr": 0.1,
        "callbacks__clip__gradient_clip_value": 2.0,
        "compile": True,
    }
    found = check_trainer_params(params)
    assert found == params
    assert found is not params
    assert check_trainer_params(None) == {}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_parameters_that_are_the_estimators_own_are_refused(name):
    with pytest.raises(ValueError, match=f"cannot set '{name}'"):
        check_trainer_params({"optimizer__eps": 1e-8, name: 1})


@pytest.mark.parametrize(
    "name", ["module__width", "criterion__x", "dataset__length", "iterator_train__shuffle"]
)
def test_parameters_of_parts_that_are_not_skorchs_are_refused(name):
    with pytest.raises(ValueError, match=f"cannot set '{name}'"):
        check_trainer_params({name: 1})


# -- networks -----------------------------------------------------------------------------------


def test_networks_that_share_weights_still_do_so():
    shared = torch.nn.Linear(4, 4)
    first, second = torch.nn.Sequential(shared), torch.nn.Sequential(shared, torch.nn.ReLU())
    copies = {}
    one = check_network(lambda shape: first, "encoder", (4,), (4,), (4,), copies)
    other = check_network(lambda shape: second, "decoder", (4,), (4,), (4,), copies)
    assert one[0] is other[0] is not shared


def uncopyable():
    """A network with a weight that is computed from others, as old weight norm makes it."""
    network = torch.nn.Linear(4, 4)
    network.computed = network.weight * 2
    return network


def test_a_network_that_cannot_be_copied_must_be_new():
    network, draws = uncopyable(), []
    for make, refused in ((lambda shape: network, True), (lambda shape: uncopyable(), False)):
        torch.manual_seed(0)
        if refused:
            with pytest.raises(ValueError, match="encoder returns the same"):
                check_network(make, "encoder", (4,), (4,), (4,))
        else:
            check_network(make, "encoder", (4,), (4,), (4,))
        draws.append(torch.rand(()))
    torch.manual_seed(0)
    uncopyable()
    assert draws[1] == torch.rand(())
