"""The table, for a terminal and for ``docs/performance.md``."""

import importlib.metadata
import os
import platform
import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import Row

HEADER = ["work", "against", "ratio (min - max)", "aim", "met", "ours", "theirs"]
LIBRARIES = ["limnad", "polars", "numpy", "grpcio", "protobuf", "bytewax", "pathway", "scipy"]


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, its columns aligned."""
    cells = [HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def _cells(row: Row) -> list[str]:
    ratios = row.ratios
    ratio = f"**{number(row.ratio)}** ({number(min(ratios))} - {number(max(ratios))})"
    aim = str(row.aim) if row.aim else ""
    return [row.work, row.against, ratio, aim, row.verdict, _absolute(row.ours, row), _absolute(row.theirs, row)]


def _absolute(values: list[float], row: Row) -> str:
    return f"{number(statistics.median(values))} {row.unit}".rstrip()


def number(value: float) -> str:
    """Three digits, without an exponent.

    >>> number(1234.5), number(12.345), number(0.01234)
    ('1,234', '12.3', '0.0123')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def machine() -> str:
    """One line on where and with what the numbers were measured."""
    cores = len(os.sched_getaffinity(0))
    versions = ", ".join(f"{name} {version}" for name in LIBRARIES if (version := _version(name)))
    return (
        f"{_processor()}, {cores} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; {versions}"
    )


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    model = re.search(r"^model name\s*:\s*(.*)$", told, re.MULTILINE)
    return model[1].strip() if model else platform.machine()


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def section(rows: Sequence[Row], runs: int, *, quick: bool) -> str:
    """The table of a suite with its circumstances, as it stands in the page."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    size = ", quick sizes" if quick else ""
    load = os.getloadavg()[0]
    return f"{table(rows)}\n\n<sub>{when}, {runs} runs{size}, load average at the end {load:.1f}. {machine()}.</sub>"


def put_into(page: str, suite: str, text: str) -> str:
    """Replaces what stands between the markers of a suite.

    Raises:
        ValueError: The page has no such markers.
    """
    begin, end = f"<!-- benchmark {suite} -->", "<!-- end -->"
    before, found, rest = page.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"the page lacks the markers {begin} ... {end}")
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
