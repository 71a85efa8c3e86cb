"""
HRWAE-GAN: a hierarchy of latent groups
=======================================

An autoencoder with several latent groups: the first sums an image up, each further one adds what
the groups above left out. All are held to priors, so that images can be drawn from them, and each
can be clustered.
"""

# %%
# One, two and three groups
# -------------------------
# Dense cells of halving width; a group enters the decoder between two of them.

import matplotlib.pyplot as plt
from umap import UMAP

from skdeepcluster import HRWAEGANClustering
from skdeepcluster.datasets import load_small_digits
from skdeepcluster.metrics import labeled_accuracy, labeled_fraction
from skdeepcluster.plotting import CodeMapDisplay

X, y = load_small_digits(return_X_y=True)
networks = {"latent_dim": 8, "hidden_layer_sizes": (256, 128, 64), "lr": 2e-3, "max_epochs": 30}
plain = {"head": "gmm", "n_clusters": 10, "manifold": None, "outlier_weight": 0.0}
models = {
    1: HRWAEGANClustering(n_groups=1, **networks, **plain, random_state=0).fit(X),
    2: HRWAEGANClustering(n_groups=2, **networks, **plain, random_state=0).fit(X),
    3: HRWAEGANClustering(n_groups=3, **networks, random_state=0).fit(X),
}


def show(lines):
    """Draw named lines of images."""
    size = (9, 0.8 * len(lines))
    _, axes = plt.subplots(len(lines), 12, figsize=size, layout="constrained")
    for row, (name, images) in zip(axes, lines.items(), strict=True):
        for ax, image in zip(row, images, strict=True):
            ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    plt.show()


# %%
# More groups, better reconstructions
# -----------------------------------

show({"original": X[:12]} | {f"L = {n}": model.reconstruct(X[:12]) for n, model in models.items()})
for n, model in models.items():
    print(f"L = {n}: mean squared error {-model.score(X):.4f}")

# %%
# Images that never were
# ----------------------
# Ancestral samples: the first group from a standard normal distribution, each further one from its
# prior given those above. Less temperature, fewer surprises.

show(
    {
        f"temperature {t}": models[2].sample_prior(12, random_state=0, temperature=t)
        for t in (1.0, 0.7, 0.4)
    }
)

# %%
# What each group has found
# -------------------------
# The codes of every group, by their true labels above and below by those that UMAP and HDBSCAN
# found, without being told how many there are. A few digits stand apart in the first group; the
# others hold what is left to say of an image, which has less to do with its class.

_, axes = plt.subplots(2, 3, figsize=(10, 6.5), layout="constrained")
for group, codes in enumerate(models[3].transform_groups(X).swapaxes(0, 1)):
    found = models[3].group_labels_[:, group]
    coordinates = UMAP(random_state=0, n_jobs=1).fit_transform(codes)
    for ax, labels in zip(axes[:, group], (y, found), strict=True):
        CodeMapDisplay(coordinates, labels).plot(ax=ax, legend=False)
        ax.set(xlabel="", ylabel="")
    axes[0, group].set_title(f"group {group}: digits")
    share, accuracy = labeled_fraction(y, found), labeled_accuracy(y, found)
    axes[1, group].set_title(f"clusters: {share:.0%} labelled,\n{accuracy:.0%} of them right")
plt.show()

# %%
# Which rows are noise was looked up while the model trained. What did that cost? The first search
# also compiles UMAP.

seconds = sum(record["seconds"] for record in models[3].history_)
for record in models[3].history_:
    if "noise_share" in record:
        spent = record["refresh_seconds"] / seconds
        print(
            f"before epoch {record['phase_epoch']}: {record['noise_share']:.0%} noise, "
            f"for {spent:.0%} of the training's time"
        )
