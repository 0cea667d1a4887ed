"""An engine's line to its agent: what it says goes into an outbox, what it is told comes into its inbox."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc

from limnad_proto.channels import open_channel
from limnad_proto.tls import Role
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import control_pb2_grpc
from limnad_worker.archives import fetch
from limnad_worker.inbox import Inbox, Outbox

LAST_WORDS_S = 5.0
"""How long an engine that ends waits for its agent to take what it has said; an agent that lives takes milliseconds."""


class AgentLost:
    """The agent is gone: nobody is left to work for."""


class Control:
    """The stream to the agent.

    Args:
        address: Where the agent listens.
        inbox: Where `ToEngine` messages go, and in the end one `AgentLost`.
    """

    def __init__(self, address: str, inbox: Inbox) -> None:
        self._inbox = inbox
        self._outgoing: Outbox[wire.FromEngine] = Outbox()
        inbox.run(self._open(address))

    async def _open(self, address: str) -> None:
        self._channel = open_channel(address, Role.LEADER)
        stub: Any = control_pb2_grpc.ControlStub(self._channel)
        call = stub.Attach()
        self._streams = asyncio.gather(self._write(call), self._read(call))

    def fetch_archive(self, token: str, digest: str, cache: Path) -> Path:
        """See `limnad_worker.archives.fetch`."""
        return self._inbox.run(fetch(self._channel, token, digest, cache))

    def send(self, **message: Any) -> None:
        """Sends one `FromEngine` with this field."""
        self._outgoing.put(wire.FromEngine(**message))

    def close(self) -> None:
        """Says all that is queued, then hangs up."""
        self._outgoing.close()
        self._inbox.run(self._hang_up())

    async def _hang_up(self) -> None:
        await asyncio.wait([self._streams], timeout=LAST_WORDS_S)
        await self._channel.close()

    async def _write(self, call: Any) -> None:
        try:
            await self._outgoing.write_all(call.write)
            await call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the reader tells

    async def _read(self, call: Any) -> None:
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                self._inbox.put(message)
        except grpc.RpcError:
            pass
        self._inbox.put(AgentLost())
