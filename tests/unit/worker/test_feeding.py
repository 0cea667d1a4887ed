"""What an agent remembers of the checkpoints of a job, to know how far the logs of its inputs may be trimmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from limnad.cluster.records import CheckpointRecord, PartitionRecord, PartRecord
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
