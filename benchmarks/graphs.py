"""PageRank, connected and strongly connected components on an RMAT graph: against one thread.

COST (McSherry and others, 2015): how many workers it takes to be faster than a good program of one thread.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.harness import Aim, Better, Row, Settings, Unavailable, in_turn
from benchmarks.local_run import Run, limnad_run
from benchmarks.processes import ROOT
from benchmarks.rmat import write_rmat

WORKERS = 2

ROUNDS = (4, 24)
"""A round's seconds are the difference between runs of so many rounds, divided by the rounds between."""

NOTE = (
    "Graphs: an RMAT graph in four Parquet files, its nodes renamed at random; both sides read the files, every answer "
    "is compared. Theirs: SciPy in one process of one thread. Ours: `running_s` of the summary, two "
    "workers; a round of PageRank is the difference between runs of 24 and of 4 rounds, divided by 20."
)


def rows(settings: Settings) -> Iterable[Row]:
    """Against SciPy."""
    scale, edges = settings.size(20, 12), settings.size(1 << 24, 1 << 16)
    with tempfile.TemporaryDirectory() as scratch:
        path = write_rmat(Path(scratch, "rmat"), scale, edges)
        size = f"2^{scale} nodes, 2^{edges.bit_length() - 1} edges"
        yield from _pagerank(settings, path, size, 20 / (1 << scale))
        for name, algorithm in (("connected", "weak"), ("strongly connected", "strong")):
            yield from _components(settings, path, f"{name} components, {size}", algorithm)


class Sides:
    """Runs both sides and compares what they say.

    Args:
        baseline: The arguments of `benchmarks.baselines.one_thread`.
        check: Whether our answer is theirs.
    """

    def __init__(self, baseline: tuple[Any, ...], check: Callable[[Run, Any], bool]) -> None:
        self._baseline = [str(argument) for argument in baseline]
        self._check = check
        self._answer: Any = None

    def theirs(self) -> dict[str, Any]:
        """Runs the baseline, in one thread."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        command = [sys.executable, "-m", "benchmarks.baselines.one_thread", *self._baseline]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | threads, check=False)
        if ended.returncode:
            raise Unavailable(f"the baseline {self._baseline[0]} failed: {ended.stderr[-2000:]}")
        told: dict[str, Any] = json.loads(ended.stdout)
        self._answer = told["answer"]
        return told

    def ours(self, job: str, arguments: dict[str, Any], *, check: bool = True) -> Run:
        """Runs a job, and compares its answer with what the baseline said before."""
        run = limnad_run(job, WORKERS, arguments)
        if check and not self._check(run, self._answer):
            raise Unavailable(f"limnad says {run.outputs}, the baseline {self._answer}")
        return run


def _pagerank(settings: Settings, path: str, size: str, large: float) -> Iterable[Row]:
    few, many = ROUNDS
    sides = Sides(("pagerank", path, many, large), _same_count)
    round_s: dict[str, list[float]] = {"ours": [], "theirs": []}

    def ours() -> float:
        arguments = {"path": path, "algorithm": "pagerank", "large": large}
        short = sides.ours("graphs", arguments | {"rounds": few}, check=False).running_s
        long = sides.ours("graphs", arguments | {"rounds": many}).running_s
        round_s["ours"].append((long - short) / (many - few))
        return long

    def theirs() -> float:
        told = sides.theirs()
        round_s["theirs"].append(told["round_s"])
        return float(told["seconds"])

    measured = in_turn(settings.runs, {"theirs": theirs, "ours": ours})
    yield Row(
        f"PageRank, {size}: a round",
        "scipy.sparse",
        "s",
        round_s["ours"],
        round_s["theirs"],
        Better.LESS,
        upside_down=True,
        aim=Aim(at_least=1.2),
        note=NOTE,
    )
    whole = f"- from files, {many} rounds"
    yield Row(whole, "scipy.sparse", "s", measured["ours"], measured["theirs"], Better.LESS, upside_down=True, aim=None)


def _components(settings: Settings, path: str, work: str, algorithm: str) -> Iterable[Row]:
    sides = Sides((algorithm, path), _same_count)
    ours: Callable[[], float] = lambda: (  # noqa: E731
        sides.ours("graphs", {"path": path, "algorithm": algorithm}).running_s
    )
    measured = in_turn(settings.runs, {"theirs": lambda: sides.theirs()["seconds"], "ours": ours})
    aim = Aim(at_least=1) if algorithm == "weak" else None
    yield Row(work, "scipy csgraph", "s", measured["ours"], measured["theirs"], Better.LESS, upside_down=True, aim=aim)


def _same_count(run: Run, theirs: Any) -> bool:
    return run.outputs["answer"] == [{"count": theirs}]
