"""An agent that is to stop is let go by the leader that it works for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import grpc

from limnad_proto.v1 import hosts_pb2 as wire
from limnad_worker.member import Member


class Orders:
    """What a leader says, until it hangs up."""

    def __init__(self, *messages: wire.ToHost) -> None:
        self._messages = list(messages)

    async def read(self) -> Any:
        return self._messages.pop(0) if self._messages else grpc.aio.EOF


async def nowhere() -> Sequence[str]:
    return []


def test_a_leader_that_was_lost_does_not_let_an_agent_go_from_the_next_one() -> None:
    """Else its jobs would lose it, instead of being taken elsewhere from a new checkpoint."""

    async def run() -> None:
        host: Any = SimpleNamespace(say=None, tell=None)
        member = Member(wire.HostInfo(index=1), host, nowhere)
        await member._obey(Orders())
        member._outgoing = asyncio.Queue()
        leaving = asyncio.create_task(member.leave(60.0))
        assert (await member._outgoing.get()).HasField("leaving")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not leaving.done()
        await member._obey(Orders(wire.ToHost(release=wire.Release())))
        await leaving

    asyncio.run(run())
