"""What an agent remembers of the checkpoints of a job, to know how far the logs of its inputs may be trimmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from limnad.cluster import producers
from limnad.cluster.records import CheckpointRecord, PartitionRecord, PartRecord
from limnad.limits import ANONYMOUS
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker.feeding import LoggedFeeder, Surroundings
from limnad_worker.vault import Vault
from tests.helpers.census import census


def record(number: int) -> CheckpointRecord:
    """A checkpoint that has read as many entries of the log of `rows` as its number says."""
    partition = PartitionRecord("rows", "by hand", 0, {"offset": number})
    part = PartRecord(0, 1, 1, 0, [], [], [partition], {}, [], {})
    return CheckpointRecord("", [], 1, [part], [])


class Logs:
    """The part of a vault that knows of logs and checkpoints."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.read_again: list[int] = []
        self.trimmed: list[Any] = []

    async def logs(self) -> Sequence[str]:
        return self._names

    async def read(self, number: int) -> CheckpointRecord:
        self.read_again.append(number)
        return record(number)

    async def trim_cuts(self, name: str, kept: Sequence[Any]) -> None:
        offsets = [state["rows", "by hand"].position["offset"] for state in kept]
        self.trimmed.append((name, offsets))


async def nothing(*_: Any) -> None:
    """Nobody wants to know."""


def feeder(logs: Logs) -> LoggedFeeder:
    around = Surroundings(jobs_pb2.JobView(), lambda _: None, lambda _: None, nothing, nothing)
    return LoggedFeeder(cast(Vault, logs), around)


async def run(fed: LoggedFeeder, checkpoints: range) -> None:
    for number in checkpoints:
        fed.made(number, record(number))
        if number % 10:  # Else it is given up.
            await fed.retained([number - 1, number])


def test_of_checkpoints_that_are_gone_nothing_is_remembered_though_the_job_has_no_logs() -> None:
    fed = feeder(Logs([]))
    asyncio.run(run(fed, range(1, 100)))
    before = census(fed._standings)
    asyncio.run(run(fed, range(100, 1_000)))
    assert census(fed._standings) == before


def test_logs_are_trimmed_by_the_checkpoints_that_are_kept() -> None:
    logs = Logs(["ticks"])
    fed = feeder(logs)
    fed.made(8, record(8))
    fed.made(9, record(9))  # It is being committed while the one before is swept.
    asyncio.run(fed.retained([3, 8]))
    asyncio.run(fed.retained([8, 9]))
    assert logs.trimmed == [("ticks", [3, 8]), ("ticks", [8, 9])]
    assert logs.read_again == [3]


def test_a_producer_without_a_name_is_forgotten_when_it_is_silent_and_checkpoints_have_passed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless, ann = f"{ANONYMOUS}1", "ann"

    async def test() -> None:
        tasks: list[asyncio.Task[None]] = []
        vault = Vault(f"dir:{tmp_path}", "job", 3)

        def tell(push: wire.Push) -> None:
            if push.check:
                answer = wire.Pushed(request=push.request)
                asyncio.get_running_loop().call_soon(fed.pushed, answer)

        view = jobs_pb2.JobView(inputs=["rows"])
        keep = lambda work: tasks.append(asyncio.ensure_future(work))  # noqa: E731
        fed = LoggedFeeder(vault, Surroundings(view, tell, keep, nothing, nothing))
        fed.begin(1)
        for producer in (nameless, ann, f"{ANONYMOUS}2"):
            push = wire.Push(input="rows", rows=wire.Rows())
            await fed.push(jobs_pb2.PushRequest(push=push, producer=producer, sequence=1))
        fed.made(2, record(2))
        known = (await vault.claim_log("rows", 1)).producers
        await fed.retained([2])
        assert (await vault.claim_log("rows", 1)).producers == known, "they may be heard of again"
        monkeypatch.setattr(producers, "FORGOTTEN_S", 0.0)
        await fed.retained([2])
        left = {ann, f"{ANONYMOUS}2"}
        assert set((await vault.claim_log("rows", 1)).producers) == left, "no checkpoint has passed the other one"
        assert [fed.last_sequence("rows", each) for each in (nameless, ann)] == [0, 1]
        await vault.close()

    asyncio.run(test())
