"""Processes of engines and coordinators: spawned, never forked, and ended by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

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
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls(token, process)


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
