"""Processes of engines and coordinators: spawned, never forked, and ended by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from limnad.cluster.state_limits import StateLimits
from limnad_proto.variables import TOKENS

STATE_LIMIT = "LIMNAD_ENGINE_STATE_LIMIT"
"""The variable that tells engines at how many bytes of state a job fails; sources wait from three quarters of it on."""

# A batch comes and goes as one large block. By default glibc gives such blocks back at once, so that each new batch
# pays for its pages again: a third of the throughput of a stream.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(256 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(2 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

_BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""NumPy's and SciPy's products of matrices otherwise take a thread for each processor in every engine: those wait for
each other by spinning, so that two engines on two processors take several times as long as with one thread each."""


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
        # Not by `Process.kill`, which looks first whether it has ended: how it ended is then lost to who waits.
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class EngineProcess(ChildProcess):
    """One engine's process.

    Attributes:
        token: The secret by which it proves to be this process.
    """

    def __init__(self, token: str, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self.token = token

    @classmethod
    async def spawn(
        cls,
        token: str,
        leader: str,
        host: str,
        threads: int,
        cache: Path,
        *,
        memory_bytes: int | None = None,
        out: int | None = None,
        err: int | None = None,
    ) -> EngineProcess:
        """Starts an engine that will attach to the leader at that address.

        Args:
            token: Given in its environment, which no other user can read.
            leader: The leader's address.
            host: The interface it serves its peers on.
            threads: For Polars, and as many for products of matrices; variables of this process come before it.
            cache: Where the machine keeps archives.
            memory_bytes: How much it may take beyond what it needs to start; None: no limit.
            out: A descriptor for its standard output; None: this process's.
            err: One for its standard error.

        Raises:
            OSError: The machine has no room for another process.
        """
        polars_threads = os.environ.get("POLARS_MAX_THREADS", str(threads))
        environment = {
            **{name: value for name, value in os.environ.items() if name not in TOKENS},
            **{name: os.environ.get(name, value) for name, value in _MALLOC.items()},
            **{name: os.environ.get(name, polars_threads) for name in _BLAS_THREADS},
            "POLARS_MAX_THREADS": polars_threads,
            "LIMNAD_ENGINE_TOKEN": token,
        }
        arguments = ["engine", "--leader", leader, "--host", host, "--cache", str(cache)]
        if memory_bytes is not None:
            arguments += ["--memory", str(memory_bytes)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "limnad_worker",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        return cls(token, process)


def limit_memory(extra_bytes: int) -> None:
    """From now on this process gets at most so much more private memory than it has: what lies above is refused.

    RLIMIT_DATA, which counts what is mapped, touched or not: RLIMIT_AS would count shared libraries and the reserves of
    allocators, too, and a control group needs a right that a container seldom has.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    has_bytes = next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) << 10
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = has_bytes + extra_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def state_limits() -> StateLimits:
    """What `limnad run` or `limnad_worker.settings` has put into the environment of agent and engines."""
    given = os.environ.get(STATE_LIMIT)
    return StateLimits() if given is None else StateLimits(int(given) * 3 // 4, int(given))


def name_process(name: str) -> None:
    """What ``ps`` and ``top`` call this process, where the system lets it choose; 15 characters at most."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(name)


_SELDOM: Final = (50_000, 20, 50)
"""The collector's thresholds while there is work."""

_LITTLE: Final = 2_000
"""Objects that are not worth a collection."""


def quieten_gc() -> None:
    """Takes what the start-up made out of the cyclic collector's sight, and lets it run less often.

    A collection in the middle of a round holds up every worker that waits for this one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SELDOM)


def collect_at_rest() -> None:
    """Lets the cyclic collector look at what is young, if that is not little: for a moment in which nobody waits."""
    young, *_ = gc.get_count()
    if young > _LITTLE:
        gc.collect(1)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def threads_per_engine(engines: int) -> int:
    """A fair share of this machine's processors."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, engines))
