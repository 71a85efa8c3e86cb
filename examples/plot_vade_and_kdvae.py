"""
One decoder for all clusters, or one for each
=============================================

VaDE and k-DVAE both generate rows of a cluster that one asks for. VaDE draws a code from the
cluster's component, and one decoder serves all of them. k-DVAE draws it from N(0, I), and every
cluster has a decoder of its own.
"""

# %%
# Two fits, the second from the clusters of the first
# ---------------------------------------------------

import matplotlib.pyplot as plt
import torch

from skdeepcluster import KDVAEClustering, VaDEClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.plotting import SampleGridDisplay

X, y = load_small_digits(return_X_y=True)
vade = VaDEClustering(
    10, hidden_layer_sizes=(256, 128), pretrain_epochs=40, max_epochs=40, random_state=0
).fit(X)
kdvae = KDVAEClustering(
    10, init=vade.labels_, hidden_layer_sizes=(128, 64), max_epochs=30, random_state=0
).fit(X)
models = {"VaDE": vade, "k-DVAE": kdvae}
for name, model in models.items():
    accuracy = clustering_accuracy(y, model.labels_)
    print(f"{name}: {model.n_clusters_} clusters, accuracy {accuracy:.3f}")

# %%
# Generated digits
# ----------------
# A row holds ten draws of one cluster. k-DVAE started from VaDE's clusters, so that equal numbers
# mean much the same digits.

figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    SampleGridDisplay.from_estimator(model, image_shape=(8, 8), ax=ax)
    ax.set_title(name)
plt.show()

# %%
# One digit through ten autoencoders
# ----------------------------------
# Each network shows the image as its own cluster would have it, above the log-probability that the
# image belongs there. The networks are one PyTorch module whose first axis counts them.

image = torch.from_numpy(X[:1])
networks = kdvae.module_
with torch.no_grad():
    codes, _ = networks.posterior(image.expand(networks.n_networks, -1, -1))
    reconstructions = networks.observation.mean(networks.decoder(codes))
    _, scores = networks.observe({"X": image}, torch.arange(networks.n_networks))

figure, axes = plt.subplots(1, 11, figsize=(10, 1.6), layout="constrained")
panels = [("image", image), *zip(scores[0].log_softmax(0).tolist(), reconstructions, strict=True)]
for ax, (title, pixels) in zip(axes, panels, strict=True):
    ax.imshow(pixels.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()
    ax.set_title(title if isinstance(title, str) else round(title))
plt.show()
