"""What becomes of a generation whose coordinator cannot be had."""

from __future__ import annotations

import asyncio

import pytest

from limnad.cluster import leader
from limnad.cluster.effects import COORDINATOR
from limnad_worker.coordination import Coordination, CoordinatorProcess


def test_a_coordinator_that_cannot_be_started_is_one_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: str) -> CoordinatorProcess:
        raise OSError("no room for another process")

    monkeypatch.setattr(CoordinatorProcess, "spawn", full)

    async def run() -> list[leader.Event]:
        told: list[leader.Event] = []

        async def tell(event: leader.Event) -> None:
            told.append(event)

        await Coordination("127.0.0.1", "", tell).assign("job", 1, 2)
        return told

    assert asyncio.run(run()) == [
        leader.Exited(COORDINATOR, "could not be started: no room for another process"),
    ]
