"""Pictures and narrow tables of the benchmarks, from the tables in docs/benchmarks.

``write_all`` makes a dot plot and small tables of a few columns for every data set of a table, and
a file that a page includes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

SOURCES = ("quality", "tables", "spc", "imle", "dcan")
BASELINES = {"kmeans": "k-means", "umap-gmm": "UMAP + GMM", "umap-gmm-one-start": "UMAP + GMM"}
NOISE = ["labelled", "ACC of labelled", "ACC, noise to nearest"]
TABS = {
    "Scores": ["method", "seeds", "ACC", "NMI", "ARI", "CPU s"],
    "Start and unseen rows": ["method", "settled", "ACC of start", "ACC of unseen rows"],
    "Noise": ["method", "clusters", *NOISE],
    "Published": ["method", "ACC", "published ACC"],
}
INK, GREY = "#332288", "#888888"

Row = dict[str, str]


def write_all(tables: Path, folder: Path) -> None:
    """Write what the pages include, where a table or this file is newer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        source, page = tables / f"{name}.csv", folder / f"{name}.txt"
        changed = max(source.stat().st_mtime, Path(__file__).stat().st_mtime)
        if not page.exists() or page.stat().st_mtime < changed:
            with source.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            page.write_text(_page(name, rows, folder), encoding="utf-8")


def _page(name: str, rows: Sequence[Row], folder: Path) -> str:
    parts = []
    for data in dict.fromkeys(row["data"] for row in rows):
        of_data = [row for row in rows if row["data"] == data]
        picture = re.sub(r"\W", "-", f"{name}-{data}") + ".png"
        _draw(of_data).savefig(folder / picture, dpi=110)
        plt.close("all")
        parts.append(_tabs(data, of_data, picture))
    return "\n".join(parts)


# -- pictures -----------------------------------------------------------------------------------


def _spread(cell: str) -> tuple[float, float]:
    mean, _, deviation = cell.partition(" ± ")
    return float(mean), float(deviation or 0)


def _draw(rows: Sequence[Row]) -> plt.Figure:
    """Draw mean and deviation of the accuracy of every method, and its seconds beside."""
    lines = [row for row in rows if row["method"] in BASELINES]
    methods = sorted(
        (row for row in rows if row["method"] not in BASELINES),
        key=lambda row: _spread(row["ACC"])[0],
    )
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(7.6, 1.1 + 0.24 * max(3, len(methods))),
        width_ratios=[3, 1],
        sharey=True,
        layout="constrained",
    )
    for row, style in zip(lines, ("--", ":"), strict=False):
        x = _spread(row["ACC"])[0]
        left.axvline(x, color=GREY, linestyle=style, label=BASELINES[row["method"]], zorder=0)
    for y, row in enumerate(methods):
        mean, deviation = _spread(row["ACC"])
        several = int(row["seeds"]) > 1
        left.errorbar(
            mean, y, xerr=deviation, fmt="o", color=INK, mfc=INK if several else "w", capsize=2
        )
    seconds = [(y, float(row["CPU s"])) for y, row in enumerate(methods) if row["CPU s"]]
    right.scatter([max(s, 1) for _, s in seconds], [y for y, _ in seconds], color=INK, s=18)
    right.set(xscale="log", xlabel="CPU seconds")
    right.xaxis.set_minor_formatter(NullFormatter())
    left.set_yticks(range(len(methods)), [_short(row["method"]) for row in methods])
    left.set(xlabel="ACC", ylim=(-0.7, len(methods) - 0.3))
    for ax in (left, right):
        ax.grid(axis="y", color="#e5e5e5", linewidth=0.7)
        ax.tick_params(labelsize=8, length=2)
        ax.spines[["top", "right"]].set_visible(False)
    if lines:
        left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    return figure


def _short(method: str) -> str:
    """Return the name of a method without the settings that every other one shares in words."""
    return method.replace("hidden_layer_sizes=", "layers ").replace("batch_size=", "batch ")


# -- tables -------------------------------------------------------------------------------------


def _tabs(data: str, rows: Sequence[Row], picture: str) -> str:
    title = f"{data} ({int(rows[0]['rows']):,} rows)".replace(",", " ")
    plot = [
        f".. image:: /generated/benchmarks/{picture}",
        f"   :alt: Accuracy and CPU seconds of every method on {data}.",
    ]
    tabs = [_tab("Picture", plot)]
    for name, columns in TABS.items():
        known = [c for c in columns if c == "method" or any(row.get(c) for row in rows)]
        told = [row for row in rows if any(row.get(c) for c in known if c not in ("method", "ACC"))]
        if name == "Noise" and not set(known) & set(NOISE):
            continue
        if name == "Scores" or (len(known) > 1 and known[-1] != "ACC"):
            tabs.append(_tab(name, _table(known, told)))
    return f".. rubric:: {title}\n\n.. tab-set::\n   :class: benchmark\n\n" + "\n".join(tabs)


def _tab(name: str, lines: Sequence[str]) -> str:
    body = "\n".join(f"      {line}".rstrip() for line in lines)
    return f"   .. tab-item:: {name}\n\n{body}\n"


def _table(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "   :class: benchmark", ""]
    lines += _line(columns)
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        cells[0] = _short(cells[0])
        lines += _line(cells)
    return lines


def _line(cells: Sequence[str]) -> list[str]:
    kept = [re.sub(r" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}", cell) for cell in cells]
    return [f"   {'*' if not n else ' '} - {cell}".rstrip() for n, cell in enumerate(kept)]
