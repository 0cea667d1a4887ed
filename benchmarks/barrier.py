"""A global barrier, the empty loop of the Naiad paper's figure 6b: against bare barriers over gRPC."""

import statistics
from collections.abc import Iterable
from functools import partial
from typing import Any

from benchmarks.baselines.barrier_node import WARM_UP
from benchmarks.harness import Aim, Better, Row, Settings, best_of, in_turn
from benchmarks.local_run import limnad_run
from benchmarks.processes import run_nodes

MODES = ("pull", "inline", "asyncio", "push")
ROUNDS = {2: 3000, 4: 1000, 8: 300}
AIMS = {(2, "ours"): Aim(at_most=1.6), (8, "coordinator"): Aim(at_most=1.0)}

NOTE = (
    "Barrier: median microseconds of a round; ours is a notification in an empty loop, seen from inside the vertex. "
    "The baseline is the fastest of four bare all-to-all barriers over grpcio's public API, with as many processes; "
    "`streams like ours` is the asyncio one, since the streams of our engines live in such a loop: what we take more "
    "is the engine's. "
    "Rows with `coordinator` run with `--progress local+global`, the others with the default `local`."
)


def rows(settings: Settings) -> Iterable[Row]:
    """For 2, 4 and 8 workers."""
    for workers, usual in ROUNDS.items():
        rounds = settings.size(usual, usual // 10)
        sides = {"ours": partial(_ours, workers, rounds, "local")}
        sides |= {"coordinator": partial(_ours, workers, rounds, "local+global")}
        sides |= {mode: partial(_theirs, workers, rounds, mode) for mode in MODES}
        measured = in_turn(settings.runs, sides)
        ours, coordinator = measured.pop("ours"), measured.pop("coordinator")
        best = best_of(measured, Better.LESS)
        bare, like_ours = measured[best], measured["asyncio"]
        against, less = f"bare grpcio ({best})", Better.LESS
        work, through = f"barrier, {workers} workers", f"barrier, {workers} workers, coordinator"
        yield Row(work, against, "us", ours, bare, less, aim=AIMS.get((workers, "ours")), note=NOTE)
        yield Row(work, "bare, streams like ours", "us", ours, like_ours, less)
        yield Row(through, against, "us", coordinator, bare, less, aim=AIMS.get((workers, "coordinator")))
        yield Row(through, "without one", "us", coordinator, ours, less)


def _ours(workers: int, rounds: int, progress: str) -> float:
    run = limnad_run("barrier", workers, {"rounds": WARM_UP + rounds}, "--progress", progress)
    return round_us(run.outputs["times"], workers)


def round_us(times: Iterable[Any], workers: int) -> float:
    """The median round of what the job puts out: the times at each worker."""
    medians = []
    for _, times_s in times:
        took_s = [later - earlier for earlier, later in zip(times_s[WARM_UP:], times_s[WARM_UP + 1 :], strict=False)]
        medians.append(statistics.median(took_s))
    assert len(medians) == workers
    return float(statistics.median(medians)) * 1e6


def _theirs(workers: int, rounds: int, mode: str) -> float:
    results = run_nodes("benchmarks.baselines.barrier_node", workers, {"mode": mode, "rounds": rounds})
    return float(statistics.median(result["median_us"] for result in results))
