"""Which examples the page shows, and how they are run."""

from __future__ import annotations

import ast
import json
import os
import selectors
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from docs.gallery import plots
from docs.gallery.sizes import ROOT

Outputs = Mapping[str, Mapping[int, list[Any]]]
"""The rows of each output by epoch."""

LINES_SHOWN = 12
SILENCE_S = 5.0
"""A program that goes on for ever is ended when it has said nothing for so long."""

LONGEST_S = 240.0
"""How long any may take."""

EMPTY = ": 0 rows"
"""What is printed of an epoch without rows ends so."""


@dataclass(frozen=True)
class Example:
    """One file of `examples`.

    Attributes:
        name: Without its ending.
        arguments: Of the job, or the program's own where it is run by itself.
        plot: Draws its answer; None: its dataflow is shown.
        alone: Whether it is a program of its own.
        endless: Whether that goes on for ever.
        brief: Whether epochs without rows are left out of what is shown.
        drawn: Arguments for the picture of its dataflow: else it may name folders of this machine.
    """

    name: str
    arguments: tuple[str, ...] = ()
    plot: Callable[[plots.Axes, Outputs], None] | None = None
    alone: bool = False
    endless: bool = False
    brief: bool = False
    drawn: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Its path in the repository."""
        return f"examples/{self.name}.py"

    @property
    def command(self) -> list[str]:
        """What a user types."""
        if self.alone:
            return ["python", self.file, *self.arguments]
        return ["limnad", "run", self.file, "-w", "2", *(word for each in self.arguments for word in ("-a", each))]

    @property
    def typed(self) -> str:
        """The same as a line for a shell."""
        return shlex.join(self.command) + (f" | grep -v '{EMPTY}'" if self.brief else "")

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        text = ast.get_docstring(ast.parse((ROOT / self.file).read_text(encoding="utf-8"))) or ""
        return text.split("\n\n")[0].split("\n")[0]

    def printed(self) -> list[str]:
        """What the command prints."""
        command = [sys.executable, *self.command[1:]] if self.alone else self._limnad(*self.command[1:])
        if self.endless:
            return _until_silent(command)
        lines = _run(command).rstrip().splitlines()
        return [line for line in lines if not self.brief or EMPTY not in line]

    def outputs(self) -> Outputs:
        """The rows that it puts out."""
        found: dict[str, dict[int, list[Any]]] = {}
        for line in map(json.loads, _run(self._limnad(*self.command[1:], "--json")).splitlines()):
            if "output" in line:
                found.setdefault(line["output"], {})[line["epoch"]] = line["rows"]
        return found

    def draw_dataflow(self, file: os.PathLike[str]) -> None:
        """Its graph as SVG."""
        arguments = (word for each in self.drawn for word in ("-a", each))
        _run(self._limnad("graph", self.file, *arguments, "-o", os.fspath(file)))

    @staticmethod
    def _limnad(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "limnad.cli", *arguments]


def _run(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=LONGEST_S).stdout


def _until_silent(command: list[str]) -> list[str]:
    said = b""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as running, selectors.DefaultSelector() as ready:
        assert running.stdout is not None
        ready.register(running.stdout, selectors.EVENT_READ)
        deadline = time.monotonic() + LONGEST_S
        while (ready.select(SILENCE_S) or not said) and time.monotonic() < deadline:
            said += os.read(running.stdout.fileno(), 1 << 16)
        running.terminate()
    return said.decode().splitlines()


EXAMPLES = (
    Example("popular_hashtags"),
    Example("k_exposure", plot=plots.exposures),
    Example("scc", ("epochs=40",), plots.cycles, brief=True),
    Example("live_components", ("nodes=60", "links=45", "epochs=60"), plots.components, brief=True),
    Example("import_cycles", ("core",), alone=True, endless=True),
    Example("sensors", ("minutes=30",), plots.sensors, brief=True),
    Example("collatz", ("largest=1000",), plots.collatz),
    Example("bfs", plot=plots.distances),
    Example("wcc", plot=plots.sizes),
    Example("pagerank", ("way=edge",)),
    Example("asp"),
    Example("logistic_regression", plot=plots.coefficients),
    Example("running_totals", ("hours=24", "sales_an_hour=40"), plots.takings),
    Example("streaming_average", alone=True),
    Example("distinct_count"),
    Example("wordcount_frames"),
    Example("wordcount_records", drawn=("path=README.md",)),
)
