"""Tests of the displays of what is in the clusters, and of how they were learned."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics.cluster import contingency_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdeepcluster import AutoencoderClustering
from skdeepcluster.inspection import effect_sizes, nearest_first
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.model_selection import StabilityCurve
from skdeepcluster.plotting import (
    CodeMapDisplay,
    ContactSheetDisplay,
    ContingencyDisplay,
    HistoryDisplay,
    ProfileDisplay,
    SampleGridDisplay,
    StabilityDisplay,
)

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def images():
    """Twenty-four images of 4 x 4 pixels, bright above or below, each a little different."""
    random = np.random.default_rng(0)
    upper = np.zeros((4, 4))
    upper[:2] = 1
    halves = np.stack([upper, 1 - upper]).repeat(12, axis=0)
    return np.clip(halves + random.normal(0, 0.1, halves.shape), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def network(images):
    return AutoencoderClustering(2, latent_dim=2, max_epochs=3, random_state=0).fit(images)


def texts(ax):
    return [text.get_text() for text in ax.texts]


# -- profile ------------------------------------------------------------------------------------


def test_a_profile_holds_the_effects_of_the_columns_that_differ_most(blobs):
    frame = pd.DataFrame(blobs[0], columns=list("abcdef"))
    model = KMeans(3, n_init=3, random_state=0).fit(frame)
    display = ProfileDisplay.from_estimator(model, frame, n_features=4)
    effects = effect_sizes(frame, model.predict(frame))
    strongest = np.argsort(-np.abs(effects).max(axis=0))[:4]
    assert set(display.feature_names) == {"abcdef"[column] for column in strongest}
    for name, column in zip(display.feature_names, display.effects.T, strict=True):
        np.testing.assert_array_equal(column, effects[:, "abcdef".index(name)])
    drawn = display.ax_.images[0].get_array()
    np.testing.assert_allclose(drawn, display.effects.T)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == display.feature_names


def test_columns_stand_under_the_cluster_that_has_most_of_them(blobs):
    display = ProfileDisplay.from_estimator(None, blobs[0], labels=blobs[1])
    assert (np.diff(display.effects.argmax(axis=0)) >= 0).all()
    assert display.feature_names[0].startswith("x")


def test_a_profile_can_be_drawn_where_a_column_is_constant_within():
    display = ProfileDisplay.from_estimator(
        None, [[0, 1], [0, 2], [1, 1], [1, 2]], labels=[0, 0, 1, 1]
    )
    assert np.isinf(display.effects).any()
    assert np.isfinite(display.ax_.images[0].get_clim()).all()


def test_of_many_cells_no_numbers_are_written():
    few, many = ProfileDisplay(np.ones((2, 3)), [0, 1], "abc"), np.ones((30, 30))
    assert len(texts(few.plot().ax_)) == 6
    assert not texts(ProfileDisplay(many, range(30), range(30)).plot().ax_)
    assert len(texts(ProfileDisplay(many, range(30), range(30)).plot(values=True).ax_)) == 900


# -- contact sheet ------------------------------------------------------------------------------


def test_a_contact_sheet_shows_typical_doubtful_and_generated_images(network, images):
    display = ContactSheetDisplay.from_estimator(network, images, n_images=3)
    assert list(display.groups) == ["most typical", "most doubtful", "generated"]
    ordered = nearest_first(network, images)
    assert display.labels.tolist() == list(ordered)
    for place, rows in zip(display.groups["most typical"], ordered.values(), strict=True):
        np.testing.assert_array_equal(place, images[rows[:3]])
    assert display.groups["generated"].shape == (2, 3, 4, 4)
    assert texts(display.ax_) == list(display.groups)
    assert len(display.ax_.images) == 3


def test_doubt_is_the_users_or_of_the_memberships_or_the_distance(images):
    flat = images.reshape(24, -1)
    kmeans = KMeans(2, n_init=3, random_state=0).fit(flat)
    far = ContactSheetDisplay.from_estimator(kmeans, flat, n_images=2, image_shape=(4, 4))
    assert list(far.groups) == ["most typical", "most doubtful"]
    rows = nearest_first(kmeans, flat)[0]
    np.testing.assert_array_equal(far.groups["most doubtful"][0], images[rows[:-3:-1]])
    doubt = np.zeros(24)
    doubt[rows[4]] = 1
    told = ContactSheetDisplay.from_estimator(
        kmeans, flat, n_images=1, image_shape=(4, 4), doubt=doubt
    )
    np.testing.assert_array_equal(told.groups["most doubtful"][0, 0], images[rows[4]])
    with pytest.raises(ValueError, match="one value for each of 24"):
        ContactSheetDisplay.from_estimator(kmeans, flat, image_shape=(4, 4), doubt=[1, 2])


def test_memberships_tell_doubt(images):
    class Sure(KMeans):
        def predict_proba(self, X):
            sure = np.linspace(0.5, 1, len(X))
            return np.column_stack([sure, 1 - sure])

    flat = images.reshape(24, -1)
    model = Sure(2, n_init=3, random_state=0).fit(flat)
    display = ContactSheetDisplay.from_estimator(model, flat, n_images=1, image_shape=(4, 4))
    for label, place in zip(display.labels, display.groups["most doubtful"], strict=True):
        first = np.flatnonzero(model.predict(flat) == label)[0]
        np.testing.assert_array_equal(place[0], images[first])


def test_a_small_cluster_leaves_places_empty_and_a_pipeline_keeps_its_images(images):
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    model = make_pipeline(flatten, KMeans(2, n_init=3, random_state=0)).fit(images)
    display = ContactSheetDisplay.from_estimator(model, images[[0, 1, 2, 12]], n_images=2)
    missing = np.isnan(display.groups["most typical"]).all(axis=(2, 3))
    assert sorted(missing.tolist()) == [[False, False], [False, True]]


def test_rows_that_are_no_images_are_refused(images):
    model = KMeans(2).fit(images.reshape(24, -1))
    with pytest.raises(ValueError, match=r"\(24, 16\) holds no images"):
        ContactSheetDisplay.from_estimator(model, images.reshape(24, -1))
    with pytest.raises(ValueError, match=r"'typical' must have shape .* got \(2, 3\)"):
        ContactSheetDisplay({"typical": np.zeros((2, 3))}, [0, 1])


# -- history ------------------------------------------------------------------------------------


def record(stage, phase, **terms):
    return {"stage": stage, "phase": phase, "epoch": 1, "seconds": 0.1, **terms}


def test_a_history_has_a_panel_for_each_stage_and_term():
    display = HistoryDisplay(
        [
            record("ae", "first", error=3.0, train_loss=3.0),
            record("ae", "second", error=2.0, train_loss=2.0),
            record("net", "only", error=5.0, train_loss=7.0, told="a word"),
        ]
    ).plot()
    assert display.terms == [("ae", "error"), ("net", "error"), ("net", "train_loss")]
    assert [ax.get_title() for ax in display.axes_] == [
        "ae: error",
        "net: error",
        "net: train_loss",
    ]
    line = display.axes_[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), [[1, 3], [2, 2]])
    assert texts(display.axes_[0]) == ["first", "second"]


def test_a_term_of_some_epochs_keeps_their_place_and_terms_can_be_chosen(network):
    epochs = [record("ae", "a", error=1.0), record("ae", "b", error=1.0, pull=4.0)]
    display = HistoryDisplay(epochs).plot(terms=["pull"])
    values = display.axes_[0].lines[0].get_ydata()
    assert np.isnan(values[0]) and values[1] == 4
    with pytest.raises(ValueError, match="there are error, pull"):
        display.plot(terms=["loss"])
    assert HistoryDisplay.from_estimator(network).terms[0][1] == "reconstruction"


def test_a_history_draws_on_axes_that_are_given():
    _, (left, right) = plt.subplots(1, 2)
    epochs = [record("ae", "a", error=1.0, pull=4.0)]
    assert HistoryDisplay(epochs).plot(axes=[left, right]).axes_ == [left, right]
    with pytest.raises(ValueError, match="has 1 axes; expected 2"):
        HistoryDisplay(epochs).plot(axes=[left])
    with pytest.raises(ValueError, match="no epochs"):
        HistoryDisplay([])


# -- clusters by classes ------------------------------------------------------------------------


def test_clusters_stand_in_the_order_of_the_classes_they_match():
    y = np.repeat(["cat", "dog", "hen"], [5, 4, 6])
    labels = np.array([2] * 5 + [0] * 3 + [-1] + [1] * 3 + [3] * 3)
    display = ContingencyDisplay.from_predictions(y, labels)
    assert display.labels.tolist() == [2, 0, 1, 3, -1]
    table = contingency_matrix(labels, y)
    np.testing.assert_array_equal(display.counts, table[[3, 1, 2, 4, 0]])
    diagonal = np.trace(display.counts[:3])
    assert diagonal / len(y) == pytest.approx(clustering_accuracy(y, labels))
    assert sorted(texts(display.ax_)) == ["1", "3", "3", "3", "5"]
    np.testing.assert_allclose(display.ax_.images[0].get_array().sum(axis=1), 1)
    assert display.ax_.get_yticklabels()[-1].get_text() == "noise"


def test_a_table_of_an_estimator_is_that_of_its_predictions(blobs):
    model = KMeans(3, n_init=3, random_state=0).fit(blobs[0])
    display = ContingencyDisplay.from_estimator(model, *blobs, colorbar=False)
    assert np.trace(display.counts) == clustering_accuracy(blobs[1], model.labels_) * len(blobs[0])
    assert len(display.figure_.axes) == 1


# -- stability ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("agreement", "title"), [(0.9, "3 clusters"), (0.5, "no clusters shown")])
def test_a_stability_display_says_the_number_or_that_there_is_none(agreement, title):
    observed = np.array([[0.4, 0.5], [agreement, agreement], [0.4, 0.4]])
    curve = StabilityCurve(np.array([2, 3, 4]), observed, {"columns": np.full((3, 2), 0.5)})
    display = StabilityDisplay(curve).plot()
    assert display.ax_.get_title() == title
    np.testing.assert_allclose(display.ax_.lines[0].get_ydata(), 0.5)


def test_a_stability_display_computes_the_curve(blobs):
    options = {"n_clusters": [2, 3], "n_pairs": 3, "n_nulls": 2, "n_null_pairs": 1}
    display = StabilityDisplay.from_estimator(KMeans(n_init=1), blobs[0], random_state=0, **options)
    assert display.curve.agreement.shape == (2, 3)
    assert [label.get_text() for label in display.ax_.get_legend().get_texts()] == [
        "shuffled columns",
        "one Gaussian",
        "resamples",
    ]


# -- odd labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[None] * 6, ["a", 1, None] * 2, [np.nan, 1, 0] * 2])
def test_labels_that_are_missing_are_refused(labels):
    X, known = np.eye(6, 2), [0, 0, 0, 1, 1, 1]
    labels = np.array(labels, dtype=None if np.nan in labels else object)
    for draw in (
        lambda: CodeMapDisplay(X, labels),
        lambda: ProfileDisplay.from_estimator(KMeans(2), X, labels=labels),
        lambda: ContingencyDisplay.from_predictions(labels, known),
        lambda: ContingencyDisplay.from_predictions(known, labels),
        lambda: effect_sizes(X, labels),
    ):
        with pytest.raises(ValueError, match="Labels must be all numbers or all strings"):
            draw()


def test_labels_may_be_a_frame_of_one_column():
    X, labels = np.arange(12.0).reshape(6, 2), pd.DataFrame({"kind": list("aabbcc")})
    CodeMapDisplay(X, labels).plot()
    profile = ProfileDisplay.from_estimator(KMeans(2), X, labels=labels)
    assert profile.labels.tolist() == ["a", "b", "c"]
    counts = ContingencyDisplay.from_predictions(labels, [0, 0, 1, 1, 2, 2]).counts
    np.testing.assert_array_equal(counts, 2 * np.eye(3))


@pytest.mark.filterwarnings("ignore:HDBSCAN found no cluster")
def test_noise_alone_has_no_images(images):
    head = {"head": "hdbscan", "min_cluster_size": 20, "manifold": None}
    model = AutoencoderClustering("auto", max_epochs=0, random_state=0, **head).fit(images)
    assert (model.labels_ == -1).all()
    with pytest.raises(ValueError, match="no clusters to draw: all rows are noise"):
        ContactSheetDisplay.from_estimator(model, images)
    with pytest.raises(ValueError, match="no clusters to draw: all rows are noise"):
        SampleGridDisplay.from_estimator(model)
