"""The service for clients: archives, the registry, what may be done with jobs, and a leader that is restarted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from limnad import AsyncClient, ClusterError, JobError, JobFailed
from limnad.client import Checkpointing, Client, LocalCluster
from limnad.client.packing import pack
from limnad.store import open_store
from limnad_proto.v1 import control_pb2, jobs_pb2
from limnad_worker.registry import Registry
from tests.helpers.clusters import Agents, epochs
from tests.helpers.totals import expected, write_job

FED = """
    def job(flow):
        flow.input("words").key_by(str).count_by_key().output("counts")
"""

ENDLESS = """
    import polars as pl

    def make(rng, start, count):
        return pl.DataFrame({"key": pl.arange(start, start + count, eager=True) % 3})

    def job(flow):
        numbers = flow.generate(make, rows=10**7, batch_rows=2, epochs=10**6, rows_per_s=200)
        numbers.group_by("key").agg(pl.len()).output("counts")
"""

STUBBORN = """
    import limnad

    class Remembers(limnad.Vertex):
        seen = 0

        def on_recv(self, port, batch, time):
            self.seen += len(batch)
            self.send_by(0, [self.seen], time)

        def checkpoint(self):
            return self.seen

        def restore(self, state):
            self.seen = state

    def job(flow):
        flow.vertex(Remembers, flow.input("words"), name="odd").output("counts")
"""


def write(folder: Path, text: str, name: str = "job.py") -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))
    return str(file)


def test_a_restarted_leader_goes_on_with_its_jobs(tmp_path: Path) -> None:
    job, fed = write_job(tmp_path), write(tmp_path, FED, "fed.py")
    store = f"dir:{tmp_path / 'store'}"
    with Agents(2, "--store", store, folder=tmp_path).start(0, 1) as agents, agents.client() as client:
        agents.gathered()
        running = client.submit(job, checkpointing=Checkpointing(every_s=0.2), request_id="only once")
        feeding = client.submit(fed, checkpointing=Checkpointing(every_s=0.2, name="fed"))
        lost = client.submit(fed, ephemeral=True)
        finished = client.submit(write(tmp_path, "def job(flow): flow.values([[1]]).output('x')", "short.py"))
        finished.wait()
        feeding.input("words", "test").on_next(["a", "b"])
        seen: dict[tuple[str, int], Any] = {}
        for count, (name, epoch, rows) in enumerate(running.outputs()):
            assert (name, epoch) not in seen
            seen[name, epoch] = sorted(map(list, rows))
            if count in (20, 60):
                agents.kill(0)
                agents.start(0)
        assert seen == expected()
        feeding.input("words", "test").on_next(["a"])
        feeding.input("words", "test").close()
        assert sorted(next(rows for _, rows in client.job("fed").subscribe("counts"))) == [("a", 2), ("b", 1)]
        with pytest.raises(JobFailed, match="keeps no checkpoints"):
            lost.wait()
        again = client.submit(job, checkpointing=Checkpointing(every_s=0.2), request_id="only once")
        assert again.name == running.name
        assert client.job("fed").wait().state == "finished"
        states = {status.job: status.state for status in client.jobs()}
        assert states == {running.name: "finished", "fed": "finished", lost.name: "failed", finished.name: "finished"}
        assert epochs(running.outputs()) == expected()


def test_a_job_whose_own_store_is_away_when_the_leader_is_restarted_holds_up_no_other(tmp_path: Path) -> None:
    fed, own = write(tmp_path, FED), tmp_path / "own"
    with (
        Agents(1, "--store", f"dir:{tmp_path / 'store'}", folder=tmp_path).start(0) as agents,
        agents.client() as client,
    ):
        agents.gathered()
        lonely = client.submit(fed, workers=1, checkpointing=Checkpointing(every_s=None, store=f"dir:{own}", name="x"))
        fine = client.submit(fed, workers=1, checkpointing=Checkpointing(every_s=None))
        lonely.input("words", "ann").on_next(["a"])
        agents.kill(0)
        own.rename(tmp_path / "away")
        own.write_text("what is mounted here by mistake")
        agents.start(0)
        fine.input("words", "ann").on_next(["b"])  # It is served.
        told = {status.job: status for status in client.jobs()}
        assert told[lonely.name].state == "recovering"
        assert "begins when its store is no longer away" in told[lonely.name].recovery.waiting
        assert told[fine.name].state == "running"
        listed = limnad("jobs", address=agents.addresses[0]).stderr
        assert f"{lonely.name} waits: the job begins when its store is no longer away" in listed
        own.unlink()
        (tmp_path / "away").rename(own)
        lonely.input("words", "ann").close()
        assert lonely.wait().state == "finished"
        assert next(rows for _, rows in lonely.subscribe("counts")) == [("a", 1)]


def test_what_may_be_done_with_a_job(tmp_path: Path) -> None:
    endless = write(tmp_path, ENDLESS)
    store = f"dir:{tmp_path / 'store'}"
    with Agents(2, "--store", store, folder=tmp_path).start(0, 1) as agents, agents.client() as client:
        agents.gathered()
        job = client.submit(endless, workers=1, checkpointing=Checkpointing(every_s=None, keep=10))
        next(job.outputs())
        first, second = job.checkpoint(), job.checkpoint()
        assert [info.checkpoint for info in job.checkpoints()] == [second, first]
        job.rescale(2)
        assert job.status().width == 2
        job.restore(first, workers=1)
        assert second not in [info.checkpoint for info in job.checkpoints()]
        with pytest.raises(JobError, match=f"no checkpoint {second}; it has: {first}"):
            job.restore(second)
        job.cancel()
        assert client.job(job.name).status().state == "cancelled"
        job.restore()
        assert client.job(job.name).status().state == "running"
        job.drain()
        assert job.wait().state == "finished"
        assert job.checkpoints()[0].epoch is None


def test_a_drained_job_that_is_taken_back_can_be_fed_again_and_one_that_was_closed_ends_again(tmp_path: Path) -> None:
    store = f"dir:{tmp_path / 'store'}"
    with Agents(1, "--store", store, folder=tmp_path).start(0) as agents, agents.client() as client:
        agents.gathered()
        job = client.submit(write(tmp_path, FED), workers=1, checkpointing=Checkpointing(every_s=None, keep=10))
        ann = job.input("words", "ann")
        ann.on_next(["a"])
        open_ = job.checkpoint()
        ann.on_next(["b"])
        job.drain()
        assert job.wait().state == "finished"
        last = job.checkpoints()[0].checkpoint
        job.restore(last)  # From behind the drain there is nothing to go on with.
        assert job.wait().state == "finished"
        job.restore(open_)
        ann.on_next(["a"])  # The input is open again, and its producer's numbers go on.
        agents.kill(0)  # So it is for a leader that finds all that in the log.
        agents.start(0)
        assert ann.last_sequence == 3
        ann.on_next(["c"])
        between = job.checkpoint()
        job.drain()
        assert job.wait().state == "finished"
        # The epoch that was shown is as it was.
        shown = {("counts", 0): [["a", 1], ["b", 1]], ("counts", 1): [["a", 1], ["c", 1]]}
        assert epochs(job.outputs()) == shown
        job.restore(between)
        ann.close()
        assert job.wait().state == "finished"
        job.restore(between)  # What a producer has closed stays so: nobody would ever close it again.
        assert job.wait().state == "finished"
        assert epochs(job.outputs()) == shown
        with pytest.raises(JobError, match="'limnad drain' is the producer by which jobs are drained"):
            job.input("words", "limnad drain").on_next(["x"])


def test_a_job_whose_state_cannot_be_spread_keeps_its_width_and_goes_on(tmp_path: Path) -> None:
    store = f"dir:{tmp_path / 'store'}"
    with Agents(2, "--store", store, folder=tmp_path).start(0, 1) as agents, agents.client() as client:
        agents.gathered()
        job = client.submit(write(tmp_path, STUBBORN), workers=2, checkpointing=Checkpointing(every_s=0.2))
        counts, words = job.outputs("counts"), job.input("words")
        words.on_next(["a", "b"])
        words.advance_to(1)
        assert next(counts)[1:] == (0, [2])
        with pytest.raises(JobError, match=r"stage 'odd' keeps state that is not by key.* give its vertex a rescale"):
            job.rescale(1)
        assert (job.status().state, job.status().width) == ("running", 2)
        words.on_next(["c"])
        words.advance_to(2)
        assert next(counts)[1:] == (1, [3]), "it has what it had"


def test_a_drained_job_gives_all_that_was_pushed(tmp_path: Path) -> None:
    with LocalCluster(2) as cluster, Client(cluster.address) as client:
        job = client.submit(write(tmp_path, FED), workers=2)
        job.input("words").on_next(["a", "b", "a"])
        job.drain()
        assert job.wait().state == "finished"
        assert sorted(next(rows for _, rows in job.subscribe("counts"))) == [("a", 2), ("b", 1)]


def test_a_job_brings_what_it_imports(tmp_path: Path) -> None:
    job = write(
        tmp_path,
        """
        from helpers.words import upper
        import extra

        def job(flow):
            flow.values([["a"]]).map(upper).map(extra.twice).output("out")
        """,
        "project/main.py",
    )
    write(tmp_path, "def upper(word):\n    return word.upper()\n", "project/helpers/words.py")
    write(tmp_path, "def twice(word):\n    return word * 2\n", "packages/extra.py")
    packed = pack(job, root=str(tmp_path / "project"), packages=tmp_path / "packages")
    assert packed.data == pack(job, root=str(tmp_path / "project"), packages=tmp_path / "packages").data
    archive = tmp_path / "job.zip"
    archive.write_bytes(packed.data)
    with LocalCluster(2) as cluster, Client(cluster.address) as client:
        assert list(client.submit(str(archive), workers=2).subscribe("out")) == [(0, ["AA"])]
        with pytest.raises(JobFailed, match="No module named 'helpers'"):
            client.submit(job).wait()


def test_requests_that_are_wrong_say_what_to_do(tmp_path: Path) -> None:
    job = write(tmp_path, FED)
    with Agents(1, folder=tmp_path).start(0) as agents, agents.client() as client:
        agents.gathered()
        with pytest.raises(JobError, match="upload one"):
            client.submit(job, upload=False)
        with pytest.raises(JobError, match="upload it first"):
            submit(client, archive="0" * 64)
        with pytest.raises(JobError, match="paths are relative"):
            submit(client, path="../job.py", archive="0" * 64)
        with pytest.raises(JobError, match="no zip file"):
            client._upload(b"nothing")
        with pytest.raises(JobError, match="there is no job 'nothing'"):
            client.job("nothing")
        named = client.submit(job, checkpointing=Checkpointing(name="named"), request_id="r")
        with pytest.raises(JobError, match="there is a job 'named' already"):
            client.submit(job, checkpointing=Checkpointing(name="named"))
        with pytest.raises(JobError, match="belongs to another request"):
            client.submit(job, request_id="r")
        with pytest.raises(JobError, match="cannot be a job's name"):
            client.submit(job, checkpointing=Checkpointing(name="../x"))
        with pytest.raises(JobError, match="the job has no store"):
            named.restore()
        assert agents.kill(0, signal.SIGTERM) == 0
        with pytest.raises(ClusterError):
            client.jobs()


def submit(client: Client, **fields: Any) -> None:
    from limnad.client.translation import translated

    translated(lambda: client._line.jobs.Submit(jobs_pb2.SubmitRequest(**{"path": "job.py", **fields})))


def test_the_client_for_event_loops_is_the_same(tmp_path: Path) -> None:
    async def use(address: str) -> None:
        async with AsyncClient(address) as client:
            job = await client.submit(write(tmp_path, FED), workers=2)
            await job.input("words").on_next(["a", "b", "a"])
            await job.input("words").advance_to(1)
            async for epoch, rows in job.subscribe("counts"):
                assert (epoch, sorted(rows)) == (0, [("a", 2), ("b", 1)])
                break
            waiting = asyncio.ensure_future(job.wait())
            await job.input("words").close()
            assert (await waiting).state == "finished"
            assert [status.job for status in await client.jobs()] == [job.name]
            with pytest.raises(JobError, match="there is no job"):
                await client.job("nothing")

    with LocalCluster(2) as cluster:
        asyncio.run(use(cluster.address))


def test_a_leader_that_finds_another_in_its_place_ends(tmp_path: Path) -> None:
    store = f"dir:{tmp_path / 'store'}"
    with Agents(1, "--store", store, folder=tmp_path).start(0) as agents, agents.client() as client:
        agents.gathered()
        running = client.submit(write(tmp_path, ENDLESS), checkpointing=Checkpointing(every_s=0.2))
        next(running.outputs())
        with closing(open_store(store)) as opened:
            (record,) = Registry(opened, "another").take_lead()
        assert record.job == running.name
        assert agents.processes[0].wait(timeout=60) == 3


def limnad(*arguments: str, address: str, feed: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "limnad.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        input=feed,
        env={**os.environ, "LIMNAD_CLUSTER": address},
    )


def test_the_commands_for_jobs(tmp_path: Path) -> None:
    fed = write(tmp_path, "import sys\n" + textwrap.dedent(FED).replace("str)", "lambda w: print('got', w) or w)"))
    store = f"dir:{tmp_path / 'store'}"
    with Agents(1, "--store", store, "--slots", "2", folder=tmp_path).start(0) as agents:
        agents.gathered()

        def run(*arguments: str, feed: str | None = None, says: str = "") -> str:
            done = limnad(*arguments, address=agents.addresses[0], feed=feed)
            assert done.returncode == 0, done.stderr
            assert says in done.stderr
            return done.stdout

        assert run("submit", fed, "--name", "counts", "--request-id", "r") == "counts\n"
        assert run("submit", fed, "--name", "counts", "--request-id", "r") == "counts\n"
        run("push", "counts", "words", "--producer", "p", "--advance-to", "1", feed='"a"\n"b"\n"a"\n')
        run("push", "counts", "words", "--producer", "p", "--advance-to", "1", feed='"a"\n"b"\n"a"\n')
        assert run("checkpoint", "counts").strip().isdigit()
        assert json.loads(run("checkpoint", "counts", "--list", "-o", "json").splitlines()[0])["workers"] == 2
        run("scale", "counts", "1")
        (listed,) = map(json.loads, run("jobs", "-o", "json").splitlines())
        assert (listed["job"], listed["width"], listed["state"]) == ("counts", 1, "running")
        run("restore", "counts")
        run("drain", "counts", "--wait", says="counts has finished")
        epochs = [json.loads(line) for line in run("subscribe", "counts", "counts", "-o", "json").splitlines()]
        assert sorted(epochs[0]["rows"]) == [["a", 2], ["b", 1]]
        assert "got a" in run("logs", "counts")
        assert "finished" in run("describe", "counts")
        for command in ("drain", "cancel"):
            run(command, "counts", says="nothing was to be done: counts has ended, it is finished")
        run("submit", fed, "--name", "another")
        run("cancel", "another", says="another was cancelled")
        for wrong, complaint in [
            (["describe", "nothing"], "there is no job 'nothing'; the newest are: another, counts"),
            (["subscribe", "counts", "nothing"], "has no output 'nothing'; it has: counts"),
            (["submit", "nothing.py"], "there is no job file 'nothing.py'"),
            (["push", "counts", "words", "nowhere"], "there is no file 'nowhere' to push"),
            (["restore", "counts", "999"], "the job has no checkpoint 999"),
        ]:
            done = limnad(*wrong, address=agents.addresses[0])
            assert done.returncode == 1
            assert complaint in done.stderr
            assert "Traceback" not in done.stderr


def test_pack_makes_an_archive_that_can_be_submitted(tmp_path: Path) -> None:
    job = write(tmp_path, "def job(flow):\n    flow.values([[1]]).output('x')\n")
    with Agents(1, folder=tmp_path).start(0) as agents:
        agents.gathered()
        target = str(tmp_path / "packed.zip")
        assert limnad("pack", job, "-o", target, address=agents.addresses[0]).returncode == 0
        done = limnad("submit", target, "--wait", address=agents.addresses[0])
        assert (done.returncode, done.stdout) == (0, "job-1\n")


def test_a_client_that_has_no_patience_has_its_job_all_the_same(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    store = f"dir:{tmp_path / 'store'}"
    with Agents(1, "--store", store, folder=tmp_path).start(0) as agents, agents.client() as client:
        agents.gathered()
        packed = pack(job, "job", None)
        request = jobs_pb2.SubmitRequest(
            path=packed.path,
            archive=client._upload(packed.data),
            request_id="impatient",
            arguments=[control_pb2.Argument(name="epochs", value="5")],
        )
        calls = [client._line.jobs.Submit.future(request) for _ in range(3)]
        for call in calls:
            call.cancel()
        again = client._line.jobs.Submit(request, timeout=60)
        assert client.job(again.job).wait().state == "finished"
        assert [status.job for status in client.jobs()] == [again.job]
