"""
Your own network, callbacks and a checkpoint
============================================

Bring an encoder and a decoder, clip gradients, stop early, and make the fit resumable.
"""

# %%
# Networks
# --------
# Anything that returns an ``nn.Module`` for the shape of one row and the width that the method asks
# for. Define it in a module, so that the fitted estimator can be pickled.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from skorch.callbacks import EarlyStopping, GradientNormClipping
from torch import nn

from skdeepcluster import AutoencoderClustering
from skdeepcluster.plotting import SampleGridDisplay


def encoder(shape, n_outputs):
    """Map images of shape (n, 1, 8, 8) to codes of shape (n, 6)."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 8, kernel_size=3, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(8 * height * width, 64),
        nn.LayerNorm(64),
        nn.GELU(),
        nn.Linear(64, n_outputs),
    )


def decoder(n_inputs, shape):
    """Map codes of shape (n, 6) to images of shape (n, 1, 8, 8)."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Linear(n_inputs, 64),
        nn.GELU(),
        nn.Linear(64, channels * height * width),
        nn.Unflatten(1, (channels, height, width)),
    )


# %%
# The fit
# -------
# Were this process to die, the same lines would go on from the file.

images = load_digits().images
with tempfile.TemporaryDirectory() as folder:
    model = AutoencoderClustering(
        n_clusters=10,
        latent_dim=6,
        encoder=encoder,
        decoder=decoder,
        max_epochs=40,
        checkpoint=Path(folder, "digits.checkpoint"),
        callbacks=[
            GradientNormClipping(1.0),
            EarlyStopping(monitor="train_loss", patience=5, threshold=1e-3),
        ],
        random_state=0,
    ).fit(images)
print(f"{model.n_iter_} epochs, {model.n_clusters_} clusters")

# %%
# What happened
# -------------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
left.plot([record["train_loss"] for record in model.history_])
left.set(xlabel="epoch", ylabel="reconstruction error", yscale="log")
SampleGridDisplay.from_estimator(model, n_samples=8, ax=right)
plt.show()
