"""A host: owns the engine processes of one machine.

    ToHost: spawn, kill  ->  Host  ->  FromHost: exited, log

It knows nothing of jobs, and decides nothing: the leader says what to spawn and what to end, whether the host is its
own or another agent's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from limnad_proto.v1 import hosts_pb2 as wire
from limnad_worker.processes import EngineProcess, threads_per_engine

LAST_PRINTS_S = 1.0
"""How long to read on what an engine has printed when it is gone: a child of its own may hold the pipe open."""

READ_BYTES = 64 << 10
"""How much of what an engine prints is passed on at a time."""


class Host:
    """Spawns, ends, waits for and listens to engine processes.

    Args:
        slots: How many workers of one job it is made for.
        address: The interface that engines serve their peers on.
        cache: Where they keep archives.
        memory_bytes: How much an engine may take beyond what it needs to start; None: no limit.
        say: Where `FromHost` messages go.
    """

    def __init__(
        self, slots: int, address: str, cache: Path, memory_bytes: int | None, say: Callable[[wire.FromHost], None]
    ) -> None:
        self.slots = slots
        self.leader = ""
        self.say = say
        self._address = address
        self._cache = cache
        self._memory_bytes = memory_bytes
        self._engines: dict[int, EngineProcess] = {}
        self._wanted: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        # A terminal or a pipe that nobody reads holds up those who print, never the agent.
        self._printer = ThreadPoolExecutor(max_workers=2, thread_name_prefix="prints")

    def tell(self, message: wire.ToHost) -> None:
        """Takes an order of the leader, of whom `leader` is the address."""
        match message.WhichOneof("message"):
            case "spawn":
                self._wanted.add(message.spawn.engine)
                task = asyncio.get_running_loop().create_task(self._live(message.spawn, self.leader))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case "kill":
                self._kill(message.kill.engine)

    def kill_all(self) -> None:
        """Ends all engines."""
        self._wanted.clear()
        for process in self._engines.values():
            process.kill()

    async def stop(self) -> None:
        """Ends all engines, and returns when they are gone and what they had printed has been passed on."""
        self.kill_all()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._printer.shutdown(wait=False)

    def _kill(self, engine: int) -> None:
        self._wanted.discard(engine)
        if engine in self._engines:
            self._engines[engine].kill()

    async def _live(self, order: wire.SpawnEngine, leader: str) -> None:
        """The life of an engine, from its start to the news of its end."""
        pipes: list[_Pipe] = []
        try:
            pipes += [_Pipe()]
            pipes += [_Pipe()]
            out, err = pipes
            process = await EngineProcess.spawn(
                order.token,
                leader,
                self._address,
                order.threads or threads_per_engine(self.slots),
                self._cache,
                memory_bytes=self._memory_bytes,
                out=out.writer,
                err=err.writer,
            )
        except OSError as error:
            for pipe in pipes:
                pipe.close()
            self._exited(order.engine, f"could not be started: {error}")
            return
        out.close_writer()
        err.close_writer()
        self._engines[order.engine] = process
        if order.engine not in self._wanted:  # Meanwhile it was to be ended.
            process.kill()
        reading = [
            asyncio.ensure_future(self._pass_on(order.engine, out, sys.stdout)),
            asyncio.ensure_future(self._pass_on(order.engine, err, sys.stderr)),
        ]
        how = await process.wait()
        del self._engines[order.engine]
        _, unfinished = await asyncio.wait(reading, timeout=LAST_PRINTS_S)
        for task in unfinished:
            task.cancel()
        self._exited(order.engine, how)

    def _exited(self, engine: int, how: str) -> None:
        self._wanted.discard(engine)
        self.say(wire.FromHost(exited=wire.EngineExited(engine=engine, how=how)))

    async def _pass_on(self, engine: int, pipe: _Pipe, own: IO[str]) -> None:
        """What an engine prints goes to the leader, and to this agent's own output: a terminal's or a container's."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe.reader)
        try:
            while text := await reader.read(READ_BYTES):
                self.say(wire.FromHost(log=wire.EngineLog(engine=engine, text=text)))
                await loop.run_in_executor(self._printer, _print, own, text)
        finally:
            transport.close()


class _Pipe:
    """A pipe whose one end an engine gets."""

    def __init__(self) -> None:
        read, self.writer = os.pipe()
        self.reader: Any = os.fdopen(read, "rb", buffering=0)

    def close_writer(self) -> None:
        os.close(self.writer)

    def close(self) -> None:
        self.reader.close()
        self.close_writer()


def _print(own: IO[str], text: bytes) -> None:
    try:
        own.buffer.write(text)  # type: ignore[attr-defined]
        own.flush()
    except (OSError, ValueError):
        pass  # Nobody listens there any more; the leader still does.
