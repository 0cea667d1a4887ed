"""Logistic regression and k-means against scikit-learn in one thread; the sums they are made of against no engine."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.graphs import WORKERS, Sides
from benchmarks.harness import Aim, Better, Row, Settings, Unavailable, in_turn
from benchmarks.local_run import Run, limnad_run
from benchmarks.processes import run_nodes

FEATURES, CLUSTERS = 20, 16
TOLERANCE = 1e-4
STEPS = 20
"""Of k-means on both sides, which are told not to end before."""

NOTE = (
    "Learning: two workers against scikit-learn in one process of one thread, both from Parquet files; seconds of "
    f"work, and all answers are compared. Logistic regression by L-BFGS to the same tolerance; k-means with {CLUSTERS} "
    f"clusters by Lloyd's algorithm, {STEPS} steps from the same centres. `all_reduce`: the sum of a vector of each of "
    "two workers on both, ours from the difference between runs of many and of few rounds; by hand are two processes "
    "with NumPy and grpcio streams that exchange the same slices."
)


def rows(settings: Settings) -> Iterable[Row]:
    """Against scikit-learn; then sums by hand."""
    count = settings.size(2_000_000, 20_000)
    size = f"{count / 1e6:g} M rows of {FEATURES}"
    with tempfile.TemporaryDirectory() as scratch:
        path = _write_rows(Path(scratch), count)
        logistic = Sides(("logistic", path, FEATURES, TOLERANCE), _same_fit)
        arguments = {"path": path, "features": FEATURES, "tolerance": TOLERANCE}
        yield _fitted(settings, f"logistic regression, {size}", logistic, arguments, Aim(at_least=1))
        kmeans = Sides(("kmeans", path, FEATURES, CLUSTERS, STEPS), _same_centres)
        arguments = {"path": path, "features": FEATURES, "clusters": CLUSTERS, "steps": STEPS}
        yield _fitted(settings, f"k-means, {size}, {STEPS} steps", kmeans, arguments, None)
    for length, few, many in ((1_000_000, 5, settings.size(105, 10)), (FEATURES, 100, settings.size(5_100, 200))):
        yield _summed(settings, length, few, many)


def _fitted(settings: Settings, work: str, sides: Sides, arguments: dict[str, Any], aim: Aim | None) -> Row:
    measured = in_turn(
        settings.runs,
        {"theirs": lambda: sides.theirs()["seconds"], "ours": lambda: sides.ours("learning", arguments).running_s},
    )
    ours, theirs = measured["ours"], measured["theirs"]
    return Row(work, "scikit-learn", "s", ours, theirs, Better.LESS, upside_down=True, aim=aim, note=NOTE)


def _same_fit(run: Run, theirs: Any) -> bool:
    return bool(np.allclose(list(run.outputs["fit"][0].values()), theirs, rtol=0.02, atol=0.02))


def _same_centres(run: Run, theirs: Any) -> bool:
    centres = [[row[f"f{number}"] for number in range(FEATURES)] for row in run.outputs["fit"]]
    return bool(np.allclose(centres, theirs, rtol=0.02, atol=0.02))


def _summed(settings: Settings, length: int, few: int, many: int) -> Row:
    def ours() -> float:
        took_s = {}
        for rounds in (few, many):
            run = limnad_run("reducing", WORKERS, {"length": length, "rounds": rounds})
            if run.outputs["total"] != [{"total": 1.0}] * WORKERS:
                raise Unavailable(f"limnad says {run.outputs['total']} after {rounds} rounds")
            took_s[rounds] = run.running_s
        return (took_s[many] - took_s[few]) / (many - few) * 1e6

    def theirs() -> float:
        results = run_nodes("benchmarks.baselines.reduce_node", WORKERS, {"length": length, "rounds": many})
        return max(float(result["round_s"]) for result in results) * 1e6

    measured = in_turn(settings.runs, {"ours": ours, "by hand": theirs})
    work = f"all_reduce of {length:,} floats: a round"
    return Row(work, "by hand", "us", measured["ours"], measured["by hand"], Better.LESS)


def _write_rows(folder: Path, count: int, files: int = 4) -> str:
    names = [f"f{number}" for number in range(FEATURES)]
    true = np.random.default_rng(0).normal(size=FEATURES)
    for number in range(files):
        rng = np.random.default_rng((1, number))
        points = rng.normal(size=(count // files, FEATURES))
        label = points @ true + rng.logistic(size=len(points)) > 0
        frame = pl.DataFrame(points, schema=names).with_columns(label=pl.Series(label).cast(pl.Int8))
        frame.write_parquet(folder / f"{number}.parquet", compression="uncompressed")
    return str(folder / "*.parquet")
