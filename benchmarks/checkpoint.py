"""Checkpoints: of a large frame state into Redis against bare SETs, what they cost a job, and how soon one goes on."""

import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Aim, Better, Row, Settings, Unavailable, in_turn, say
from benchmarks.in_process import seconds
from benchmarks.jobs.state import ROW_BYTES
from benchmarks.local_run import JOBS
from benchmarks.store import set_all
from limnad.batch import KEY_GROUPS
from limnad.cli.watched import WatchedRun
from limnad.client import Checkpointing, CheckpointPhases, Client, Job, JobStatus, LocalCluster, RecoveryStatus
from limnad.store import open_store
from tests.helpers.redis_server import RedisServer

STATE_BYTES = 1_000_000_000
WORKERS = 2
CHANGED_GROUPS = 3
"""Of 256: one in a hundred."""

INTERVAL_S = 10
KEYS = 1_000_000
EPOCH_ROWS = 100_000
EPOCHS = 100_000
"""More than can be worked off while we watch."""

SECONDS_TO_OUTPUT = 3.0
KILLS = 3
QUIET_S = 8.0
"""For so long outputs are watched after a kill."""

NOTE = (
    "Checkpoint: rows of 32 bytes in a `FrameState` on 2 workers, megabytes a second from the leader's first word to "
    "the end of the commit. The baseline is redis-py alone with pipelined SETs of the same chunks into the same "
    "Redis, on this machine over a Unix socket; ours also encodes, names chunks by their digest, and makes a "
    "manifest. `halt` is how long the slowest worker stood still. The second checkpoint comes after new rows for all "
    "keys of 3 of the 256 key groups. Every 10 s: rows a second of running totals of a million keys over 30 s, with a"
    " checkpoint into the same Redis every 10 s and without any. Kill: from SIGKILL of a worker to the next epoch "
    "that is printed; the median of three in a run."
)


@dataclass(frozen=True, slots=True)
class Taken:
    """Two checkpoints of a large state, and bare SETs of the first one's chunks."""

    first: RecoveryStatus
    second: RecoveryStatus
    bare_bytes: int
    bare_s: float

    @staticmethod
    def of(told: RecoveryStatus) -> CheckpointPhases:
        """How long a checkpoint took."""
        assert told.phases is not None
        return told.phases


def rows(settings: Settings) -> Iterable[Row]:
    """A gigabyte, one in a hundred changed, every ten seconds, and after a kill."""
    try:
        server = RedisServer()
    except RuntimeError as error:
        raise Unavailable(str(error)) from error
    with server:
        yield from _large(settings, server)
        yield _every(settings, server)
    yield _killed(settings)


# -- a large state -----------------------------------------------------------------------------------------------------


def _large(settings: Settings, server: RedisServer) -> Iterable[Row]:
    total = settings.size(STATE_BYTES, STATE_BYTES >> 5)
    taken = []
    for run in range(settings.runs):
        taken.append(_take(server, total // ROW_BYTES))
        first, second = taken[-1].first, taken[-1].second
        say(f"  run {run + 1}: {first}\n  run {run + 1}: {second}\n  run {run + 1}: bare {taken[-1].bare_s:.4g} s")
    firsts = [Taken.of(each.first) for each in taken]
    seconds_ = [Taken.of(each.second) for each in taken]
    ours = [each.first.stored_bytes / Taken.of(each.first).total_s / 1e6 for each in taken]
    bare = [each.bare_bytes / each.bare_s / 1e6 for each in taken]
    whole = [phases.total_s for phases in firsts]
    work = f"checkpoint of {total / 1e9:.2g} GB"
    yield Row(work, "bare SETs", "MB/s", ours, bare, Better.MORE, aim=Aim(at_least=0.5), note=NOTE)
    halts = [each.first.halted_s for each in taken]
    yield Row("- halt", "the whole of it", "s", halts, whole, Better.LESS, aim=Aim(at_most=0.05))
    for name, part in (
        ("halt: stop", [phases.stop_s for phases in firsts]),
        ("halt: markers", [phases.markers_s for phases in firsts]),
        ("halt: references", [phases.references_s for phases in firsts]),
        ("encode", [phases.encode_s for phases in firsts]),
        ("upload", [phases.upload_s for phases in firsts]),
        ("commit", [phases.commit_s for phases in firsts]),
    ):
        yield Row(f"- {name}", "the whole of it", "s", part, whole, Better.LESS)
    again = [phases.total_s for phases in seconds_]
    yield Row("the next, 1 % of key groups changed", "the first", "s", again, whole, Better.LESS)
    stored = [each.second.stored_bytes / 1e6 for each in taken]
    yield Row("- bytes", "the first", "MB", stored, [each.first.stored_bytes / 1e6 for each in taken], Better.LESS)


def _take(server: RedisServer, rows: int) -> Taken:
    _empty(server)
    with LocalCluster(WORKERS) as cluster, Client(cluster.address) as client:
        job = client.submit(
            str(JOBS / "state.py"),
            arguments={"rows": rows},
            workers=WORKERS,
            checkpointing=Checkpointing(server.url, every_s=None),
        )
        _put(job, 0, KEY_GROUPS)
        job.checkpoint()
        first = job.status().recovery
        with closing(open_store(server.url)) as store:
            chunks = store.job("state").chunks
            refs = chunks.refs()
            _put(job, 1, CHANGED_GROUPS)
            job.checkpoint()
            second = job.status().recovery
            datas = list(chunks.get_many(refs))
        job.cancel()
    if second.restarts:
        raise Unavailable(f"a worker was lost meanwhile: {second.last_fault}")
    _empty(server)
    with server.client() as bare:
        bare_s = seconds(lambda: set_all(bare, datas))
    _empty(server)
    return Taken(first, second, sum(map(len, datas)), bare_s)


def _put(job: Job, epoch: int, groups: int) -> None:
    job.input("groups").on_next([groups])
    job.input("groups").advance_to(epoch + 1)
    job.wait_for_probe("kept", epoch)


def _empty(server: RedisServer) -> None:
    server.do("FLUSHALL")
    server.do("MEMORY", "PURGE")  # or who comes behind a larger one finds its pages, and the first pays for them


# -- what they cost a job ----------------------------------------------------------------------------------------------


def _every(settings: Settings, server: RedisServer) -> Row:
    checkpointing = Checkpointing(server.url, every_s=INTERVAL_S)
    sides = {
        "none": lambda: _rate(settings, server, None),
        "every": lambda: _rate(settings, server, checkpointing),
    }
    measured = in_turn(settings.runs, sides)
    work = f"totals, a checkpoint every {INTERVAL_S} s"
    return Row(work, "no checkpoints", "M rows/s", measured["every"], measured["none"], Better.MORE)


def _rate(settings: Settings, server: RedisServer, checkpointing: Checkpointing | None) -> float:
    """Over some intervals, from when the keys have been seen."""
    _empty(server)
    arguments = {"rows": EPOCHS * EPOCH_ROWS, "epochs": EPOCHS, "keys": settings.size(KEYS, KEYS >> 5)}
    span_s = settings.size(3 * INTERVAL_S, INTERVAL_S)
    began: JobStatus | None = None
    with LocalCluster(WORKERS) as cluster, Client(cluster.address) as client:
        job = client.submit(str(JOBS / "totals.py"), arguments=arguments, workers=WORKERS, checkpointing=checkpointing)
        for status in job.watch():
            if began is None:
                began = status if (status.epoch or 0) * EPOCH_ROWS > 3 * arguments["keys"] else None
            elif status.running_s - began.running_s >= span_s:
                job.cancel()
                rows = ((status.epoch or 0) - (began.epoch or 0)) * EPOCH_ROWS
                return rows / (status.running_s - began.running_s) / 1e6
    raise Unavailable("the job ended too soon")


# -- after a kill ------------------------------------------------------------------------------------------------------


def _killed(settings: Settings) -> Row:
    ours = in_turn(settings.runs, {"kill": _seconds_to_output})["kill"]
    work = "kill -9 of a worker to the next output"
    return Row(work, "3 s", "s", ours, [SECONDS_TO_OUTPUT] * len(ours), Better.LESS, aim=Aim(at_most=1))


def _seconds_to_output() -> float:
    """The median of some kills in one run that puts out twenty epochs a second."""
    with tempfile.TemporaryDirectory(prefix="limnad-bench-") as folder:
        arguments = {"rows": 10_000_000, "epochs": 10_000, "keys": 1_000, "rows_per_s": 10_000}
        given = [part for name, value in arguments.items() for part in ("-a", f"{name}={value}")]
        store = ["--checkpoint", "1s", "--store", f"dir:{Path(folder) / 'store'}", "--max-restarts", "100"]
        run = WatchedRun([str(JOBS / "totals.py"), "-w", str(WORKERS), *given, *store], limit_s=600)
        run.until(100)
        took_s = [_kill(run) for _ in range(KILLS)]
        run.stop()
    return statistics.median(took_s)


def _kill(run: WatchedRun) -> float:
    """Seconds from a kill to the end of the longest silence behind it; what is on its way at the kill is no answer."""
    began_s = last_s = time.perf_counter()
    if not run.kill(*run.engines()[:1]):
        raise Unavailable("there was no worker to kill")
    longest_s, ended_s = 0.0, began_s
    for _ in run.lines():
        now_s = time.perf_counter()
        if now_s - last_s > longest_s:
            longest_s, ended_s = now_s - last_s, now_s
        last_s = now_s
        if now_s - began_s > QUIET_S:
            return ended_s - began_s
    raise Unavailable(f"the run ended after a kill: {run.summary}")
