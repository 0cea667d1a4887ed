"""Streams of hosts and engines that end, and tasks that read them and are to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from limnad_worker.hosts import Hosts


class Losing:
    """Stands for the hosts: notes which one is lost."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    async def lose(self, link: Any, why: str) -> None:
        self.lost.append(why)


async def silent(reading: asyncio.Event) -> AsyncIterator[Any]:
    reading.set()
    await asyncio.Event().wait()
    yield None


async def gone() -> AsyncIterator[Any]:
    if asyncio.get_running_loop().is_running():
        raise asyncio.CancelledError  # As gRPC does when the other side has gone.
    yield None


def test_a_host_is_lost_when_its_stream_is_gone() -> None:
    async def run() -> list[str]:
        hosts: Any = Losing()
        link: Any = SimpleNamespace()
        outgoing: asyncio.Queue[Any] = asyncio.Queue()
        await asyncio.create_task(Hosts._listen(hosts, link, gone(), outgoing))
        assert await outgoing.get() is None
        return list(hosts.lost)

    assert asyncio.run(run()) == ["it does not answer any more"]


def test_no_host_is_lost_by_an_agent_that_ends() -> None:
    """What is done about a lost host, like a new generation of its jobs, may never end then."""

    async def run() -> list[str]:
        hosts: Any = Losing()
        reading = asyncio.Event()
        link: Any = SimpleNamespace()
        listening = asyncio.create_task(Hosts._listen(hosts, link, silent(reading), asyncio.Queue()))
        await reading.wait()
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        return list(hosts.lost)

    assert asyncio.run(run()) == []
