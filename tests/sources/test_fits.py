"""Fits on rows that are read by chunks: every estimator, or why not."""

import numpy as np
import pytest
import torch
from registry import ESTIMATORS, stages
from sklearn.base import clone
from sklearn.cluster import KMeans

from skdeepcluster import AutoencoderClustering, IMSATClustering, KDAEClustering, SPCClustering
from skdeepcluster.sources import ChunkedRows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BUFFER = 1500  # bytes, of which the blobs take 3600


@pytest.fixture
def chunked(blobs):
    return ChunkedRows(blobs[0], buffer_size=BUFFER)


REFUSED = {
    "iic",
    "imsat",
    "kdae",
    "kdvae-kmeans",
    "scan",
    "spc-members",
}  # in the settings of the registry


def test_every_estimator_fits_or_says_why_not(name, blobs, chunked):
    model = clone(ESTIMATORS[name]).set_params(**stages(ESTIMATORS[name], 2))
    if hasattr(model, "max_samples"):
        model.set_params(max_samples=50)  # as many as fit into the buffer
    if name in REFUSED:
        with pytest.raises(ValueError, match="looks at all rows at once"):
            model.fit(chunked)
        assert not model.history_
        return
    model.fit(chunked)
    assert np.array_equal(model.labels_, model.predict(chunked))
    assert np.array_equal(model.labels_, model.predict(blobs[0]))
    assert np.array_equal(model.transform(chunked), model.transform(blobs[0]))


def make(**params):
    return AutoencoderClustering(
        3,
        latent_dim=2,
        hidden_layer_sizes=(16,),
        batch_size=32,
        device="cpu",
        random_state=0,
        **params,
    )


def test_what_needs_no_training_is_the_same_as_in_memory(blobs, chunked):
    """Scaling, codes, head, means: all that reads rows in order."""
    weight = np.arange(150) % 3.0  # a third of the rows does not count
    for given in (None, weight):
        here, there = (make(max_epochs=0).fit(X, sample_weight=given) for X in (blobs[0], chunked))
        assert np.array_equal(here.labels_, there.labels_)
        assert np.array_equal(here.cluster_centers_, there.cluster_centers_)
        assert np.array_equal(here.score_samples(blobs[0]), there.score_samples(chunked))


def test_weights_of_zero_are_left_out(blobs, chunked):
    """Also where the rows that count do not fit into the buffer."""
    weight = (np.arange(150) % 3 > 0).astype(float)
    model = make(max_epochs=3)
    seen = []

    def encoder(shape, n_outputs):
        network = torch.nn.Linear(*shape, n_outputs)
        network.register_forward_hook(
            lambda module, rows, _: seen.append(len(rows[0])) if module.training else None
        )
        return network

    model.set_params(encoder=encoder).fit(chunked, sample_weight=weight)
    assert sum(seen) == 3 * 100


def test_one_seed_gives_one_result(blobs, chunked):
    one, again = (make(max_epochs=3).fit(chunked).transform(blobs[0]) for _ in range(2))
    assert np.array_equal(one, again)
    full = make(max_epochs=3).fit(blobs[0]).transform(blobs[0])
    assert not np.array_equal(one, full)  # shuffled by chunks


def test_a_fit_that_was_cut_short_continues(blobs, chunked, tmp_path):
    from skorch.callbacks import Callback

    class Crash(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise RuntimeError("power cut")

    path = tmp_path / "progress"
    with pytest.raises(RuntimeError, match="power cut"):
        make(max_epochs=5, checkpoint=path, callbacks=[Crash()]).fit(chunked)
    assert path.exists()
    continued = make(max_epochs=5, checkpoint=path).fit(chunked)
    assert not path.exists()
    straight = make(max_epochs=5).fit(chunked)
    assert np.array_equal(continued.transform(blobs[0]), straight.transform(blobs[0]))


def test_images_of_a_store_reach_convolutions(blobs):
    images = np.abs(blobs[0][:, :4]).reshape(-1, 2, 2)
    model = make(max_epochs=1).set_params(hidden_layer_sizes=(4,))
    labels = model.fit(ChunkedRows(images, buffer_size=BUFFER)).labels_
    assert np.array_equal(model.predict(images), labels)
    with pytest.raises(ValueError, match="images of shape"):
        model.predict(ChunkedRows(images.reshape(-1, 4, 1), buffer_size=BUFFER))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (KDAEClustering(3, init="kmeans"), "init='kmeans' looks at all rows.*init='vade'"),
        (KDAEClustering(3, init=KMeans(3)), "A clusterer as init looks at all rows"),
        (IMSATClustering(3), "perturbation='adversarial' looks at all rows"),
        (SPCClustering(3, max_samples=None), "max_samples=None looks at all rows"),
    ],
)
def test_what_looks_at_all_rows_is_refused(model, message, chunked):
    with pytest.raises(ValueError, match=message):
        model.fit(chunked)


def test_a_deep_clusterer_may_find_the_first_clusters(chunked, blobs):
    model = KDAEClustering(
        3, latent_dim=2, hidden_layer_sizes=(8,), init=make(max_epochs=1), init_epochs=1,
        max_epochs=1, random_state=0, device="cpu",
    )  # fmt: skip
    assert len(model.fit(chunked).labels_) == 150


def test_values_that_are_not_finite_are_told_before_training(blobs):
    X = blobs[0].copy()
    X[100, 2] = np.inf
    model = make(max_epochs=1)
    with pytest.raises(ValueError, match="X contains infinity"):
        model.fit(ChunkedRows(X, buffer_size=BUFFER))
    assert not hasattr(model, "history_")


def test_rows_of_another_width_are_refused(chunked, blobs):
    model = make(max_epochs=0).fit(chunked)
    with pytest.raises(ValueError, match=r"has 5 features, but .* is expecting 6"):
        model.predict(ChunkedRows(blobs[0][:, :5], buffer_size=BUFFER))
