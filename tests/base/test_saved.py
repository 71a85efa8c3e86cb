"""Fitted estimators in files, in pickles, and as skops has them."""

import copy
import pickle
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from registry import ESTIMATORS, ONE_OF_EACH, stages
from saving import assert_equal
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering, KMeans, MeanShift
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from torch import nn

import skdeepcluster
from skdeepcluster import AutoencoderClustering, SPCClustering, load
from skdeepcluster.base._saved import KNOWN
from skdeepcluster.files import dumps, loads
from skdeepcluster.heads import Placement

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FILES = Path(__file__).parents[1] / "files" / "stored"


def brief(name, **params):
    estimator = ESTIMATORS[name]
    return clone(estimator).set_params(**{**stages(estimator, 1), **params})


def small(**params):
    sizes = {"n_clusters": 3, "latent_dim": 2, "hidden_layer_sizes": (8,), "max_epochs": 1}
    return AutoencoderClustering(**{"random_state": 0, "device": "cpu", **sizes, **params})


def stored():
    """What the files are of: one of each class, and settings that hold what these do not."""
    vectors = {name: brief(name) for name in (*ONE_OF_EACH, "imle-centroid")}
    vectors["neighbors"] = small(head="agglomerative", manifold="umap")
    for model in vectors.values():
        model.set_params(max_epochs=1)
        if hasattr(model, "hidden_layer_sizes"):
            model.set_params(hidden_layer_sizes=(4,) * len(model.hidden_layer_sizes))
    labels, quick = np.arange(40) % 3, {"max_rounds": 0, "recluster": None}
    images = brief("spc", init=labels, manifold_params=None, hidden_layer_sizes=(2,), **quick)
    return {**vectors, "images": images.set_params(image_shape=(1, 4, 4), n_members=1)}


def rows_of(model, n_rows):
    """Rows that are the same everywhere."""
    width = np.prod(model.image_shape or (6,))
    return np.linspace(0, 37, n_rows * width, dtype=np.float32).reshape(n_rows, width) % 1


@pytest.mark.parametrize("name", sorted(stored()))
def test_a_file_of_today_loads(name):
    """Files of the versions so far, with what was predicted when they were written."""
    model = load(FILES / f"{name}.safetensors")
    rows = rows_of(model, 10)
    np.testing.assert_array_equal(model.predict(rows), model.recorded_labels_)
    np.testing.assert_allclose(model.transform(rows), model.recorded_codes_, rtol=1e-4, atol=1e-5)


def test_the_files_hold_all_that_can_be_named():
    texts = "".join(path.read_bytes().decode(errors="ignore") for path in FILES.iterdir())
    assert not {name for name in KNOWN if f'\\"{name}\\"' not in texts}


def store(name):
    """Write a file that the tests above read: python tests/base/test_saved.py NAME."""
    model = stored()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows_of(model, 40))
    rows = rows_of(model, 10)
    model.recorded_labels_, model.recorded_codes_ = model.predict(rows), model.transform(rows)
    FILES.mkdir(exist_ok=True)
    model.save(FILES / f"{name}.safetensors")


# -- heads and parameters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"head": "hdbscan", "n_clusters": "auto", "min_cluster_size": 5},
        {"head": "agglomerative"},
        {"head": "spherical"},
        {"head": KMeans(3, n_init=2)},
        {"head": GaussianMixture(covariance_type="tied")},
        {"head": AgglomerativeClustering()},
        {"trainer_params": {"optimizer__betas": (0.8, 0.9)}, "checkpoint": Path("nowhere.fit")},
    ],
    ids=lambda params: "-".join(map(str, params.values())),
)
def test_heads_and_parameters(params, blobs, tmp_path):
    checkpoint = params.pop("checkpoint", None)
    model = small(**params).fit(blobs[0]).set_params(checkpoint=checkpoint)
    model.save(tmp_path / "model")
    assert_equal(model, load(tmp_path / "model"), blobs[0])
    again = pickle.loads(pickle.dumps(model))
    assert_equal(model, again, blobs[0])
    assert_equal(model, copy.deepcopy(model), blobs[0])


def test_a_head_on_coordinates(blobs, tmp_path):
    model = small(head="gmm").fit(blobs[0])
    codes = model.transform(blobs[0]).astype(np.float64)
    model.head_._placement = Placement(codes, codes.astype(np.float32))  # as UMAP leaves one
    before = model.predict_proba(blobs[0])
    model.save(tmp_path / "model")
    for again in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict_proba(blobs[0]), before)
        assert vars(again.head_._placement).keys() == {"codes", "coordinates", "_search"}


def test_images_and_names_of_columns(blobs, tmp_path):
    pd = pytest.importorskip("pandas")
    images = np.random.RandomState(0).uniform(size=(40, 8, 8))
    frame = pd.DataFrame(blobs[0], columns=list("abcdef"))
    for X in (images, frame):
        sizes = (4,) if X is images else (8,)
        model = small(hidden_layer_sizes=sizes).fit(X)
        model.save(tmp_path / "model")
        assert_equal(model, load(tmp_path / "model"), X)


def test_labels_as_a_start_are_kept(blobs, tmp_path):
    model = ESTIMATORS["spc-members"]
    model = clone(model).set_params(init=blobs[1], max_rounds=0, max_epochs=1, decoder_epochs=0)
    model.fit(blobs[0]).save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").init, blobs[1])


def test_what_is_no_array_is_refused_with_advice(blobs, tmp_path):
    model = small(n_clusters="auto", head=MeanShift()).fit(blobs[0])
    with pytest.raises(
        ValueError, match=r"cannot be saved for its head_: a fitted MeanShift.*Use joblib"
    ):
        model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="memory of a AgglomerativeClustering is a folder"):
        head = AgglomerativeClustering(memory=str(tmp_path / "memory"))
        small(head=head).fit(blobs[0]).save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(blobs[0]), model.labels_)


def test_a_class_of_ones_own_is_refused_with_advice(blobs, tmp_path):
    class Mine(AutoencoderClustering):
        pass

    with pytest.raises(ValueError, match=r"Mine is a class of your own.*Use joblib"):
        Mine(3, max_epochs=0, hidden_layer_sizes=(8,)).fit(blobs[0]).save(tmp_path / "model")


def test_what_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        small().save(tmp_path / "model")


# -- what a file cannot hold --------------------------------------------------------------------


class Encoder(nn.Module):
    """A network that no file can hold."""

    def __init__(self, n_features, n_outputs, width=5):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, width), nn.Linear(width, n_outputs))

    def forward(self, x):
        return self.layers(x).tanh()


def own_encoder(shape, n_outputs, width=5):
    return Encoder(*shape, n_outputs, width)


def own_decoder(n_inputs, shape):
    return nn.Linear(n_inputs, *shape)


@pytest.mark.usefixtures("encoding")
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_networks_of_ones_own_are_asked_for(name, estimator, blobs, tmp_path):
    if name in ("kdae", "kdvae-kmeans"):
        pytest.skip("joins networks into one, of layers that it knows")
    if not hasattr(estimator, "encoder"):
        pytest.skip("has heads alone")
    quick = {"n_members": 1, "manifold": None, "manifold_params": None}
    estimator.set_params(**{k: v for k, v in quick.items() if k in estimator.get_params()})
    model = estimator.set_params(encoder=own_encoder, **stages(estimator, 1)).fit(blobs[0])
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"networks of your own.*load\(path, encoder=.*encoder"):
        load(tmp_path / "model")
    loaded = load(tmp_path / "model", encoder=own_encoder)
    assert_equal(model, loaded, blobs[0])
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    assert_equal(model, pickle.loads(pickle.dumps(model)), blobs[0])
    with pytest.raises(ValueError, match="Encoder that learned something else"):
        load(tmp_path / "model", encoder=partial(own_encoder, width=7))


def test_networks_are_asked_for_also_where_the_parameter_was_changed(blobs, tmp_path):
    """It was not None when the network was made."""
    small(encoder=own_encoder).fit(blobs[0]).set_params(encoder=None).save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"encoder=.*Encoder"):
        load(tmp_path / "model")
    assert load(tmp_path / "model", encoder=own_encoder).encoder is own_encoder


def test_joined_networks_are_in_the_file(blobs, tmp_path):
    estimator = ESTIMATORS["kdae"]
    model = clone(estimator).set_params(**stages(estimator, 1), decoder=own_decoder)
    model.fit(blobs[0]).save(tmp_path / "model")
    with pytest.raises(ValueError, match="decoder="):
        load(tmp_path / "model")
    assert_equal(model, load(tmp_path / "model", decoder=own_decoder), blobs[0])


def test_what_a_fit_alone_takes_is_told_and_may_be_given(blobs, tmp_path):
    from skorch.callbacks import GradientNormClipping

    callbacks, optimizer = [GradientNormClipping(1.0)], torch.optim.NAdam
    model = small(callbacks=callbacks, optimizer=optimizer).fit(blobs[0])
    model.save(tmp_path / "model")
    with pytest.warns(UserWarning, match=r"does not hold callbacks \(builtins.list\), optimizer"):
        loaded = load(tmp_path / "model")
    assert (loaded.callbacks, loaded.optimizer) == (None, "adam")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(tmp_path / "model", callbacks=callbacks, optimizer=optimizer)
    assert (loaded.callbacks, loaded.optimizer) == (callbacks, optimizer)
    np.testing.assert_array_equal(loaded.predict(blobs[0]), model.labels_)


def test_an_augmentation_of_ones_own_is_not_needed(blobs, tmp_path):
    model = SPCClustering(
        3, init=blobs[1], max_rounds=0, max_epochs=1, decoder_epochs=0, hidden_layer_sizes=(8,),
        augment=lambda x: x + 0.1, recluster=None,
    ).fit(blobs[0])  # fmt: skip
    model.save(tmp_path / "model")
    with pytest.warns(UserWarning, match="augment"):
        loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(blobs[0]), model.labels_)


def test_what_nobody_asks_for_is_refused(blobs, tmp_path):
    small().fit(blobs[0]).save(tmp_path / "model")
    with pytest.raises(ValueError, match="does not ask for encoder, lr"):
        load(tmp_path / "model", lr=1.0, encoder=own_encoder)


# -- devices ------------------------------------------------------------------------------------


def test_a_device_that_is_not_here(blobs, tmp_path):
    model = small().fit(blobs[0])
    model.device_ = "cuda:77"  # as if it came from elsewhere; arrays are those of the processor
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.device_ == "cpu"
    np.testing.assert_array_equal(loaded.predict(blobs[0]), model.labels_)
    assert load(tmp_path / "model", device="cpu").device == "cpu"
    with pytest.raises(ValueError, match=r"device='cuda:77' is not available here"):
        load(tmp_path / "model", device="cuda:77")


# -- files that are none ------------------------------------------------------------------------


def changed(path, change):
    """Another content with the right digest."""
    content, arrays = loads(path.read_bytes(), "model")
    change(content)
    return dumps("model", content, arrays)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.read_bytes()[:-9], "damaged: cut short after"),
        (lambda path: path.read_bytes()[:-9] + b"123456789", "damaged: it was changed"),
        (lambda path: b"my notes", "not a file of skdeepcluster"),
        (lambda path: pickle.dumps(load(path)), "not a file of skdeepcluster"),
        (lambda path: dumps("checkpoint", {}, {}), "holds a checkpoint and no model"),
        (lambda path: dumps("model", {}, {}), "holds no estimator"),
        (lambda path: dumps("model", [1], {}), "holds no estimator"),
        (lambda path: changed(path, lambda c: c.update(estimator="Mine")), "no estimator.*Mine"),
        (lambda path: changed(path, lambda c: c["parameters"].update(x=1)), "no Auto.*'x'"),
        (lambda path: changed(path, lambda c: c["fitted"].pop("module_")), "no Auto.*module_"),
        (lambda path: changed(path, lambda c: c.update(fitted=3)), "does not have names"),
        (
            lambda path: changed(path, lambda c: c["fitted"].update(x={"object": "Popen"})),
            "this package does not write.*Popen",
        ),
    ],
)
def test_other_files_are_refused_by_name(make, message, blobs, tmp_path):
    path = tmp_path / "model.safetensors"
    small(max_epochs=0).fit(blobs[0]).save(path)
    path.write_bytes(make(path))
    with pytest.raises(ValueError, match=rf"model\.safetensors.*{message}"):
        load(path)


def test_load_is_public():
    assert skdeepcluster.load is load


if __name__ == "__main__":
    import sys

    for each in sys.argv[1:] or stored():
        store(each)
