"""Tables as text, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

Rows = Sequence[Sequence[str]]

BY_SUFFIX = {".md": "markdown", ".csv": "csv"}


def show(rows: Rows, style: str | None, output: Path | None) -> None:
    """Print rows, the first of them the header, or write them to a file whose suffix says how."""
    style = style or (BY_SUFFIX.get(output.suffix, "text") if output else "text")
    text = STYLES[style](rows)
    if output is None:
        print(text, end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")


def _text(rows: Rows) -> str:
    header, *body = _padded(rows)
    rule = ["-" * len(cell) for cell in header]
    return "".join("  ".join(row).rstrip() + "\n" for row in [header, rule, *body])


def _markdown(rows: Rows) -> str:
    header, *body = _padded(rows)
    rule = ["-" * len(cell) for cell in header]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *body])


def _csv(rows: Rows) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _padded(rows: Rows) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows]


STYLES = {"text": _text, "markdown": _markdown, "csv": _csv}
