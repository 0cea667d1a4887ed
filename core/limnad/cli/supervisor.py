"""``python -m limnad.cli.supervisor FOLDER``: keeps the agents of a cluster on this machine alive.

`limnad cluster up` starts it and describes the cluster in ``FOLDER/cluster.json``; it holds a lock there as long as
it lives. Agents that die are started again on the same port. When the supervisor itself dies, its agents notice and
end, and their engines with them.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from limnad.cli.private_files import write_privately

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Before an agent is started again; each pause is twice the last one."""

STEADY_S = 10.0
"""An agent that has lived so long begins with the first pause again."""

KILL_AFTER_S = 5.0
"""How long agents may take to end once nothing is left to be saved."""


@dataclass(slots=True)
class ClusterState:
    """A cluster on this machine, as ``cluster.json`` has it.

    Attributes:
        addresses: Of the agents, by index; the first one leads.
        flags: Of `limnad worker`, for all agents.
        grace_s: How long the leader may take to make last checkpoints.
        pids: Of the agents, by index; 0: it is about to be started.
        restarts: How often agents were started again.
        page: The URL of the leader's web page; empty: it serves none.
        clients: Where agents serve clients, by index; none: at their addresses.
        tls: The folder with certificates and the token, as `limnad cluster certs` makes it; empty: no TLS.
    """

    addresses: list[str]
    flags: list[str]
    grace_s: float
    pids: list[int] = field(default_factory=list)
    restarts: int = 0
    page: str = ""
    clients: list[str] = field(default_factory=list)
    tls: str = ""

    @property
    def leader(self) -> str:
        """Where the leader serves clients."""
        return (self.clients or self.addresses)[0]

    @classmethod
    def read(cls, folder: Path) -> ClusterState | None:
        """What ``up`` has written, None if there is nothing."""
        try:
            return cls(**json.loads((folder / "cluster.json").read_text()))
        except FileNotFoundError:
            return None

    def write(self, folder: Path) -> None:
        """Readers see the old one or the new one."""
        write_privately(folder / "cluster.json", f"{json.dumps(asdict(self), indent=1)}\n".encode())


def lock(folder: Path, *, wait: bool = False) -> IO[str] | None:
    """The supervisor's lock, to be held until it is closed; None: another process has it."""
    file = open(folder / "lock", "a+")  # noqa: SIM115 - the caller closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    return file


def holder(folder: Path) -> int | None:
    """The process id of the supervisor that lives, None if there is none."""
    if not folder.is_dir():
        return None
    held = lock(folder)
    if held is not None:
        held.close()
        return None
    text = (folder / "lock").read_text().strip()
    return int(text) if text else None


class Supervisor:
    """Keeps agents alive until it is stopped."""

    def __init__(self, folder: Path, state: ClusterState) -> None:
        self._folder = folder
        self._state = state
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        """Returns when all agents have ended after SIGTERM or SIGINT."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        self._state.pids = [0] * len(self._state.addresses)
        keeping = [asyncio.ensure_future(self._keep(index)) for index in range(len(self._state.addresses))]
        await stopped.wait()
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
        # The leader first: it has all jobs make a last checkpoint while the engines are still there.
        await self._end([0], self._state.grace_s + KILL_AFTER_S)
        await self._end(list(self._processes), KILL_AFTER_S)
        (self._folder / "cluster.json").unlink(missing_ok=True)

    async def _keep(self, index: int) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            try:
                process = self._processes[index] = await self._start(index)
            except OSError as error:
                print(f"agent {index} could not be started: {error}", file=sys.stderr, flush=True)
            else:
                self._note(index, process.pid)
                await process.wait()
                self._note(index, 0)
            if time.monotonic() - began_s > STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._state.restarts += 1

    async def _start(self, index: int) -> asyncio.subprocess.Process:
        state = self._state
        flags = ["--index", str(index), "--peers", ",".join(state.addresses), "--listen", state.addresses[index]]
        flags += ["--cache", str(self._folder / f"cache-{index}")]
        if state.tls:
            own = Path(state.tls) / ("leader" if index == 0 else "worker")
            flags += ["--client-listen", state.clients[index], "--token-file", str(Path(state.tls) / "token")]
            flags += [
                "--tls-cert",
                f"{own / 'tls.crt'}",
                "--tls-key",
                f"{own / 'tls.key'}",
                "--tls-ca",
                f"{own / 'ca.crt'}",
            ]
        with open(self._folder / f"agent-{index}.log", "ab") as log:  # noqa: ASYNC230 - nobody waits for this loop
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "limnad_worker", "serve", *flags, *state.flags),
                stdin=asyncio.subprocess.PIPE,  # It ends when this does.
                stdout=log,
                stderr=log,
                env={**os.environ, "LIMNAD_SUPERVISED": "1"},
                start_new_session=True,
            )

    def _note(self, index: int, pid: int) -> None:
        self._state.pids[index] = pid
        try:
            self._state.write(self._folder)
        except OSError as error:  # A full disk: agents are kept alive all the same.
            print(f"{self._folder / 'cluster.json'} could not be written: {error}", file=sys.stderr, flush=True)

    async def _end(self, indexes: list[int], patience_s: float) -> None:
        processes = [self._processes[index] for index in indexes if index in self._processes]
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
        waiting = [asyncio.ensure_future(process.wait()) for process in processes]
        if waiting:
            await asyncio.wait(waiting, timeout=patience_s)
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def main() -> None:
    """The life of a supervisor."""
    folder = Path(sys.argv[1])
    held = lock(folder)
    state = ClusterState.read(folder)
    if held is None or state is None:
        sys.exit(f"there is a cluster in {folder} already, or none was described there")
    os.dup(held.fileno())  # So that nobody but the system lets go of the lock, when nothing is left of this process.
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    print(json.dumps({"pid": os.getpid()}), flush=True)
    with suppress(OSError):
        Path("/proc/self/comm").write_text("limnad-super")
    asyncio.run(Supervisor(folder, state).run())


if __name__ == "__main__":
    main()
