"""The command line of the benchmarks.

``python -m benchmarks run`` fits methods to data sets and appends one line of JSON per fit to a
file. It skips what the file holds already, and continues a fit that was cut short. Data sets other
than ``digits`` are found as the fetchers of skdeepcluster.datasets find them: as files in the
folder that SKDEEPCLUSTER_DATA names, or on OpenML.

``python -m benchmarks table`` prints means and standard deviations over the seeds of such files,
beside what was published.

``python -m benchmarks cost`` measures the engine against hand-written loops, and with
``--networks 2,10,50,100`` k networks computed as one against a loop over them.

``python -m benchmarks anchors --data mnist`` tells which pairs of rows DiscriminativeClustering's
rules would take for anchors, and how often they share a class.

``python -m benchmarks numbers`` tells which number of clusters is found by stability, by the
silhouette, by BIC and by HDBSCAN, where it is known and where there are none.

The pages of the documentation show what these commands write::

    python -m benchmarks table --output docs/benchmarks/quality.csv
    python -m benchmarks cost --output docs/benchmarks/cost.csv
    python -m benchmarks numbers --output docs/benchmarks/numbers.csv
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from benchmarks.anchors import measure_anchors
from benchmarks.cost import measure_all, measure_grouped
from benchmarks.data import DATA, load
from benchmarks.methods import METHODS
from benchmarks.numbers import measure_numbers
from benchmarks.rendering import STYLES, show
from benchmarks.runs import read, run_all
from benchmarks.summary import tabulate, tabulate_generation

RESULTS = Path("benchmarks", "results", "runs.jsonl")


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    if args.threads:
        os.environ["NUMBA_NUM_THREADS"] = str(args.threads)  # UMAP's, and it sets torch's as well
        torch.set_num_threads(args.threads)
    with threadpool_limits(args.threads):
        return args.command(args)


def parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("benchmarks", description=__doc__, formatter_class=formatter)
    commands = top.add_subparsers(required=True)
    _add_run(commands.add_parser("run", help="fit methods and keep the figures"))
    _add_table(commands.add_parser("table", help="print means over seeds"))
    _add_cost(commands.add_parser("cost", help="measure the engine"))
    _add_anchors(commands.add_parser("anchors", help="describe rules for anchor pairs"))
    _add_numbers(commands.add_parser("numbers", help="find the number of clusters"))
    for command in commands.choices.values():
        command.add_argument("--threads", type=int, help="default: as many as torch takes")
    return top


def _add_run(run: argparse.ArgumentParser) -> None:
    run.set_defaults(command=_run)
    run.add_argument("--methods", required=True, type=_names_in(METHODS), help=", ".join(METHODS))
    run.add_argument(
        "--data",
        required=True,
        type=_names_in(DATA),
        help=f"{', '.join(DATA)}; NAME:ROWS draws that many rows",
    )
    run.add_argument("--seeds", type=_integers, default=[0], help="0-2 or 0,3,5; default: 0")
    run.add_argument("--out", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    run.add_argument("--device", default="auto", help="of the estimators; default: auto")
    run.add_argument(
        "--set",
        nargs="+",
        type=_setting,
        default=[],
        metavar="NAME=VALUE",
        help="parameters other than the method's own; methods without such a parameter ignore it",
    )
    run.add_argument(
        "--judged",
        action="store_true",
        help="also measure generated rows, by a network that was trained on the classes",
    )
    run.add_argument("--verbose", type=int, default=0, help="of the estimators; default: 0")


def _add_table(table: argparse.ArgumentParser) -> None:
    table.set_defaults(command=_table)
    table.add_argument("files", nargs="*", type=Path, default=[RESULTS], help=f"default: {RESULTS}")
    table.add_argument("--extremes", action="store_true", help="add median, minimum and maximum")
    table.add_argument("--generation", action="store_true", help="of what runs with --judged made")
    _add_output(table)


def _add_cost(cost: argparse.ArgumentParser) -> None:
    cost.set_defaults(command=_cost)
    cost.add_argument("--repeats", type=int, default=7, help="default: 7")
    cost.add_argument("--epochs", type=int, default=3, help="per repeat; default: 3")
    cost.add_argument("--rows", type=int, default=5_000, help="of an epoch; default: 5000")
    cost.add_argument(
        "--memory-rows", type=int, default=1_000_000, help="0 leaves memory out; default: 1000000"
    )
    cost.add_argument(
        "--networks",
        type=_integers,
        metavar="K,K",
        help="measure k networks computed as one instead, for these k, such as 2,10,50,100",
    )
    _add_output(cost)


def _add_anchors(anchors: argparse.ArgumentParser) -> None:
    anchors.set_defaults(command=_anchors)
    anchors.add_argument("--data", required=True, type=_names_in(DATA), help="dense data sets")
    _add_output(anchors)


def _add_numbers(numbers: argparse.ArgumentParser) -> None:
    numbers.set_defaults(command=_numbers)
    numbers.add_argument("--seeds", type=_integers, default=[0], help="0-2 or 0,3,5; default: 0")
    _add_output(numbers)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format", choices=STYLES, help="default: by the output's suffix, or text"
    )
    command.add_argument(
        "--output", type=Path, help="a .md, .csv or .txt file instead of the screen"
    )


def _run(args: argparse.Namespace) -> int:
    n_failed = run_all(
        args.methods,
        args.data,
        args.seeds,
        args.out,
        device=args.device,
        overrides=dict(args.set),
        judged=args.judged,
        verbose=args.verbose,
    )
    return int(n_failed > 0)


def _table(args: argparse.Namespace) -> int:
    records = [record for file in args.files for record in read(file)]
    rows = tabulate_generation(records) if args.generation else tabulate(records, args.extremes)
    show(rows, args.format, args.output)
    return 0


def _cost(args: argparse.Namespace) -> int:
    if args.networks:
        rows = measure_grouped(args.networks, args.repeats)
    else:
        rows = measure_all(args.repeats, args.epochs, args.rows, args.memory_rows)
    show(rows, args.format, args.output)
    return 0


def _anchors(args: argparse.Namespace) -> int:
    for name in args.data:
        show(measure_anchors(load(name)), args.format, args.output)
    return 0


def _numbers(args: argparse.Namespace) -> int:
    rows: list[list[str]] = []
    for row in measure_numbers(args.seeds):
        rows.append(row)
        show(rows, args.format, args.output)  # after each: all of them take an hour
    return 0


def _names_in(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a parser of comma-separated names, each perhaps followed by :ROWS."""

    def names(text: str) -> list[str]:
        unknown = {name.partition(":")[0] for name in text.split(",")} - set(known)
        if unknown:
            listed = ", ".join(sorted(unknown))
            raise argparse.ArgumentTypeError(f"unknown: {listed}; choose from {', '.join(known)}")
        return text.split(",")

    return names


def _integers(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return [*range(int(first), int(last) + 1)] if last else [int(s) for s in text.split(",")]


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


if __name__ == "__main__":
    sys.exit(main())
