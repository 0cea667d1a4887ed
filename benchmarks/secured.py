"""What mTLS costs: an exchange and a barrier between engines, with it and with ``data plane: plain``."""

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.barrier import round_us
from benchmarks.baselines.barrier_node import WARM_UP
from benchmarks.harness import Better, Row, Settings, Unavailable, in_turn
from benchmarks.jobs.exchange import BATCH_ROWS
from benchmarks.local_run import JOBS
from limnad.client import Client
from tests.helpers.secured import SecuredAgents

ROUNDS = {2: 2000, 4: 800}

NOTE = (
    "mTLS: the jobs of the tables above on a cluster of one agent, whose engines speak to each other by mTLS (TLS 1.3, "
    "an elliptic curve, as gRPC chooses it) or, with `--data-plane plain`, in plain text; the rest is TLS on both "
    "sides. Million rows a second of all engines together; median microseconds of a round."
)


def rows(settings: Settings) -> Iterable[Row]:
    """With 2 and 4 workers."""
    count = settings.size(600, 60) * BATCH_ROWS
    for workers, usual in ROUNDS.items():
        rounds = settings.size(usual, usual // 10)
        with ExitStack() as stack:
            planes = {plane: stack.enter_context(_cluster(workers, plane, stack)) for plane in ("mtls", "plain")}
            exchanged = in_turn(
                settings.runs, {plane: partial(_exchange, client, workers, count) for plane, client in planes.items()}
            )
            met = in_turn(
                settings.runs, {plane: partial(_barrier, client, workers, rounds) for plane, client in planes.items()}
            )
        work, more, less = f"{workers} workers, mTLS", Better.MORE, Better.LESS
        yield Row(f"exchange, {work}", "plain", "M rows/s", exchanged["mtls"], exchanged["plain"], more, note=NOTE)
        yield Row(f"barrier, {work}", "plain", "us", met["mtls"], met["plain"], less)


def _cluster(workers: int, plane: str, stack: ExitStack) -> Client:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    flags = ("--slots", str(workers), "--data-plane", plane)
    agents = stack.enter_context(SecuredAgents(1, *flags, folder=folder).start(0))
    agents.gathered()
    return agents.client()


def _exchange(client: Client, workers: int, count: int) -> float:
    arguments = {"rows": count, "partitions": workers}
    status = client.submit(str(JOBS / "exchange.py"), workers=workers, arguments=arguments).wait()
    arrived = sum(stage.rows_in for stage in status.stages if stage.name == "count")
    if arrived != count:
        raise Unavailable(f"limnad delivered {arrived:,} of {count:,} rows")
    return count / status.running_s / 1e6


def _barrier(client: Client, workers: int, rounds: int) -> float:
    job = client.submit(str(JOBS / "barrier.py"), workers=workers, arguments={"rounds": WARM_UP + rounds})
    found = [row for _, rows in job.subscribe("times") for row in rows]
    job.wait()
    return round_us(found, workers)
