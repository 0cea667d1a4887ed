"""All-to-all exchange of rows of 16 bytes: against the same steps by hand, and against gRPC with nothing else."""

from collections.abc import Iterable

from benchmarks.harness import Aim, Better, Row, Settings, Unavailable, in_turn
from benchmarks.jobs.exchange import BATCH_ROWS
from benchmarks.local_run import limnad_run
from benchmarks.processes import run_nodes

NOTE = (
    "Exchange: million rows a second, of all processes together, counting the rows that stay where they are made. By "
    "hand: generator, hash, split, Arrow IPC, grpcio streams, decode, count; the same batches, memory settings and "
    "Polars threads. Bare grpcio: the bytes alone, in messages of the same size."
)


def rows(settings: Settings) -> Iterable[Row]:
    """For 2 and 4 workers, against both."""
    count = settings.size(600, 60) * BATCH_ROWS
    for workers in (2, 4):
        sides = {
            "ours": lambda workers=workers: _ours(workers, count),
            "by hand": lambda workers=workers: _theirs(workers, count, "pipeline"),
            "bare grpcio": lambda workers=workers: _theirs(workers, count, "bytes"),
        }
        measured = in_turn(settings.runs, sides)
        work, unit = f"exchange, {workers} workers", "M rows/s"
        ours = measured["ours"]
        aim = Aim(at_least=0.8)
        yield Row(work, "the same by hand", unit, ours, measured["by hand"], Better.MORE, aim=aim, note=NOTE)
        yield Row(work, "bare grpcio bytes", unit, ours, measured["bare grpcio"], Better.MORE)


def _ours(workers: int, count: int) -> float:
    run = limnad_run("exchange", workers, {"rows": count, "partitions": workers})
    if run.rows_in("count") != count:
        raise Unavailable(f"limnad delivered {run.rows_in('count'):,} of {count:,} rows")
    return count / run.running_s / 1e6


def _theirs(workers: int, count: int, mode: str) -> float:
    results = run_nodes("benchmarks.baselines.exchange_node", workers, {"mode": mode, "rows": count})
    arrived = sum(result["rows"] for result in results)
    if arrived != count:
        raise Unavailable(f"{mode} delivered {arrived:,} of {count:,} rows")
    took_s = float(max(result["ended_s"] for result in results) - min(result["began_s"] for result in results))
    return count / took_s / 1e6
