"""Draw what each cluster of Fashion-MNIST's test images generates, for three generative methods.

Run it as ``python examples/fashion_modes.py``. It takes some minutes on a processor and writes
``fashion_modes.png`` into the current folder. The images come from OpenML, or from the folder that
the environment variable SKDEEPCLUSTER_DATA names.
"""

import argparse

import matplotlib.pyplot as plt

from skdeepcluster import IMLEClustering, KDVAEClustering, VaDEClustering
from skdeepcluster.datasets import fetch_fashion_mnist
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.plotting import SampleGridDisplay


def models(epochs, **common):
    """Return a title and an unfitted clusterer for each method, of about as many epochs."""
    return {
        "IMLE": IMLEClustering(max_epochs=epochs, **common),
        "VaDE": VaDEClustering(pretrain_epochs=epochs // 2, max_epochs=epochs, **common),
        "k-DVAE": KDVAEClustering(
            pretrain_epochs=epochs // 2,
            vade_epochs=epochs,
            init_epochs=epochs // 4,
            max_epochs=epochs // 2,
            **common,
        ),
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--output", default="fashion_modes.png")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    # Rows, not images: dense networks, which a processor trains in minutes.
    X, y = fetch_fashion_mnist(subset="test", return_X_y=True)
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.5), layout="constrained")
    common = {"n_clusters": arguments.clusters, "random_state": 0}
    for ax, (title, model) in zip(axes, models(arguments.epochs, **common).items(), strict=True):
        accuracy = clustering_accuracy(y, model.fit(X).labels_)  # no method has seen y
        print(f"{title:8} accuracy {accuracy:.3f}", flush=True)
        SampleGridDisplay.from_estimator(model, image_shape=(28, 28), random_state=0, ax=ax)
        ax.set_title(title)
    figure.savefig(arguments.output, dpi=90)
    print("wrote", arguments.output)
