"""A cluster of several agents: jobs beside each other, and the loss of whoever works for them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from limnad import ClusterError, JobFailed
from limnad.client import Checkpointing, Client, Job
from tests.helpers.clusters import Agents, epochs, processes_with
from tests.helpers.totals import expected, write_job

LIMNAD = [sys.executable, "-m", "limnad.cli"]

STRAY = """
    import ctypes, os, sys
    import polars as pl

    def raising(word):
        print("about to raise")
        raise ValueError(f"cannot take {word}")

    def leaking(word):
        print("about to leak")
        kept = []
        while True:
            kept.append(bytearray(16 << 20))

    def leaking_natively(word):
        print("about to leak")
        return pl.select(pl.int_range(1 << 30, dtype=pl.Int64)).height

    def segfaulting(word):
        print("about to read what is not there")
        ctypes.string_at(0)

    def holding(word):
        print("about to hold the GIL")
        ctypes.PyDLL(None).pause()

    def job(flow, how: str):
        flow.values([["x"]]).to_worker(1).map(globals()[how]).output("never")
"""

FED = """
    def job(flow):
        flow.input("words").key_by(str).count_by_key().output("counts")
"""


def write(folder: Path, text: str, name: str) -> str:
    file = folder / name
    file.write_text(textwrap.dedent(text))
    return str(file)


def printed(job: Job, *, follow: bool = False) -> str:
    return "".join(text for _, text in job.logs(follow=follow))


def until_printed(job: Job, text: str) -> None:
    seen = ""
    for _, piece in job.logs(follow=True):
        seen += piece
        if text in seen:
            return
    raise AssertionError(f"the job ended before it printed {text!r}: {seen}")


def test_jobs_beside_one_that_fails_go_on(tmp_path: Path) -> None:
    totals, fed, stray = write_job(tmp_path), write(tmp_path, FED, "fed.py"), write(tmp_path, STRAY, "stray.py")
    with Agents(3, "--memory", "256MiB", folder=tmp_path).start(0, 1, 2) as agents, agents.client() as client:
        assert agents.gathered() == [0, 1, 2]
        first = client.submit(totals, workers=2)
        second = client.submit(fed)
        second.input("words").on_next(["a", "b", "a"])
        failing = {
            how: client.submit(stray, arguments={"how": how}, workers=2)
            for how in ("raising", "leaking", "leaking_natively", "segfaulting", "holding")
        }
        assert "cannot take x" in failure(failing["raising"])
        assert "MemoryError" in failure(failing["leaking"])
        assert "memory" in failure(failing["leaking_natively"]) + printed(failing["leaking_natively"])
        assert "SIGSEGV" in failure(failing["segfaulting"])
        assert "Segmentation fault" in printed(failing["segfaulting"])
        assert "about to leak" in printed(failing["leaking"])
        until_printed(failing["holding"], "about to hold")
        failing["holding"].cancel()
        assert failing["holding"].wait().state == "cancelled"
        second.input("words").close()
        assert sorted(dict(second.subscribe("counts"))[0]) == [("a", 2), ("b", 1)]
        assert epochs(first.outputs()) == expected()
        assert len(second.status().recovery.last_fault) == 0


def failure(job: Job) -> str:
    with pytest.raises(JobFailed) as failed:
        job.wait()
    return str(failed.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_goes_on_without_a_lost_agent(tmp_path: Path, number: signal.Signals) -> None:
    job = write_job(tmp_path)
    with Agents(3, folder=tmp_path).start(0, 1, 2) as agents, agents.client() as client:
        agents.gathered()
        running = client.submit(job, checkpointing=Checkpointing(f"dir:{tmp_path / 'store'}", every_s=0.2))
        seen: dict[tuple[str, int], Any] = {}
        for count, (name, epoch, rows) in enumerate(running.outputs()):
            assert (name, epoch) not in seen
            seen[name, epoch] = sorted(map(list, rows))
            if count == 20:
                agents.kill(2, number)
                assert [agent.index for agent in client.cluster().agents if not agent.leaving] == [0, 1]
        assert seen == expected()
        told = running.wait().recovery
        assert told.generation > 1
        assert (told.restarts == 0) is (number is signal.SIGTERM), "a planned stop is no fault"


def test_members_wait_for_a_leader_that_comes_late_and_again(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    with Agents(3, folder=tmp_path).start(1, 2) as agents:
        for address in agents.addresses[1:]:
            assert is_serving(address)
        with Client(agents.addresses[1]) as mistaken, pytest.raises(ClusterError, match="agent 1 does not lead"):
            mistaken.jobs()
        agents.start(0)
        for _ in range(2):
            assert agents.gathered() == [0, 1, 2]
            with agents.client() as client:
                running = client.submit(job)
                assert len(running.status().stages) >= 0
                assert [agent.busy for agent in client.cluster().agents].count(0) < 3
            agents.kill(0)
            agents.start(0)
        assert agents.gathered() == [0, 1, 2]


def is_serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest()
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(request, wait_for_ready=True, timeout=60)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_a_late_member_gets_work_of_the_next_job(tmp_path: Path) -> None:
    job = write(tmp_path, FED, "fed.py")
    with Agents(2, folder=tmp_path).start(0) as agents, agents.client() as client:
        assert is_serving(agents.addresses[0])
        early = client.submit(job)  # It waits for the other agent, as many are expected.
        agents.start(1)
        early.input("words").on_next(["a"])
        assert [agent.busy for agent in client.cluster().agents] == [1, 1]
        assert len(early.status().stages) > 0


def limnad(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIMNAD_CLUSTER_FOLDER": str(folder)}
    return subprocess.run(
        [*LIMNAD, *arguments], capture_output=True, text=True, timeout=100, check=False, env=environment
    )


def test_down_leaves_no_process_and_no_port(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    done = limnad("cluster", "up", "-w", "2", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "already" in limnad("cluster", "up", folder=folder).stderr
    told = json.loads(limnad("cluster", "status", "-o", "json", folder=folder).stdout)
    assert [agent["index"] for agent in told["agents"]] == [0, 1]
    os.kill(told["agents"][1]["pid"], signal.SIGKILL)
    assert limnad("cluster", "down", folder=folder).returncode == 0
    assert list(processes_with(str(folder))) == []
    for agent in told["agents"]:
        host, _, port = agent["address"].rpartition(":")
        with socket.socket() as free:
            free.bind((host, int(port)))
    assert "limnad cluster up" in limnad("cluster", "status", folder=folder).stderr


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert limnad("cluster", "up", "-w", "2", folder=folder).returncode == 0
    told = json.loads(limnad("cluster", "status", "-o", "json", folder=folder).stdout)
    agents = [os.pidfd_open(agent["pid"]) for agent in told["agents"]]
    os.kill(int((folder / "lock").read_text()), signal.SIGKILL)
    for agent in agents:
        signal_end(agent)
    assert limnad("cluster", "status", folder=folder).returncode == 1


def signal_end(process: int) -> None:
    """Waits for the end of a process that is not a child."""
    import select

    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(60_000), "it lives on"
    os.close(process)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--index", "1"], "give it --peers or --peers-dns"),
        (["--listen", "nowhere"], "--listen (LIMNAD_LISTEN) is 'nowhere': this is not HOST:PORT"),
        (["--config", "nowhere.toml"], "there is no configuration file 'nowhere.toml'"),
        (["--memory", "much"], "--memory (LIMNAD_MEMORY)"),
    ],
)
def test_wrong_settings_get_one_sentence(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    done = limnad("worker", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
