"""The four modes of the Naiad paper's figure 6c: how much progress traffic a computation in a loop makes."""

from collections.abc import Iterable
from functools import partial

from benchmarks.harness import Aim, Better, Row, Settings, in_turn
from benchmarks.local_run import limnad_run

WORKERS = (2, 4, 8)
MODES = ("none", "local", "global", "local+global")
AIMS = {"local+global": Aim(at_least=10)}

NOTE = (
    "Progress: connected components of a random graph of 4,000 nodes and as many edges, labels spreading through a "
    "loop without waiting for each other. Bytes are those of all progress messages, to and from the coordinator too, "
    "and updates what is in them; acknowledgements of batches are not counted. Ratios: how many times less than with "
    "mode `none`."
)


def rows(settings: Settings) -> Iterable[Row]:
    """For 2, 4 and 8 workers."""
    nodes = settings.size(4_000, 1_000)
    for workers in WORKERS:
        updates: dict[str, list[float]] = {mode: [] for mode in MODES}
        sides = {mode: partial(_bytes, workers, nodes, mode, updates[mode]) for mode in MODES}
        measured = in_turn(settings.runs, sides)
        for unit, found in (("bytes", measured), ("updates", updates)):
            for mode in MODES[1:]:
                work = f"{unit}, {workers} workers, {mode}"
                aim = AIMS.get(mode) if unit == "bytes" else None
                less = Better.LESS
                yield Row(work, "none", "", found[mode], found["none"], less, upside_down=True, aim=aim, note=NOTE)


def _bytes(workers: int, nodes: int, mode: str, updates: list[float]) -> float:
    run = limnad_run("components", workers, {"nodes": nodes, "edges": nodes}, "--progress", mode)
    updates.append(float(run.summary["progress_updates"]))
    return float(run.summary["progress_bytes"])
