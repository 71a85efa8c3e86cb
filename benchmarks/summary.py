"""Means and standard deviations over the seeds of recorded runs, beside what was published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.methods import METHODS
from benchmarks.published import published
from benchmarks.runs import SCORES, Record, identity


def tabulate(records: Iterable[Record], extremes: bool = False) -> list[list[str]]:
    """Return a row for every data set, method and settings, under a header.

    Columns that no row fills are left out. `extremes` adds median, minimum and maximum.
    """
    groups = _grouped(records)
    rows = [_row(group, _label(group, groups), extremes) for group in groups]
    filled = {name for row in rows for name, cell in row.items() if cell}
    header = [name for name in rows[0] if name in filled] if rows else []
    return [header, *([row[name] for name in header] for row in rows)]


GENERATION = {
    "class_share": "class kept",
    "rows_class_share": "by rows",
    "gaussian_class_share": "by Gaussians",
    "frechet": "Fréchet",
    "rows_frechet": "of rows",
    "gaussian_frechet": "of Gaussians",
}


def tabulate_generation(records: Iterable[Record]) -> list[list[str]]:
    """Return a row of what is generated for every data set, method and settings, under a header."""
    groups = _grouped(record for record in records if record.get("generation"))
    header = ["data", "method", "seeds", "ACC", *GENERATION.values(), "epochs"]
    return [header, *(_generated(group, _label(group, groups)) for group in groups)]


def _generated(group: list[Record], label: str) -> list[str]:
    found = [
        _spread([record["generation"][name] for record in group], 3 if "share" in name else 1)
        for name in GENERATION
    ]
    accuracy = _spread([record["figures"]["acc"] for record in group])
    epochs = _mean([record["epochs"] for record in group])
    return [group[0]["data"], label, str(len(group)), accuracy, *found, epochs]


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


def _row(group: list[Record], label: str, extremes: bool) -> dict[str, str]:
    first = group[0]
    names = [*SCORES, "n_clusters", "labeled_fraction", "labeled_acc"]
    of = {name: [record["figures"][name] for record in group] for name in names}
    nearest = [
        given for record in group if (given := _without_noise(record["figures"])) is not None
    ]
    has_nearest = any("nearest_acc" in record["figures"] for record in group)
    more = {
        name: [r["figures"][name] for r in group if name in r["figures"]]
        for name in ("start_acc", "unseen_acc")
    }
    settled = [told["settled_"] for r in group if "settled_" in (told := r.get("told", {}))]
    noisy = min(of["labeled_fraction"]) < 1
    epochs = [record["epochs"] for record in group if record["epochs"] is not None]
    seconds = [record["cpu_seconds"] for record in group if not record["resumed"]]
    return {
        "data": first["data"],
        "rows": str(first["n_samples"]),
        "method": label,
        "seeds": str(len(group)),
        **_scores(of, extremes),
        "ACC of start": _spread(more["start_acc"]) if more["start_acc"] else "",
        "ACC of unseen rows": _spread(more["unseen_acc"]) if more["unseen_acc"] else "",
        "settled": f"{sum(settled):.0f} of {len(settled)}" if settled else "",
        "clusters": _spread(of["n_clusters"], 1),
        "labelled": _spread(of["labeled_fraction"]) if noisy else "",
        "labelled by group": _by_group(group),
        "ACC of labelled": _spread(of["labeled_acc"]) if noisy else "",
        "ACC, noise to nearest": _spread(nearest) if has_nearest else "",
        "epochs": _mean(epochs),
        "CPU s": _mean(seconds),
        "published ACC": published(first["method"], first["data"]),
    }


def _without_noise(figures: Mapping[str, Any]) -> float | None:
    """Return the accuracy once noise has gone to the nearest cluster, if that is known.

    A seed that found no noise has none to give away, and counts like the others.
    """
    found: float | None = figures.get("nearest_acc")
    return figures["acc"] if found is None and figures["labeled_fraction"] == 1 else found


def _scores(of: Mapping[str, list[float]], extremes: bool) -> dict[str, str]:
    """Return the columns of the scores."""
    cells: dict[str, str] = {}
    for name in SCORES:
        cells[name.upper()] = _spread(of[name])
        if extremes:
            cells[f"{name.upper()} median (min-max)"] = _range(of[name])
    return cells


def _by_group(group: list[Record]) -> str:
    """Return the means of the shares of every latent group, where there are several."""
    shares = [r["figures"].get("labeled_by_group", []) for r in group]
    return " ".join(_mean(of, 3) for of in zip(*shares, strict=False)) if len(shares[0]) > 1 else ""


def _spread(values: Sequence[float], digits: int = 3) -> str:
    """Return mean and standard deviation; one value has none."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _range(values: Sequence[float]) -> str:
    """Return median, minimum and maximum; one value has none."""
    if len(values) < 2:
        return ""
    return f"{np.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _mean(values: Sequence[Any], digits: int = 0) -> str:
    return f"{np.mean(values):.{digits}f}" if values else ""
