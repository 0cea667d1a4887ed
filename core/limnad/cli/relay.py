"""Connections that can be cut, held up and slowed down: what a network does to a job, without privileges.

A `Relay` stands between processes. It is an HTTP proxy, which the links of a job's engines take when the environment
names it (``LIMNAD_LINK_PROXY``), and it can stand before a single server too. What is held up is delivered later, as
TCP would: only a reset loses bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self, TypeVar

T = TypeVar("T")

VARIABLE = "LIMNAD_LINK_PROXY"
"""Of the environment; see `limnad_worker.links`."""

_PIECE = 65_536
_NO_LINGER = struct.pack("ii", 1, 0)
"""With this, closing a socket sends a reset."""


class Way(Enum):
    """A direction of a connection, as its server sees it."""

    IN = "in"
    OUT = "out"


Held = Callable[[str, Way], bool]
"""Whether what goes this way between a server (``host:port``) and its clients is held up."""


@dataclass(frozen=True)
class _Link:
    target: str
    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]

    def reset(self) -> None:
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            end.transport.abort()


class Relay:
    """Relays on the loopback, on a thread of its own, from `__enter__` to `__exit__`.

    Attributes:
        proxy: Its URL as an HTTP proxy.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._changed = asyncio.Condition()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._held: Held | None = None
        self._pace_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        self.proxy = f"http://127.0.0.1:{self._run(self._listen(self._proxied))}"
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def before(self, target: str) -> str:
        """Stands before a server too; returns the address to use in its place.

        Args:
            target: ``host:port``, or the path of a Unix socket.
        """

        async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._join(target, reader, writer, b"")

        return f"127.0.0.1:{self._run(self._listen(relayed))}"

    def targets(self) -> list[str]:
        """The servers that somebody is connected to."""

        async def known() -> list[str]:
            return sorted({link.target for link in self._links})

        return self._run(known())

    def reset(self, target: str) -> int:
        """Resets all connections to a server; how many there were."""

        async def cut() -> int:
            links = [link for link in self._links if link.target == target]
            for link in links:
                link.reset()
            return len(links)

        return self._run(cut())

    def hold(self, held: Held | None) -> None:
        """Holds up what the function says, new connections too; None: nothing any more."""

        async def change() -> None:
            self._held = held
            async with self._changed:
                self._changed.notify_all()

        self._run(change())

    def slow(self, bytes_per_s: float | None) -> None:
        """Limits each direction of each connection; None: no limit."""
        self._pace_s = 0.0 if bytes_per_s is None else 1 / bytes_per_s

    # -- on its thread -------------------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> int:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
            writer.close()
            self._tasks.discard(task)

        server = await asyncio.start_server(served, "127.0.0.1", 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _proxied(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *_ = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        _, target, _ = request.decode().split()
        await self._join(target, reader, writer, b"HTTP/1.1 200 OK\r\n\r\n")

    async def _join(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: bytes
    ) -> None:
        await self._pass(target, Way.IN)
        server_reader, server_writer = await _open(target)
        link = _Link(target, (writer, server_writer))
        self._links.add(link)
        try:
            await self._pass(target, Way.OUT)
            writer.write(greeting)
            await asyncio.gather(
                self._pump(target, Way.IN, reader, server_writer), self._pump(target, Way.OUT, server_reader, writer)
            )
        finally:
            self._links.discard(link)
            server_writer.close()

    async def _pump(self, target: str, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            await self._pass(target, way)
            if self._pace_s:
                await asyncio.sleep(self._pace_s * len(data))
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _pass(self, target: str, way: Way) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._held is None or not self._held(target, way))

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)


async def _open(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("/"):
        return await asyncio.open_unix_connection(target)
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port))
