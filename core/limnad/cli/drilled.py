"""What became of a drill: counted for each kind of fault, compared with what should have come out, and printed."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from limnad.cli.terminal import console
from limnad.cli.watched import Epochs


@dataclass(slots=True)
class Tally:
    """What became of one kind of fault.

    Attributes:
        times: How often it struck.
        recovery_s: Seconds until the next epoch was printed, each time.
        runs: How many runs were made for it.
        failed: How many of them ended with an error.
        rows: How many rows were compared.
        lost: How many rows were missing or different.
        repeated: How many epochs were printed twice.
    """

    times: int = 0
    recovery_s: list[float] = field(default_factory=list)
    runs: int = 0
    failed: int = 0
    rows: int = 0
    lost: int = 0
    repeated: int = 0


def lost(expected: Epochs, got: Epochs) -> int:
    """How many rows are missing, or are there and should not be."""
    count = 0
    for key, rows in expected.items():
        missing = Counter(map(json.dumps, rows))
        missing.subtract(map(json.dumps, got.get(key, [])))
        count += sum(map(abs, missing.values()))
    return count + sum(len(rows) for key, rows in got.items() if key not in expected)


def show(tallies: Mapping[str, Tally], as_json: bool) -> None:
    """Prints them: a table, or one JSON object a line."""
    told = [_line(fault, tally) for fault, tally in tallies.items()]
    if as_json:
        for line in told:
            print(json.dumps(line))
        return
    table = Table(box=None, header_style="dim", padding=(0, 2), show_edge=False)
    for name in told[0]:
        table.add_column(name, justify="left" if name == "fault" else "right")
    for line in told:
        table.add_row(
            *(
                "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
                for value in line.values()
            )
        )
    console().print(table)


def _line(fault: str, tally: Tally) -> dict[str, Any]:
    times = tally.recovery_s
    return {
        "fault": fault,
        "times": tally.times,
        "runs": tally.runs,
        "failed": tally.failed,
        "recovery, median s": round(statistics.median(times), 2) if times else None,
        "longest s": round(max(times), 2) if times else None,
        "rows compared": tally.rows,
        "lost": tally.lost,
        "repeated": tally.repeated,
    }
