"""The laws that every public estimator keeps.

Laws of a result (labels, seeds, copies, interruptions, weights) hold for every setting of the
registry. The others, of what is read, refused or told, run over one setting of each class; and how
each type and container is read, which is the table's affair, over classes that read in different
ways.
"""

from __future__ import annotations

import pickle
import random
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from registry import ESTIMATORS, ONE_OF_EACH, expected_failures, matters, stages
from saving import assert_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import Callback
from test_surface import entries
from vocabulary import CONDITIONAL

import skdeepcluster
from skdeepcluster._tiles import TILE
from skdeepcluster.base import DeepClusterer, HeadedClusterer, _fitted
from skdeepcluster.engine.table import Table
from skdeepcluster.networks import make_decoder, make_encoder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

one_of_each = pytest.mark.parametrize("name", ONE_OF_EACH)
# They read batches of one plan, neighbours among all rows, rows of each network, and a subset.
of_each_reader = pytest.mark.parametrize(
    "name", ["autoencoder", "imle", "kdvae-kmeans", "spc-members"]
)
MAKERS = ("inverse_transform", "score_samples", "score", "sample")


def brief(estimator: DeepClusterer, **params: object) -> DeepClusterer:
    """Shorten the training, for tests that are not about its result."""
    short = stages(estimator, 2)
    return clone(estimator).set_params(**{**short, **params})


def results(model: DeepClusterer, X: object) -> list[np.ndarray]:
    """Everything that a fitted estimator says of rows."""
    names = ("predict", "transform", "predict_proba", "score_samples")
    return [getattr(model, name)(X) for name in names if hasattr(model, name)]


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_public_estimator_is_registered():
    public = {getattr(skdeepcluster, name) for name in skdeepcluster.__all__}
    assert {type(estimator) for estimator in ESTIMATORS.values()} == public


@parametrize_with_checks(
    [ESTIMATORS[name] for name in ONE_OF_EACH], expected_failed_checks=expected_failures
)
def test_scikit_learn_checks(estimator, check):
    """Only checks of clustering and of equal results of weights need more than a brief training."""
    long = re.search("check_clustering|equivalence", repr(check))
    check(estimator if long else brief(estimator))


# -- quality ----------------------------------------------------------------------------------


def test_blobs_come_out_right(fitted, blobs):
    assert adjusted_rand_score(blobs[1], fitted.labels_) > 0.9
    assert fitted.n_clusters_ == 3


# -- law 1: labels, predictions and probabilities agree ---------------------------------------


def test_labels_are_predictions(fitted, blobs):
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(blobs[0]))
    assert fitted.labels_.dtype == np.intp
    np.testing.assert_array_equal(np.unique(fitted.labels_), np.arange(fitted.n_clusters_))


@one_of_each
def test_what_a_fit_leaves_is_described(fitted):
    """And what is described is there, but for what hangs on a condition."""
    described = {name for name, _ in entries(type(fitted)) if name.endswith("_")}
    found = {name for name in vars(fitted) if name.endswith("_") and name[0] != "_"}
    assert found <= described
    assert {name for name in described if not hasattr(fitted, name)} <= CONDITIONAL


def test_probabilities_agree_with_predictions(fitted, blobs):
    if not hasattr(fitted, "predict_proba"):
        pytest.skip("memberships of this head are not probabilities")
    proba = fitted.predict_proba(blobs[0])
    assert proba.shape == (len(blobs[0]), fitted.n_clusters_)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(proba.argmax(1), fitted.predict(blobs[0]))


@one_of_each
def test_fit_predict_and_fit_transform_equal_fit(estimator, blobs):
    short = brief(estimator)
    fitted = clone(short).fit(blobs[0])
    np.testing.assert_array_equal(clone(short).fit_predict(blobs[0]), fitted.labels_)
    np.testing.assert_array_equal(clone(short).fit_transform(blobs[0]), fitted.transform(blobs[0]))


# -- law 2: a row's result is its own ---------------------------------------------------------


def test_rows_do_not_depend_on_the_rows_beside_them(fitted, blobs):
    X = np.tile(blobs[0], (4, 1)) + np.linspace(0, 1, 600, dtype=np.float32)[:, None]
    whole = results(fitted, X)
    order = np.random.RandomState(0).permutation(len(X))
    assert_same([r[order] for r in whole], results(fitted, X[order]))
    assert_same([r[:7] for r in whole], results(fitted, X[:7]))
    assert_same([r[99:100] for r in whole], results(fitted, X[99:100]))


def test_inference_leaves_the_model_alone(fitted, blobs):
    before = {k: v.clone() for k, v in fitted.module_.state_dict().items()}
    results(fitted, blobs[0])
    assert not fitted.module_.training
    assert all(torch.equal(v, before[k]) for k, v in fitted.module_.state_dict().items())
    assert all(p.grad is None for p in fitted.module_.parameters())


# -- law 3: seeds -----------------------------------------------------------------------------


def test_one_seed_gives_one_result(estimator, blobs):
    short = brief(estimator)
    one, other = clone(short).fit(blobs[0]), clone(short).fit(blobs[0])
    assert_same(results(one, blobs[0]), results(other, blobs[0]))
    third = clone(short).set_params(random_state=1).fit(blobs[0])
    assert not np.array_equal(one.transform(blobs[0]), third.transform(blobs[0]))


@one_of_each
def test_several_fits_are_one_estimator(estimator, blobs):
    """Whatever a method learns, that of one fit is there, and nothing of the others."""
    model = brief(estimator, n_init=2).fit(blobs[0])
    assert model.run_agreement_.shape == (2,)
    np.testing.assert_array_equal(model.labels_, model.predict(blobs[0]))
    assert len(model.history_) == model.n_iter_
    first = brief(estimator).fit(blobs[0])
    assert vars(model).keys() - {"run_agreement_"} == vars(first).keys()
    if model.run_agreement_.max() == 1:
        assert adjusted_rand_score(first.labels_, model.labels_) == 1


@one_of_each
def test_refit_equals_fit(estimator, blobs):
    model = brief(estimator).fit(blobs[0])
    first = results(model, blobs[0])
    assert_same(first, results(model.fit(blobs[0]), blobs[0]))


@one_of_each
def test_global_generators_are_untouched(estimator, blobs):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    model = brief(estimator).fit(blobs[0])
    everything(model, blobs[0])
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


@one_of_each
def test_without_a_seed_numpy_is_drawn_from_once(estimator, blobs):
    short = brief(estimator, random_state=None)
    np.random.seed(5)
    one = clone(short).fit(blobs[0]).transform(blobs[0])
    np.random.seed(5)
    np.testing.assert_array_equal(one, clone(short).fit(blobs[0]).transform(blobs[0]))


@contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_type(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


AMBIENT = {
    "without gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "another default type": lambda: default_type(torch.float64),
    "another default device": lambda: default_device("meta"),
    "inside of another device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "numpy raises": lambda: np.errstate(all="raise"),
    "frames out of transformers": lambda: config_context(transform_output="pandas"),
}


@pytest.mark.parametrize("state", AMBIENT)
@one_of_each
def test_what_the_caller_has_set_changes_nothing(name, estimator, blobs, state):
    if name not in _EXPECTED:
        _EXPECTED[name] = everything(brief(estimator).fit(blobs[0]), blobs[0])
    with AMBIENT[state]():
        model = brief(estimator).fit(blobs[0])
        found = everything(model, blobs[0])
    assert_same(_EXPECTED[name], [np.asarray(values) for values in found])


_EXPECTED: dict[str, list[np.ndarray]] = {}


def everything(model: DeepClusterer, X: np.ndarray) -> list[np.ndarray]:
    """Everything that a fitted estimator says of rows, and makes."""
    if not model._decodes:
        return results(model, X)
    rows, labels = model.sample(9, random_state=0)
    back = model.inverse_transform(np.asarray(model.transform(X)))
    return [*results(model, X), rows, labels, back, np.array(model.score(X))]


@pytest.mark.parametrize("verbose", [1, 2])
@one_of_each
def test_a_program_without_a_console_fits(estimator, blobs, monkeypatch, verbose):
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    assert brief(estimator, verbose=verbose).fit(blobs[0]).n_iter_ > 0


@pytest.mark.parametrize("backend", ["threading", "loky"])
@one_of_each
def test_parallel_fits_equal_serial_ones(estimator, blobs, backend):
    models = [brief(estimator, random_state=seed) for seed in (0, 1)]
    serial = [clone(model).fit(blobs[0]).transform(blobs[0]) for model in models]
    with joblib.parallel_config(backend, n_jobs=2):
        fits = joblib.Parallel()(joblib.delayed(clone(m).fit)(blobs[0]) for m in models)
    for fit, codes in zip(fits, serial, strict=True):
        np.testing.assert_allclose(fit.transform(blobs[0]), codes, rtol=1e-4, atol=1e-5)


@one_of_each
def test_threads_may_fit_one_object(estimator, blobs):
    expected = results(brief(estimator).fit(blobs[0]), blobs[0])
    model = brief(estimator)
    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(model.fit, blobs[0]) for _ in range(2)]:
            assert job.result() is model
    assert_same(expected, results(model, blobs[0]))
    assert len(model.history_) == model.n_iter_


def test_threads_may_predict_while_another_fits(fitted, blobs):
    expected = fitted.predict(blobs[0])
    with ThreadPoolExecutor(2) as pool:
        fit = pool.submit(brief(fitted).fit, blobs[0])
        for _ in range(3):
            np.testing.assert_array_equal(pool.submit(fitted.predict, blobs[0]).result(), expected)
        assert fit.result().n_iter_ > 0


# -- law 5: copies ----------------------------------------------------------------------------


def test_pickles_are_the_same(fitted, blobs):
    file = BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    for copied in (pickle.loads(pickle.dumps(fitted)), joblib.load(file)):
        assert_equal(fitted, copied, blobs[0])


def test_a_saved_file_is_the_estimator(fitted, blobs, tmp_path):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    first = path.read_bytes()
    loaded = skdeepcluster.load(path)
    assert_equal(fitted, loaded, blobs[0])
    loaded.save(str(path))
    assert path.read_bytes() == first


def test_skops_keeps_a_pipeline(fitted, blobs):
    """It is told to trust the class of the estimator, and nothing else."""
    skops = pytest.importorskip("skops.io")
    pipeline = make_pipeline(StandardScaler().fit(blobs[0]), fitted)
    stored = skops.dumps(pipeline)
    kind = type(fitted)
    own = [f"{kind.__module__}.{kind.__qualname__}"]
    assert skops.get_untrusted_types(data=stored) == own
    assert_equal(fitted, skops.loads(stored, trusted=own)[-1], blobs[0])


def test_the_network_alone_says_what_the_estimator_does(fitted, blobs):
    X = np.resize(blobs[0], (TILE, 6))  # as many rows as inference has in a tile, bit for bit
    rows = torch.from_numpy(X).requires_grad_()
    codes = fitted.network()(rows)
    np.testing.assert_array_equal(codes.detach().numpy(), fitted.transform(X))
    codes.sum().backward()
    assert torch.isfinite(rows.grad).all() and rows.grad.any()
    if not hasattr(fitted, "predict_proba"):
        with pytest.raises(ValueError, match="no network calculates probabilities"):
            fitted.network("probabilities")
        return
    network = fitted.network("probabilities")
    found = network(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(found, fitted.predict_proba(X), rtol=1e-5, atol=1e-6)
    assert not any(p is q for p in network.parameters() for q in fitted.module_.parameters())


def test_a_fitted_estimator_is_small(fitted, blobs):
    X = np.tile(blobs[0], (27, 1))  # from 4096 rows on, UMAP would have to be compiled
    big = brief(fitted).fit(X)
    of_rows = [value for name, value in vars(big).items() if name[-1] == "_" != name[0]]
    told = sum(each.nbytes for each in of_rows if np.shape(each) == (len(X),))  # as labels_
    assert len(pickle.dumps(big)) - told < X.nbytes
    assert not any("optimizer" in key for key in vars(big) if key not in big.get_params())


@one_of_each
def test_fit_leaves_parameters_alone(estimator, blobs):
    before = joblib.hash(estimator.get_params())
    assert joblib.hash(brief(estimator).fit(blobs[0]).get_params()) == joblib.hash(
        brief(estimator).get_params()
    )
    assert joblib.hash(estimator.get_params()) == before


# -- law 6: input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        lambda X: X[::-1][::-1],
        lambda X: X.astype(X.dtype.newbyteorder()),
        pd.DataFrame,
        lambda X: pl.DataFrame(X, schema=[f"c{i}" for i in range(X.shape[1])]),
        torch.from_numpy,
        lambda X: X.tolist(),
    ],
    ids=["fortran", "negative strides", "big endian", "pandas", "polars", "torch", "list"],
)
@of_each_reader
def test_kinds_of_input_give_one_result(name, estimator, blobs, convert):
    X = np.round(blobs[0], 2)
    if name not in _ROUNDED:
        _ROUNDED[name] = brief(estimator).fit(X).transform(X)
    model = brief(estimator).fit(convert(X.copy()))
    found = model.transform(convert(X.copy()))
    np.testing.assert_allclose(found, _ROUNDED[name], rtol=1e-3, atol=1e-4)


_ROUNDED: dict[str, np.ndarray] = {}


@pytest.mark.parametrize(
    "dtype",
    [np.float64, np.float16, np.uint8, np.uint16, np.uint32, np.int64, bool, ">f8", ">u2"],
)
@of_each_reader
def test_types_of_input(estimator, blobs, dtype):
    X = np.abs(blobs[0] * 10 if dtype is not bool else blobs[0] > 0).astype(dtype)
    model = brief(estimator).fit(X)
    wanted = np.float64 if np.dtype(dtype).kind == "f" and X.itemsize == 8 else np.float32
    assert model.transform(X).dtype == wanted
    made = everything(model, X)
    floats = [each for each in made if each.dtype.kind == "f" and each.ndim > 1]
    assert {each.dtype for each in floats} == {np.dtype(wanted)}
    assert all(np.isfinite(each).all() for each in made)


@one_of_each
def test_memory_map_equals_array(estimator, blobs, tmp_path):
    np.save(tmp_path / "X.npy", blobs[0])
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    one, other = brief(estimator).fit(blobs[0]), brief(estimator).fit(mapped)
    assert_same(results(one, blobs[0]), results(other, mapped))


@pytest.mark.parametrize("dtype", ["u2", "u4", ">f4", ">f8", ">i2"])
@one_of_each
def test_no_type_is_cast_as_a_whole(estimator, blobs, tmp_path, monkeypatch, dtype):
    """A memory map of any type stays one, in fit and in predict, also where some rows weigh 0."""
    np.save(tmp_path / "X.npy", np.abs(blobs[0] * 10).astype(dtype))
    mapped, tables = np.load(tmp_path / "X.npy", mmap_mode="r"), []
    monkeypatch.setattr(
        _fitted, "Table", lambda X, *args, **kw: tables.append(X) or Table(X, *args, **kw)
    )
    estimator = brief(estimator, **stages(estimator, 0))
    model = estimator.fit(mapped, sample_weight=np.arange(len(mapped)))
    codes = model.transform(mapped)
    assert len(tables) > 1 and all(np.shares_memory(X, mapped) for X in tables)
    native = np.array(mapped, dtype=np.float64)
    assert_same([codes.astype(np.float32)], [model.transform(native).astype(np.float32)])


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array])
@one_of_each
def test_sparse_equals_dense(estimator, blobs, kind):
    X = np.where(blobs[0] > 0, blobs[0], 0)
    options = {"scaling": "standard"}
    one = brief(estimator, **options).fit(X)
    other = brief(estimator, **options).fit(kind(X))
    np.testing.assert_allclose(one.transform(X), other.transform(kind(X)), rtol=1e-3, atol=1e-4)


def shuffled_csr(X: np.ndarray) -> sparse.csr_array:
    """Rows whose entries stand in no order, one of them in two parts; and read-only."""
    rows = sparse.csr_array(np.where(X > 0, X, 0))
    indices, data = rows.indices[::-1], rows.data[::-1]  # of all rows, in reverse
    indptr = rows.indptr[-1] - rows.indptr[::-1]
    twice = np.concatenate([indptr[:1], indptr[1:] + 1])
    data = np.concatenate([[data[0] - 1, 1], data[1:]]).astype(X.dtype)
    arrays = data, np.concatenate([indices[:1], indices]), twice
    for array in arrays:
        array.flags.writeable = False
    return sparse.csr_array(arrays, shape=X.shape)


def test_sparse_rows_in_no_order_are_read_and_left_alone(estimator, blobs):
    """Threads share a matrix, and joblib hands out read-only ones: nobody may put it in order."""
    X = shuffled_csr(blobs[0])
    arrays = X.data, X.indices, X.indptr
    before = [array.copy() for array in arrays]
    model = brief(estimator).fit(X)
    found = results(model, X)
    assert_same(before, arrays)
    assert X.data is arrays[0] and not X.has_canonical_format
    tidy = sparse.csr_array(X.toarray())
    assert_same(results(brief(estimator).fit(tidy), tidy), found)


@one_of_each
def test_dense_rows_are_left_alone(estimator, blobs):
    X = blobs[0].copy()
    X.flags.writeable = False
    results(brief(estimator).fit(X, sample_weight=np.ones(len(X))), X)
    np.testing.assert_array_equal(X, blobs[0])


@one_of_each
def test_rounding_of_a_scaler_changes_nothing(estimator, blobs):
    """In [0, 1] up to the last bit is in [0, 1]: the model and the unit of its scores are one."""
    X = MinMaxScaler().fit_transform(blobs[0].astype(np.float64))
    one = brief(estimator).fit(X.clip(0, 1))
    X[X.argmin(0), range(6)], X[X.argmax(0), range(6)] = -1e-16, 1 + 2.3e-16
    other = brief(estimator).fit(X)
    assert other.module_.scaling.bounded
    for a, b in zip(results(one, X), results(other, X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@one_of_each
def test_names_of_columns_are_kept(estimator, blobs):
    frame = pd.DataFrame(blobs[0], columns=list("abcdef"))
    model = brief(estimator).fit(frame)
    assert list(model.feature_names_in_) == list("abcdef")
    codes = model.set_output(transform="pandas").transform(frame)
    assert list(codes.columns) == list(model.get_feature_names_out())
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(blobs[0])


@one_of_each
def test_columns_that_stand_for_clusters_are_named_so(fitted, blobs):
    """Beside them a code is as wide as `latent_dim` says; IMLE's codes are nothing else."""
    codes, names = fitted.transform(blobs[0]), fitted.get_feature_names_out()
    clusters = ["_cluster" in name for name in names]
    width = getattr(fitted, "latent_dim_", getattr(fitted, "latent_dim", codes.shape[1]))
    if not isinstance(fitted, skdeepcluster.IMLEClustering) and hasattr(fitted, "latent_dim"):
        assert clusters == [False] * width + [True] * (codes.shape[1] - width)
    if any(clusters):
        told = [int(name.partition("_cluster")[2]) for name in names[clusters]]
        assert told == list(range(len(told)))
        found = codes[:, clusters][:, fitted._clusters.live].argmax(1)
        np.testing.assert_array_equal(found, fitted.labels_)


@one_of_each
def test_images_keep_their_shape(name, blobs):
    estimator = ESTIMATORS[name]
    images = np.random.RandomState(0).uniform(size=(40, 9, 7)).astype(np.float32)
    sizes = {"hidden_layer_sizes": (4, 8)} if hasattr(estimator, "hidden_layer_sizes") else {}
    model = brief(estimator, **sizes).fit(images)
    assert model.n_features_in_ == 63
    flat = brief(estimator, **sizes, image_shape=(1, 9, 7))
    flat.fit(images.reshape(40, 63))
    np.testing.assert_array_equal(flat.transform(images.reshape(40, 63)), model.transform(images))
    with pytest.raises(ValueError, match=r"images of shape \(1, 7, 9\).* = \(1, 9, 7\)"):
        model.predict(images.swapaxes(1, 2))
    with pytest.raises(ValueError, match=r"is one image; expected \(n_samples, 9, 7\)"):
        model.predict(images[0])


@pytest.mark.usefixtures("decoding")
@one_of_each
@pytest.mark.parametrize("shape", [(9, 7), (3, 9, 7)])
def test_generated_images_have_the_shape_of_images(estimator, shape):
    images = np.random.RandomState(0).uniform(size=(40, *shape)).astype(np.float32)
    model = brief(estimator, hidden_layer_sizes=(4, 8)).fit(images)
    assert model.inverse_transform(model.transform(images[:3])).shape == (3, *shape)
    assert model.sample(2, random_state=0)[0].shape == (2, *shape)


@pytest.mark.usefixtures("decoding")
@one_of_each
def test_generated_pixels_are_pixels(estimator):
    pixels = np.random.RandomState(0).choice([0, 255], size=(40, 12)).astype(np.uint8)
    model = brief(estimator).fit(pixels)
    for rows in (
        model.sample(20, random_state=0)[0],
        model.inverse_transform(9 * model.transform(pixels)),
    ):
        assert rows.min() >= 0
        assert rows.max() <= 255


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_clusters_that_live_are_numbered_one_after_another(name):
    """Of six clusters of three different rows, some must die."""
    rows = np.repeat(np.eye(3, 6), 15, axis=0) * 9
    asked = ESTIMATORS[name].n_clusters
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        n_clusters = asked if asked == "auto" else 6
        model = brief(ESTIMATORS[name], n_clusters=n_clusters, max_epochs=6).fit(rows)
    kinds = [re.sub(r"\d+", "#", str(warning.message)) for warning in caught]
    assert len(set(kinds)) == len(kinds)  # and each says how often it was
    assert set(model.labels_) - {-1} == set(range(model.n_clusters_))
    assert len(model.code_centers_) == len(model.cluster_centers_) == model.n_clusters_
    if hasattr(model, "predict_proba"):
        assert model.predict_proba(rows).shape == (45, model.n_clusters_)
    drawn = model.sample(30, random_state=0)[1] if model._decodes else []
    assert set(drawn) <= set(range(model.n_clusters_))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1.0, np.nan], [2, 3], [4, 5], [1, 1]]), "NaN"),
        (np.array([[1.0, np.inf], [2, 3], [4, 5], [1, 1]]), "infinity"),
        (np.ones((4, 2)) * 1j, "[Cc]omplex"),
        (np.array([["a", "b"]] * 4), "convert|numeric"),
        (np.empty((0, 2)), "0 sample"),
        (np.ones((1, 2)), "minimum of 2"),
        (np.ones(5), "2D array"),
        (np.ones((2, 2)), "n_clusters"),
        (np.ones((5, 6, 6, 3)), "channels last"),
    ],
    ids=["nan", "inf", "complex", "text", "empty", "one row", "1-d", "few rows", "channels last"],
)
@one_of_each
def test_bad_input_is_explained(estimator, X, message):
    with pytest.raises(ValueError, match=message):
        brief(estimator).fit(X)


@pytest.mark.parametrize(
    "X",
    [np.zeros((20, 3)), np.ones((20, 3)) * 7, np.eye(20, 3) * 1e8, np.arange(20.0)[:, None]],
    ids=["zeros", "constant", "huge", "one column"],
)
@one_of_each
def test_odd_data_gives_a_result(estimator, X):
    model = brief(estimator).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert model.n_clusters_ >= 1


@pytest.mark.parametrize("n_clusters", [1, 2])
@one_of_each
def test_few_clusters(estimator, blobs, n_clusters):
    finds = estimator.n_clusters == "auto"
    head = {"head": "gmm", "min_cluster_size": 0.02} if finds else {}  # one that takes a number
    model = brief(estimator, n_clusters=n_clusters, **head).fit(blobs[0])
    assert 1 <= model.n_clusters_ <= n_clusters


@pytest.mark.parametrize("far", [1e20, -9e36])
def test_a_row_of_nowhere_has_probabilities(fitted, blobs, far):
    """Its squares overflow, and an overflow divided by another one would be no number."""
    if not hasattr(fitted, "predict_proba") or hasattr(fitted, "head"):
        pytest.skip("other clusterers have their own limits")
    rows = blobs[0][:3].copy()
    rows[0, 0] = far
    proba = fitted.predict_proba(rows)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(proba[1:], fitted.predict_proba(blobs[0][:3])[1:])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_rows_that_overflow_float32_are_refused(fitted, blobs, kind):
    rows = blobs[0][:3].astype(np.float64)
    rows[1, 4] = -1e300
    for name in ("predict", "predict_proba", "transform", "score_samples", "score"):
        if hasattr(fitted, name):
            with pytest.raises(ValueError, match=r"1e\+300 in column 4.*float32"):
                getattr(fitted, name)(kind(rows))
    with pytest.raises(ValueError, match=r"1e\+300 in column 4.*float32"):
        brief(fitted).fit(kind(rows))
    rows[1, 4] = 1e37
    assert np.isfinite(fitted.transform(kind(rows))).all()


@pytest.mark.parametrize(
    ("scale", "kind"), [(1e-310, sparse.csr_array), (1e-40, np.asarray), (1e30, np.asarray)]
)
@one_of_each
def test_any_unit_gives_finite_codes(estimator, blobs, scale, kind):
    X = kind(np.where(np.abs(blobs[0]) > 5, blobs[0], 0) * scale)  # with values below 0
    model = brief(estimator).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert all(torch.isfinite(value).all() for value in model.module_.state_dict().values())


def test_wrong_width_is_explained(fitted, blobs):
    with pytest.raises(ValueError, match="expecting 6 features"):
        fitted.predict(blobs[0][:, :4])
    if fitted._decodes:
        with pytest.raises(ValueError, match="transform"):
            fitted.inverse_transform(np.ones((2, 77)))


@one_of_each
def test_y_is_ignored(estimator, blobs):
    one = brief(estimator).fit(blobs[0])
    other = brief(estimator).fit(blobs[0], y=["?"] * len(blobs[0]))
    assert_same(results(one, blobs[0]), results(other, blobs[0]))


@one_of_each
def test_not_fitted(estimator, blobs):
    for name in ("predict", "transform", "predict_proba", *MAKERS):
        if hasattr(estimator, name):
            argument = 1 if name == "sample" else blobs[0]
            with pytest.raises(NotFittedError):
                getattr(estimator, name)(argument)


# -- weights ----------------------------------------------------------------------------------


def test_rows_of_weight_zero_are_absent(estimator, blobs):
    keep = np.arange(len(blobs[0])) % 3 > 0
    one = brief(estimator).fit(blobs[0][keep])
    other = brief(estimator).fit(blobs[0], sample_weight=keep.astype(float))
    np.testing.assert_allclose(
        one.transform(blobs[0]), other.transform(blobs[0]), rtol=1e-3, atol=1e-4
    )
    assert len(other.labels_) == len(blobs[0])


@one_of_each
def test_weights_cost_no_copy_of_the_rows(estimator, blobs, monkeypatch):
    tables = []
    monkeypatch.setattr(
        _fitted, "Table", lambda X, *args, **kw: tables.append(X) or Table(X, *args, **kw)
    )
    brief(estimator).fit(blobs[0], sample_weight=np.arange(len(blobs[0])))  # one of them 0
    assert tables and all(np.shares_memory(X, blobs[0]) for X in tables)


def test_clusters_are_described_by_weighted_rows(estimator, blobs):
    weight = np.where(blobs[1] == 0, 8.0, 1.0) * (np.arange(len(blobs[0])) % 3 > 0)
    model = clone(estimator).fit(blobs[0], sample_weight=weight)
    own = np.arange(model.n_clusters_)[:, None] == model.labels_
    share = own @ weight / weight.sum()
    assert np.abs(share - own.mean(1)).max() > 0.1  # weights matter here
    if model._decodes:
        _, drawn = model.sample(5000, random_state=0)
        np.testing.assert_allclose(np.bincount(drawn) / 5000, share, atol=0.03)
    mean = (own * weight) / (own @ weight)[:, None]
    np.testing.assert_allclose(model.cluster_centers_, mean @ blobs[0], rtol=1e-4)
    if model._learned_centers() is None and not isinstance(model, HeadedClusterer):
        codes = mean @ model.transform(blobs[0])
        np.testing.assert_allclose(model.code_centers_, codes, rtol=1e-4, atol=1e-5)


def test_centres_are_rows_whatever_holds_them(estimator, blobs):
    """So that tools that know k-means can take them for rows."""
    X = np.where(np.abs(blobs[0]) > 3, blobs[0], 0)
    dense, sparse_rows = (brief(estimator).fit(rows) for rows in (X, sparse.csr_array(X)))
    assert dense.cluster_centers_.shape == (dense.n_clusters_, X.shape[1])
    assert dense.cluster_centers_.dtype == X.dtype
    for model in (dense, sparse_rows):
        means = [X[model.labels_ == label].mean(0) for label in range(model.n_clusters_)]
        np.testing.assert_allclose(model.cluster_centers_, means, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, -1.0])
@one_of_each
def test_bad_weights_are_explained(estimator, blobs, weight):
    with pytest.raises(ValueError, match=r"zero|[Nn]egative"):
        brief(estimator).fit(blobs[0], sample_weight=np.full(len(blobs[0]), weight))


@pytest.mark.parametrize("least", [1e-320, 1e-29])
@one_of_each
def test_tiny_weights_give_finite_codes(estimator, blobs, least):
    weight = np.where(blobs[1] == 0, least, 1.0)
    model = brief(estimator).fit(blobs[0], sample_weight=weight)
    assert np.isfinite(model.transform(blobs[0])).all()
    if least < 1e-30:  # nothing, beside the others
        other = brief(estimator).fit(blobs[0], sample_weight=np.where(blobs[1] == 0, 0.0, 1.0))
        assert_same(results(other, blobs[0]), results(model, blobs[0]))


@one_of_each
def test_one_row_of_weight_is_not_enough(estimator, blobs):
    with pytest.raises(ValueError, match="at least 2"):
        brief(estimator, n_clusters=1).fit(blobs[0], sample_weight=np.eye(1, len(blobs[0]))[0])


# -- law 7: batches ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [2, 149, 10_000])
@one_of_each
def test_any_batch_size(estimator, blobs, batch_size):
    model = brief(estimator, batch_size=batch_size).fit(blobs[0])
    assert np.isfinite(model.transform(blobs[0])).all()


# -- laws 8 and 9: what goes wrong ------------------------------------------------------------


def test_diverging_training_leaves_a_finite_model(estimator, blobs):
    with pytest.warns(ConvergenceWarning, match="not finite"):
        model = brief(estimator, lr=1e30, optimizer="sgd", max_epochs=5).fit(blobs[0])
    assert all(torch.isfinite(v).all() for v in model.module_.state_dict().values())
    assert np.isfinite(model.transform(blobs[0])).all()


def test_zero_epochs_are_legal(estimator, blobs):
    none = stages(estimator, 0)
    model = clone(estimator).set_params(**none).fit(blobs[0])
    assert model.n_iter_ == 0
    assert len(model.labels_) == len(blobs[0])


def test_ctrl_c_leaves_a_fitted_estimator(estimator, blobs):
    from interruption import CtrlC

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model = clone(estimator).set_params(callbacks=[CtrlC(after=1)]).fit(blobs[0])
    assert model.n_iter_ <= 2
    assert len(model.predict(blobs[0])) == len(blobs[0])


def test_a_crashed_fit_continues(estimator, blobs, tmp_path):
    from interruption import Crash

    path = tmp_path / "progress.pt"
    short = brief(estimator, max_epochs=4)
    whole = clone(short).fit(blobs[0])
    with pytest.raises(RuntimeError, match="crash"):
        clone(short).set_params(checkpoint=path, callbacks=[Crash(after=3)]).fit(blobs[0])
    assert path.exists()
    continued = clone(short).set_params(checkpoint=path).fit(blobs[0])
    assert_same(results(whole, blobs[0]), results(continued, blobs[0]))
    assert continued.n_iter_ == whole.n_iter_
    assert not path.exists()


@one_of_each
def test_a_fit_that_fails_leaves_nothing_half_fitted(estimator, blobs):
    from interruption import Crash

    model = brief(estimator).fit(blobs[0])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((5, 2), np.nan))
    assert len(model.predict(blobs[0])) == len(blobs[0])  # nothing was touched
    with pytest.raises(RuntimeError, match="crash"):
        model.set_params(callbacks=[Crash(after=1)]).fit(blobs[0][:, :4])
    with pytest.raises(NotFittedError):
        model.predict(blobs[0])
    model.set_params(callbacks=None).fit(blobs[0])
    with pytest.raises(ValueError, match="does not fit the data"):
        model.set_params(image_shape=(1, 2, 2)).fit(blobs[0][:, :3])
    with pytest.raises(NotFittedError):
        model.predict(blobs[0])


@one_of_each
def test_a_checkpoint_belongs_to_its_fit(estimator, blobs, tmp_path):
    from interruption import Crash

    path = tmp_path / "progress.pt"
    short = brief(estimator, checkpoint=path, max_epochs=4)
    with pytest.raises(RuntimeError, match="crash"):
        clone(short).set_params(callbacks=[Crash(after=2)]).fit(blobs[0])
    with pytest.raises(ValueError, match="other parameters or other data"):
        clone(short).fit(blobs[0][:-1])
    with pytest.raises(ValueError, match="other parameters or other data"):
        clone(short).set_params(lr=0.5).fit(blobs[0])


@one_of_each
def test_a_checkpoint_takes_equal_rows_however_they_are_held(estimator, blobs, tmp_path):
    from interruption import Crash

    short = brief(estimator, checkpoint=tmp_path / "progress.pt", max_epochs=4)
    expected = clone(short).set_params(checkpoint=None).fit(blobs[0])
    with pytest.raises(RuntimeError, match="crash"):
        clone(short).set_params(callbacks=[Crash(after=2)]).fit(pd.DataFrame(blobs[0]))
    continued = clone(short).fit(np.asfortranarray(blobs[0]))
    assert continued.n_iter_ == expected.n_iter_
    assert_same(results(expected, blobs[0]), results(continued, blobs[0]))


@one_of_each
def test_a_checkpoint_that_fails_does_not_end_a_fit(estimator, blobs, tmp_path, monkeypatch):
    from skdeepcluster.engine import checkpoint

    def full(handle):
        raise OSError(28, "No space left on device")

    expected = brief(estimator).fit(blobs[0])
    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.warns(UserWarning, match="cannot be saved") as caught:
        model = brief(estimator, checkpoint=tmp_path / "progress.pt").fit(blobs[0])
    assert sum("cannot be saved" in str(w.message) for w in caught) == 1
    assert_same(results(expected, blobs[0]), results(model, blobs[0]))
    assert list(tmp_path.iterdir()) == []


# -- sampling ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("decoding")
def test_rows_are_reconstructed_from_their_codes(fitted, blobs):
    rows = fitted.reconstruct(blobs[0])
    assert rows.shape == blobs[0].shape
    assert rows.dtype == blobs[0].dtype
    np.testing.assert_array_equal(fitted.reconstruct(blobs[0][7:8]), rows[7:8])
    if not hasattr(fitted, "transform_groups"):  # of a hierarchy transform gives one group
        expected = fitted.inverse_transform(fitted.transform(blobs[0]))
        np.testing.assert_array_equal(rows, expected)


@pytest.mark.usefixtures("decoding")
def test_samples_look_like_the_data(fitted, blobs):
    rows, labels = fitted.sample(300, random_state=0)
    assert rows.shape == (300, 6)
    assert (np.diff(labels) >= 0).all()
    assert set(labels) <= set(range(fitted.n_clusters_))
    spread = blobs[0].std(0)
    assert (np.abs(rows.mean(0) - blobs[0].mean(0)) < spread).all()


def test_the_way_between_clusters(fitted, blobs):
    """One decoder can lead from cluster to cluster; where each has its own there is no way."""
    if not hasattr(fitted, "interpolate"):
        assert not (fitted._decodes and fitted._has_one_space)
        return
    rows = fitted.interpolate(0, 2, n_steps=5, random_state=3)
    assert rows.shape == (5, 6)
    back = fitted.interpolate(2, 0, n_steps=5, random_state=3)
    np.testing.assert_allclose(back[::-1], rows, rtol=1e-3, atol=1e-4)
    if not hasattr(fitted, "transform_groups"):  # which draws its samples from members
        ends = np.array([fitted.interpolate(0, 2, 2, random_state=s) for s in range(20)])
        assert (fitted.predict(ends[:, 0]) == 0).mean() > 0.5
        assert (fitted.predict(ends[:, 1]) == 2).mean() > 0.5


@pytest.mark.usefixtures("decoding")
def test_samples_of_a_cluster(fitted):
    rows, labels = fitted.sample(20, cluster=1, random_state=0)
    assert (labels == 1).all()
    again, _ = fitted.sample(20, cluster=1, random_state=0)
    np.testing.assert_array_equal(rows, again)
    assert (fitted.predict(rows) == 1).mean() > 0.7
    for bad in ({"cluster": 3}, {"cluster": -1}, {"n_samples": 0}):
        with pytest.raises(ValueError, match=r"must be"):
            fitted.sample(**bad)
    for bad in ({"cluster": 0.5}, {"cluster": "1"}, {"n_samples": 2.5}):
        with pytest.raises(TypeError, match="must be an instance of int"):
            fitted.sample(**bad)


@pytest.mark.usefixtures("decoding")
def test_the_score_takes_weights(fitted, blobs):
    rows, weight = blobs[0][:30].copy(), np.arange(30.0)
    expected = np.average(fitted.score_samples(rows), weights=weight)
    assert fitted.score(rows, sample_weight=weight) == pytest.approx(expected, rel=1e-5)
    rows[0] = 1e30  # infinitely badly explained, and of no weight
    assert fitted.score(rows, sample_weight=weight) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        fitted.score(rows, sample_weight=-weight)


@pytest.mark.usefixtures("decoding")
def test_scores_prefer_data_to_noise(fitted, blobs):
    noise = np.random.RandomState(0).uniform(-40, 40, blobs[0].shape).astype(np.float32)
    assert fitted.score(blobs[0]) > fitted.score(noise)
    assert np.isclose(fitted.score(blobs[0]), fitted.score_samples(blobs[0]).mean())


@pytest.mark.usefixtures("decoding")
@pytest.mark.parametrize("scaling", ["minmax", "standard"])
@one_of_each
def test_the_farther_a_row_the_worse_its_score(estimator, blobs, scaling):
    """Also where rows lie in [0, 1], beyond which some likelihoods have no values."""
    model = brief(estimator, scaling=scaling).fit(blobs[0])
    low, high = blobs[0].min(0), blobs[0].max(0)
    ranges = np.array([2, 5, 30, 100, 1000], dtype=np.float32)[:, None]
    for far in (low + ranges * (high - low), high - ranges * (high - low)):
        scores = model.score_samples(far)
        assert scores.max() < model.score_samples(blobs[0]).min()
        assert (np.diff(scores) < 0).all()


# -- scikit-learn around it -------------------------------------------------------------------


def calinski_harabasz(pipeline, X, y=None):
    """How well-separated the clusters are, whatever a fit of four epochs has found."""
    labels = pipeline.predict(X)
    return calinski_harabasz_score(X, labels) if len(set(labels)) > 1 else 0.0


@one_of_each
def test_pipeline_and_grid_search(estimator, blobs):
    pipeline = make_pipeline(StandardScaler(), brief(estimator))
    step = pipeline.steps[-1][0]
    scoring = None if estimator._decodes else calinski_harabasz  # no score of its own
    grid = {f"{step}__lr": [1e-3, 2e-3]}
    search = GridSearchCV(pipeline, grid, scoring=scoring, cv=2, n_jobs=2)
    search.fit(blobs[0])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.predict(blobs[0]).shape == (len(blobs[0]),)


def test_timings_tell_every_stage(fitted):
    stages = {record["stage"] for record in fitted.history_}
    assert stages | {"clusters"} <= set(fitted.timings_)
    assert all(seconds >= 0 for seconds in fitted.timings_.values())


def test_history_tells_the_training(fitted):
    assert len(fitted.history_) == fitted.n_iter_
    for record in fitted.history_:
        assert {"stage", "phase", "phase_epoch", "train_loss", "seconds"} <= set(record)
    assert fitted.device_ == "cpu"
    assert fitted.code_centers_.shape == (
        fitted.n_clusters_,
        fitted.transform(np.zeros((1, 6), dtype=np.float32)).shape[1],
    )


@pytest.mark.parametrize("verbose", [0, 1, 2, 10])
@one_of_each
def test_verbosity(estimator, blobs, capfd, verbose):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        brief(estimator, verbose=verbose).fit(blobs[0])
    out, err = capfd.readouterr()
    assert bool(out) == (verbose >= 2)
    assert bool(err) == (verbose == 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"device": "cuda:77"}, "not available"),
        ({"device": "nowhere"}, "not available"),
        ({"trainer_params": {"train_split": 1}}, "no targets"),
        ({"trainer_params": {"nonsense": 1}}, "nonsense"),
        ({"optimizer": "bogus"}, "optimizer"),
        ({"image_shape": (1, 2, 2)}, "image_shape"),
        ({"lr": 0}, "lr"),
        ({"max_epochs": -1}, "max_epochs"),
        ({"encoder": lambda shape, n: torch.nn.Linear(shape[0], 99)}, "encoder maps"),
        ({"encoder": lambda shape, n: torch.nn.Linear(99, n)}, r"encoder fails .*\(2, 6\)"),
        ({"encoder": lambda shape, n: torch.nn.LSTM(6, n)}, "encoder fails .*'tuple'"),
        ({"encoder": lambda shape: torch.nn.Linear(6, 2)}, r"as in encoder\(shape, n_outputs\)"),
        ({"encoder": torch.nn.Linear(6, 2)}, r"a function: encoder\(shape, n_outputs\)"),
        ({"decoder": lambda n, shape: "text"}, "nn.Module"),
        ({"device": "meta"}, "not available"),
        ({"optimizer": lambda parameters, lr: None}, "torch.optim.Optimizer, got NoneType"),
        ({"optimizer": torch.optim.SparseAdam}, "sparse gradients"),
        ({"callbacks": [()]}, "pairs of a name"),
        ({"trainer_params": {1: 2}}, "must be strings"),
        ({"trainer_params": {"optimizer__lr": 1.0}}, "use the estimator's lr="),
        ({"trainer_params": {"warm_start": True}}, "begins anew"),
    ],
)
@one_of_each
def test_bad_parameters_are_explained(estimator, blobs, params, message):
    """Before any network of any stage is trained."""
    from interruption import NoTraining

    if params.keys() - estimator.get_params().keys():
        pytest.skip("has no such parameter")
    params = {"callbacks": [NoTraining()], **params}
    with pytest.raises((ValueError, TypeError), match=message):
        brief(estimator, **params).fit(blobs[0])


@pytest.mark.usefixtures("encoding")
@one_of_each
def test_a_network_that_gives_no_numbers_is_to_blame(estimator, blobs):
    from interruption import NoTraining

    def encoder(shape, n_outputs):
        linear = torch.nn.Linear(*shape, n_outputs)
        torch.nn.init.constant_(linear.weight, torch.nan)
        return torch.nn.Sequential(linear)

    with pytest.raises(ValueError, match=r"encoder gives codes that are not finite.*rows: \d+"):
        brief(estimator, encoder=encoder, callbacks=[NoTraining()]).fit(blobs[0])


@one_of_each
def test_rows_whose_squares_overflow_are_not_left_unscaled(estimator, blobs):
    with pytest.raises(ValueError, match="scaling=None takes at most"):
        brief(estimator, scaling=None).fit(blobs[0].astype(np.float64) * 1e24)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"head_params": {"n_inits": 3}}, "head_params does not fit.*n_inits"),
        ({"manifold_params": {"n_neighbours": 9}}, "manifold_params does not fit.*n_neighbours"),
        ({"manifold_params": {"metric": "nonsense"}}, "manifold_params does not fit.*metric"),
    ],
)
@one_of_each
def test_bad_parameters_of_heads_are_explained(estimator, blobs, params, message):
    from interruption import NoTraining

    if not set(params) <= set(estimator.get_params()):
        pytest.skip("there is no such parameter")
    umap = {"manifold": "umap"} if "manifold" in estimator.get_params() else {}
    if not all(matters(clone(estimator).set_params(**umap), name) for name in params):
        pytest.skip("it is not used")
    with pytest.raises(ValueError, match=message):
        brief(estimator, callbacks=[NoTraining()], **{**umap, **params}).fit(blobs[0])


@pytest.mark.usefixtures("encoding")
@one_of_each
def test_networks_of_another_precision_are_cast(estimator, blobs):
    def encoder(shape, n_outputs):
        return torch.nn.LazyLinear(n_outputs, dtype=torch.float64)

    model = brief(estimator, encoder=encoder).fit(blobs[0])
    assert {p.dtype for p in model.module_.parameters()} == {torch.float32}


@pytest.mark.usefixtures("encoding")
@one_of_each
def test_a_network_that_is_returned_again_is_copied(estimator, blobs):
    """All clones of an estimator would train it, and a fitted model would change."""
    networks = {}

    def encoder(shape, n_outputs):
        return networks.setdefault(n_outputs, torch.nn.Linear(*shape, n_outputs))

    model = brief(estimator, encoder=encoder, lr=0.01)
    one = clone(model).fit(blobs[0])
    (network,) = networks.values()
    before = network.weight.detach().clone()
    expected = results(one, blobs[0])
    other = clone(model).fit(blobs[0])
    assert torch.equal(network.weight, before)
    assert_same(expected, results(one, blobs[0]))
    assert_same(expected, results(other, blobs[0]))


@pytest.mark.usefixtures("encoding")
@one_of_each
def test_functions_of_networks_are_networks_of_ones_own(estimator, blobs):
    """Whatever the method wants of an encoder, it asks for."""
    encoder, decoder = partial(make_encoder, hidden_layer_sizes=(9,)), make_decoder
    params = {"encoder": encoder, "decoder": partial(decoder, hidden_layer_sizes=(9,))}
    if estimator.get_params().get("n_groups", 1) > 1 or not hasattr(estimator, "decoder"):
        del params["decoder"]
    model = brief(estimator, **params).fit(blobs[0])
    assert any(p.shape[-2:] == (9, 6) for p in model.module_.parameters())


@one_of_each
def test_callbacks_that_cannot_work_are_refused(estimator, blobs):
    from skorch.callbacks import Checkpoint, EarlyStopping

    with pytest.raises(ValueError, match="checkpoint="):
        brief(estimator, callbacks=[Checkpoint()]).fit(blobs[0])
    with pytest.raises(ValueError, match="train_loss"):
        brief(estimator, callbacks=[EarlyStopping()]).fit(blobs[0])


class LogFile(Callback):
    """A callback that holds an open file, which cannot be copied."""

    def __init__(self, file):
        self.file, self.n_epochs = file, 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs = self.n_epochs + 1
        print(net.history[-1, "train_loss"], file=self.file)


@one_of_each
def test_callbacks_may_hold_what_cannot_be_copied(estimator, blobs, tmp_path):
    with open(tmp_path / "log.txt", "w") as file:
        model = brief(estimator, callbacks=[LogFile(file)])
        assert clone(model).callbacks[0].file is file
        n_epochs = model.fit(blobs[0]).n_iter_
    assert len((tmp_path / "log.txt").read_text().splitlines()) == n_epochs
    assert model.callbacks[0].n_epochs == n_epochs  # called itself, not a copy of it


@one_of_each
def test_networks_may_be_compiled(estimator, blobs):
    """By a compiler that only looks at the code: what it makes of it is torch's affair."""
    compiled = {"compile": True, "compile__backend": "eager"}
    model = brief(estimator, max_epochs=1, trainer_params=compiled).fit(blobs[0])
    expected = brief(estimator, max_epochs=1).fit(blobs[0])
    np.testing.assert_allclose(
        model.transform(blobs[0]), expected.transform(blobs[0]), rtol=1e-3, atol=1e-4
    )


@one_of_each
def test_early_stopping_ends_a_phase(estimator, blobs):
    from skorch.callbacks import EarlyStopping

    never_enough = {"threshold": 1e9, "threshold_mode": "abs"}  # losses may be below 0
    stopper = EarlyStopping("train_loss", patience=1, sink=lambda text: None, **never_enough)
    model = clone(estimator).set_params(callbacks=[stopper]).fit(blobs[0])
    phases = {(record["stage"], record["phase"]) for record in model.history_}
    assert model.n_iter_ <= 3 * len(phases)


@one_of_each
def test_early_stopping_waits_for_a_player_to_move(estimator, blobs):
    """Where an epoch is one batch, some players have no turn in it, and no loss of their own."""
    from skorch.callbacks import EarlyStopping

    options = {"threshold": 1e9, "threshold_mode": "abs", "sink": lambda text: None}
    stopper = EarlyStopping(monitor="train_loss", patience=1, **options)
    long = stages(estimator, 12)
    model = brief(estimator, callbacks=[stopper], batch_size=1000, **long).fit(blobs[0])
    last = {record["phase"]: record["train_loss"] for record in model.history_}
    assert np.isfinite(list(last.values())).all()


@one_of_each
def test_a_scheduler_has_its_effect_in_every_phase(estimator, blobs):
    from skorch.callbacks import LRScheduler

    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=1e-6)
    short = stages(estimator, 3)
    plain, slowed = (
        brief(estimator, callbacks=callbacks, **short).fit(blobs[0]).history_
        for callbacks in (None, [scheduler])
    )
    heard = {a["phase"]: False for a in plain}
    for a, b in zip(plain, slowed, strict=True):
        heard[a["phase"]] |= a["train_loss"] != b["train_loss"]
    assert all(heard.values()), heard
