"""
DEC forgets the data, IDEC does not
===================================

DEC pulls codes towards centres and trains nothing else, so that the decoder falls behind. IDEC
keeps the reconstruction in the loss. Both start here from the same pretraining. Look at what became
of the reconstruction.
"""

# %%
# Two fits that differ in one number
# ----------------------------------

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skdeepcluster import DECClustering
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.plotting import SampleGridDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
settings = {
    "n_clusters": 10,
    "hidden_layer_sizes": (128, 64),
    "pretrain_epochs": 40,
    "max_epochs": 40,
    "random_state": 0,
}
models = {
    "DEC": DECClustering(**settings, reconstruction_weight=0).fit(X),
    "IDEC": DECClustering(**settings, reconstruction_weight=10).fit(X),
}
pretraining = [r for r in models["DEC"].history_ if r["phase"] == "pretraining"]
print(f"reconstruction error {pretraining[-1]['reconstruction']:.4f} after pretraining")
for name, model in models.items():
    accuracy = clustering_accuracy(y, model.labels_)
    print(f"reconstruction error {-model.score(X):.4f} and accuracy {accuracy:.3f} after {name}")

# %%
# What each generates
# -------------------
# Codes drawn from each cluster, decoded.

figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    SampleGridDisplay.from_estimator(model, image_shape=(8, 8), ax=ax)
    ax.set_title(name)
plt.show()

# %%
# How sure they are
# -----------------
# Both sharpen their memberships as they train.

figure, ax = plt.subplots(layout="constrained")
for name, model in models.items():
    largest = model.predict_proba(X).max(axis=1)
    ax.hist(largest, bins=40, histtype="step", label=name)
ax.set(xlabel="largest membership of a row", ylabel="rows")
ax.legend()
plt.show()
