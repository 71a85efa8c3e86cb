"""A fitted estimator as arrays and JSON: in a file, and in a pickle."""

from __future__ import annotations

import copy
import json
import os
import platform
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import sklearn
import torch
from sklearn import cluster, mixture
from sklearn.base import ClusterMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skdeepcluster._validation import check_network
from skdeepcluster.base._clusters import Clusters
from skdeepcluster.engine.device import resolve_device
from skdeepcluster.files import (
    ORIGIN,
    Foreign,
    Missing,
    Reader,
    Writer,
    descendants,
    dumps,
    loads,
    qualified_name,
    write_file,
)
from skdeepcluster.heads import (
    ClusteringHead,
    NearestCenter,
    NeighborRule,
    OwnRule,
    Placement,
    PlainMixture,
    SphericalKMeans,
    SteadyGaussianMixture,
)
from skdeepcluster.models.discriminative import anchors_of
from skdeepcluster.priors import DiscreteContinuousPrior, SeparatedGaussiansPrior

__all__ = ["Saved", "load", "with_origin"]

NETWORKS = ("encoder", "decoder", "critic")  # parameters that make networks of the user's
# What a file may name, beside layers of torch's and models and networks of ours.
RULES = (ClusteringHead, NearestCenter, NeighborRule, OwnRule, Placement, PlainMixture)
PRIORS = (DiscreteContinuousPrior, SeparatedGaussiansPrior)
KNOWN: dict[str, Any] = {each.__name__: each for each in (Clusters, *RULES, *PRIORS, anchors_of)}


class Saved:
    """Base of what can be saved: parameters, and what a fit has found."""

    device_: str
    module_: Any

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file that `skdeepcluster.load` reads.

        The file is in the format of safetensors, with JSON as its metadata. It holds arrays,
        parameters and names, and nothing that could be run.

        Parameters
        ----------
        path : str or path
            The file. What stands there is replaced, in one step.

        Raises
        ------
        ValueError
            If something is not an array and cannot be made again from its parameters, such as a
            clusterer of your own as the head.
        """
        check_is_fitted(self)
        writer = Writer(KNOWN, _clusterers(), names_others=True)
        content = {
            "estimator": self._public_name(),
            "versions": _versions(),
            "parameters": self._written_params(writer),
            "fitted": self._written_fit(writer),
        }
        write_file(path, dumps("model", content, writer.arrays))

    def _public_name(self) -> str:
        name = type(self).__name__
        if _estimators().get(name) is not type(self):
            raise ValueError(
                f"{name} is a class of your own, and a file names estimators of this package "
                "alone. Use joblib or pickle, or save an estimator of the class that it inherits."
            )
        return name

    def _written_params(self, writer: Writer) -> dict[str, Any]:
        """Return the parameters; of those that cannot be written, the names."""
        trees = {}
        for name, value in self.get_params(deep=False).items():  # type: ignore[attr-defined]
            try:
                trees[name] = writer.attempt(value, f"parameters.{name}")
            except TypeError:
                trees[name] = {"missing": qualified_name(value)}
        for part in self.module_.modules():
            maker = getattr(part, ORIGIN, ("",))[0]
            if maker and trees[maker] is None:  # the parameter was changed since
                trees[maker] = {"missing": qualified_name(part)}
        return trees

    def _written_fit(self, writer: Writer) -> dict[str, Any]:
        trees = {}
        for name, value in self._fitted_state().items():
            try:
                trees[name] = writer.write(value, name)
            except TypeError as error:
                raise ValueError(
                    f"{type(self).__name__} cannot be saved for its {name}: {error}. A file holds "
                    "arrays alone. Use joblib or pickle, which keep objects of your own, or a head "
                    "given by its name, KMeans or GaussianMixture."
                ) from error
        return trees

    def _fitted_state(self) -> dict[str, Any]:
        """Return all attributes but the parameters."""
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        return {name: value for name, value in vars(self).items() if name not in params}

    # -- pickles and copies ---------------------------------------------------------------------

    def __copy__(self) -> Self:
        """Return an estimator with the same attributes, which are not copied."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Keep what was fitted as arrays, which every machine can load, also without pickle.

        What is not an array, such as a network of a class of the user's, is kept as it is.
        """
        kept: Any = super().__getstate__()
        state = dict(kept)
        writer, trees = Writer(KNOWN, _clusterers()), {}
        for name, value in self._fitted_state().items():
            try:
                trees[name] = writer.attempt(value, name)
            except TypeError:
                continue
            del state[name]
        if "module_" in state and self.device_ != "cpu":
            state["module_"] = copy.deepcopy(self.module_).cpu()
        if trees:
            state["_fitted"] = {"structure": json.dumps(trees), "arrays": writer.arrays}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the model to its device if that exists here."""
        rest = dict(state)
        fitted = rest.pop("_fitted", None)
        super().__setstate__(rest)  # type: ignore[misc]
        if fitted is not None:
            reader = Reader(fitted["arrays"], KNOWN, _clusterers())
            vars(self).update(_read_all(reader, json.loads(fitted["structure"])))
        self._settle_on_device()

    def _settle_on_device(self) -> None:
        """Move the networks to where they were, or to the processor if that is not here."""
        if "module_" not in vars(self) or self.device_ == "cpu":
            return
        try:
            resolve_device(self.device_)
        except ValueError:
            self.device_ = "cpu"
        self.module_.to(self.device_)


def load(path: str | os.PathLike[str], **given: Any) -> Any:
    """Read a fitted estimator from a file that its `save` wrote.

    Nothing in the file is run, so that a file of a stranger can at worst be refused.

    Parameters
    ----------
    path : str or path
        The file.
    **given : object
        What the file names and cannot hold, under the names of the parameters: ``encoder``,
        ``decoder`` and ``critic`` are needed where the networks are your own; callbacks and
        whatever else a later fit alone takes may be given. ``device`` moves the networks.

    Returns
    -------
    model : estimator
        The fitted estimator, on the device that it was fitted on, or on the processor where there
        is no such device.

    Raises
    ------
    ValueError
        If the file is not a saved model, is cut short or changed, is of a later version, or has
        networks of your own that are not given.

    Warns
    -----
    UserWarning
        If parameters that a later fit would take are neither in the file nor given.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import AutoencoderClustering, load
    >>> X, _ = make_blobs(200, n_features=4, random_state=0)
    >>> model = AutoencoderClustering(3, hidden_layer_sizes=(16,), max_epochs=2).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder, "model.safetensors"))
    ...     loaded = load(Path(folder, "model.safetensors"))
    >>> bool((loaded.predict(X) == model.labels_).all())
    True
    """
    try:
        content, arrays = loads(Path(path).read_bytes(), "model")
        return _rebuilt(content, arrays, given)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} {error}") from error


def _rebuilt(content: Any, arrays: Mapping[str, Any], given: dict[str, Any]) -> Any:
    """Return the estimator that a file describes."""
    try:
        name, parts = content["estimator"], (content["parameters"], content["fitted"])
        kind = _estimators()[name]
    except (LookupError, TypeError) as error:
        raise ValueError(f"holds no estimator of this version of skdeepcluster: {error}") from error
    stored = _read_all(Reader(arrays, KNOWN, _clusterers()), parts[0])
    params = _completed(kind, stored, given)
    fitted = _read_all(Reader(arrays, KNOWN, _clusterers(), _maker(params)), parts[1])
    try:
        model = kind(**params)
        device = given.get("device", fitted["device_"])
        fitted["module_"].eval()
    except (LookupError, TypeError, AttributeError) as error:  # parameters of another version, say
        raise ValueError(f"holds no {name} of this version of skdeepcluster: {error}") from error
    vars(model).update(fitted)
    model.device_ = str(resolve_device(device)) if "device" in given else device
    model._settle_on_device()
    return model


def _completed(kind: type, stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters, those that the file lacks as they are given, or as they are by default."""
    missing = {name: value.name for name, value in stored.items() if isinstance(value, Missing)}
    if wrong := sorted(given.keys() - missing.keys() - {"device"}):
        raise ValueError(
            f"does not ask for {', '.join(wrong)}: it holds them already, or {kind.__name__} has "
            "no such parameters. Use set_params once the model is loaded."
        )
    needed = [name for name in NETWORKS if name in missing and name not in given]
    if needed:
        calls = ", ".join(f"{name}={missing[name]}" for name in needed)
        raise ValueError(
            f"has networks of your own, which a file cannot hold. Pass what made them: "
            f"load(path, {calls})."
        )
    if left := sorted(missing.keys() - given.keys()):
        named = ", ".join(f"{name} ({missing[name]})" for name in left)
        warnings.warn(
            f"The file does not hold {named}. The fitted model is complete without, but a later "
            "fit would use the defaults. Pass them to load to restore them.",
            UserWarning,
            stacklevel=4,
        )
    kept = {name: value for name, value in stored.items() if name not in missing}
    return {**kept, **given}


def _maker(params: Mapping[str, Any]) -> Any:
    """Return what makes networks of the user's anew, by the parameters that are given."""

    def make(origin: Any, name: str) -> nn.Module:
        parameter, *arguments = origin
        return with_origin(check_network(params[parameter], parameter, *arguments), origin)

    return make


def with_origin(network: nn.Module, origin: tuple[Any, ...]) -> nn.Module:
    """Note in a user's network which parameter has made it, and how."""
    setattr(network, ORIGIN, origin)
    return network


def _read_all(reader: Reader, trees: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(trees, dict):
        raise Foreign("does not have names where a saved model has them")
    return {name: reader.read(tree, name) for name, tree in trees.items()}


def _versions() -> dict[str, str]:
    """Return the versions that write the file."""
    package = __name__.partition(".")[0]
    return {
        package: sys.modules[package].__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def _estimators() -> dict[str, type]:
    """Return the public estimators by name."""
    public = f"{__name__.partition('.')[0]}.estimators."
    kinds = descendants(Saved)
    return {kind.__name__: kind for kind in kinds if kind.__module__.startswith(public)}


def _clusterers() -> dict[str, type]:
    """Return the clusterers that a file may name, with their parameters: they are not fitted."""
    return {**_of_others(), **_estimators()}


@cache
def _of_others() -> dict[str, type]:
    own = (SphericalKMeans, SteadyGaussianMixture, mixture.GaussianMixture)
    kinds = [getattr(cluster, name) for name in cluster.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, ClusterMixin)]
    return {kind.__name__: kind for kind in (*own, *kinds)}
