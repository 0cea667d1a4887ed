"""Rows that are fed by hand, under faults: what was acknowledged is taken once, whoever dies."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import polars as pl
import pytest

from limnad.cli.watched import engines_of
from limnad.client import Checkpointing, Client, Job, LocalCluster, local
from limnad.errors import ClusterError, JobError
from limnad.store import open_store
from tests.helpers.faults import Struck
from tests.helpers.redis_server import RedisServer
from tests.helpers.running import Epochs, Running
from tests.helpers.totals import numbers, options, write_job

EPOCHS = 60

JOB = """
    import limnad

    def work(pair):
        sum(range(60_000))  # Long enough that a kill finds the job at it.
        return tuple(pair)

    def job(flow):
        pairs = flow.input("pairs").map(work).partition_by(lambda pair: pair[0]).as_keyed()
        sums = pairs.scan(lambda: 0, lambda total, value: (total + value, total + value), name="totals")
        sums.reduce_by_key(max).output("totals")
"""

TIMED = """
    from limnad.connectors import by_time

    def work(row):
        sum(range(30_000))
        return row

    def job(flow):
        lines = flow.read_text({path!r}, epochs=by_time(0.05), splits=4, batch_bytes=100)
        lines.to_records().map(work).output("lines")
"""

SEEN = """
    def job(flow):
        flow.input("rows").map(tuple).output("seen")
"""

CLIENT = """
    import sys
    from limnad.client import Client

    address, job, producer, count = sys.argv[1:]
    with Client(address) as client:
        rows = client.job(job).input("rows", producer)
        for number in range(rows.last_sequence, int(count)):
            rows.on_next([(producer, number)])
            print(number, flush=True)
"""


@pytest.fixture
def job(tmp_path: Path) -> str:
    return write_job(tmp_path, JOB)


@pytest.fixture
def feed(tmp_path: Path) -> list[str]:
    """Rows in pieces of several batches each, and their epochs."""
    file = tmp_path / "pairs.jsonl"
    lines = [
        [json.dumps([f"key {number % 5}", 10 * epoch + number]) for number in range(10)] for epoch in range(EPOCHS)
    ]
    file.write_text("\n\n".join("\n".join(rows) for rows in lines))
    return ["--feed", f"pairs={file}"]


def expected() -> Epochs:
    totals = [0] * 5
    found: Epochs = {}
    for epoch in range(EPOCHS):
        totals = [total + 20 * epoch + 2 * key + 5 for key, total in enumerate(totals)]
        found["totals", epoch] = [[f"key {key}", total] for key, total in enumerate(totals)]
    return found


@contextmanager
def redis_options() -> Iterator[tuple[RedisServer, list[str]]]:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server, ["-w", "2", "--store", server.url, "--checkpoint", "50ms", "--max-restarts", "1000"]


def strike(run: Running, random: Random, times: int) -> int:
    struck = 0
    for kill in range(times):
        run.until(1 + kill * EPOCHS // times + random.randrange(EPOCHS // times))
        struck += run.kill(random.choice([run.agent(), *run.engines()]))
    return struck


# -- limnad run --------------------------------------------------------------------------------------------------------


@pytest.mark.fault(24, "SIGKILL of workers and agent while a file is fed")
@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_a_file_is_fed_once_whoever_dies(
    job: str, feed: list[str], tmp_path: Path, delivery: str, struck: Struck
) -> None:
    run = Running(job, *options(tmp_path), *feed, "--delivery", delivery)
    struck.times += strike(run, Random(delivery), 5)
    struck.check(run, expected())


@pytest.mark.fault(24, "SIGKILL of workers and agent while a file is fed")
def test_a_file_is_fed_once_whoever_dies_with_a_log_in_redis(job: str, feed: list[str], struck: Struck) -> None:
    with redis_options() as (server, store):
        run = Running(job, *store, *feed)
        struck.times += strike(run, Random("redis"), 5)
        struck.check(run, expected())
        with closing(open_store(server.url)) as opened:
            assert opened.job("job").log("pairs").end() == 2 * EPOCHS  # Batches, ends of epochs, and the end.


@pytest.mark.fault(25, "SIGKILL of the run that feeds, and another one that goes on")
def test_who_feeds_is_killed_and_goes_on(job: str, feed: list[str], tmp_path: Path, struck: Struck) -> None:
    seen: Epochs = {}
    for count in (10, 30):
        run = Running(job, *options(tmp_path), *feed, "--resume", "--delivery", "committed").until(count)
        run.stop()
        struck.times += 1
        assert all(seen.get(key, rows) == rows for key, rows in run.epochs.items())
        seen |= run.epochs
    last = Running(job, *options(tmp_path), *feed, "--resume", "--delivery", "committed")
    assert last.finish() == 0, last.errors
    assert all(seen.get(key, rows) == rows for key, rows in last.epochs.items())
    struck.compare(seen | last.epochs, expected(), len(last.repeated))
    assert "are in already" in last.errors


def test_rows_that_were_pushed_are_not_overwritten_by_a_second_run(job: str, feed: list[str], tmp_path: Path) -> None:
    Running(job, *options(tmp_path, every="1h"), *feed).until(1).stop()
    assert numbers(tmp_path) == ()
    second = Running(job, *options(tmp_path), *feed)
    assert second.finish() == 1
    assert "logged inputs of the job 'job'" in second.errors
    assert "Traceback" not in second.errors


@pytest.mark.fault(26, "Redis absent or full while rows are pushed")
@pytest.mark.parametrize("how", ["absent", "full"])
def test_pushes_wait_for_a_store_that_is_away(job: str, feed: list[str], how: str, struck: Struck) -> None:
    with redis_options() as (server, store):
        run = Running(job, *store, *feed).until(10)
        if how == "absent":
            server.kill()
        else:
            server.do("CONFIG", "SET", "maxmemory", "1")
        for line in run.error_lines():
            if "pushes to 'pairs' wait for the store" in line:
                break
        else:
            pytest.fail("nobody said that pushes wait")
        if how == "absent":
            server.start()
        else:
            server.do("CONFIG", "SET", "maxmemory", "0")
        struck.times += 1
        struck.check(run, expected())


# -- epochs by time ----------------------------------------------------------------------------------------------------


@pytest.mark.fault(27, "SIGKILL of workers and agent while epochs are cut by the clock")
@pytest.mark.parametrize("kind", ["dir", "redis"])
def test_epochs_by_time_are_replayed_as_they_were(tmp_path: Path, kind: str, struck: Struck) -> None:
    """What was shown is not shown again: a row that a replay puts into another epoch would be lost or repeated."""
    lines = [f"line {number}" for number in range(3000)]
    (tmp_path / "lines.txt").write_text("".join(f"{line}\n" for line in lines))
    job = write_job(tmp_path, TIMED.format(path=str(tmp_path / "lines.txt")))
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(redis_options())[1] if kind == "redis" else options(tmp_path, every="300ms")
        run = Running(job, *store)
        random = Random(kind)
        for kill in range(4):
            run.until(2 + 5 * kill + random.randrange(5))
            struck.times += run.kill(random.choice([run.agent(), *run.engines()]))
        assert run.finish() == 0, run.errors
    rows = [row for epoch in run.epochs.values() for row in epoch]
    struck.compare({("lines", 0): sorted(rows)}, {("lines", 0): sorted([line] for line in lines)}, len(run.repeated))


# -- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault(28, "SIGKILL of programs that push, and of workers")
def test_programs_that_push_are_killed_and_go_on_from_what_is_durable(tmp_path: Path, struck: Struck) -> None:
    file, count, random = write_job(tmp_path, SEEN), 60, Random(24)
    kept = Checkpointing(f"dir:{tmp_path / 'store'}", every_s=0.1, max_restarts=1000)
    with LocalCluster(2) as cluster, Client(cluster.address) as client:
        job = client.submit(file, workers=2, checkpointing=kept)
        for name in ("ann", "bob"):
            while push(cluster.address, job, name, count, random.randrange(5, 25)):
                struck.times += 1
                engines = engines_of(cluster.pid)
                for pid in random.sample(engines, min(1, len(engines))):
                    struck.times += 1
                    subprocess.run(["kill", "-KILL", str(pid)], check=False)
        job.input("rows").close()
        rows = [list(row) for _, batch in job.subscribe("seen") for row in batch]
    assert struck.times > 8
    struck.compare(
        {("seen", 0): sorted(rows)},
        {("seen", 0): sorted([name, number] for name in ("ann", "bob") for number in range(count))},
    )


def push(address: str, job: Job, producer: str, count: int, kill_after: int) -> bool:
    """Lets a program push until it has done so many more, then kills it; whether it was killed."""
    command = [sys.executable, "-c", textwrap.dedent(CLIENT), address, job.name, producer, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for done, _ in enumerate(program.stdout, 1):
            if done == kill_after:
                program.kill()
                break
        else:
            assert program.wait() == 0
        program.stdout.read()
    return program.returncode == -signal.SIGKILL


def test_a_program_goes_on_in_another_run(tmp_path: Path) -> None:
    file = write_job(tmp_path, SEEN)
    kept = Checkpointing(f"dir:{tmp_path / 'store'}", every_s=None)
    with local(file, checkpointing=kept) as job:
        rows = job.input("rows", "ann")
        rows.on_next([(1,)])
        rows.advance_to(1)
        job.checkpoint()
        rows.on_next([(2,)])
    with pytest.raises(JobError, match="--resume"), local(file, checkpointing=kept):
        pass
    with local(file, checkpointing=Checkpointing(kept.store, every_s=None, resume=True)) as job:
        rows = job.input("rows", "ann")
        assert rows.last_sequence == 3
        rows.on_next([(3,)])
        rows.close()
        assert [(epoch, batch) for epoch, batch in job.subscribe("seen")] == [(0, [(1,)]), (1, [(2,), (3,)])]


def test_entries_that_all_checkpoints_have_passed_are_trimmed(tmp_path: Path) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        kept = Checkpointing(server.url, every_s=None, keep=2)
        with local(write_job(tmp_path, SEEN), checkpointing=kept) as job:
            job.input("rows").on_next([(1,)])
            first = job.checkpoint()
            for number in range(2, 5):
                job.input("rows").on_next([(number,)])
            assert server.do("XLEN", "limnad:{job}:log:rows:data") in (3, 4)
            while server.do("XLEN", "limnad:{job}:log:rows:data"):
                assert job.checkpoint() < first + 20
            job.input("rows").close()
            assert [batch for _, batch in job.subscribe("seen")] == [[(1,), (2,), (3,), (4,)]]


def test_a_program_whose_agent_died_may_not_push_something_else_before_it_knows(tmp_path: Path) -> None:
    file = write_job(tmp_path, SEEN)
    kept = Checkpointing(f"dir:{tmp_path / 'store'}", every_s=None)
    with LocalCluster(1) as cluster, Client(cluster.address) as client:
        rows = client.submit(file, checkpointing=kept).input("rows")
        rows._patience_s = 0
        rows.on_next([(1,)])
        subprocess.run(["kill", "-KILL", str(cluster.pid)], check=True)
        with pytest.raises(ClusterError, match="cannot be reached"):
            rows.on_next([(2,)])
        with pytest.raises(ClusterError, match="make the same one again"):
            rows.on_next([(3,)])


def test_an_unknown_job_is_named(tmp_path: Path) -> None:
    with LocalCluster(1) as cluster, Client(cluster.address) as client:
        with pytest.raises(JobError, match="no job 'job-9'"):
            client.job("job-9")
        without = client.submit(write_job(tmp_path, SEEN)).input("rows")
        with pytest.raises(JobError, match="no store"):
            _ = without.last_sequence


def test_many_pushes_at_once_are_taken_in_their_order_up_to_the_first_that_is_refused(tmp_path: Path) -> None:
    kept = Checkpointing(f"dir:{tmp_path / 'store'}", every_s=None)
    with local(write_job(tmp_path, SEEN), checkpointing=kept) as job:
        rows = job.input("rows", "ann")
        assert rows.on_all([(number,)] for number in range(300)) == 300
        frame = pl.DataFrame({"n": [0]})
        with pytest.raises(JobError, match="lists of records"):
            rows.on_all([[(300,)], frame, [(301,)]])
        assert rows.last_sequence == 301
        rows.on_next([(302,)])
        rows.close()
        seen = [row for _, batch in job.subscribe("seen") for row in batch]
        assert seen == [(number,) for number in (*range(301), 302)]


def test_without_a_store_two_clients_feed_one_input_in_turn(tmp_path: Path) -> None:
    with local(write_job(tmp_path, SEEN)) as job:
        one, other = job.input("rows"), job.input("rows")
        one.on_next([(1,)])
        other.on_next([(2,)])
        one.advance_to(1)
        with pytest.raises(JobError, match="lists of records"):
            other.on_next(pl.DataFrame({"n": [0]}))
        assert other.on_all([[(3,)], [(4,)]]) == 2
        one.on_next([(5,)])
        other.close()
        assert list(job.subscribe("seen")) == [(0, [(1,), (2,)]), (1, [(3,), (4,), (5,)])]
