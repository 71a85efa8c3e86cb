"""From the user's units and back: precision, types, images, sparse rows and odd columns."""

import copy
import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skdeepcluster.scaling import Scaling, _columns as columns, extremes, fit_scaling

MODES = ["auto", "standard", "minmax", None]


def make_rows(n=60, width=3, seed=0):
    rng = np.random.default_rng(seed)
    return 5 * rng.normal(size=width) + rng.uniform(1, 9, width) * rng.normal(size=(n, width))


def apply(scaling, X):
    X = X.toarray() if sparse.issparse(X) else X
    return scaling(torch.from_numpy(np.ascontiguousarray(X)))


def round_trip(scaling, X):
    return scaling.inverse(apply(scaling, X)).numpy()


def assert_inverse(X, mode, shape=None):
    """What comes back is what went in, to 1e-6 of the spread of its column and 1e-7 of its size."""
    scaling = fit_scaling(X, mode, shape or (X.shape[1],))
    dense = (X.toarray() if sparse.issparse(X) else X).astype(np.float64)
    error = np.abs(round_trip(scaling, X) - dense)
    bound = 1e-6 * np.ptp(dense, axis=0) + 1e-7 * np.abs(dense)
    assert (error <= bound).all()


# -- what "auto" and the others choose ----------------------------------------------------------


@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).uniform(size=(9, 2)),
        np.array([[0, 1], [1, 0]], dtype=np.uint8),
        np.array([[0, 1], [1, 0]], dtype=np.int64),
        np.zeros((4, 2)),
        np.zeros((4, 2), dtype=np.uint8),
        sparse.csr_array((4, 2)),
        sparse.csr_array(np.eye(3)),
    ],
    ids=["uniform", "bits", "integer bits", "zeros", "zero bytes", "no entry", "one-hot"],
)
def test_auto_leaves_data_in_the_unit_interval_alone(X):
    scaling = fit_scaling(X, "auto", (X.shape[1],))
    assert scaling.bounded
    assert scaling.is_identity
    expected = (X.toarray() if sparse.issparse(X) else X).astype(np.float32)
    np.testing.assert_array_equal(apply(scaling, X).numpy(), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_rounding_does_not_choose_the_scaling(dtype):
    """A scaler's last bit lies beyond 0 or 1 by chance, and in one fold but not in another."""
    X = np.random.default_rng(0).uniform(size=(9, 2)).astype(dtype)
    X[0], X[1] = -np.finfo(dtype).eps, 1 + np.finfo(dtype).eps
    kinds = [X] if dtype is np.float16 else [X, sparse.csr_array(X)]  # scipy has no such type
    for rows, mode in itertools.product(kinds, ("auto", None)):
        scaling = fit_scaling(rows, mode, (2,))
        assert scaling.bounded
        assert scaling.is_identity


def test_of_sparse_rows_rounding_does_not_choose_the_sign():
    X = sparse.csr_array(np.array([[0, 8.0], [2, 0], [-1e-15, 0]]))
    assert fit_scaling(X, "auto", (2,)).bounded


def test_the_scaling_of_a_min_max_scaler_s_rows_does_not_hang_on_the_data_set():
    rng = np.random.default_rng(0)
    sets = [MinMaxScaler().fit_transform(rng.normal(size=(100, 50))) for _ in range(20)]
    assert max(X.max() for X in sets) > 1  # there is something to ignore
    assert all(fit_scaling(X, "auto", (50,)).bounded for X in sets)


@pytest.mark.parametrize(
    "X", [np.array([[-0.1], [1.0]]), np.array([[0.0], [1.1]]), np.array([[-1e-3], [1e-3]])]
)
def test_what_leaves_the_unit_interval_by_more_is_standardised(X):
    assert not fit_scaling(X, "auto", (1,)).bounded


@pytest.mark.parametrize("mode", ["minmax", "standard"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_column_that_varies_by_rounding_alone_is_constant(mode, dtype):
    X = make_rows().astype(dtype)
    X[:, 0] = 0.3
    X[::2, 0] = np.nextafter(dtype(0.3), dtype(1))
    scaled = apply(fit_scaling(X, mode, (3,)), X).numpy()
    assert np.ptp(scaled[:, 0]) < 1e-6
    assert np.ptp(scaled[:, 1]) > 0.9


def test_auto_divides_bytes_by_255():
    X = np.array([[0, 128], [7, 255]], dtype=np.uint8)
    scaling = fit_scaling(X, "auto", (2,))
    assert scaling.bounded
    np.testing.assert_allclose(apply(scaling, X).numpy(), X / 255, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int16])
def test_auto_standardises_other_columns(dtype):
    X = (10 * make_rows()).astype(dtype)
    scaling = fit_scaling(X, "auto", (3,))
    assert not scaling.bounded
    expected = StandardScaler().fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(apply(scaling, X).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("sign", "bounded"), [(1, True), (-1, False)])
def test_auto_divides_sparse_rows_by_their_largest_magnitude(sign, bounded):
    X = sparse.csr_array(np.array([[0, sign * 8.0], [2, 0], [0, 0]]))
    scaling = fit_scaling(X, "auto", (2,))
    assert scaling.bounded is bounded
    np.testing.assert_allclose(apply(scaling, X).numpy(), X.toarray() / 8)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_minmax_maps_every_column_to_the_unit_interval(kind):
    X = make_rows()
    scaling = fit_scaling(kind(X), "minmax", (3,))
    assert scaling.bounded
    np.testing.assert_allclose(apply(scaling, X), MinMaxScaler().fit_transform(X), atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_standard_is_that_of_scikit_learn_also_for_sparse_rows(kind):
    X = make_rows()
    scaling = fit_scaling(kind(X), "standard", (3,))
    np.testing.assert_allclose(apply(scaling, X), StandardScaler().fit_transform(X), atol=1e-5)


@pytest.mark.parametrize(("X", "bounded"), [(make_rows(), False), (np.full((3, 3), 0.5), True)])
def test_none_leaves_everything_alone(X, bounded):
    scaling = fit_scaling(X, None, (3,))
    assert scaling.is_identity
    assert scaling.bounded is bounded
    np.testing.assert_array_equal(apply(scaling, X).numpy(), X.astype(np.float32))


def test_data_longer_than_a_chunk_is_seen_whole(monkeypatch):
    monkeypatch.setattr(columns, "CHUNK", 8 * 3 * 64)
    X = make_rows(2 * 64 + 7)
    X[-1] += 1000
    scaling = fit_scaling(X, "auto", (3,))
    np.testing.assert_allclose(scaling.offset.numpy(), X.mean(0), rtol=1e-6)
    np.testing.assert_allclose(1 / scaling.factor.numpy(), X.std(0), rtol=1e-6)
    assert fit_scaling(X, "minmax", (3,)).inverse(torch.ones(1, 3)).numpy() == pytest.approx(X[-1:])


@pytest.mark.parametrize("mode", ["auto", "standard", "minmax"])
def test_wide_sparse_rows_are_never_made_dense(mode):
    """Here 4096 dense rows would take 3.3 GB, and the entries take 2 MB."""
    X = sparse.random_array((5000, 100_000), density=2e-4, format="csr", rng=0) - 0
    X.data -= 0.7
    tracemalloc.start()
    fit_scaling(X, mode, (100_000,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


def test_wide_dense_rows_are_copied_a_few_at_a_time():
    X = np.random.default_rng(0).normal(size=(3000, 20_000)).astype(np.float16)
    tracemalloc.start()
    fit_scaling(X, "standard", (20_000,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.size * 8 / 2


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_sparse_images_are_scaled_per_channel(kind):
    images = np.where(make_rows(40, 2 * 3 * 3) > 2, make_rows(40, 2 * 3 * 3), 0)
    found = fit_scaling(kind(images), "standard", (2, 3, 3))
    pixels = images.reshape(40, 2, 9).swapaxes(0, 1).reshape(2, -1)
    np.testing.assert_allclose(found.offset.numpy(), np.repeat(pixels.mean(1), 9), rtol=1e-6)
    np.testing.assert_allclose(1 / found.factor, np.repeat(pixels.std(1), 9), rtol=1e-6)


# -- mixed tables and components ----------------------------------------------------------------


def make_mixed(n=200, seed=0):
    """Three numeric columns, one-hot columns of four levels, and a flag."""
    rng = np.random.default_rng(seed)
    levels = np.eye(4)[rng.choice(4, n, p=[0.9, 0.05, 0.03, 0.02])]
    return np.column_stack([make_rows(n), levels, rng.random(n) < 0.3])


def test_auto_judges_column_by_column():
    X = make_mixed()
    scaled = apply(fit_scaling(X, "auto", (8,)), X).numpy()
    np.testing.assert_allclose(scaled[:, :3], StandardScaler().fit_transform(X[:, :3]), atol=1e-5)
    np.testing.assert_array_equal(scaled[:, 3:], X[:, 3:])
    assert_inverse(X, "auto")


def test_what_was_scaled_before_stays_as_it_is():
    X = make_mixed()
    X[:, :3] = StandardScaler().fit_transform(X[:, :3])
    np.testing.assert_allclose(apply(fit_scaling(X, "auto", (8,)), X).numpy(), X, atol=1e-5)


@pytest.mark.parametrize("values", [(1, 2), (-1, 1), (0, 100), (-0.3, 3.1)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_two_values_are_0_and_1_in_any_unit(values, dtype):
    X = make_mixed()
    expected = X[:, 7].copy()
    X[:, 7] = np.where(expected == 1, values[1], values[0])
    scaled = apply(fit_scaling(X.astype(dtype), "auto", (8,)), X.astype(dtype)).numpy()
    np.testing.assert_allclose(scaled[:, 7], expected, atol=1e-6)


def test_a_row_of_weight_zero_does_not_make_a_third_value(monkeypatch):
    monkeypatch.setattr(columns, "CHUNK", 8 * 8 * 10)
    X, weight = make_mixed(), np.ones(200)
    X[-1, 7], weight[-1] = 0.5, 0
    assert fit_scaling(X, "auto", (8,), weight).factor[7] == 1
    assert fit_scaling(X, "auto", (8,)).factor[7] > 2


def test_pixels_of_two_values_are_scaled_as_their_channel():
    images = 7 + make_rows(40, 9)
    images[:, 4] = np.where(images[:, 4] > 7, 9, 3)
    assert len(fit_scaling(images, "auto", (1, 3, 3)).factor.unique()) == 1


def make_components(maker=PCA, n=300, **options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 8)) @ rng.normal(size=(8, 12)) + 5
    return maker(6, random_state=0, **options).fit_transform(X)


@pytest.mark.parametrize(
    "X",
    [
        make_components(),
        make_components().astype(np.float16),
        make_components(svd_solver="randomized").astype(np.float32),
        make_components(TruncatedSVD),
        1e-6 * make_components(),
        np.column_stack([make_components(), 1e-12 * make_rows(300)]),
    ],
    ids=["pca", "half precision", "randomised", "svd", "small unit", "with rounding"],
)
def test_components_keep_their_proportions(X):
    scaling = fit_scaling(X, "auto", (X.shape[1],))
    scaled = apply(scaling, X).double().numpy()
    assert scaling.factor.ndim == 0
    spread = X.astype(np.float64).std(0)
    np.testing.assert_allclose(scaled.std(0) / scaled.std(0)[0], spread / spread[0], atol=1e-3)
    assert np.mean(scaled.var(0)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("weight", [None, np.ones(300)])
def test_what_is_no_list_of_components_is_standardised(weight):
    X = make_components()
    related = np.column_stack([X[:, 0], 0.5 * X[:, 0] + X[:, 1]])
    for rows in (X[:, ::-1], related, X + 50, X[:, :1]):
        assert fit_scaling(rows, "auto", (rows.shape[1],), weight).factor.ndim == 1


def test_a_one_hot_block_is_no_list_of_components():
    levels = np.eye(3)[np.repeat([0, 1, 2], [150, 90, 60])]
    spread = make_components()[:, :1] / make_components()[:, 0].std()
    residue = spread - levels @ np.linalg.lstsq(levels, spread, rcond=None)[0]
    for X in (5 * levels, np.column_stack([residue, levels])):
        scaling = fit_scaling(X, "auto", (X.shape[1],))
        assert scaling.segments[-1] == ("category", 3)
        np.testing.assert_array_equal(apply(scaling, X)[:, -3:], levels)


def test_weights_decide_what_is_orthogonal():
    X = make_components()
    weight = np.r_[np.ones(300), np.zeros(100)]
    rows = np.vstack([X, 9 + X[:100]])
    assert fit_scaling(rows, "auto", (6,), weight).factor.ndim == 0
    assert fit_scaling(rows, "auto", (6,)).factor.ndim == 1


# -- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_rows_of_weight_zero_are_left_out(mode, kind, monkeypatch):
    monkeypatch.setattr(columns, "CHUNK", 8 * 3 * 10)  # one chunk has no row that counts
    X, weight = make_rows(50), np.repeat([1.0, 0.0, 2.0], [20, 10, 20])
    weight[::7] = 0
    X[weight == 0] *= 100
    found = fit_scaling(kind(X), mode, (3,), weight).state_dict()
    kept = fit_scaling(kind(X[weight > 0]), mode, (3,), weight[weight > 0]).state_dict()
    for name, expected in kept.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-6, atol=1e-6)


def test_weights_equal_repeated_rows():
    X = make_rows(50)
    counts = np.random.default_rng(1).integers(3, size=50)
    weighted = fit_scaling(X, "standard", (3,), counts.astype(float))
    scaled_up = fit_scaling(X, "standard", (3,), 7.0 * counts)
    repeated = fit_scaling(np.repeat(X, counts, axis=0), "standard", (3,))
    for name, expected in repeated.state_dict().items():
        for found in (weighted, scaled_up):
            atol = 1e-6 if name == "rest" else 0
            torch.testing.assert_close(found.state_dict()[name], expected, rtol=1e-6, atol=atol)


def test_weights_of_images_count_for_all_their_pixels():
    images = make_rows(20, 2 * 3 * 3)
    counts = np.random.default_rng(1).integers(1, 4, size=20)
    weighted = fit_scaling(images, "standard", (2, 3, 3), counts.astype(float))
    repeated = fit_scaling(np.repeat(images, counts, axis=0), "standard", (2, 3, 3))
    torch.testing.assert_close(weighted.offset, repeated.offset)
    torch.testing.assert_close(weighted.factor, repeated.factor)


# -- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["standard", "minmax"])
def test_images_have_one_offset_and_one_factor_per_channel(mode):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(30, 2, 4, 5)) * np.array([1.0, 50.0])[:, None, None] + 7
    scaling = fit_scaling(images.reshape(30, -1), mode, (2, 4, 5))
    axes = (0, 2, 3)
    if mode == "standard":
        low, size = images.mean(axes, keepdims=True), images.std(axes, keepdims=True)
    else:
        low, size = images.min(axes, keepdims=True), np.ptp(images, axis=axes, keepdims=True)
    found = apply(scaling, images.reshape(30, -1))
    assert found.shape == (30, 2, 4, 5)
    np.testing.assert_allclose(found.numpy(), (images - low) / size, atol=1e-5)
    back = scaling.inverse(found)
    assert back.shape == (30, 40)
    np.testing.assert_allclose(
        back.numpy(), images.reshape(30, -1), rtol=0, atol=1e-6 * np.ptp(images)
    )


# -- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.float16, np.uint8, np.int8, np.int16, np.int32, np.int64]
)
def test_the_inverse_brings_back_every_type(dtype, mode):
    assert_inverse((10 * np.abs(make_rows())).astype(dtype), mode)


@pytest.mark.parametrize("mode", ["auto", "standard", "minmax"])
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_time_stamps_keep_their_resolution(dtype, mode):
    """Seconds since 1970 within one minute: float32 would round them to steps of 128."""
    rng = np.random.default_rng(0)
    X = (1.7e9 + 60 * rng.uniform(size=(200, 2))).astype(dtype)
    scaling = fit_scaling(X, mode, (2,))
    scaler = MinMaxScaler() if mode == "minmax" else StandardScaler()
    expected = scaler.fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(apply(scaling, X).numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(round_trip(scaling, X), X, rtol=0, atol=1e-3)


@pytest.mark.parametrize("mode", ["auto", "standard", "minmax"])
@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e-3, 1e3, 1e12, 1e30])
def test_units_of_any_size_are_brought_to_order_one(unit, mode):
    X = unit * make_rows()
    assert 0.1 < apply(fit_scaling(X, mode, (3,)), X).abs().max() < 10
    assert_inverse(X, mode)


@pytest.mark.parametrize("mode", ["standard", "minmax"])
@pytest.mark.parametrize("value", [0.0, -3.0, 1.7e9, 1e-9])
def test_constant_columns_become_constant_and_come_back(value, mode):
    X = make_rows()
    X[:, 1] = value
    scaling = fit_scaling(X, mode, (3,))
    scaled = apply(scaling, X)[:, 1]
    assert (scaled == scaled[0]).all()
    assert abs(scaled[0]) < 1e-3
    np.testing.assert_allclose(round_trip(scaling, X)[:, 1], X[:, 1], rtol=1e-7, atol=1e-9)
    assert scaling(torch.from_numpy(X + 1))[:, 1].isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_values_too_large_for_float32_are_refused(mode):
    X = np.array([[1e36, 0.0], [-1e36, 1.0]]) * (1 if mode else 1e-22)
    scaling = fit_scaling(X, mode, (2,))
    scaling.check(*extremes(X))
    assert apply(scaling, X).isfinite().all()
    np.testing.assert_allclose(round_trip(scaling, X), X, rtol=1e-6)
    with pytest.raises(ValueError, match=r"1e\+300.*too large.*another unit"):
        fit_scaling(-1e300 * (X / X.max()), mode, (2,))


def test_rows_that_scaling_makes_too_large_are_refused():
    """The rows of a fit may be tiny, and later ones need not be."""
    scaling = fit_scaling(np.array([[0.0, 0.0], [1.0, 1e-30]]), "minmax", (2,))
    scaling.check(np.array([1e30, 1.0]), np.array([1e30, 1.0]))
    with pytest.raises(ValueError, match=r"1e\+40 in column 1"):
        scaling.check(np.array([1e30, 1e10]), np.array([1e30, 1e10]))


def test_unscaled_values_leave_room_for_their_squares():
    with pytest.raises(ValueError, match=r"1e\+20 in column 0.*at most 1e\+15"):
        fit_scaling(np.array([[1e20], [0]]), None, (1,))


@pytest.mark.parametrize("mode", MODES)
def test_spreads_too_small_for_float32_count_as_none(mode):
    X = 2.0 + np.zeros((4, 2))
    X[:, 1] = [0, 1e-60, 2e-60, 3e-60]
    assert apply(fit_scaling(X, mode, (2,)), X).isfinite().all()


# -- the module ---------------------------------------------------------------------------------


def test_scaling_is_part_of_the_state_and_survives_copies():
    X = 1.7e9 + make_rows()
    scaling = fit_scaling(X, "auto", (3,))
    other = Scaling((3,), offset=np.zeros(3), factor=np.full(3, 2.0))
    other.load_state_dict(scaling.state_dict())
    for twin in (copy.deepcopy(scaling), pickle.loads(pickle.dumps(scaling)), other):
        assert torch.equal(apply(twin, X), apply(scaling, X))
        np.testing.assert_array_equal(round_trip(twin, X), round_trip(scaling, X))
    assert not list(scaling.parameters())
    assert {buffer.dtype for buffer in scaling.buffers()} == {torch.float32}


@pytest.mark.parametrize("mode", MODES)
def test_results_have_the_types_and_shapes_that_networks_and_users_expect(mode):
    X = make_rows().astype(np.float32)
    scaling = fit_scaling(X, mode, (3,))
    scaled = apply(scaling, X).requires_grad_()
    assert (scaled.dtype, scaled.shape) == (torch.float32, (60, 3))
    back = scaling.inverse(scaled)
    assert (back.dtype, back.shape, back.requires_grad) == (torch.float64, (60, 3), False)


def test_fitting_reads_a_memory_map_and_leaves_it(tmp_path):
    X = make_rows()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found, expected = (fit_scaling(rows, "auto", (3,)).state_dict() for rows in (mapped, X))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
