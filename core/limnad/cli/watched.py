"""A `limnad run` in processes of its own, watched epoch by epoch, so that somebody can strike at it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

WORKER = "limnad-w"
"""Begins the name of an engine's process when it is worker 0, 1, ... of a job: ``limnad-w0``, ``limnad-w1``, ..."""

COORDINATOR = "limnad-coord"
"""The name of a coordinator's process."""

Epochs = dict[tuple[str, int], list[Any]]
"""The rows of each ``(output, epoch)``, sorted by their JSON text: two are equal if they hold the same rows."""


class WatchedRun:
    """One run with ``--json``. Linux only: children are found in ``/proc``.

    Args:
        arguments: Of `limnad run`.
        limit_s: After so long the run is killed, so that who waits for an epoch does not wait for ever.
        environment: Variables beside those of this process.
        within: A command that becomes the one that follows it, as `env` does.

    Attributes:
        epochs: What has been printed.
        repeated: What has been printed more than once.
        summary: The last line, when the run has ended.
        errors: What it said on standard error, when it has ended.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        limit_s: float,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        command = [sys.executable, "-m", "limnad.cli", "run", "--json", *arguments]
        self._process = subprocess.Popen(
            ["timeout", "--signal=KILL", str(limit_s), *within, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.epochs: Epochs = {}
        self.repeated: list[tuple[str, int]] = []
        self.summary: dict[str, Any] = {}
        self.errors = ""

    def lines(self) -> Iterator[tuple[str, int]]:
        """``(output, epoch)`` of each epoch as it is printed, to the end of the run."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "summary" in told:
                self.summary = told["summary"]
                continue
            key = (told["output"], told["epoch"])
            if key in self.epochs:
                self.repeated.append(key)
            self.epochs[key] = sorted(told["rows"] or [], key=json.dumps)
            yield key

    def until(self, what: int | Callable[[], bool]) -> Self:
        """Reads on until so many epochs have been printed, or until something else is so; to the end at the latest."""
        for _ in self.lines():
            if len(self.epochs) >= what if isinstance(what, int) else what():
                break
        return self

    def error_lines(self) -> Iterator[str]:
        """Each line on standard error as it comes, to the end of the run; `errors` does not have them."""
        assert self._process.stderr is not None
        yield from iter(self._process.stderr.readline, "")

    @property
    def ended(self) -> bool:
        """Whether the command is over."""
        return self._process.poll() is not None

    def finish(self) -> int:
        """Reads to the end; the exit code."""
        for _ in self.lines():
            pass
        assert self._process.stderr is not None
        self.errors = self._process.stderr.read()
        return self._end()

    def _end(self) -> int:
        with self._process:
            return self._process.wait()

    # -- striking ------------------------------------------------------------------------------------------------------

    def agent(self) -> int | None:
        """The agent's process id; None: there is none now."""
        for run in _children(self._process.pid):
            for agent in _children(run):
                return agent
        return None

    def engines(self) -> list[int]:
        """The process ids of the engines that work; spare ones are not among them."""
        agent = self.agent()
        return [] if agent is None else engines_of(agent)

    def worker(self, index: int) -> int | None:
        """The process id of the engine that is that worker; None: there is none now."""
        return next((pid for pid in self.engines() if _name(pid) == f"{WORKER}{index}"), None)

    def coordinator(self) -> int | None:
        """The coordinator's process id; None: there is none now."""
        agent = self.agent()
        return None if agent is None else next(_named(agent, COORDINATOR), None)

    def signal(self, number: signal.Signals, *pids: int | None) -> int:
        """Sends a signal to those that are there; how many were."""
        count = 0
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                if pid is not None:
                    os.kill(pid, number)
                    count += 1
        return count

    def kill(self, *pids: int | None) -> int:
        """SIGKILL."""
        return self.signal(signal.SIGKILL, *pids)

    def stop(self) -> None:
        """Kills the command itself; what it has started has to notice."""
        self.kill(*_children(self._process.pid))
        self._end()


def engines_of(agent: int) -> list[int]:
    """The process ids of an agent's engines that work."""
    return list(_named(agent, WORKER))


def coordinators_of(agent: int) -> list[int]:
    """The process ids of an agent's coordinators."""
    return list(_named(agent, COORDINATOR))


def _named(agent: int, name: str) -> Iterator[int]:
    return (pid for pid in _children(agent) if _name(pid).startswith(name))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
