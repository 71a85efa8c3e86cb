"""
A discriminative code, stage by stage
=====================================

:class:`~skdeepcluster.DiscriminativeClustering` does most of its work before there are clusters: it
makes all pairs of codes orthogonal but the pairs that are neighbours in the raw data. Two stages
then pull the codes to their centroids. One seed gives one course of training, so a fit that ends
early shows how the long one began.
"""

# %%
# Three fits that end at different stages
# ---------------------------------------
# The accuracy is for the reader: no fit sees the classes.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

from skdeepcluster import DiscriminativeClustering
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.plotting import CodeMapDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
ends = {
    "after the pre-training": {"init_epochs": 0, "max_epochs": 0},
    "after stage I": {"init_epochs": 20, "max_epochs": 0},
    "after stage II": {"init_epochs": 20, "max_epochs": 20},
}
models = {
    title: DiscriminativeClustering(
        10, batch_size=250, pretrain_epochs=40, tol=0, random_state=0, **epochs
    ).fit(X)
    for title, epochs in ends.items()
}
raw = KMeans(10, n_init=10, random_state=0).fit_predict(X)
accuracy = {title: clustering_accuracy(y, model.labels_) for title, model in models.items()}
accuracy_of_raw = clustering_accuracy(y, raw)
print(f"accuracy {accuracy_of_raw:.3f} of k-means on the raw data")
for title in models:
    print(f"accuracy {accuracy[title]:.3f} {title}")

# %%
# The space of the codes
# ----------------------
# t-SNE of the raw rows and of the codes' directions, coloured by cluster.


def in_the_plane(rows, metric):
    return TSNE(metric=metric, random_state=0).fit_transform(rows)


shown = np.random.RandomState(0).choice(len(X), 600, replace=False)
figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
panels = {f"raw, k-means: {accuracy_of_raw:.0%}": (X, raw, "euclidean")}
for title, model in models.items():
    panels[f"{title}: {accuracy[title]:.0%}"] = model.transform(X), model.labels_, "cosine"
for ax, (title, (rows, labels, metric)) in zip(axes.flat, panels.items(), strict=True):
    CodeMapDisplay(in_the_plane(rows[shown], metric), labels[shown]).plot(ax=ax, legend=False)
    ax.set(title=title, xlabel="", ylabel="")
plt.show()

# %%
# Cosines between clusters
# ------------------------
# What the objective is about: codes of different clusters should be orthogonal, those of one
# cluster alike. Rows and columns are sorted by cluster.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, (title, model) in zip(axes, models.items(), strict=True):
    codes = model.transform(X[shown])
    units = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    order = model.labels_[shown].argsort(kind="stable")
    image = ax.imshow(np.abs(units[order] @ units[order].T), vmin=0, vmax=1, cmap="cividis")
    ax.set(title=title, xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="absolute cosine", shrink=0.8)
plt.show()
