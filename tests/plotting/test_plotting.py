"""Tests of the displays, on a stand-in estimator that needs no training."""

import warnings
from itertools import combinations, pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text
from sklearn.base import BaseEstimator
from sklearn.decomposition import TruncatedSVD
from sklearn.utils import check_random_state

from skdeepcluster.plotting import CodeMapDisplay, SampleGridDisplay

mpl.use("Agg")

CENTERS = np.eye(3, 4)


class ThreePoints(BaseEstimator):
    """A clusterer of three centres whose codes are its rows."""

    def __init__(self, image_shape=None):
        self.image_shape = image_shape

    def fit(self, X, y=None):
        self.n_clusters_ = len(CENTERS)
        return self

    def transform(self, X):
        return np.asarray(X)

    def predict(self, X):
        return np.argmax(X @ CENTERS.T, axis=1)

    def sample(self, n_samples=1, cluster=None, random_state=None):
        noise = check_random_state(random_state).normal(0, 0.01, (n_samples, 4))
        return CENTERS[cluster] + noise, np.full(n_samples, cluster)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def rows():
    return np.repeat(np.eye(3, 4), 5, axis=0) + np.arange(60).reshape(15, 4) / 1000


@pytest.fixture
def estimator():
    return ThreePoints().fit(None)


def drawn_points(display):
    """Label to the offsets of the points drawn under it."""
    return {c.get_label(): np.asarray(c.get_offsets()) for c in display.ax_.collections}


def contrasted(samples):
    """Scale the middle 98 % of the values to [0, 1], and clip the rest."""
    low, high = np.percentile(samples, [1, 99])
    return np.clip((samples - low) / (high - low), 0, 1)


def test_the_code_map_draws_each_row_under_its_cluster(estimator, rows):
    display = CodeMapDisplay.from_estimator(estimator, rows)
    np.testing.assert_array_equal(display.labels, np.repeat([0, 1, 2], 5))
    points = drawn_points(display)
    assert list(points) == ["0", "1", "2"]
    for label, offsets in points.items():
        np.testing.assert_allclose(offsets, display.coordinates[display.labels == int(label)])


def test_pca_keeps_the_distances_between_the_centres(estimator):
    display = CodeMapDisplay.from_estimator(estimator, np.eye(3, 4))
    distances = np.linalg.norm(
        display.coordinates - np.roll(display.coordinates, 1, axis=0), axis=1
    )
    np.testing.assert_allclose(distances, np.sqrt(2))


@pytest.mark.parametrize("width", [1, 2])
def test_codes_of_up_to_two_dimensions_are_drawn_as_they_are(width):
    codes = np.arange(6.0 * width).reshape(6, width)
    display = CodeMapDisplay.from_estimator(
        ThreePoints().fit(None), codes, labels=[0, 0, 1, 1, 2, 2]
    )
    np.testing.assert_array_equal(display.coordinates[:, :width], codes)
    np.testing.assert_array_equal(display.coordinates[:, width:], 0)


def test_a_reducer_object_replaces_the_projection(estimator, rows):
    display = CodeMapDisplay.from_estimator(estimator, rows, reducer=TruncatedSVD(random_state=0))
    expected = TruncatedSVD(random_state=0).fit_transform(rows)
    np.testing.assert_allclose(display.coordinates, expected)


@pytest.mark.filterwarnings("ignore:n_neighbors is larger")
def test_umap_can_place_the_codes(estimator, rows):
    display = CodeMapDisplay.from_estimator(estimator, rows, reducer="umap")
    assert display.coordinates.shape == (15, 2)
    assert np.isfinite(display.coordinates).all()


def test_an_unknown_reducer_is_named(estimator, rows):
    with pytest.raises(ValueError, match=r"'pca', 'umap' or an object.*'tsne'"):
        CodeMapDisplay.from_estimator(estimator, rows, reducer="tsne")


def test_noise_is_grey_unnumbered_and_named():
    display = CodeMapDisplay(np.eye(3, 2), [-1, 0, 1]).plot()
    noise = next(c for c in display.ax_.collections if c.get_label() == "noise")
    red, green, blue = noise.get_facecolor()[0, :3]
    assert red == green == blue
    assert [text.get_text() for text in display.ax_.texts] == ["0", "1"]
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["noise", "0", "1"]


def test_twenty_clusters_look_different():
    display = CodeMapDisplay(np.arange(40).reshape(20, 2), np.arange(20)).plot()
    styles = {
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.shape)
        for c in display.ax_.collections
    }
    assert len(styles) == 20


def test_legend_and_numbers_can_be_left_out(estimator, rows):
    display = CodeMapDisplay.from_estimator(estimator, rows, legend=False, numbers=False)
    assert display.ax_.get_legend() is None
    assert not display.ax_.texts


def test_displays_draw_on_the_axes_they_are_given(estimator, rows):
    figure, (left, right) = plt.subplots(1, 2)
    assert CodeMapDisplay.from_estimator(estimator, rows, ax=left).ax_ is left
    display = SampleGridDisplay.from_estimator(estimator, ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_sampled_vectors_become_one_bar_per_feature(estimator):
    display = SampleGridDisplay.from_estimator(estimator, n_samples=2)
    assert display.samples.shape == (3, 2, 4)
    bars = display.ax_.collections[0].get_paths()[0].vertices
    tops = display.samples[0, 0] - display.samples.min()
    tops *= 0.9 / np.ptp(display.samples)
    np.testing.assert_allclose(1 - bars[1:9:2, 1], tops, atol=1e-6)


@pytest.mark.parametrize("image_shape", [(2, 2), (1, 2, 2)])
def test_sampled_images_are_tiled_a_row_per_cluster(estimator, image_shape):
    display = SampleGridDisplay.from_estimator(estimator, n_samples=3, image_shape=image_shape)
    mosaic = display.ax_.images[0].get_array()
    assert mosaic.shape == (3 * 2, 3 * 2)
    scaled = contrasted(display.samples)
    np.testing.assert_allclose(mosaic[2:4, 4:6], scaled[1, 2].reshape(2, 2))


def test_the_estimator_says_itself_that_its_rows_are_images():
    display = SampleGridDisplay.from_estimator(ThreePoints(image_shape=(1, 2, 2)).fit(None))
    assert display.samples.shape == (3, 10, 1, 2, 2)


def test_colour_images_keep_their_channels():
    samples = np.random.default_rng(0).random((2, 4, 3, 5, 6))
    mosaic = SampleGridDisplay(samples, [0, 1]).plot().ax_.images[0].get_array()
    scaled = contrasted(samples)
    np.testing.assert_allclose(mosaic[5:10, 6:12], scaled[1, 1].transpose(1, 2, 0))


def test_chosen_clusters_name_their_rows(estimator):
    display = SampleGridDisplay.from_estimator(estimator, clusters=[2, 0])
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["2", "0"]
    assert display.samples[0, :, 2].min() > 0.9


def test_constant_samples_can_be_drawn():
    display = SampleGridDisplay(np.ones((1, 1, 3, 3)), [0]).plot()
    assert np.isfinite(display.ax_.images[0].get_array()).all()


def test_an_estimator_without_the_method_is_refused(rows):
    class Plain(BaseEstimator):
        def fit(self, X):
            self.fitted_ = True
            return self

    with pytest.raises(TypeError, match="Plain has no method `sample`"):
        SampleGridDisplay.from_estimator(Plain().fit(rows))
    with pytest.raises(TypeError, match="Plain has no method `transform`"):
        CodeMapDisplay.from_estimator(Plain().fit(rows), rows)


def test_arrays_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 2\) for 2 labels"):
        CodeMapDisplay(np.zeros((3, 2)), [0, 1])
    with pytest.raises(ValueError, match=r"got \(2, 4\) for 2 clusters"):
        SampleGridDisplay(np.zeros((2, 4)), [0, 1])


# -- what data may be like ----------------------------------------------------------------------


def overlaps(display):
    """Names on a map that cover one another, or stand outside of it."""
    display.figure_.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in display.ax_.texts]  # without their lines
    frame = display.ax_.bbox.padded(2)
    outside = [box for box in boxes if not frame.contains(*box.p0) or not frame.contains(*box.p1)]
    return outside + [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]


def test_all_rows_may_be_noise():
    display = CodeMapDisplay(np.eye(4, 2), [-1] * 4).plot()
    assert list(drawn_points(display)) == ["noise"]
    assert not display.ax_.texts


@pytest.mark.parametrize("reducer", ["pca", "umap"])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 4])
def test_a_few_rows_have_a_map(estimator, rows, n_rows, reducer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = CodeMapDisplay.from_estimator(estimator, rows[::4][:n_rows], reducer=reducer)
    assert display.coordinates.shape == (n_rows, 2)
    assert np.isfinite(display.coordinates).all()


def test_names_of_classes_can_colour_a_map():
    names = np.array(["cat", "dog", "a long name of a class"] * 4)
    display = CodeMapDisplay(np.random.default_rng(0).normal(size=(12, 2)), names).plot()
    assert list(drawn_points(display)) == sorted(set(names))
    assert {text.get_text() for text in display.ax_.texts} == set(names)
    assert not overlaps(display)


def test_numbers_of_clusters_may_be_floats_and_keep_their_colour():
    floats = CodeMapDisplay(np.eye(3, 2), [-1.0, 0.0, 2.0]).plot()
    integers = CodeMapDisplay(np.eye(3, 2), [-1, 0, 2]).plot()
    for one, other in zip(floats.ax_.collections, integers.ax_.collections, strict=True):
        assert one.get_label() == other.get_label()
        np.testing.assert_array_equal(one.get_facecolor(), other.get_facecolor())


def test_eighty_clusters_leave_room_for_the_map():
    centers = 10 * np.random.default_rng(0).normal(size=(80, 2))
    display = CodeMapDisplay(np.repeat(centers, 3, axis=0), np.repeat(np.arange(80), 3)).plot()
    display.figure_.draw_without_rendering()
    assert display.ax_.bbox.width > 0.8 * display.figure_.bbox.width
    assert len(display.ax_.texts) == 80


@pytest.mark.parametrize("spread", [0, 0.01])
def test_clusters_in_one_place_can_be_told_by_their_numbers(spread):
    spots = np.random.default_rng(0).normal(scale=spread, size=(8, 2))
    display = CodeMapDisplay(np.vstack([spots, [[-5, -5], [5, 5]]]), np.arange(10)).plot()
    assert not overlaps(display)


@pytest.mark.parametrize("n_channels", [2, 5])
def test_channels_that_are_no_colours_stand_side_by_side(n_channels):
    samples = np.random.default_rng(0).random((2, 4, n_channels, 5, 6))
    mosaic = SampleGridDisplay(samples, [0, 1]).plot().ax_.images[0].get_array()
    assert mosaic.shape == (2 * 5, 4 * 6 * n_channels)
    left = 6 * (n_channels + 1)  # the second channel of the second sample
    expected = contrasted(samples)[1, 1, 1]
    np.testing.assert_allclose(mosaic[5:, left : left + 6], expected)


def test_features_of_several_units_have_scales_of_their_own():
    samples = np.random.default_rng(0).random((2, 3, 4)) * [1, 1000, 2, 1]
    display = SampleGridDisplay(samples, [0, 1])
    scaled = display._feature_scaled()
    np.testing.assert_allclose(np.ptp(scaled, axis=(0, 1)), 1)
    display.plot()


def test_rows_of_a_grid_may_have_names_and_be_many():
    display = SampleGridDisplay(np.zeros((2, 3, 4, 4)), ["cat", "dog"]).plot()
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == ["cat", "dog"]
    display = SampleGridDisplay(np.zeros((80, 3, 4, 4)), range(80)).plot()
    display.figure_.draw_without_rendering()
    labels = [text.get_window_extent() for text in display.ax_.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(labels))
