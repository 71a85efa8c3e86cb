"""The pictures of the pages, drawn when the documentation is built.

``python docs/figures.py FOLDER`` draws them. A picture that is newer than this file and the
package is kept.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdeepcluster
from skdeepcluster import DECClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.plotting import (
    CodeMapDisplay,
    ContactSheetDisplay,
    ContingencyDisplay,
    HistoryDisplay,
    ProfileDisplay,
    SampleGridDisplay,
    StabilityDisplay,
)

SHAPE = (8, 8)


@cache
def digits():
    """Return a small model of the digits, of some seconds, and the digits."""
    bunch = load_small_digits()
    model = DECClustering(
        10,
        max_epochs=15,
        batch_size=64,
        pretrain_epochs=30,
        hidden_layer_sizes=(128, 64),
        random_state=0,
    )
    return model.fit(bunch.data), bunch


@cache
def wines():
    """Return k-means of the wines, and the wines."""
    bunch = load_wine(as_frame=True)
    model = make_pipeline(StandardScaler(), KMeans(3, n_init=10, random_state=0))
    return model.fit(bunch.data), bunch


def code_map():
    model, bunch = digits()
    return CodeMapDisplay.from_estimator(model, bunch.data).figure_


def sample_grid():
    return SampleGridDisplay.from_estimator(digits()[0], image_shape=SHAPE).figure_


def contact_sheet():
    model, bunch = digits()
    return ContactSheetDisplay.from_estimator(model, bunch.data, image_shape=SHAPE).figure_


def history():
    return HistoryDisplay.from_estimator(digits()[0]).figure_


def contingency():
    model, bunch = digits()
    return ContingencyDisplay.from_estimator(model, bunch.data, bunch.target).figure_


def profile():
    model, bunch = wines()
    return ProfileDisplay.from_estimator(model, bunch.data).figure_


def stability():
    """Draw the wines beside the same with shuffled columns."""
    rows = StandardScaler().fit_transform(wines()[1].data)
    shuffled = np.random.default_rng(0).permuted(rows, axis=0)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    few = {"n_clusters": range(2, 8), "n_null_pairs": 2, "random_state": 0}  # to spare time
    for ax, drawn, name in zip(axes, (rows, shuffled), ("wines", "shuffled"), strict=True):
        display = StabilityDisplay.from_estimator(KMeans(n_init=3), drawn, ax=ax, **few)
        ax.set_title(f"{name}: {display.ax_.get_title()}")
    return figure


def how_it_works():
    """Draw the way of a row: to its code, to its cluster, and back."""
    model, bunch = digits()
    row = bunch.data[:1]
    codes, label = model.transform(bunch.data), int(model.predict(row)[0])
    figure = plt.figure(figsize=(9, 2.9))
    _image(figure.add_axes((0.02, 0.3, 0.13, 0.42)), row, "a row")
    _network(figure.add_axes((0.18, 0.25, 0.12, 0.52)), "encoder", (1.0, 0.35))
    flat = PCA(2, random_state=0).fit_transform(codes)
    ax = figure.add_axes((0.34, 0.12, 0.3, 0.74))
    CodeMapDisplay(flat, model.labels_).plot(ax=ax, point_size=3, legend=False)
    ax.scatter(*flat[0], s=90, marker="*", color="white", edgecolors="black", zorder=5)
    ax.set(xlabel=f"its cluster: {label}", ylabel="", title="codes, grouped")
    _network(figure.add_axes((0.68, 0.25, 0.12, 0.52)), "decoder", (0.35, 1.0))
    _image(figure.add_axes((0.83, 0.52, 0.13, 0.36)), model.reconstruct(row), "the row again")
    drawn = model.sample(1, cluster=label, random_state=0)[0]
    _image(figure.add_axes((0.83, 0.04, 0.13, 0.36)), drawn, "a new one of its cluster")
    return figure


def _image(ax, row, title):
    ax.imshow(row.reshape(SHAPE), cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, size=9)


def _network(ax, name, heights):
    """Draw a network as the shape that its layers narrow or widen to."""
    (left, right), middle = heights, 0.5
    corners = [(0, middle - left / 2), (0, middle + left / 2)]
    corners += [(1, middle + right / 2), (1, middle - right / 2)]
    ax.add_patch(Polygon(corners, facecolor="#88ccee", edgecolor="none"))
    ax.text(0.5, 0.5, name, ha="center", va="center")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")


FIGURES: list[Callable] = [
    how_it_works,
    code_map,
    sample_grid,
    contact_sheet,
    history,
    contingency,
    profile,
    stability,
]


def draw_all(folder: Path) -> None:
    """Draw what is not there, or older than what it is drawn by."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [Path(__file__), *Path(skdeepcluster.__file__).parent.rglob("*.py")]
    changed = max(source.stat().st_mtime for source in sources)
    for draw in FIGURES:
        file = folder / f"{draw.__name__}.png"
        if file.exists() and file.stat().st_mtime > changed:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            figure = draw()
        figure.savefig(file, dpi=110)
        plt.close(figure)


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]))
