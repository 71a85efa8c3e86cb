"""
MoEDC: a manager and its experts
================================

Nobody tells MoEDC how wide the code should be, nor how many clusters there are. It finds clusters
and noise among the codes of a variational autoencoder, teaches the clusters to a manager, and gives
each a decoder of its own: an expert that trains on nothing else.
"""

# %%
# What is found
# -------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from umap import UMAP

from skdeepcluster import MoEDCClustering
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.plotting import CodeMapDisplay, SampleGridDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
model = MoEDCClustering(hidden_layer_sizes=(128, 64), batch_size=100, lr=2e-3, random_state=0).fit(
    X
)
print(f"{model.latent_dim_} columns of code, {model.n_clusters_} clusters")
print(f"{model.noise_.mean():.1%} of the rows were noise when the clusters were found")
print(f"accuracy {clustering_accuracy(y, model.labels_):.3f}")

# %%
# The clusters among the codes, and what the experts generate
# -----------------------------------------------------------
# Noise is grey: the manager did not learn from these rows, but it labels them all the same. Only
# the code itself is drawn, not the columns after it, which name the expert.

codes = model.transform(X)
coordinates = UMAP(random_state=0, n_jobs=1).fit_transform(codes[:, : model.latent_dim_])
figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
CodeMapDisplay(coordinates, np.where(model.noise_, -1, model.labels_)).plot(ax=axes[0])
SampleGridDisplay.from_estimator(model, image_shape=(8, 8), ax=axes[1])
axes[1].set_title("generated, by expert")
plt.show()

# %%
# One code, as every expert sees it
# ---------------------------------
# The first image of each cluster, then its code as every expert decodes it; on the diagonal is the
# expert in charge. All began as copies of one decoder and still agree on much, but where they
# differ, the expert in charge is right.

code = codes[:, : model.latent_dim_]
experts = np.eye(codes.shape[1] - model.latent_dim_)
decoded = np.stack(
    [model.inverse_transform(np.hstack([code, np.tile(e, (len(X), 1))])) for e in experts]
)
first = [np.flatnonzero(model.labels_ == c)[0] for c in range(model.n_clusters_)]
size = len(first), len(experts) + 1
figure, axes = plt.subplots(*size, figsize=(6, 6), layout="constrained")
for row, line in zip(first, axes, strict=True):
    images = np.vstack([X[row], decoded[:, row]]).reshape(-1, 8, 8)
    for ax, image in zip(line, images, strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.axis("off")
plt.show()

errors = np.square(decoded - X).mean(2)
own = errors[model.labels_, np.arange(len(X))]
others = (errors.sum(0) - own) / (len(experts) - 1)
print(f"squared error {own.mean():.4f} by the expert in charge, {others.mean():.4f} by the others")
