"""Means and standard deviations over the seeds of recorded runs, beside what was published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.methods import METHODS
from benchmarks.published import published
from benchmarks.runs import SCORES, Record, identity

HEADER = [
    "data",
    "rows",
    "method",
    "seeds",
    "ACC",
    "NMI",
    "ARI",
    "clusters",
    "labelled",
    "ACC of labelled",
    "ACC, noise to nearest",
    "epochs",
    "CPU s",
    "published ACC",
]


def tabulate(records: Iterable[Record]) -> list[list[str]]:
    """Return a row for every data set, method and settings, under a header."""
    groups = _grouped(records)
    return [HEADER, *(_row(group, _label(group, groups)) for group in groups)]


def _grouped(records: Iterable[Record]) -> list[list[Record]]:
    """Collect the runs that differ by their seed alone; data and methods in their known order."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in {identity(record): record for record in records}.values():
        settings = json.dumps(record["settings"], sort_keys=True)
        groups.setdefault((record["data"], record["method"], settings), []).append(record)
    data = list(dict.fromkeys(key[0] for key in groups))
    methods = list(dict.fromkeys([*METHODS, *(key[1] for key in groups)]))
    order = sorted(groups, key=lambda key: (data.index(key[0]), methods.index(key[1])))
    return [groups[key] for key in order]


def _label(group: list[Record], groups: list[list[Record]]) -> str:
    """Return the method, with the settings by which other groups of the same runs differ."""
    first = group[0]
    rivals = [
        rival[0]["settings"]
        for rival in groups
        if (rival[0]["method"], rival[0]["data"]) == (first["method"], first["data"])
    ]
    differing = [
        f"{name}={value}"
        for name, value in first["settings"].items()
        if any(rival.get(name) != value for rival in rivals)
    ]
    return " ".join([first["method"], *differing])


def _row(group: list[Record], label: str) -> list[str]:
    first = group[0]
    names = [*SCORES, "n_clusters", "labeled_fraction", "labeled_acc"]
    of = {name: [record["figures"][name] for record in group] for name in names}
    nearest = [r["figures"]["nearest_acc"] for r in group if "nearest_acc" in r["figures"]]
    noisy = min(of["labeled_fraction"]) < 1
    epochs = [record["epochs"] for record in group if record["epochs"] is not None]
    seconds = [record["cpu_seconds"] for record in group if not record["resumed"]]
    return [
        first["data"],
        str(first["n_samples"]),
        label,
        str(len(group)),
        *(_spread(of[name]) for name in SCORES),
        _spread(of["n_clusters"], 1),
        _spread(of["labeled_fraction"]) if noisy else "",
        _spread(of["labeled_acc"]) if noisy else "",
        _spread(nearest) if nearest else "",
        _mean(epochs),
        _mean(seconds),
        published(first["method"], first["data"]),
    ]


def _spread(values: Sequence[float], digits: int = 3) -> str:
    """Return mean and standard deviation; one value has none."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _mean(values: Sequence[Any]) -> str:
    return f"{np.mean(values):.0f}" if values else ""
