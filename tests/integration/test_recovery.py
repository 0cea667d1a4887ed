"""Processes are killed, stores are damaged: outputs are those of a run without faults, each epoch once."""

from __future__ import annotations

import json
import subprocess
import textwrap
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from limnad.client import Checkpointing, Client, LocalCluster
from limnad.cluster.records import CheckpointRecord
from limnad.store import Checkpoints, ChunkRef, open_store
from tests.helpers.redis_server import RedisServer
from tests.helpers.running import LIMNAD, Epochs, Running

EPOCHS = 120

JOB = f"""
    import limnad

    def work(pair):
        sum(range(60_000))  # Long enough that a kill finds the job at it.
        return pair

    def totals(pairs):
        return pairs.partition_by(lambda pair: pair[0]).map(work).as_keyed()

    def job(flow, poison: int = -1, renamed: bool = False):
        def check(pair):
            if pair[1] == poison:
                raise ValueError(f"cannot take {{pair}}")
            return pair
        rows = [[(f"key {{number % 5}}", 10 * epoch + number) for number in range(10)] for epoch in range({EPOCHS})]
        pairs = flow.values(rows, name="pairs").map(check)
        sums = totals(pairs).scan(lambda: 0, lambda total, value: (total + value, total + value),
                                  name="sums" if renamed else "totals")
        sums.reduce_by_key(max).output("totals")
"""

UNDECLARED = """
    import limnad

    class Mine(limnad.Vertex):
        def __init__(self):
            self.seen = {}

        def on_recv(self, port, batch, time):
            self.send_by(0, batch, time)

    def job(flow):
        flow.vertex(Mine, flow.values([[1]]), name="mine").output("out")
"""

EXPECTED: Epochs = {
    ("totals", epoch): sorted(
        [f"key {key}", sum(10 * before + number for before in range(epoch + 1) for number in (key, key + 5))]
        for key in range(5)
    )
    for epoch in range(EPOCHS)
}


@pytest.fixture
def job(tmp_path: Path) -> str:
    file = tmp_path / "job.py"
    file.write_text(textwrap.dedent(JOB))
    return str(file)


def options(tmp_path: Path, every: str = "100ms") -> list[str]:
    return ["-w", "2", "--store", f"dir:{tmp_path / 'store'}", "--checkpoint", every, "--max-restarts", "1000"]


def limnad(*arguments: str) -> str:
    done = subprocess.run([*LIMNAD, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


def numbers(tmp_path: Path) -> tuple[int, ...]:
    """The checkpoints in the run's directory, ascending."""
    with closing(open_store(f"dir:{tmp_path / 'store'}")) as store:
        return Checkpoints(store.job("job")).numbers()


def stopped(job: str, tmp_path: Path, checkpoints: int = 1, every: str = "100ms") -> Running:
    """A run that was killed when it had so many checkpoints at least."""
    run = Running(job, *options(tmp_path, every)).until(lambda: len(numbers(tmp_path)) >= checkpoints)
    run.stop()
    assert len(numbers(tmp_path)) >= checkpoints, "the job ended first"
    return run


def check(run: Running) -> None:
    assert run.finish() == 0, run.errors
    assert not run.repeated
    assert run.epochs == EXPECTED


@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_workers_killed_again_and_again(job: str, tmp_path: Path, delivery: str) -> None:
    run = Running(job, *options(tmp_path), "--delivery", delivery)
    random = Random(delivery)
    for count in (1, 10, 30, 50, 80):
        run.until(count)
        engines = run.engines()  # None, while others take their place.
        run.kill(*random.sample(engines, min(1, len(engines))))
    check(run)
    if delivery == "eager":  # Committed epochs may all come at the end, when there is nobody left to strike.
        assert run.summary["recovery"]["restarts"] >= 1


def test_a_worker_killed_before_the_first_checkpoint(job: str, tmp_path: Path) -> None:
    run = Running(job, *options(tmp_path, every="1h")).until(5)
    run.kill(*run.engines()[:1])
    check(run)
    assert "Started again from the inputs' beginning" in run.errors


def test_all_workers_killed_at_once(job: str, tmp_path: Path) -> None:
    run = Running(job, *options(tmp_path)).until(40)
    run.kill(*run.engines())
    check(run)


def test_the_agent_killed_with_its_engines(job: str, tmp_path: Path) -> None:
    run = Running(job, *options(tmp_path))
    for count in (20, 60):
        run.until(count)
        run.kill(run.agent())
    check(run)


@pytest.mark.parametrize("who", ["engine", "agent"])
def test_a_process_that_was_frozen_is_replaced_and_can_do_no_harm_when_it_comes_back(
    job: str, tmp_path: Path, who: str
) -> None:
    run = Running(job, *options(tmp_path)).until(30)
    frozen = run.agent() if who == "agent" else run.engines()[0]
    run.freeze(frozen)
    for _ in run.lines():  # What was on its way still comes; behind that, nothing can before it is replaced.
        if len(run.epochs) > 80:
            break
    run.thaw(frozen)
    check(run)


@pytest.mark.parametrize("workers", [1, 3, 5])
def test_a_run_that_was_killed_is_resumed_on_other_workers(job: str, tmp_path: Path, workers: int) -> None:
    first = Running(job, *options(tmp_path), "--delivery", "committed").until(50)
    first.stop()
    second = Running(job, *options(tmp_path), "--delivery", "committed", "--resume", "-w", str(workers))
    assert second.finish() == 0, second.errors
    assert not second.repeated
    assert first.epochs | second.epochs == EXPECTED
    assert all(second.epochs.get(key, rows) == rows for key, rows in first.epochs.items())


def test_a_store_can_be_looked_into(job: str, tmp_path: Path) -> None:
    stopped(job, tmp_path)
    store = ["--store", f"dir:{tmp_path / 'store'}"]
    listed = limnad("checkpoints", "list", *store, "--json")
    (*_, newest) = map(json.loads, listed.splitlines())
    assert (newest["job"], newest["workers"]) == ("job", 2)
    inside = [json.loads(line) for line in limnad("checkpoints", "inspect", "job", *store, "--json").splitlines()]
    assert {"state 'states', version 1"} <= {line["what"] for line in inside if line["stage"] == "totals"}
    assert "no checkpoint 999" in limnad("checkpoints", "inspect", "job", "999", *store)
    assert "it has: job" in limnad("checkpoints", "inspect", "other", *store)
    limnad("checkpoints", "delete", "job", *store, "--yes")
    assert limnad("checkpoints", "list", *store, "--json") == ""
    assert Running(job, *options(tmp_path)).finish() == 0


def test_state_that_is_not_declared_is_named_before_it_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "job.py"
    file.write_text(textwrap.dedent(UNDECLARED))
    run = Running(str(file), *options(tmp_path))
    assert run.finish() == 1
    assert "stage 'mine' keeps self.seen, which a checkpoint would lose" in run.summary["error"]


def test_a_second_run_does_not_overwrite_the_first(job: str, tmp_path: Path) -> None:
    stopped(job, tmp_path)
    run = Running(job, *options(tmp_path))
    assert run.finish() == 1
    assert "--resume" in run.errors
    assert "Traceback" not in run.errors


def test_a_poison_record_fails_the_job_with_the_users_traceback(job: str, tmp_path: Path) -> None:
    run = Running(job, *options(tmp_path), "-a", "poison=503")
    assert run.finish() == 1
    assert "cannot take ('key 3', 503)" in run.summary["error"]
    assert run.summary["recovery"]["restarts"] == 0


def test_a_changed_graph_is_refused_with_the_names_that_differ(job: str, tmp_path: Path) -> None:
    stopped(job, tmp_path)
    run = Running(job, *options(tmp_path), "--resume", "-a", "renamed=true")
    assert run.finish() == 1
    assert "gone: 'totals'; new: 'sums'" in run.summary["error"]


def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(job: str, tmp_path: Path) -> None:
    first = stopped(job, tmp_path, checkpoints=2, every="20ms")
    (*_, before, last) = numbers(tmp_path)
    store = open_store(f"dir:{tmp_path / 'store'}")
    points = Checkpoints(store.job("job"))
    newest, older = (CheckpointRecord.decode(points.manifest(number).body) for number in (last, before))
    states = {blob.chunk for part in newest.parts for blob in part.blobs()}
    (only_newest, *_) = sorted(states - older.chunks())
    store.job("job").chunks.delete([ChunkRef.parse(only_newest)])
    store.close()
    second = Running(job, *options(tmp_path), "--resume")
    assert second.finish() == 0, second.errors
    assert f"checkpoint {last} cannot be restored" in second.errors
    assert f"Started again from checkpoint {before}" in second.errors
    assert first.epochs | second.epochs == EXPECTED


def test_a_live_job_changes_its_number_of_workers(job: str, tmp_path: Path) -> None:
    seen: Epochs = {}
    with LocalCluster(2) as cluster, Client(cluster.address) as client:
        running = client.submit(job, checkpointing=Checkpointing(f"dir:{tmp_path / 'store'}", every_s=0.1))
        for count, (name, epoch, rows) in enumerate(running.outputs()):
            assert (name, epoch) not in seen
            seen[name, epoch] = sorted(map(list, rows))
            if count in (20, 60):
                running.rescale({20: 5, 60: 1}[count])
        assert running.wait().recovery.generation == 3
    assert seen == EXPECTED


def test_redis_restarted_in_the_middle(job: str) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        store = ["-w", "2", "--store", server.url, "--checkpoint", "100ms"]
        run = Running(job, *store).until(30)
        server.kill()
        server.start()
        run.kill(run.engines()[0])
        check(run)


def test_a_wiped_redis_is_lost_state_never_a_silent_new_beginning(job: str) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        run = Running(job, "-w", "2", "--store", server.url, "--checkpoint", "50ms").until(40)
        server.do("FLUSHALL")
        assert run.finish() == 1
        assert "when it was last seen" in run.summary["error"]


def test_a_drill_counts_what_was_lost(job: str) -> None:
    faults = ["--faults", "kill-worker,kill-agent", "--minutes", "0", "--checkpoint", "100ms"]
    told = limnad("drill", job, "--json", *faults)
    lines = [json.loads(line) for line in told.splitlines()]
    assert [line["fault"] for line in lines] == ["kill-worker", "kill-agent"]
    for line in lines:
        assert line["rows compared"] == 5 * EPOCHS
        assert (line["lost"], line["repeated"]) == (0, 0)
    assert "no fault 'flood'" in limnad("drill", job, "--faults", "flood")
