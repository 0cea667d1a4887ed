"""Agents are kept alive, whatever is full."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from limnad.cli import supervisor
from limnad.cli.supervisor import ClusterState, Supervisor


class Agent:
    """An agent that lives for as long as nobody ends it."""

    def __init__(self) -> None:
        self.pid = 1
        self.ended = asyncio.Event()

    async def wait(self) -> None:
        await self.ended.wait()


def test_agents_are_started_again_when_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no room, for a process or on its disk, must not leave a cluster without agents for good."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.001)

    async def run() -> int:
        keeper = Supervisor(tmp_path, ClusterState(["127.0.0.1:1"], [], 0.0, pids=[0]))
        agents: asyncio.Queue[Agent] = asyncio.Queue()
        full = ["no room for another process"]

        async def start(_: int) -> Any:
            if full:
                raise OSError(full.pop())
            agents.put_nowait(agent := Agent())
            return agent

        monkeypatch.setattr(keeper, "_start", start)
        keeping = asyncio.create_task(keeper._keep(0))
        async with asyncio.timeout(10):
            first = await agents.get()
            monkeypatch.setattr(supervisor, "write_privately", _full)
            first.ended.set()
            second = await agents.get()
        assert second is not first
        keeping.cancel()
        await asyncio.wait([keeping])
        return keeper._state.restarts

    assert asyncio.run(run()) == 2


def _full(*_: Any) -> None:
    raise OSError("no space left on the device")
