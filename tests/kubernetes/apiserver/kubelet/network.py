"""The pods' network: a bridge in a namespace of its own, to which each pod is wired.

Nothing of it is to be seen from the machine outside: who wants to reach a pod opens a socket inside
(`Network.connect`), or asks for a port of loopback that is passed on (`Forwards`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import secrets
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.helpers.packet_filter import find_nft

GATEWAY: Final = "10.244.0.1"
"""The node's own address, and the API server's."""

_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _ip(*lines: str, namespace: str = "") -> None:
    """Commands of `ip`, all or an error."""
    where = ["-n", namespace] if namespace else []
    _run(["ip", *where, "-batch", "-"], "\n".join(lines))


def _run(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()
        raise RuntimeError(f"{command} cannot do {text!r}: {said}. Pods need root, iproute2 and nftables on Linux")


class Network:
    """One cluster's."""

    def __init__(self) -> None:
        self._nft = find_nft()
        self.name = f"lk{secrets.token_hex(3)}"
        self._numbers = itertools.count(2)
        self._pods: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._own = os.open("/proc/self/ns/net", os.O_RDONLY)
        _ip(f"netns add {self.name}")
        _ip(
            "link set lo up",
            "link add br0 type bridge",
            "link set br0 up",
            f"addr add {GATEWAY}/16 dev br0",
            namespace=self.name,
        )
        self._inside = os.open(f"/run/netns/{self.name}", os.O_RDONLY)

    def close(self) -> None:
        """Takes it away, with all that is wired to it."""
        for name in (*self._pods, self.name):
            _ip(f"netns del {name}")
        os.close(self._inside)
        os.close(self._own)

    def add_pod(self) -> tuple[str, str]:
        """Wires a pod; its namespace and its address."""
        number = next(self._numbers)
        name, address = f"{self.name}p{number}", f"10.244.{number // 250}.{number % 250 + 2}"
        _ip(f"netns add {name}")
        self._pods[name] = number
        self._names[address] = name
        _ip(
            f"link add v{number} type veth peer name eth0 netns {name}",
            f"link set v{number} master br0 up",
            namespace=self.name,
        )
        _ip(
            "link set lo up",
            f"addr add {address}/16 dev eth0",
            "link set eth0 up",
            f"route add default via {GATEWAY}",
            namespace=name,
        )
        return name, address

    def remove_pod(self, name: str) -> None:
        """Takes its wire and its namespace away."""
        if self._pods.pop(name, None) is not None:
            _ip(f"netns del {name}")

    def filter(self, address: str, rules: str) -> None:
        """Gives a pod another packet filter; nothing where it is gone already.

        Args:
            address: The pod's.
            rules: For ``nft -f``.
        """
        name = self._names.get(address)
        if name in self._pods:
            _run(["ip", "netns", "exec", name, self._nft, "-f", "-"], rules)

    def cut(self, name: str, *, off: bool) -> None:
        """Cuts a pod's wire, or mends it."""
        _ip(f"link set v{self._pods[name]} {'down' if off else 'up'}", namespace=self.name)

    def add_address(self, address: str) -> None:
        """An address of the node's, which every pod reaches: of a Service."""
        _ip(f"addr add {address}/32 dev br0", namespace=self.name)

    def remove_address(self, address: str) -> None:
        """Takes it away."""
        _ip(f"addr del {address}/32 dev br0", namespace=self.name)

    def make_socket(self) -> socket.socket:
        """A TCP socket inside. It stays there, whoever uses it."""
        if _LIBC.setns(self._inside, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        finally:
            _LIBC.setns(self._own, _CLONE_NEWNET)
        made.setblocking(False)
        return made

    def listener(self, address: str, port: int) -> socket.socket:
        """A socket inside that listens."""
        made = self.make_socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(128)
        return made

    async def connect(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A stream to a pod.

        Raises:
            OSError: Nobody is there.
        """
        made = self.make_socket()
        try:
            await asyncio.get_running_loop().sock_connect(made, (address, port))
            return await asyncio.open_connection(sock=made)
        except BaseException:
            made.close()
            raise


Where = Callable[[], tuple[str, int] | None]
"""Whom a new connection is for; None: nobody."""


Permits = Callable[[str, str, int], bool]
"""Whether an address may connect to a port of another one."""


class Forwards:
    """Passes connections on into the network.

    Attributes:
        permits: Which ones may be.
    """

    def __init__(self, network: Network) -> None:
        self.permits: Permits = lambda client, target, port: True
        self._network = network
        self._servers: list[asyncio.Server] = []
        self._streams: dict[asyncio.Task[Any], tuple[str, str, int] | None] = {}

    async def to_port(self, where: Where) -> tuple[str, int]:
        """A port of loopback."""
        server = await asyncio.start_server(self._handler(where), "127.0.0.1", 0)
        self._servers.append(server)
        host, port = server.sockets[0].getsockname()[:2]
        return host, port

    async def to_path(self, where: Where, path: Path) -> asyncio.Server:
        """A socket of the file system; the caller starts it: who is cancelled meanwhile has it and can close it."""
        return await asyncio.start_unix_server(self._handler(where), path, start_serving=False)

    async def inside(self, where: Where, address: str, port: int) -> asyncio.Server:
        """A port inside: of a Service."""
        return await asyncio.start_server(self._handler(where), sock=self._network.listener(address, port))

    def end_what_is_not_permitted(self) -> None:
        """Ends connections that may not be any more."""
        for task, who in list(self._streams.items()):
            if who is not None and not self.permits(*who):
                task.cancel()

    async def close(self) -> None:
        """Ends all."""
        for server in self._servers:
            await stop_listening(server)
        for task in list(self._streams):
            task.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        await asyncio.sleep(0)  # What was closed above ends in the loop's next turn.

    def _handler(self, where: Where) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._forward(where(), reader, writer))
            self._streams[task] = None
            task.add_done_callback(lambda _: self._forget(task, writer))

        return accept

    async def _forward(
        self, target: tuple[str, int] | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        client = (writer.get_extra_info("peername") or [""])[0]
        if target is None or not self.permits(client, *target):
            return
        task = asyncio.current_task()
        assert task is not None
        self._streams[task] = client, *target
        with contextlib.suppress(OSError, asyncio.CancelledError):  # Whoever connected sees the end.
            there, back = await self._network.connect(*target)
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                back.close()

    def _forget(self, task: asyncio.Task[Any], writer: asyncio.StreamWriter) -> None:
        """Also of one that was cancelled before it began."""
        writer.close()
        del self._streams[task]


async def stop_listening(server: asyncio.Server) -> None:
    """Closes a server. What it has just accepted is handled still: asyncio would leave it open for good."""
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    try:
        await asyncio.sleep(0)
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        writer.close()
