"""``limnad drill``: runs a job under faults, and compares its outputs with those of a run without."""

from __future__ import annotations

import json
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from limnad.cli.watched import Epochs, WatchedRun
from limnad.errors import JobError, JobFailed

LIMIT_S = 3600.0
"""A single run that lasts longer is given up."""

Strike = Callable[[WatchedRun, Random], list[int]]
"""Does something to a run; returns the processes that it hit."""


def _kill_worker(run: WatchedRun, random: Random) -> list[int]:
    return _killed(run, [random.choice(run.engines() or [0])])


def _kill_all(run: WatchedRun, _: Random) -> list[int]:
    return _killed(run, run.engines())


def _kill_agent(run: WatchedRun, _: Random) -> list[int]:
    agent = run.agent()
    return _killed(run, [] if agent is None else [agent])


def _killed(run: WatchedRun, pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if pid and run.kill(pid)]


def _freeze_worker(run: WatchedRun, random: Random) -> list[int]:
    engines = run.engines()
    return [pid for pid in random.sample(engines, min(1, len(engines))) if run.signal(signal.SIGSTOP, pid)]


FAULTS: dict[str, Strike] = {
    "kill-worker": _kill_worker,
    "kill-all-workers": _kill_all,
    "kill-agent": _kill_agent,
    "freeze-worker": _freeze_worker,
}
"""What can be done to a run, by name."""

DEFAULT_FAULTS = ("kill-worker", "kill-all-workers", "kill-agent")


@dataclass(slots=True)
class Tally:
    """What became of one kind of fault.

    Attributes:
        times: How often it struck.
        recovery_s: Seconds until the next epoch was printed, each time.
        runs: How many runs it struck.
        rows: How many rows were compared.
        lost: How many rows were missing or different.
        repeated: How many epochs were printed twice.
    """

    times: int = 0
    recovery_s: list[float] = field(default_factory=list)
    runs: int = 0
    rows: int = 0
    lost: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class DrillOptions:
    """What was asked for; see `limnad.cli.app.drill`."""

    run: Sequence[str]
    workers: int
    checkpoint: str
    store: str | None
    faults: Sequence[str]
    minutes: float
    seed: int
    as_json: bool


def run_drill(options: DrillOptions) -> int:
    """Strikes run after run until the time is up; returns the exit code: 1 if anything was lost or repeated.

    Raises:
        JobError: A fault has no such name.
        JobFailed: The job fails without any fault.
    """
    if unknown := sorted(set(options.faults) - FAULTS.keys()):
        raise JobError(f"there is no fault {unknown[0]!r}; there are: {', '.join(FAULTS)}")
    say = Console(stderr=True, highlight=False).print
    expected, took_s = _reference(options)
    rows = sum(map(len, expected.values()))
    say(f"without faults: {len(expected):,} epochs with {rows:,} rows in {took_s:.1f} s")
    random = Random(options.seed)
    tallies = {fault: Tally() for fault in options.faults}
    until_s = time.monotonic() + options.minutes * 60
    turn = 0
    while time.monotonic() < until_s or turn < len(options.faults):
        fault = options.faults[turn % len(options.faults)]
        turn += 1
        _struck(options, fault, expected, random, took_s, tallies[fault])
        say(f"run {turn}, {fault}: struck {tallies[fault].times} times so far, {tallies[fault].lost} rows lost")
    _show(tallies, options.as_json)
    return int(any(tally.lost or tally.repeated for tally in tallies.values()))


def _reference(options: DrillOptions) -> tuple[Epochs, float]:
    began_s = time.monotonic()
    run = WatchedRun([*options.run, "-w", str(options.workers)], LIMIT_S)
    if run.finish():
        raise JobFailed(f"the job fails without any fault: {run.summary.get('error') or run.errors}")
    return run.epochs, time.monotonic() - began_s


def _struck(options: DrillOptions, fault: str, expected: Epochs, random: Random, took_s: float, tally: Tally) -> None:
    """One run under one kind of fault."""
    with tempfile.TemporaryDirectory(prefix="limnad-drill-") as folder:
        store = options.store or f"dir:{folder}"
        name = f"drill-{random.getrandbits(64):016x}"
        keeping = ["--store", store, "--name", name, "--checkpoint", options.checkpoint, "--max-restarts", "1000000"]
        run = WatchedRun([*options.run, "-w", str(options.workers), *keeping], LIMIT_S)
        watcher = _Watcher(run)
        while watcher.is_alive():
            watcher.join(random.uniform(0.2, max(0.5, took_s / 2)))
            if watcher.is_alive() and watcher.printed and (hit := FAULTS[fault](run, random)):
                tally.times += 1
                struck_s = time.monotonic()
                if watcher.wait_for_next():
                    tally.recovery_s.append(time.monotonic() - struck_s)
                run.signal(signal.SIGCONT, *hit)  # A process that was frozen and replaced comes back late.
        tally.runs += 1
        tally.rows += sum(map(len, expected.values()))
        tally.lost += _lost(expected, run.epochs)
        tally.repeated += len(run.repeated)


class _Watcher(threading.Thread):
    """Reads a run's epochs as they come."""

    def __init__(self, run: WatchedRun) -> None:
        super().__init__(daemon=True)
        self._run = run
        self._news = threading.Condition()
        self._ended = False
        self.printed = 0
        self.start()

    def run(self) -> None:
        for _ in self._run.lines():
            with self._news:
                self.printed += 1
                self._news.notify_all()
        self._run.finish()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for_next(self) -> bool:
        """Waits for the next epoch; False if the run ended without one."""
        with self._news:
            before = self.printed
            self._news.wait_for(lambda: self.printed > before or self._ended)
            return self.printed > before


def _lost(expected: Epochs, got: Epochs) -> int:
    lost = 0
    for key, rows in expected.items():
        missing = Counter(map(json.dumps, rows))
        missing.subtract(map(json.dumps, got.get(key, [])))
        lost += sum(map(abs, missing.values()))
    return lost + sum(len(rows) for key, rows in got.items() if key not in expected)


def _show(tallies: dict[str, Tally], as_json: bool) -> None:
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
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _line(fault: str, tally: Tally) -> dict[str, Any]:
    times = tally.recovery_s
    return {
        "fault": fault,
        "times": tally.times,
        "runs": tally.runs,
        "recovery, median s": round(statistics.median(times), 2) if times else None,
        "longest s": round(max(times), 2) if times else None,
        "rows compared": tally.rows,
        "lost": tally.lost,
        "repeated": tally.repeated,
    }
