"""Streams of hosts and engines that end, and tasks that read them and are to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from limnad_proto.v1 import control_pb2, hosts_pb2
from limnad_worker.hosts import HostLink, Hosts


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


def test_a_host_that_hangs_up_while_it_is_added_is_lost() -> None:
    """Else its index would be taken for ever, and engines would be waited for that never come."""

    async def run() -> list[Any]:
        hosts = Hosts(host="", build="", uid="", expected=1, warm=0, spares=0)
        hosts.open(1)
        gone_now = asyncio.Event()

        async def requests() -> AsyncIterator[hosts_pb2.FromHost]:
            yield hosts_pb2.FromHost(info=hosts_pb2.HostInfo(uid="member", index=1, slots=1))
            await gone_now.wait()

        registered: Any = hosts.Register(requests(), cast(Any, None))
        assert (await anext(registered)).HasField("welcome")
        async with hosts._changed:  # Others are told of another host just now.
            adding = asyncio.create_task(anext(registered))
            await asyncio.sleep(0)
            adding.cancel()
            gone_now.set()
            with pytest.raises(asyncio.CancelledError):
                await adding
        for _ in range(10):
            await asyncio.sleep(0)
        return hosts.links

    assert asyncio.run(run()) == []


def test_an_engine_whose_words_cannot_be_taken_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[str]:
        hosts = Hosts(host="", build="", uid="", expected=1, warm=0, spares=0)
        done: list[str] = []

        class Deaf:
            async def engine_said(self, *_: Any) -> None:
                raise ArithmeticError("a mistake of ours")

        async def words() -> AsyncIterator[Any]:
            yield control_pb2.FromEngine()

        engine: Any = SimpleNamespace(job=Deaf(), kill=lambda: done.append("killed"))
        hosts.keep(hosts._listen_to_engine(engine, words()))
        for _ in range(10):
            await asyncio.sleep(0)
        return done

    assert asyncio.run(run()) == ["killed"]
    assert "a mistake of ours" in caplog.text


def test_an_engine_that_does_not_attach_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process may have been stopped before: nothing else would ever tell."""
    monkeypatch.setattr("limnad_worker.hosts.ATTACH_S", 0.0)

    async def run() -> list[str | None]:
        hosts = Hosts(host="", build="", uid="", expected=1, warm=2, spares=0)
        told: list[hosts_pb2.ToHost] = []
        link = HostLink(hosts_pb2.HostInfo(uid="host", slots=2), told.append)
        await hosts.add(link)
        link.ready[0].address = "127.0.0.1:1"
        for _ in range(5):
            await asyncio.sleep(0)
        assert told[-1].kill.engine == link.ready[1].number
        return [message.WhichOneof("message") for message in told]

    assert asyncio.run(run()) == ["spawn", "spawn", "kill"]


def test_a_job_that_cannot_take_the_loss_of_an_engine_keeps_it_from_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[str]:
        hosts = Hosts(host="", build="", uid="", expected=1, warm=2, spares=0)
        link = HostLink(hosts_pb2.HostInfo(uid="host", slots=2), lambda _: None)
        await hosts.add(link)
        heard: list[str] = []

        class Job:
            def __init__(self, name: str, error: Exception | None) -> None:
                self.name, self.error = name, error

            async def engine_event(self, *_: Any) -> None:
                heard.append(self.name)
                if self.error is not None:
                    raise self.error

        for engine, job in zip(
            link.ready, [Job("first", ArithmeticError("a mistake")), Job("second", None)], strict=True
        ):
            engine.job = cast(Any, job)
        await hosts.lose(link, "it has hung up")
        return heard

    assert asyncio.run(run()) == ["first", "second"]
    assert "a mistake" in caplog.text
