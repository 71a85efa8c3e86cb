"""Loaders from files of a few rows; nothing is downloaded."""

import hashlib
import io
import json
import pickle
import sys
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets
from scipy import sparse

from skdeepcluster import datasets

FETCH_OPENML = sklearn.datasets.fetch_openml
FETCHERS = [
    datasets.fetch_cifar10_test,
    datasets.fetch_coil20_32,
    datasets.fetch_fashion_mnist,
    datasets.fetch_har,
    datasets.fetch_mnist,
    datasets.fetch_pendigits,
    datasets.fetch_reuters21578_top4,
    datasets.fetch_usps,
]
NOT_ON_OPENML = [
    datasets.fetch_cifar10_test,
    datasets.fetch_coil20_32,
    datasets.fetch_reuters21578_top4,
]
ON_OPENML = [fetch for fetch in FETCHERS if fetch not in NOT_ON_OPENML]

every_fetcher = pytest.mark.parametrize("fetch", FETCHERS, ids=lambda fetch: fetch.__name__)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(**_):
        raise URLError("no network")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)
    monkeypatch.delenv("SKDEEPCLUSTER_DATA", raising=False)


@pytest.fixture
def answer(monkeypatch):
    """Let OpenML answer with given arrays, and record what it was asked."""

    def install(X, y):
        asked = {}
        monkeypatch.setattr(
            sklearn.datasets, "fetch_openml", lambda **kw: asked.update(kw) or (X, y)
        )
        return asked

    return install


def grey_images(n=6):
    return np.random.default_rng(0).integers(256, size=(n, 28, 28), dtype=np.uint8)


def save_digits(folder):
    y = np.tile(np.arange(10), 2)
    np.savez(folder / "mnist.npz", X=grey_images(len(y)), y=y)


def test_file_in_data_home(tmp_path):
    X, y = grey_images(), np.array([5, 0, 4, 1, 9, 2], dtype=np.uint8)
    np.savez(tmp_path / "mnist.npz", X=X, y=y, n_train=4)
    mnist = datasets.fetch_mnist(data_home=tmp_path)
    assert mnist.data.shape == (6, 784) and mnist.data.dtype == np.uint8
    np.testing.assert_array_equal(mnist.images, X)
    assert np.shares_memory(mnist.images, mnist.data)
    np.testing.assert_array_equal(mnist.target, y)
    assert mnist.target.dtype == np.int64
    assert list(mnist.target_names) == list("0123456789")
    assert str(tmp_path / "mnist.npz") in mnist.DESCR


def test_parts_and_pair(tmp_path):
    X, y = grey_images(), np.arange(6)
    np.savez(tmp_path / "mnist.npz", X=X, y=y, n_train=4)
    train, y_train = datasets.fetch_mnist(data_home=tmp_path, subset="train", return_X_y=True)
    test = datasets.fetch_mnist(data_home=str(tmp_path), subset="test")
    np.testing.assert_array_equal(train, X[:4].reshape(4, -1))
    np.testing.assert_array_equal(y_train, y[:4])
    np.testing.assert_array_equal(test.images, X[4:])
    np.testing.assert_array_equal(test.target, y[4:])


def test_environment_names_the_folder_and_data_home_goes_before_it(tmp_path, monkeypatch):
    for folder, label in [("a", 1), ("b", 2)]:
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "mnist.npz", X=grey_images(1), y=[label])
    monkeypatch.setenv("SKDEEPCLUSTER_DATA", str(tmp_path / "a"))
    assert datasets.fetch_mnist().target == [1]
    assert datasets.fetch_mnist(data_home=tmp_path / "b").target == [2]


def test_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_digits(tmp_path)
    assert len(datasets.fetch_mnist(data_home="~").data) == 20


def test_colour_images_come_channels_first_from_either_order(tmp_path):
    last = np.random.default_rng(0).integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
    first = last.transpose(0, 3, 1, 2)
    for X in (last, first, first.reshape(4, -1)):
        np.savez(tmp_path / "cifar10_test.npz", X=X, y=[0, 1, 2, 3])
        cifar = datasets.fetch_cifar10_test(data_home=tmp_path)
        np.testing.assert_array_equal(cifar.images, first)
        np.testing.assert_array_equal(cifar.data, first.reshape(4, -1))
        assert cifar.data.dtype == np.uint8
        assert np.shares_memory(cifar.images, cifar.data)


def test_sparse_rows_stay_sparse(tmp_path):
    X = sparse.random(5, 2000, density=0.01, format="csr", dtype=np.float32, random_state=0)
    file = tmp_path / "reuters21578_top4.npz"
    sparse.save_npz(file, X)
    with np.load(file) as npz:
        parts = dict(npz)
    np.savez(file, **parts, y=[0, 1, 2, 3, 0], n_train=3, target_names=["w", "x", "y", "z"])
    reuters = datasets.fetch_reuters21578_top4(data_home=tmp_path, subset="test")
    assert sparse.issparse(reuters.data) and reuters.data.format == "csr"
    np.testing.assert_array_equal(reuters.data.toarray(), X[3:].toarray())
    np.testing.assert_array_equal(reuters.target, [3, 0])
    assert list(reuters.target_names) == ["w", "x", "y", "z"]
    assert "images" not in reuters


@every_fetcher
def test_missing_file_is_named_when_offline(fetch, tmp_path):
    name = fetch.__name__.removeprefix("fetch_")
    with pytest.raises(FileNotFoundError) as error:
        fetch(data_home=tmp_path)
    assert str(tmp_path / f"{name}.npz") in str(error.value)
    assert "SKDEEPCLUSTER_DATA" in str(error.value)
    assert ("no network" in str(error.value)) == (fetch in ON_OPENML)


@every_fetcher
def test_missing_folder_is_said_when_offline(fetch):
    name = fetch.__name__.removeprefix("fetch_")
    with pytest.raises(FileNotFoundError, match=f"no folder with {name}.npz was named"):
        fetch()


@every_fetcher
def test_fetchers_pickle_by_reference(fetch):
    assert pickle.loads(pickle.dumps(fetch)) is fetch


def test_unknown_part_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="subset='valid' is not one of 'all', 'train', 'test'"):
        datasets.fetch_mnist(data_home=tmp_path, subset="valid")


def test_part_without_n_train_is_an_error_that_says_so(tmp_path):
    save_digits(tmp_path)
    with pytest.raises(ValueError, match=r"mnist\.npz does not say which rows"):
        datasets.fetch_mnist(data_home=tmp_path, subset="test")


def test_file_without_labels_is_an_error_that_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "mnist.npz", X=grey_images(), labels=np.arange(6))
    with pytest.raises(ValueError, match=r"must hold the arrays X and y, but holds .*labels"):
        datasets.fetch_mnist(data_home=tmp_path)


@pytest.mark.parametrize("broken", ["page", "nothing", "half", "bits", "one array"])
def test_file_that_is_broken_is_named(tmp_path, broken):
    file = tmp_path / "mnist.npz"
    np.savez_compressed(file, X=np.random.default_rng(0).random((30, 784)), y=np.zeros(30, int))
    whole = file.read_bytes()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    damaged = bytearray(whole)
    damaged[500:600] = bytes(100)
    content = {
        "page": b"<html>404</html>",
        "nothing": b"",
        "half": whole[: len(whole) // 2],
        "bits": bytes(damaged),
        "one array": array.getvalue(),
    }
    file.write_bytes(content[broken])
    with pytest.raises(ValueError, match=r"mnist\.npz cannot be read .* Remove the file"):
        datasets.fetch_mnist(data_home=tmp_path)


def test_file_with_too_few_labels_is_an_error(tmp_path):
    np.savez(tmp_path / "mnist.npz", X=grey_images(), y=np.arange(5))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        datasets.fetch_mnist(data_home=tmp_path)


def test_file_with_rows_of_another_size_is_an_error(tmp_path):
    np.savez(tmp_path / "mnist.npz", X=np.zeros((4, 8, 8)), y=np.arange(4))
    with pytest.raises(ValueError, match=r"shape \(8, 8\); expected 784 columns or images"):
        datasets.fetch_mnist(data_home=tmp_path)


def test_openml_is_asked_by_number_and_its_text_labels_become_integers(answer):
    asked = answer(np.full((3, 784), 255.0), np.array(["7", "0", "7"], dtype=object))
    mnist = datasets.fetch_mnist()
    assert asked["data_id"] == 554 and asked["data_home"] is None
    assert mnist.data.dtype == np.uint8 and mnist.images.shape == (3, 28, 28)
    assert mnist.data.max() == 255
    assert "OpenML" in mnist.DESCR


def test_openml_labels_counted_from_one_are_counted_from_zero(answer, tmp_path):
    labels = np.array([str(i) for i in (10, 1, 2, 3, 4, 5, 6, 7, 8, 9)], dtype=object)
    asked = answer(np.zeros((10, 256)), labels)
    usps = datasets.fetch_usps(data_home=tmp_path)
    assert asked["data_home"] == tmp_path
    np.testing.assert_array_equal(usps.target, [9, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert usps.data.dtype == np.float32


def test_openml_parts_only_where_the_order_is_known(answer):
    answer(np.zeros((60_003, 784), dtype=np.uint8), np.zeros(60_003, dtype=int).astype(str))
    assert len(datasets.fetch_mnist(subset="train").data) == 60_000
    assert len(datasets.fetch_fashion_mnist(subset="test").data) == 3
    answer(np.zeros((4, 561)), np.array(list("1234")))
    with pytest.raises(ValueError, match="OpenML, data set 1478 does not say"):
        datasets.fetch_har(subset="train")


def test_file_goes_before_openml(answer, tmp_path):
    asked = answer(np.zeros((1, 784)), np.array(["1"]))
    save_digits(tmp_path)
    assert len(datasets.fetch_mnist(data_home=tmp_path).data) == 20
    assert not asked


def pendigits_on_openml(labels):
    """Two rows of pen digits as OpenML serves them: part of the address -> body."""
    names = [f"input{i}" for i in range(1, 17)]
    arff = "\n".join(
        [
            "@RELATION pendigits",
            *(f"@ATTRIBUTE {name} REAL" for name in names),
            f"@ATTRIBUTE class {{{','.join(labels)}}}",
            "@DATA",
            *(",".join([*map(str, range(k, 16 + k)), labels[k]]) for k in range(2)),
            "",
        ]
    ).encode()
    columns = [(name, "numeric") for name in names] + [("class", "nominal")]
    features = [
        {
            "index": str(i),
            "name": name,
            "data_type": data_type,
            "is_target": str(name == "class").lower(),
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": "0",
        }
        for i, (name, data_type) in enumerate(columns)
    ]
    about = {
        "id": "32",
        "name": "pendigits",
        "version": "1",
        "format": "ARFF",
        "status": "active",
        "description": "",
        "file_id": "1",
        "default_target_attribute": "class",
        "url": "https://www.openml.org/data/v1/download/1/pendigits.arff",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
    }
    return {
        "download": arff,
        "features": json.dumps({"data_features": {"feature": features}}).encode(),
        "qualities": json.dumps({"data_qualities": {"quality": []}}).encode(),
        "json/data/32": json.dumps({"data_set_description": about}).encode(),
    }


class Response(io.BytesIO):
    def info(self):
        return {}


@pytest.mark.parametrize("labels", [["8", "2"], ["'8'", "'2'"]], ids=["bare", "quoted"])
@pytest.mark.parametrize("with_pandas", [True, False])
def test_download_is_parsed_and_then_served_from_the_cache(
    labels, with_pandas, tmp_path, monkeypatch
):
    bodies = pendigits_on_openml(labels)

    def urlopen(request):
        return Response(next(bodies[part] for part in bodies if part in request.full_url))

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", FETCH_OPENML)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", urlopen)
    if not with_pandas:
        monkeypatch.setattr("skdeepcluster.datasets._fetch.find_spec", lambda _: None)
        monkeypatch.setitem(sys.modules, "pandas", None)

    for _ in range(2):
        X, y = datasets.fetch_pendigits(data_home=tmp_path, return_X_y=True)
        np.testing.assert_array_equal(X, [np.arange(16), np.arange(1, 17)])
        assert X.dtype == np.float32
        np.testing.assert_array_equal(y, [1, 0])
        bodies.clear()  # the second time only the cache can answer


def test_digits():
    digits, raw = datasets.load_small_digits(), sklearn.datasets.load_digits()
    assert digits.data.dtype == np.float32
    assert digits.data.min() == 0.0 and digits.data.max() == 1.0
    np.testing.assert_allclose(digits.images, raw.images / 16)
    assert np.shares_memory(digits.images, digits.data)
    X, y = datasets.load_small_digits(return_X_y=True)
    np.testing.assert_array_equal(X, digits.data)
    np.testing.assert_array_equal(y, raw.target)


def test_four_gaussians():
    X, y = datasets.make_four_gaussians(4000, random_state=0)
    assert X.min() >= 0.0 and X.max() <= 1.0
    assert np.bincount(y).tolist() == [1000] * 4
    means = np.array([X[y == k].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(
        means, [(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)], atol=0.01
    )
    np.testing.assert_allclose([X[y == k].std(axis=0) for k in range(4)], 0.05, atol=0.005)
    nearest = np.linalg.norm(X[:, None] - means, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, y)


def test_four_gaussians_stay_in_the_unit_square():
    # Enough points for some to fall five standard deviations off their mean: on the border.
    X, _ = datasets.make_four_gaussians(4_000_000, random_state=0)
    assert X.min() == 0.0 and X.max() <= 1.0


def test_four_gaussians_repeat_with_the_seed():
    first, again = (datasets.make_four_gaussians(random_state=1)[0] for _ in range(2))
    other = datasets.make_four_gaussians(random_state=2)[0]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
