"""
DCAN: codes contract onto a mixture that follows them
=====================================================

A discriminator tells the codes of rows from draws of the Gaussian components that they belong to.
The draws are narrower than the components, so that the encoder has to draw its codes together to
deceive it, and the mixture follows. On three wide groups in six dimensions, with codes in the
plane, one can watch.
"""

# %%
# Take the codes down now and then
# --------------------------------
# A callback of skorch sees the net after every epoch. Here it keeps the codes and the mixture.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from sklearn.datasets import make_blobs
from skorch.callbacks import Callback

from skdeepcluster import DCANClustering

X, y = make_blobs(600, n_features=6, centers=3, cluster_std=3, random_state=3)
EPOCHS = (1, 10, 18, 30)
pictures = {}


class TakePictures(Callback):
    """Keep codes, means and standard deviations after some epochs of clustering."""

    def on_epoch_end(self, net, dataset_train, **kwargs):
        record = net.history[-1]
        if record["phase"] == "clustering" and record["phase_epoch"] in EPOCHS:
            prior = net.model.prior
            deviations = (prior.log_variances / 2).exp()
            shown = net.encode(dataset_train), prior.means, deviations
            pictures[record["phase_epoch"]] = [tensor.clone().numpy() for tensor in shown]


model = DCANClustering(
    n_clusters=3,
    latent_dim=2,
    hidden_layer_sizes=(32,),
    reconstruction_weight=1,  # little, so that there is something to see
    pretrain_epochs=10,
    max_epochs=max(EPOCHS),
    batch_size=64,
    lr=5e-3,
    callbacks=[TakePictures()],
    random_state=0,
).fit(X)

# %%
# From clouds to points
# ---------------------
# Colours are the groups that the rows were drawn from, ellipses two standard deviations of the
# components. Codes are standardised: what shrinks is the clusters, not the whole.

figure, axes = plt.subplots(
    1, len(EPOCHS), figsize=(12, 3.4), sharex=True, sharey=True, layout="constrained"
)
for ax, (epoch, (codes, means, deviations)) in zip(axes, pictures.items(), strict=True):
    ax.scatter(*codes.T, c=y, s=4, cmap="viridis")
    for mean, deviation in zip(means, deviations, strict=True):
        ax.add_patch(Ellipse(mean, *(4 * deviation), fill=False, color="black"))
    ax.set_title(f"epoch {epoch}")
plt.show()

# %%
# The game while it lasts
# -----------------------
# The share of the codes' variance that is left within components falls. The discriminator stays
# better than chance and never becomes sure: at either end the encoder would learn nothing.

records = [record for record in model.history_ if record["phase"] == "clustering"]
figure, ax = plt.subplots(layout="constrained")
for name in ("within_variance", "critic_accuracy"):
    ax.plot(np.arange(1, len(records) + 1), [record[name] for record in records], label=name)
ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
ax.set(xlabel="epoch of clustering", ylim=(0, 1))
ax.legend()
plt.show()
