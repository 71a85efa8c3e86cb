"""
ClusterGAN: one mode per cluster
================================

ClusterGAN learns to generate, and reads the clusters off the generator's code. On points in the
plane one can watch: what it generates covers the data, and each cluster its own part of it.
"""

# %%
# Four groups, and a game of two players
# --------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_rand_score

from skdeepcluster import ClusterGANClustering
from skdeepcluster.datasets import make_four_gaussians

X, y = make_four_gaussians(random_state=0)
model = ClusterGANClustering(
    n_clusters=4,
    latent_dim=5,
    hidden_layer_sizes=(64, 64),
    scaling="standard",  # a linear output finds the modes sooner than a sigmoid
    lr=2e-3,
    max_epochs=500,
    random_state=0,
).fit(X)
print("ARI", round(adjusted_rand_score(y, model.labels_), 3))

# %%
# Real rows and generated rows
# ----------------------------

generated, clusters = model.sample(len(X), random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
panels = {
    "data, by the cluster predicted": (X, model.labels_),
    "generated, by the cluster asked for": (generated, clusters),
}
for ax, (title, (rows, labels)) in zip(axes, panels.items(), strict=True):
    ax.scatter(rows[:, 0], rows[:, 1], c=labels, s=6, cmap="cividis")
    ax.set_title(title)
plt.show()

# %%
# The losses do not tell when to stop
# -----------------------------------
# Both players improve at the other's expense.

epochs = np.arange(1, model.n_iter_ + 1)
figure, ax = plt.subplots(layout="constrained")
for term in (name for name in model.history_[0] if name.endswith("_loss") and name != "train_loss"):
    ax.plot(epochs, [record[term] for record in model.history_], label=term)
ax.set(xlabel="epoch", ylabel="loss")
ax.legend()
plt.show()
