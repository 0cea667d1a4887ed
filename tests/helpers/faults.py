"""The fault table: what each test of a fault has struck, compared and found; written into docs/reliability.md."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limnad.cli.watched import Epochs
from tests.helpers.running import Running

_HEAD = """\
| # | fault | way | runs | struck | rows compared | lost | repeated | failed | refused with |
| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"""

BEGIN, END = "<!-- faults -->", "<!-- end -->"


@dataclass(slots=True)
class Struck:
    """A row of the table.

    Attributes:
        number: Of the kind of fault.
        fault: What it is.
        way: ``simulation``, ``processes`` or ``store`` (the store alone).
        runs: How many runs were struck.
        times: How often in all.
        rows: How many rows of output were compared with those of a run without faults.
        lost: How many were missing or wrong.
        repeated: How many epochs came twice.
        failed: How many tests of it have failed, for whatever reason: the other figures then say too little.
        refused: The sentence with which a run was refused, where that is the right answer.
    """

    number: int
    fault: str
    way: str
    runs: int = 0
    times: int = 0
    rows: int = 0
    lost: int = 0
    repeated: int = 0
    failed: int = 0
    refused: str = ""

    def compare(self, got: Epochs, expected: Epochs, repeated: int = 0) -> None:
        """Counts a run."""
        self.runs += 1
        self.rows += sum(map(len, expected.values()))
        self.lost += lost(expected, got)
        self.repeated += repeated
        wrong = {key: (expected.get(key), got.get(key)) for key in expected.keys() | got.keys()}
        wrong = {key: rows for key, rows in wrong.items() if rows[0] != rows[1]}
        assert (self.lost, self.repeated) == (0, 0), f"expected and found where they differ: {wrong}"

    def count(self, times: int, expected: Mapping[Any, Sequence[Any]]) -> None:
        """Counts a run whose outputs were compared already."""
        self.runs += 1
        self.times += times
        self.rows += sum(map(len, expected.values()))

    def check(self, run: Running, expected: Epochs) -> None:
        """Lets a run come to its end and counts it."""
        assert run.finish() == 0, run.errors
        self.compare(run.epochs, expected, len(run.repeated))

    def refuse(self, run: Running, sentence: str) -> None:
        """Lets a run come to its end, which must be this refusal."""
        assert run.finish() == 1, run.errors
        self.runs += 1
        self.refused = sentence
        assert sentence in (run.summary.get("error") or run.errors)
        assert "Traceback" not in run.errors


def lost(expected: Epochs, got: Epochs) -> int:
    """How many rows are missing or wrong."""
    found = 0
    for key in expected.keys() | got.keys():
        rows = Counter(map(json.dumps, expected.get(key, [])))
        rows.subtract(map(json.dumps, got.get(key, [])))
        found += sum(map(abs, rows.values()))
    return found


def write(rows: Iterable[Struck], page: Path) -> None:
    """Puts rows into the table of a page, between its marks, in place of those of the same faults and ways."""
    text = page.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END, text.index(BEGIN)) :]
    new = [
        f"| {row.number} | {row.fault} | {row.way} | {row.runs:,} | {row.times:,} | {row.rows:,} | {row.lost} "
        f"| {row.repeated} | {row.failed} | {row.refused} |"
        for row in rows
    ]
    written = {_key(line) for line in new}
    old = [line for line in text[len(before) : -len(after)].splitlines()[3:] if _key(line) not in written]
    table = "\n".join([_HEAD, *sorted([*old, *new], key=_key)])
    page.write_text(f"{before}{BEGIN}\n{table}\n{after}")


def _key(line: str) -> tuple[int, str, str]:
    """Of a row: its number, fault and way; rows are sorted by it."""
    number, fault, way, *_ = line.removeprefix("| ").split(" | ")
    return int(number), fault, way
