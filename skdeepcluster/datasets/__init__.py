"""Data sets of the deep-clustering literature: fetched, bundled and generated.

``fetch_NAME`` reads ``NAME.npz`` from the folder ``data_home``, or from the folder that the
environment variable ``SKDEEPCLUSTER_DATA`` names, if the file is there. Otherwise it asks OpenML,
where OpenML has the data, and scikit-learn keeps the download. As in scikit-learn, ``data`` holds
flat rows; where they are images, ``images`` is the same memory in the shape of images.
`load_image_folder` makes such a data set of one's own files.
"""

from skdeepcluster.datasets._fetch import (
    fetch_cifar10_test,
    fetch_coil20_32,
    fetch_fashion_mnist,
    fetch_har,
    fetch_mnist,
    fetch_pendigits,
    fetch_reuters21578_top4,
    fetch_usps,
)
from skdeepcluster.datasets._folder import load_image_folder
from skdeepcluster.datasets._samples import load_small_digits, make_four_gaussians
from skdeepcluster.datasets._subsets import class_subset, fetch_vardakas2021

__all__ = [
    "class_subset",
    "fetch_cifar10_test",
    "fetch_coil20_32",
    "fetch_fashion_mnist",
    "fetch_har",
    "fetch_mnist",
    "fetch_pendigits",
    "fetch_reuters21578_top4",
    "fetch_usps",
    "fetch_vardakas2021",
    "load_image_folder",
    "load_small_digits",
    "make_four_gaussians",
]
