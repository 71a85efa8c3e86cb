"""What users hand over, taken or refused with advice."""

import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from torch.utils.data import DataLoader, TensorDataset

from skdeepcluster._validation import as_rows, check_image_shape, check_network, check_weight

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


@pytest.mark.parametrize(
    ("thing", "kind", "message"),
    [
        ("rows.parquet", TypeError, "is a path, 'rows.parquet'.*pyarrow"),
        (pathlib.Path("rows.npy"), TypeError, "is a path.*mmap_mode"),
        (TensorDataset(torch.from_numpy(X)), TypeError, "TensorDataset; expected rows. Stack"),
        (DataLoader(TensorDataset(torch.ones(2))), TypeError, "DataLoader; expected rows"),
        (torch.empty(3, 2, device="meta"), ValueError, "holds no numbers"),
        (torch.eye(3).to_sparse(), TypeError, "to_dense.*scipy.sparse"),
        (pd.DataFrame({"codes": list(X)}), ValueError, "DataFrame whose values are vectors"),
        (
            pd.DataFrame({"age": [1], "city": ["Rome"], "plan": pd.Categorical(["free"])}),
            ValueError,
            r"words: 'city', 'plan'; .*OneHotEncoder",
        ),
        (
            pd.DataFrame([list("abcdef")]),
            ValueError,
            r"words: 0, 1, 2, 3, 4, \.\.\.; expected",
        ),
        (pd.Series(list(X)), ValueError, r"Series whose values are vectors.*numpy\.stack"),
        (pd.DataFrame({"codes": X.tolist()}), ValueError, "a column for every number"),
    ],
)
def test_what_holds_rows_but_is_none_is_refused(thing, kind, message):
    with pytest.raises(kind, match=message):
        as_rows(thing)


@pytest.mark.parametrize(
    "rows",
    [
        np.array([["a"]], dtype=object),
        pd.DataFrame({"a": ["1.5", "2"]}),
        pd.DataFrame({"a": [1.0, pd.NA]}, dtype=object),
        pd.DataFrame({"a": pd.Categorical([3, 1])}),
    ],
)
def test_what_might_be_numbers_is_left_to_scikit_learn(rows):
    assert as_rows(rows)[0] is rows


# -- networks -----------------------------------------------------------------------------------


def test_networks_that_share_weights_still_do_so():
    shared = torch.nn.Linear(4, 4)
    first, second = torch.nn.Sequential(shared), torch.nn.Sequential(shared, torch.nn.ReLU())
    copies = {}
    one = check_network(lambda shape, n: first, "encoder", ((4,), 4), (4,), (4,), copies)
    other = check_network(lambda n, shape: second, "decoder", (4, (4,)), (4,), (4,), copies)
    assert one[0] is other[0] is not shared


def uncopyable():
    """A network with a weight that is computed from others, as old weight norm makes it."""
    network = torch.nn.Linear(4, 4)
    network.computed = network.weight * 2
    return network


def test_a_network_that_cannot_be_copied_must_be_new():
    network, draws = uncopyable(), []
    for make, refused in ((lambda *_: network, True), (lambda *_: uncopyable(), False)):
        torch.manual_seed(0)
        if refused:
            with pytest.raises(ValueError, match="encoder returns the same"):
                check_network(make, "encoder", ((4,), 4), (4,), (4,))
        else:
            check_network(make, "encoder", ((4,), 4), (4,), (4,))
        draws.append(torch.rand(()))
    torch.manual_seed(0)
    uncopyable()
    assert draws[1] == torch.rand(())
