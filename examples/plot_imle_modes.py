"""
IMLE: a sample for every row
============================

IMLE pulls generated samples to the rows that they are nearest to. Every component of its prior
comes to generate one kind of row, an encoder learns to tell them apart, and what lies between two
components can be generated too.
"""

# %%
# Ten components, without labels
# ------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.manifold import TSNE
from skorch.callbacks import Callback

from skdeepcluster import IMLEClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.plotting import SampleGridDisplay

X, y = load_small_digits(return_X_y=True)


class Accuracy(Callback):
    """Note after every epoch how the encoder's labels, its largest logits, compare with digits."""

    def on_epoch_end(self, net, dataset_train, **kwargs):
        labels = net.encode(dataset_train).argmax(1).cpu().numpy()
        net.history.record("accuracy", clustering_accuracy(y, labels))


model = IMLEClustering(n_clusters=10, max_epochs=30, callbacks=[Accuracy()], random_state=0)
model.fit(X)
print("accuracy", round(clustering_accuracy(y, model.labels_), 3), "with", model.n_clusters_)

# %%
# What each component generates
# -----------------------------
# A row for every cluster. To the encoder, what a component generates is of that component.

SampleGridDisplay.from_estimator(model, image_shape=(8, 8), random_state=0)
plt.show()
for cluster in range(model.n_clusters_):
    rows, labels = model.sample(200, cluster, random_state=0)
    print("cluster", cluster, "recognised:", (model.predict(rows) == labels).mean())

# %%
# From one cluster to the next
# ----------------------------
# The noise of the code stays, and its component moves in a straight line. No code on the way was
# ever drawn in training.

starts = range(model.n_clusters_ - 1)
ways = [model.interpolate(start, start + 1, n_steps=9, random_state=start) for start in starts]
SampleGridDisplay(np.reshape(ways, (len(ways), 9, 8, 8)), labels=starts).plot()
plt.show()

# %%
# The codes in the plane
# ----------------------
# A code is the encoder's logits of the components. Colours are the clusters found.

rows = np.random.RandomState(0).choice(len(X), 600, replace=False)
places = TSNE(random_state=0).fit_transform(model.transform(X[rows]))
figure, ax = plt.subplots(layout="constrained")
ax.scatter(*places.T, c=model.labels_[rows], s=8, cmap="tab10")
ax.set(xticks=[], yticks=[], title="t-SNE of the encoder's codes")
plt.show()

# %%
# The clustering error
# --------------------
# The mean squared distance from a row to its sample falls with training, and accuracy rises with
# it, but not as long: what is learned later is how the rows of a cluster differ. In the first half
# of the epochs no two rows of a batch share a sample; in the second a row takes the nearest, which
# is nearer. Where the curve jumps back up, a component had lost all its rows, and an epoch matches
# as at first.

figure, ax = plt.subplots(layout="constrained")
ax.plot([record["matching"] for record in model.history_])
ax.set(xlabel="epoch", ylabel="clustering error", yscale="log")
beside = ax.twinx()
beside.plot([record["accuracy"] for record in model.history_], color="C1")
beside.set(ylabel="accuracy", ylim=(0, 1))
plt.show()
