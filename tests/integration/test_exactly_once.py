"""Sinks of real processes under real signals: what readers find is what a run without faults would have written."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.helpers.faults import Struck
from tests.helpers.kafka_mock import KafkaMock
from tests.helpers.redis_server import RedisServer
from tests.helpers.running import LIMNAD, Running
from tests.helpers.totals import JOB, expected, options, stopped, write_job

FILES = f"""{JOB}
    def files(flow, out: str, delivery: str, epochs: int = 120):
        job(flow, epochs=epochs)
        rows = [[(number % 5, 10 * epoch + number) for number in range(10)] for epoch in range(epochs)]
        pairs = flow.values(rows, name="more").partition_by(lambda pair: pair[0])
        pairs.write_ndjson(out, delivery=delivery)
"""

STREAMS = """
    import polars as pl
    from limnad.connectors import by_rows

    def work(frame):
        sum(range(400_000))  # Long enough that a kill finds the job at it.
        return frame

    def job(flow, url: str, delivery: str):
        names = [f"in-{number}" for number in range(3)]
        rows = flow.read_redis(url, names, {"number": pl.Int64}, epochs=by_rows(10), follow=False)
        moved = rows.partition_by("number").map_batches(work)
        moved.write_redis(url, "out", delivery=delivery)
        moved.to_records().count().output("moved")
"""

TOPICS = """
    import polars as pl
    from limnad.connectors import by_rows

    def work(frame):
        sum(range(400_000))  # Long enough that a kill finds the job at it.
        return frame

    def job(flow, servers: str):
        rows = flow.read_kafka(servers, "in", {"number": pl.Int64}, epochs=by_rows(10), follow=False)
        moved = rows.partition_by("number").map_batches(work)
        moved.write_kafka(servers, "out", delivery="committed")
        moved.to_records().count().output("moved")
"""

EPOCHS = 120

Rows = dict[int, list[Any]]


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


@pytest.fixture
def persistent() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def forgetful() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


def wanted(epochs: int = EPOCHS) -> Rows:
    return {epoch: sorted([number % 5, 10 * epoch + number] for number in range(10)) for epoch in range(epochs)}


def written(folder: Path) -> Rows:
    found: Rows = {}
    for file in folder.glob("epoch=*/part-*"):
        rows = found.setdefault(int(file.parent.name.removeprefix("epoch=")), [])
        rows += map(json.loads, file.read_text().splitlines())
    return {epoch: sorted(rows) for epoch, rows in found.items()}


@pytest.mark.fault(21, "SIGKILL of workers that write files")
@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_files_of_workers_killed_again_and_again(tmp_path: Path, delivery: str, kills: int, struck: Struck) -> None:
    out, epochs = tmp_path / "out", 30 * kills
    target = f"{write_job(tmp_path, FILES)}:files"
    more = ["-a", f"out={out}", "-a", f"delivery={delivery}", "-a", f"epochs={epochs}"]
    run = Running(target, *options(tmp_path), *more, limit_s=90 + 10 * kills)
    random = Random(delivery)
    for kill in range(kills):
        run.until(1 + 20 * kill + random.randrange(20))
        engines = run.engines()
        struck.times += run.kill(*random.sample(engines, min(1, len(engines))))
        if delivery == "committed":  # What is shown is never taken back, so it may be read at any time.
            assert all(wanted(epochs)[epoch] == rows or len(rows) < 10 for epoch, rows in written(out).items())
    struck.check(run, expected(epochs))
    assert run.summary["recovery"]["restarts"] >= 1
    assert written(out) == wanted(epochs)


@pytest.mark.fault(7, "a zombie: SIGSTOP, replaced, SIGCONT")
@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_a_zombie_writes_no_file(tmp_path: Path, delivery: str, struck: Struck) -> None:
    out = tmp_path / "out"
    target = f"{write_job(tmp_path, FILES)}:files"
    run = Running(target, *options(tmp_path), "-a", f"out={out}", "-a", f"delivery={delivery}").until(30)
    frozen = run.engines()[0]
    run.freeze(frozen)
    struck.times += 1
    run.until(80).thaw(frozen)
    struck.check(run, expected())
    assert written(out) == wanted()


@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_a_job_goes_on_in_its_folder_on_another_number_of_workers(tmp_path: Path, delivery: str) -> None:
    out = tmp_path / "out"
    target = f"{write_job(tmp_path, FILES)}:files"
    more = ["-a", f"out={out}", "-a", f"delivery={delivery}", "--name", "job"]
    stopped(target, tmp_path, 2, more=more)
    second = Running(target, *options(tmp_path), *more, "-w", "3", "--resume")
    assert second.finish() == 0, second.errors
    assert written(out) == wanted()
    third = Running(target, *options(tmp_path), *more, "--resume")
    assert third.finish() == 0, third.errors
    assert written(out) == wanted()
    anew = Running(target, "-w", "2", "-a", f"out={out}", "-a", "delivery=eager")
    assert anew.finish() == 1
    assert "holds the files of another run" in anew.summary["error"]
    assert written(out) == wanted()


@pytest.mark.fault(22, "SIGKILL of workers between two Redis Streams")
@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_streams_of_workers_killed_again_and_again(
    tmp_path: Path, delivery: str, kills: int, persistent: RedisServer, struck: Struck
) -> None:
    """What is counted is entries of the stream that is written, by number and epoch."""
    rows = 400 * kills
    with persistent.client() as client, client.pipeline() as pipeline:
        for number in range(rows):
            pipeline.xadd(f"in-{number % 3}", {"number": number})
        pipeline.execute()
    job = write_job(tmp_path, STREAMS)
    more = ["-a", f"url={persistent.url}", "-a", f"delivery={delivery}"]
    run = Running(job, *options(tmp_path), *more, limit_s=90 + 10 * kills)
    random = Random(delivery)
    for kill in range(kills):
        run.until(1 + 8 * kill + random.randrange(8))
        engines = run.engines()
        struck.times += run.kill(*random.sample(engines, min(1, len(engines))))
    assert run.finish() == 0, run.errors
    with persistent.client() as client:
        entries: Any = client.xrange("out")
    got = Counter((int(fields[b"number"]), int(fields[b"_epoch"])) for _, fields in entries)
    want = Counter((number, number // 30) for number in range(rows))
    if delivery == "eager":
        got = Counter(got.keys())
    struck.compare({("out", 0): sorted(map(list, got.elements()))}, {("out", 0): sorted(map(list, want.elements()))})
    assert run.summary["recovery"]["restarts"] >= 1


@pytest.mark.fault(23, "SIGKILL of workers between two Kafka topics")
def test_topics_of_workers_killed_again_and_again(tmp_path: Path, kills: int, struck: Struck) -> None:
    """The mock shows what Kafka would hide of a broken transaction, and still each row is there once."""
    rows = 400 * kills
    with KafkaMock() as kafka:
        kafka.create("in")
        kafka.create("out")
        for partition in range(4):
            values = [json.dumps({"number": number}).encode() for number in range(partition, rows, 4)]
            kafka.send("in", values, partition)
        job = write_job(tmp_path, TOPICS)
        run = Running(job, *options(tmp_path), "-a", f"servers={kafka.servers}", limit_s=90 + 10 * kills)
        for kill in range(kills):
            run.until(1 + 8 * kill)
            struck.times += run.kill(*run.engines()[:1])
        assert run.finish() == 0, run.errors
        messages = kafka.messages("out")
    got = Counter(json.loads(message.value() or b"")["number"] for message in messages)
    struck.compare({("out", 0): sorted(got.elements())}, {("out", 0): list(range(rows))})
    assert run.summary["recovery"]["restarts"] >= 1


def test_committed_delivery_without_checkpoints_is_refused(tmp_path: Path) -> None:
    target = f"{write_job(tmp_path, FILES)}:files"
    arguments = ["run", target, "-a", f"out={tmp_path / 'out'}", "-a", "delivery=committed"]
    done = subprocess.run([*LIMNAD, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Run it with --checkpoint" in done.stderr
    assert "Traceback" not in done.stderr


def test_committed_delivery_with_a_store_that_forgets_is_refused(tmp_path: Path, forgetful: str) -> None:
    target = f"{write_job(tmp_path, FILES)}:files"
    run = Running(target, "--store", forgetful, "-a", f"out={tmp_path / 'out'}", "-a", "delivery=committed")
    assert run.finish() == 1
    assert "keeps its data in memory only" in run.summary["error"]
