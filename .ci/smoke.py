"""What an installed package must do: be imported from its own place, fit, save and load."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import make_blobs

import skdeepcluster
from skdeepcluster import AutoencoderClustering

assert "site-packages" in skdeepcluster.__file__, skdeepcluster.__file__
X, _ = make_blobs(100, n_features=4, centers=3, random_state=0)
model = AutoencoderClustering(3, latent_dim=2, hidden_layer_sizes=(16,), max_epochs=5).fit(X)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.skdc")
    model.save(path)
    np.testing.assert_array_equal(skdeepcluster.load(path).predict(X), model.labels_)
skdeepcluster.show_versions()
