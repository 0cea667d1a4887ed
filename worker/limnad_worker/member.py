"""What an agent that does not lead does: it finds the leader, and lends it its host.

It tries its peers in turn, with growing pauses, until one of them leads; when the stream to that one ends, it ends its
engines and begins anew. So a leader may come late, be restarted, or come back at another address.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from limnad_proto.channels import open_channel
from limnad_proto.tls import Role
from limnad_proto.tokens import Tokens, as_metadata
from limnad_proto.v1 import hosts_pb2 as wire
from limnad_proto.v1 import hosts_pb2_grpc
from limnad_worker.host import Host

_LOG = logging.getLogger("limnad_worker.member")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
"""Between two rounds of the peers; each pause is twice the last one. A leader is back in half a second."""

WELCOME_S = 5.0
"""How long a peer may take to answer: one that leads does so at once."""

Resolve = Callable[[], Awaitable[Sequence[str]]]
"""Where the peers are now; may raise OSError."""


class Member(grpc.GenericRpcHandler):
    """Lends a host to whoever leads.

    Args:
        info: What the leader is told of this agent.
        host: Its host.
        resolve: Where its peers are.
        tokens: The first one is shown to the leader; None: none is.
    """

    def __init__(self, info: wire.HostInfo, host: Host, resolve: Resolve, tokens: Tokens | None = None) -> None:
        self._tokens = tokens
        self._why = ""
        self._info = info
        self._host = host
        self._resolve = resolve
        self._term = 0
        self._outgoing: asyncio.Queue[wire.FromHost] | None = None
        self._released = asyncio.Event()
        self.leader = ""
        host.say = self._say

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Answers what clients want of the leader: that this is not the one."""

        async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            where = f"the leader is at {self.leader}" if self.leader else "no leader is known yet"
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"agent {self._info.index} does not lead: {where}")

        if not call.method.startswith("/limnad.v1.JobService/"):
            return None
        # Called at once: one for a single message would wait for it, and a stream may have none.
        return grpc.stream_stream_rpc_method_handler(refuse)

    async def run(self) -> None:
        """Never returns."""
        pause_s = FIRST_PAUSE_S
        while True:
            if await self._round():
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def leave(self, patience_s: float) -> None:
        """Tells the leader that this agent is to stop, and waits until it may."""
        if self._outgoing is None:
            return
        self._released.clear()  # An earlier leader, which was lost, let it go.
        self._outgoing.put_nowait(wire.FromHost(leaving=wire.Leaving()))
        try:
            async with asyncio.timeout(patience_s):
                await self._released.wait()
        except TimeoutError:
            pass  # Then it is a fault like any other.

    def _say(self, message: wire.FromHost) -> None:
        if self._outgoing is not None:  # Else nobody is left whom it concerns.
            self._outgoing.put_nowait(message)

    async def _round(self) -> bool:
        """Tries all peers; whether one of them led, for a while."""
        try:
            peers = await self._resolve()
        except OSError:
            return False
        for peer in peers:
            try:
                if await self._serve(peer):
                    return True
            except grpc.aio.AioRpcError as error:
                self._not_let_in(peer, error.details() or str(error.code()))
            except (grpc.RpcError, TimeoutError, asyncio.InvalidStateError):
                continue
            except Exception:  # noqa: BLE001 - whatever it is, the next round may go well
                _LOG.exception("%s cannot be worked for", peer)  # An agent that stops looking looks alive, and is not.
        return False

    def _not_let_in(self, peer: str, why: str) -> None:
        """Says once what is new about it: certificates and tokens are wrong for longer than a leader is away."""
        if why != self._why:
            self._why = why
            _LOG.warning("%s does not let this agent in: %s", peer, why)

    async def _serve(self, peer: str) -> bool:
        """Works for a peer as long as it leads; False: it does not."""
        async with open_channel(peer, Role.LEADER) as channel:
            stub: Any = hosts_pb2_grpc.HostsStub(channel)
            call = stub.Register(metadata=as_metadata(self._tokens.first) if self._tokens is not None else None)
            async with asyncio.timeout(WELCOME_S):
                await call.write(wire.FromHost(info=self._info))
                first = await call.read()
            if first is grpc.aio.EOF or first.welcome.term < self._term:
                return False
            self._term = first.welcome.term
            outgoing: asyncio.Queue[wire.FromHost] = asyncio.Queue()
            self._host.leader = self.leader = peer
            self._outgoing = outgoing
            writing = asyncio.ensure_future(_write(call, outgoing))
            try:
                await self._obey(call)
            finally:
                writing.cancel()
                self._outgoing, self.leader = None, ""
                self._host.kill_all()
        return True

    async def _obey(self, call: Any) -> None:
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                if message.HasField("release"):
                    self._released.set()
                else:
                    self._host.tell(message)
        except grpc.RpcError:
            pass  # The leader is gone: this one, or the way to it.
        finally:
            self._released.set()


async def _write(call: Any, outgoing: asyncio.Queue[wire.FromHost]) -> None:
    try:
        while True:
            await call.write(await outgoing.get())
    except (grpc.RpcError, asyncio.InvalidStateError):
        pass  # The reader tells.


def resolver(peers: Sequence[str], dns: str, port: int) -> Resolve:
    """How an agent finds its peers.

    Args:
        peers: Their addresses, in the order of their indexes.
        dns: A name that stands for all of them, with or without a port; empty: there is none.
        port: The one that they listen on if the name has none.
    """

    async def resolve() -> Sequence[str]:
        if not dns:
            return peers
        name, _, own_port = dns.partition(":")
        found = await asyncio.get_running_loop().getaddrinfo(name, own_port or port, type=socket.SOCK_STREAM)
        addresses = sorted({str(address[4][0]) for address in found})
        return [
            f"[{address}]:{own_port or port}" if ":" in address else f"{address}:{own_port or port}"
            for address in addresses
        ]

    return resolve
