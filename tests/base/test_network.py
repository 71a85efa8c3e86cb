"""The networks of a fitted estimator alone."""

import numpy as np
import pytest
import torch
from registry import ESTIMATORS, ONE_OF_EACH, stages
from sklearn.base import clone
from sklearn.cluster import KMeans, MeanShift
from sklearn.exceptions import NotFittedError
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from torch.export import Dim, export

from skdeepcluster import AutoencoderClustering
from skdeepcluster.heads import Placement


def autoencoder(**params):
    sizes = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_epochs": 2}
    return AutoencoderClustering(3, **{"random_state": 0, "device": "cpu", **sizes, **params})


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_it_can_be_exported_for_any_number_of_rows(name, blobs):
    brief = stages(ESTIMATORS[name], 1)
    quick = {"manifold": None, "manifold_params": None}
    brief |= {k: v for k, v in quick.items() if k in ESTIMATORS[name].get_params()}
    model = clone(ESTIMATORS[name]).set_params(**brief).fit(blobs[0])
    output = "probabilities" if hasattr(model, "predict_proba") else "codes"
    rows = torch.from_numpy(blobs[0])
    program = export(model.network(output), (rows,), dynamic_shapes=({0: Dim("rows")},))
    found = program.module()(rows[:7]).detach().numpy()
    expected = model.predict_proba if output == "probabilities" else model.transform
    np.testing.assert_allclose(found, expected(blobs[0][:7]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_mixtures_of_every_type(kind, blobs):
    model = autoencoder(head=GaussianMixture(3, covariance_type=kind, random_state=0))
    model.fit(blobs[0])
    found = model.network("probabilities")(torch.from_numpy(blobs[0])).detach()
    np.testing.assert_allclose(found, model.predict_proba(blobs[0]), rtol=1e-5, atol=1e-6)
    assert found.var() > 0.01  # all clusters have their share


def test_images_keep_their_shape():
    images = np.random.RandomState(0).randint(0, 256, (40, 8, 8)).astype(np.uint8)
    model = autoencoder(hidden_layer_sizes=(4,)).fit(images)
    found = model.network()(torch.from_numpy(images)).detach()
    np.testing.assert_allclose(found, model.transform(images), rtol=1e-5, atol=1e-6)


def test_what_is_done_to_it_leaves_the_estimator_alone(blobs):
    model = autoencoder().fit(blobs[0])
    expected = model.transform(blobs[0])
    network = model.network()
    for parameter in network.parameters():
        parameter.data.zero_()
    assert not network(torch.from_numpy(blobs[0])).any()
    np.testing.assert_array_equal(model.transform(blobs[0]), expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"head": "kmeans"}, "no predict_proba"),
        ({"head": KMeans(3)}, "no predict_proba"),
        ({"head": MeanShift(), "n_clusters": "auto"}, "no predict_proba"),
        ({"head": BayesianGaussianMixture(n_components=3)}, "clusterer of your own.*head='gmm'"),
    ],
)
def test_what_has_no_network_says_why(params, message, blobs):
    model = autoencoder().set_params(**params).fit(blobs[0])
    with pytest.raises(ValueError, match=message):
        model.network("probabilities")
    assert model.network()(torch.from_numpy(blobs[0][:2])).shape == (2, 2)


def test_a_head_on_coordinates_has_no_network(blobs):
    model = autoencoder(head="gmm").fit(blobs[0])
    codes = model.transform(blobs[0]).astype(np.float64)
    model.head_._placement = Placement(codes, codes)  # as if UMAP had left them where they are
    with pytest.raises(ValueError, match=r"UMAP.*no gradients go.*manifold=None"):
        model.network("probabilities")


def test_other_outputs_are_refused(blobs):
    with pytest.raises(NotFittedError):
        autoencoder().network()
    with pytest.raises(ValueError, match=r"output='labels' is unknown; choose one of \['codes'"):
        autoencoder().fit(blobs[0]).network("labels")
