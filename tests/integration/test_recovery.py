"""The commands around recovery. What is struck by faults is in test_faults.py."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.helpers.running import LIMNAD, Running
from tests.helpers.totals import EPOCHS, expected, numbers, options, stopped, write_job

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


@pytest.fixture
def job(tmp_path: Path) -> str:
    return write_job(tmp_path)


def limnad(*arguments: str) -> str:
    done = subprocess.run([*LIMNAD, *arguments], capture_output=True, text=True, timeout=250, check=False)
    return done.stdout if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("workers", [1, 3, 5])
def test_a_run_that_was_killed_is_resumed_on_other_workers(job: str, tmp_path: Path, workers: int) -> None:
    first = Running(job, *options(tmp_path), "--delivery", "committed").until(50)
    first.stop()
    second = Running(job, *options(tmp_path), "--delivery", "committed", "--resume", "-w", str(workers))
    assert second.finish() == 0, second.errors
    assert not second.repeated
    assert first.epochs | second.epochs == expected()
    assert all(second.epochs.get(key, rows) == rows for key, rows in first.epochs.items())


def test_a_run_that_is_to_go_on_says_from_where(job: str, tmp_path: Path) -> None:
    first = Running(job, *options(tmp_path), "--resume")
    assert first.finish() == 0
    assert "holds no checkpoint of this job: starting from the inputs' beginning" in first.errors
    second = Running(job, *options(tmp_path), "--resume")
    assert second.finish() == 0
    assert "going on from checkpoint" in second.errors


def test_checkpoints_by_epochs_need_no_clock(job: str, tmp_path: Path) -> None:
    long = ["-a", "epochs=10000"]
    run = Running(job, "-w", "2", "--store", f"dir:{tmp_path / 'store'}", "--checkpoint-epochs", "10", *long)
    run.until(lambda: len(numbers(tmp_path)) >= 2)
    run.stop()
    assert len(numbers(tmp_path)) >= 2


def test_a_checkpoints_phases_are_told(job: str, tmp_path: Path) -> None:
    run = Running(job, *options(tmp_path))
    assert run.finish() == 0, run.errors
    told = run.summary["recovery"]
    phases = told["phases"]
    assert told["halted_s"] >= max(phases["stop_s"], phases["markers_s"], phases["references_s"]) > 0
    assert phases["total_s"] >= phases["commit_s"] > 0
    assert phases["total_s"] >= told["stored_s"] >= max(phases["encode_s"], phases["upload_s"]) > 0


def test_a_store_can_be_looked_into(job: str, tmp_path: Path) -> None:
    stopped(job, tmp_path)
    store = ["--store", f"dir:{tmp_path / 'store'}"]
    listed = limnad("checkpoints", "list", *store, "--json")
    (*_, newest) = map(json.loads, listed.splitlines())
    assert (newest["job"], newest["workers"]) == ("job", 2)
    assert newest["stored_s"] > 0
    assert newest["halted_s"] > 0
    inside = [json.loads(line) for line in limnad("checkpoints", "inspect", "job", *store, "--json").splitlines()]
    assert {"state 'states', version 1"} <= {line["what"] for line in inside if line["stage"] == "totals"}
    assert any(line["what"].startswith("halted to take references: ") for line in inside)
    assert "no checkpoint 999" in limnad("checkpoints", "inspect", "job", "999", *store)
    assert "it has: job" in limnad("checkpoints", "inspect", "other", *store)
    limnad("checkpoints", "delete", "job", *store, "--yes")
    assert limnad("checkpoints", "list", *store, "--json") == ""
    assert Running(job, *options(tmp_path)).finish() == 0


def test_state_that_is_not_declared_is_named_before_it_is_lost(tmp_path: Path) -> None:
    run = Running(write_job(tmp_path, UNDECLARED), *options(tmp_path))
    assert run.finish() == 1
    assert "stage 'mine' keeps self.seen, which a checkpoint would lose" in run.summary["error"]


def test_a_second_run_does_not_overwrite_the_first(job: str, tmp_path: Path) -> None:
    stopped(job, tmp_path)
    run = Running(job, *options(tmp_path))
    assert run.finish() == 1
    assert "--resume" in run.errors
    assert "Traceback" not in run.errors


def test_a_drill_counts_what_was_lost(job: str) -> None:
    faults = ["--faults", "kill-worker,reset", "--minutes", "0", "--checkpoint", "100ms"]
    told = limnad("drill", job, "--json", *faults)
    assert told.startswith("{"), told
    lines = [json.loads(line) for line in told.splitlines()]
    assert [line["fault"] for line in lines] == ["kill-worker", "reset"]
    for line in lines:
        assert line["rows compared"] == 5 * EPOCHS * line["runs"]
        assert line["times"] > 0
        assert (line["failed"], line["lost"], line["repeated"]) == (0, 0, 0)


def test_a_drill_of_a_job_that_fails_with_a_store_says_why(tmp_path: Path) -> None:
    drill = ["drill", write_job(tmp_path, UNDECLARED), "--faults", "kill-worker", "--minutes", "0"]
    said = limnad(*drill)
    assert "run 1, kill-worker: the job failed: stage 'mine' keeps self.seen" in said
