"""Our side: a job file run by the command line, as a user runs it."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Unavailable
from benchmarks.processes import ROOT

JOBS = Path(__file__).parent / "jobs"


@dataclass(frozen=True, slots=True)
class Run:
    """What ``limnad run --json`` told.

    Attributes:
        wall_s: The whole command, interpreter and all.
        summary: The job's status at its end.
        outputs: For each output the rows of its epochs, one after the other.
    """

    wall_s: float
    summary: dict[str, Any]
    outputs: dict[str, list[Any]]

    @property
    def running_s(self) -> float:
        """From when all engines had the graph to when the last one had finished."""
        return float(self.summary["running_s"])

    def rows_in(self, stage: str) -> int:
        """How many rows a stage received, on all workers together."""
        return sum(int(told["rows_in"]) for told in self.summary["stages"] if told["name"] == stage)


def limnad_run(job: str, workers: int, arguments: Mapping[str, object] | None = None, *options: str) -> Run:
    """Runs ``benchmarks/jobs/{job}.py``.

    Raises:
        Unavailable: It did not finish.
    """
    command = [sys.executable, "-m", "limnad.cli", "run", str(JOBS / f"{job}.py"), "-w", str(workers), "--json"]
    for name, value in (arguments or {}).items():
        command += ["-a", f"{name}={value}"]
    began_s = time.perf_counter()
    ended = subprocess.run([*command, *options], capture_output=True, text=True, cwd=ROOT, check=False)
    wall_s = time.perf_counter() - began_s
    told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    if ended.returncode or not told:
        raise Unavailable(f"limnad run {job} failed: {(ended.stderr or ended.stdout)[-2000:]}")
    outputs: dict[str, list[Any]] = {}
    for line in told[:-1]:
        outputs.setdefault(line["output"], []).extend(line["rows"] or [])
    return Run(wall_s, told[-1]["summary"], outputs)
