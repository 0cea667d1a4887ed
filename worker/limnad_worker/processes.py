"""Processes of engines and coordinators: spawned, never forked, and ended by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any, Self

import grpc

from limnad.cluster.leader import Appointed
from limnad_proto.channels import CHANNEL_OPTIONS
from limnad_proto.v1 import coordinator_pb2, coordinator_pb2_grpc

ASSIGN_S = 10.0
"""How long a coordinator may take to start and to take a generation: a third of a second on a quiet machine."""

# A batch comes and goes as one large block. By default glibc gives such blocks back at once, so that each new batch
# pays for its pages again: a third of the throughput of a stream.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(256 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(2 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


class ChildProcess:
    """A process that the agent has started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def wait(self) -> str:
        """Waits for its end; says in words how it ended."""
        code = await self._process.wait()
        if code < 0:
            return f"was ended by {_signal_name(-code)}"
        return f"exited with code {code}"

    def kill(self) -> None:
        """Ends it at once."""
        if self._process.returncode is None:
            self._process.kill()


class EngineProcess(ChildProcess):
    """One engine's process.

    Attributes:
        token: The secret by which it proves to be this process.
    """

    def __init__(self, token: str, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self.token = token

    @classmethod
    async def spawn(cls, token: str, agent: str, host: str, threads: int) -> EngineProcess:
        """Starts an engine that will attach to the agent at that address.

        Args:
            token: Given in its environment, which no other user can read.
            agent: The agent's address.
            host: The interface it serves its peers on.
            threads: For Polars.
        """
        environment = {
            **os.environ,
            **{name: os.environ.get(name, value) for name, value in _MALLOC.items()},
            "POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", str(threads)),
            "LIMNAD_ENGINE_TOKEN": token,
        }
        arguments = ["engine", "--agent", agent, "--host", host]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "limnad_worker",
            *arguments,
            env=environment,
            stdin=DEVNULL,
            start_new_session=True,
        )
        return cls(token, process)


class CoordinatorProcess(ChildProcess):
    """A coordinator's process; it ends when its agent does."""

    @classmethod
    async def spawn(cls, host: str) -> Self:
        """Starts one; nothing is assigned to it."""
        command = [sys.executable, "-m", "limnad_coordinator", "--host", host, "--until-stdin-ends"]
        return cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True))

    async def assign(self, job: str, generation: int, workers: int) -> Appointed | None:
        """Assigns a generation to it; None: it did not take it in time, and has been ended."""
        try:
            async with asyncio.timeout(ASSIGN_S):
                return await self._assign(job, generation, workers)
        except (TimeoutError, ValueError, grpc.RpcError):
            self.kill()
            return None

    async def _assign(self, job: str, generation: int, workers: int) -> Appointed:
        assert self._process.stdout is not None
        address = json.loads(await self._process.stdout.readline())["address"]
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            stub: Any = coordinator_pb2_grpc.CoordinatorStub(channel)
            request = coordinator_pb2.AssignRequest(job=job, generation=generation, workers=workers)
            return Appointed(address, (await stub.Assign(request)).identity)


def name_process(name: str) -> None:
    """What ``ps`` and ``top`` call this process, where the system lets it choose; 15 characters at most."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def threads_per_engine(engines: int) -> int:
    """A fair share of this machine's processors."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, engines))
