"""What whoever owns a cluster or a job asks of its leader: pins, owners, replacing, deleting, resizing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from limnad import ClusterError, JobError
from limnad.client import Checkpointing, Client, Job, JobStatus
from limnad.store import open_store
from tests.helpers.clusters import Agents
from tests.helpers.totals import write_job

ENDLESS = """
    import polars as pl

    def make(rng, start, count):
        return pl.DataFrame({"key": pl.arange(start, start + count, eager=True) % 3})

    def job(flow):
        numbers = flow.generate(make, rows=10**7, batch_rows=2, epochs=10**6, rows_per_s=200)
        numbers.group_by("key").agg(pl.len()).output("counts")
"""

OFTEN = Checkpointing(every_s=0.1, keep=1, delivery="committed")


def until(job: Job, holds: object) -> JobStatus:
    assert callable(holds)
    for status in job.watch():
        if holds(status):
            return status
        assert not status.ended, status
    raise AssertionError("it ended")


def checkpoint_after(job: Job, number: int) -> JobStatus:
    return until(job, lambda status: (status.recovery.checkpoint or 0) > number)


def busy(client: Client) -> list[int]:
    return [agent.busy for agent in client.cluster().agents]


def test_a_pinned_checkpoint_is_kept_and_no_other_is_made_while_a_pin_holds(tmp_path: Path) -> None:
    file = write_job(tmp_path, ENDLESS)
    with Agents(1, "--store", f"dir:{tmp_path / 'store'}", folder=tmp_path).start(0) as agents:
        with agents.client() as client:
            agents.gathered()
            job = client.submit(file, workers=2, checkpointing=OFTEN)
            kept = job.pin("kept")
            assert job.pin("kept") == kept
            checkpoint_after(job, kept + 2)
            assert kept in {info.checkpoint for info in job.checkpoints()}
            held = job.pin("upgrade", hold=True)
            assert job.checkpoints()[0].checkpoint == held
            for refused in (job.checkpoint, lambda: job.rescale(1), lambda: job.restore(kept), lambda: job.pin("more")):
                with pytest.raises(ClusterError, match="held at checkpoint"):
                    refused()
        agents.kill(0, signal.SIGTERM)  # A planned stop makes no other one either.
        agents.start(0)
        with agents.client() as client:
            agents.gathered()
            again = client.job(job.name)
            status = until(again, lambda status: status.state == "running" and status.running_s > 0.5)
            assert (status.held, dict(status.pins)) == (True, {"kept": kept, "upgrade": held})
            assert again.checkpoints()[0].checkpoint == held, "what ran meanwhile was not checkpointed"
            again.unpin("upgrade")
            again.unpin("upgrade")
            checkpoint_after(again, held)
            again.unpin("kept")
            status = checkpoint_after(again, held + 2)
            assert kept not in {info.checkpoint for info in again.checkpoints()}


def test_a_job_that_has_ended_waits_for_the_pin_that_holds_it(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    with (
        Agents(1, "--store", f"dir:{tmp_path / 'store'}", folder=tmp_path).start(0) as agents,
        agents.client() as client,
    ):
        agents.gathered()
        job = client.submit(file, arguments={"epochs": 30}, workers=2, checkpointing=OFTEN)
        job.pin("upgrade", hold=True)
        until(job, lambda status: status.epoch is None and status.running_s > 3)
        assert not job.status().ended
        job.unpin("upgrade")
        assert job.wait().state == "finished"


def test_a_job_is_changed_by_its_owner_only(tmp_path: Path) -> None:
    file = write_job(tmp_path, ENDLESS)
    store = f"dir:{tmp_path / 'store'}"
    with Agents(1, "--store", store, folder=tmp_path).start(0) as agents, agents.client() as stranger:
        agents.gathered()
        with Client(agents.addresses[0], owner="LimnadJob ns/wc") as owner:
            named = Checkpointing(name="wc", every_s=0.1)
            job = owner.submit(file, checkpointing=named)
            assert job.status().owner == "LimnadJob ns/wc"
            same = stranger.job("wc")
            for refused in (same.cancel, same.drain, same.restore, lambda: same.rescale(2), same.delete):
                with pytest.raises(JobError, match="belongs to LimnadJob ns/wc"):
                    refused()
            same.checkpoint()
            with pytest.raises(JobError, match="cancel or drain it first"):
                job.delete()
            kept = job.pin("kept")
            job.cancel()
            with pytest.raises(JobError, match="there is a job 'wc' already"):
                owner.submit(file, checkpointing=named)
            resumed = Checkpointing(name="wc", every_s=0.1, resume=True)
            again = owner.submit(file, checkpointing=resumed, replace=True)
            status = until(again, lambda status: status.state == "running")
            assert (bool(status.recovery.checkpoint), dict(status.pins)) == (True, {"kept": kept})
            again.cancel()
            again.delete()
            assert owner.jobs() == []
        with closing(open_store(store)) as opened:
            assert not opened.job("wc").ledger.keys("")


def test_a_cluster_that_shrinks_gives_no_work_to_agents_that_are_to_go(tmp_path: Path) -> None:
    file = write_job(tmp_path, ENDLESS)
    with Agents(3, "--store", f"dir:{tmp_path / 'store'}", folder=tmp_path).start(0, 1, 2) as agents:
        agents.gathered()
        with agents.client() as client:
            job = client.submit(file, checkpointing=OFTEN)
            assert until(job, lambda status: status.state == "running").width == 3
            client.resize(1)
            job.rescale(1)
            assert client.cluster().expected == 1
            until(job, lambda _: busy(client) == [1, 0, 0])  # Engines of before take a moment to end.
            client.resize(2)
            job.rescale(2)
            until(job, lambda _: busy(client) == [1, 1, 0])
            with pytest.raises(JobError, match="at least one agent"):
                client.resize(0)


def test_a_coordinator_that_is_there_already_serves_all_jobs(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    command = [sys.executable, "-m", "limnad_coordinator", "--until-stdin-ends"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as coordinator:
        assert coordinator.stdout is not None
        address = json.loads(coordinator.stdout.readline())["address"]
        flags = ["--coordinator", address, "--progress", "local+global", "--shared-paths"]
        with Agents(2, *flags, folder=tmp_path).start(0, 1) as agents, agents.client() as client:
            agents.gathered()
            jobs = [client.submit(file, arguments={"epochs": 20}, workers=2, upload=False) for _ in range(2)]
            assert [job.wait().state for job in jobs] == ["finished"] * 2
        assert coordinator.stdin is not None
        coordinator.stdin.close()
