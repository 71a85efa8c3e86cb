"""Cluster handwritten digits, compare with k-means, and draw what the model learnt.

Run it as ``python examples/quickstart.py``. It needs no download and writes ``quickstart.png`` into
the current folder.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skdeepcluster import AutoencoderClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.plotting import CodeMapDisplay, SampleGridDisplay

SCORES = {
    "ACC": clustering_accuracy,
    "NMI": normalized_mutual_info_score,
    "ARI": adjusted_rand_score,
}


def report(name, y, labels):
    """Print how well labels agree with the true digits, which no method has seen."""
    print(f"{name:24}", *(f"{key} {score(y, labels):.3f}" for key, score in SCORES.items()))


def draw(model, images, path):
    """Draw the codes beside digits generated from each cluster."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    CodeMapDisplay.from_estimator(model, images, reducer="umap", legend=False, ax=left)
    SampleGridDisplay.from_estimator(model, ax=right)
    left.set(title="codes, coloured by cluster", xlabel="", ylabel="")
    right.set(title="digits generated from each cluster")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    torch.set_num_threads(1)  # on images this small, threads cost more than they gain
    digits = load_small_digits()
    # Images in, so the networks are convolutional. Fewer rows than the defaults are made for:
    # smaller batches make up for it with more updates.
    model = AutoencoderClustering(
        n_clusters=10, manifold="umap", head="gmm", batch_size=64, random_state=0, verbose=1
    ).fit(digits.images)
    kmeans = KMeans(n_clusters=10, n_init=10, random_state=0).fit(digits.data)
    report("k-means", digits.target, kmeans.labels_)
    report("AutoencoderClustering", digits.target, model.labels_)
    draw(model, digits.images, "quickstart.png")
    print("wrote quickstart.png")
