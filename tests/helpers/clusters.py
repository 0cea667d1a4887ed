"""A cluster of agents of this machine, each in a process of its own, for tests to strike at."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from limnad.client import Client

GATHER_S = 250.0


def free_addresses(count: int) -> list[str]:
    """Ports of loopback that nobody uses now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


class Agents:
    """Agents, by index, each of which can be killed and started again."""

    def __init__(self, count: int, *flags: str, folder: Path, addresses: Sequence[str] = ()) -> None:
        self.addresses = list(addresses) or free_addresses(count)
        self.flags = list(flags)
        self._folder = folder
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *indexes: int) -> Self:
        """Starts these agents; nobody waits for anything."""
        for index in indexes:
            own = ["--index", str(index), "--peers", ",".join(self.addresses), "--listen", self.addresses[index]]
            own += self.own_flags(index)
            with open(self._folder / f"agent-{index}.log", "ab") as log:
                self.processes[index] = subprocess.Popen(
                    [sys.executable, "-m", "limnad_worker", "serve", *own, "--gather", str(GATHER_S), *self.flags],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "LIMNAD_SUPERVISED": "1", "POLARS_MAX_THREADS": "1"},
                )
        return self

    def own_flags(self, index: int) -> list[str]:
        """What one of them alone is told besides."""
        return []

    def client(self) -> Client:
        """A client of the leader."""
        return Client(self.addresses[0])

    def gathered(self) -> list[int]:
        """Waits until all agents have registered; their indexes."""
        with self.client() as client:
            return [agent.index for agent in client.cluster(wait_s=GATHER_S).agents]

    def kill(self, index: int, number: signal.Signals = signal.SIGKILL) -> int:
        """Ends an agent, and waits for its end; its exit code."""
        process = self.processes.pop(index)
        assert process.stdin is not None
        process.send_signal(number)
        with process.stdin:
            return process.wait(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def processes_with(text: str) -> Iterator[int]:
    """Process ids of all whose command line or environment holds a text."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if text.encode() in said and not dead:
                yield int(folder.name)


def epochs(outputs: Any) -> Mapping[tuple[str, int], Any]:
    """The rows of each epoch of ``Job.outputs``, sorted."""
    return {(name, epoch): sorted(map(list, rows)) for name, epoch, rows in outputs}
