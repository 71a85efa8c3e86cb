"""One fit after another, each measured and kept as a line of JSON."""

from __future__ import annotations

import hashlib
import json
import platform
import time
import traceback
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    pairwise_distances_argmin,
)

import skdeepcluster
from benchmarks.data import Data, load
from benchmarks.generation import generation
from benchmarks.methods import METHODS, Task
from skdeepcluster._isolation import restored_threads
from skdeepcluster.metrics import clustering_accuracy, labeled_accuracy, labeled_fraction

Record = dict[str, Any]

SCORES = ["acc", "nmi", "ari"]

PACKAGES = ["torch", "scikit-learn", "skorch", "numpy", "umap-learn", "hdbscan"]

# Parameters that do not change what is computed, or that a record names elsewhere.
ASIDE = {"random_state", "device", "checkpoint", "verbose", "n_jobs", "memory", "steps"}


def run_all(
    methods: Iterable[str],
    data: Iterable[str],
    seeds: Iterable[int],
    out: Path,
    *,
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
    judged: bool = False,
    verbose: int = 0,
) -> int:
    """Make every run that the file does not hold yet; return the number of those that failed.

    If `judged`, a run also measures what the method generates; one that did not is made again.
    """
    known = read(out) if out.exists() else []
    done = {identity(record) for record in known if "generation" in record or not judged}
    out.parent.mkdir(parents=True, exist_ok=True)
    n_failed = 0
    for name, method, seed in product(data, methods, seeds):
        try:
            run = Run(method, load(name), seed, device, overrides or {})
            told = "done before"
            if identity(run.what) not in done:
                record = run.measure(out, verbose, judged)
                append(record, out)
                told = summary(record)
        except Exception:  # whatever it is, the other runs do not depend on it
            n_failed += 1
            told = f"FAILED\n{traceback.format_exc()}"
        print(f"{method} on {name}, seed {seed}: {told}", flush=True)
    return n_failed


class Run:
    """One fit of one method on one data set with one seed."""

    def __init__(
        self, method: str, data: Data, seed: int, device: str, overrides: Mapping[str, Any]
    ):
        self.data = data
        task = Task(
            n_clusters=data.n_classes,
            n_samples=data.X.shape[0],
            is_sparse=sparse.issparse(data.X),
            image_shape=data.image_shape,
            seed=seed,
            device=device,
        )
        self.model = METHODS[method](task)
        known = self.model.get_params()
        self.model.set_params(**{k: v for k, v in overrides.items() if k in known})
        self.what: Record = {
            "method": method,
            "data": data.name,
            "seed": seed,
            "settings": settings(self.model),
        }

    def measure(self, out: Path, verbose: int = 0, judged: bool = False) -> Record:
        """Fit, score and time the model; progress is kept beside the output until it is done."""
        resumed = self._prepare(out, verbose)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            wall, cpu = time.perf_counter(), time.process_time()
            with restored_threads():  # or a run after one of UMAP would be timed with others
                labels = self.model.fit_predict(self.data.X)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        # After Ctrl-C an estimator is fitted all the same: that is no result of the method.
        if any("Training was interrupted" in str(warning.message) for warning in caught):
            raise KeyboardInterrupt
        trained = hasattr(self.model, "history_")
        return {
            **self.what,
            "n_samples": self.data.X.shape[0],
            "n_features": self.data.X.shape[1],
            "n_classes": self.data.n_classes,
            "figures": figures(self.data.y, labels)
            | self._without_noise(labels)
            | self._labeled_by_group()
            | self._of_start()
            | self._unseen(),
            **({"generation": self._generation(labels)} if judged else {}),
            "told": self._told(),
            # What a fit says of itself, without labels; in nats for the variational methods.
            "score": float(self.model.score(self.data.X)) if trained else None,
            "epochs": self.model.n_iter_ if trained else None,
            "wall_seconds": round(wall, 3),
            "cpu_seconds": round(cpu, 3),
            "resumed": resumed,  # the seconds are then those of the last part only
            "device": self.model.device_ if trained else "cpu",
            "threads": torch.get_num_threads(),
            "warnings": sorted({f"{w.category.__name__}: {w.message}" for w in caught}),
            "versions": versions(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _without_noise(self, labels: NDArray[Any]) -> dict[str, float]:
        """Score labels whose noise goes to the cluster with the nearest centre of codes."""
        noise = labels < 0
        if not noise.any() or not getattr(self.model, "n_clusters_", 0):
            return {}
        codes = self.model.transform(self.data.X[noise])
        nearest = pairwise_distances_argmin(codes, self.model.code_centers_)
        assigned = labels.copy()
        assigned[noise] = nearest
        return {"nearest_acc": clustering_accuracy(self.data.y, assigned)}

    def _labeled_by_group(self) -> dict[str, list[float]]:
        """Return the share of rows that are no noise, for every latent group of a hierarchy."""
        if not hasattr(self.model, "group_labels_"):
            return {}
        return {"labeled_by_group": (self.model.group_labels_ >= 0).mean(0).tolist()}

    def _of_start(self) -> dict[str, float]:
        """Score the clusters that the estimator started from, if it keeps them.

        A row that they leave out was noise, or was not drawn where a sample is clustered.
        """
        start = getattr(self.model, "start_labels_", None)
        return {} if start is None else {"start_acc": labeled_accuracy(self.data.y, start)}

    def _unseen(self) -> dict[str, float]:
        """Score what is predicted for the rows that were not drawn."""
        if self.data.unseen is None or not hasattr(self.model, "predict"):
            return {}
        rows, y = self.data.unseen
        return {"unseen_acc": clustering_accuracy(y, self.model.predict(rows))}

    def _generation(self, labels: NDArray[Any]) -> dict[str, float]:
        """Judge what is generated, of dense rows; nothing, of a method that generates none."""
        if not hasattr(self.model, "sample") or sparse.issparse(self.data.X):
            return {}
        return generation(self.model, self.data, labels, self.what["seed"])

    def _told(self) -> dict[str, float]:
        """Return what the fit says of its own clusters, without labels."""
        names = ["settled_", "label_change_", "agreement_", "n_rounds_"]
        return {
            name: float(getattr(self.model, name)) for name in names if hasattr(self.model, name)
        }

    def _prepare(self, out: Path, verbose: int) -> bool:
        """Give an estimator its checkpoint; tell whether a run is continued."""
        if "checkpoint" not in self.model.get_params():
            return False
        name = hashlib.sha1(identity(self.what).encode()).hexdigest()[:12]
        checkpoint = out.with_name(f"{out.stem}-{name}.checkpoint")
        self.model.set_params(checkpoint=checkpoint, verbose=verbose)
        return checkpoint.exists()


def figures(y: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """Score labels; noise is an error to ACC, and a cluster of its own to NMI and ARI."""
    return {
        "acc": clustering_accuracy(y, labels),
        "nmi": float(normalized_mutual_info_score(y, labels)),
        "ari": float(adjusted_rand_score(y, labels)),
        "labeled_fraction": labeled_fraction(y, labels),
        "labeled_acc": labeled_accuracy(y, labels),
        "n_clusters": len(set(np.unique(labels)) - {-1}),
    }


def settings(model: BaseEstimator) -> dict[str, Any]:
    """Return what the model was told, as JSON holds it, without the seed and the machine."""
    params = model.get_params()
    kept = {
        name: value
        for name, value in params.items()
        if name.split("__")[-1] not in ASIDE and not hasattr(value, "get_params")
    }
    return json.loads(json.dumps(kept, default=_describe, sort_keys=True))


def _describe(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return getattr(value, "__qualname__", None) or str(value)


def identity(record: Mapping[str, Any]) -> str:
    """Return what makes two runs the same run."""
    return json.dumps(
        [record[key] for key in ("method", "data", "seed", "settings")], sort_keys=True
    )


def versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "skdeepcluster": skdeepcluster.__version__}
    return {**own, **{name: version(name) for name in PACKAGES}}


def summary(record: Record) -> str:
    """Return a run's figures in one line."""
    scores = "  ".join(f"{name.upper()} {record['figures'][name]:.3f}" for name in SCORES)
    return f"{scores}  k {record['figures']['n_clusters']}  {record['wall_seconds']:.0f} s"


def append(record: Record, out: Path) -> None:
    """Add a line to a file, in one piece."""
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read(path: Path) -> list[Record]:
    """Return the records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
