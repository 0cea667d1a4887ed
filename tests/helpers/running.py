"""A `limnad run` in processes of its own, watched line by line, so that a test can strike at a chosen moment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

LIMNAD = [sys.executable, "-m", "limnad.cli"]

Epochs = dict[tuple[str, int], list[Any]]


class Running:
    """One run with ``--json``.

    Args:
        arguments: Of `limnad run`.
        limit_s: After so long the whole run is killed, so that a test that waits for a line never hangs.
    """

    def __init__(self, *arguments: str, limit_s: float = 90.0) -> None:
        command = ["timeout", "--signal=KILL", str(limit_s), *LIMNAD, "run", "--json", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
            self.epochs[key] = sorted(told["rows"])
            yield key

    def until(self, count: int) -> Self:
        """Reads on until so many epochs have been printed."""
        for _ in self.lines():
            if len(self.epochs) >= count:
                break
        return self

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

    @property
    def agent(self) -> int:
        """The agent's process id."""
        (run,) = _children(self._process.pid)
        (agent,) = _children(run)
        return agent

    def engines(self) -> list[int]:
        """The engines' process ids, a spare one included."""
        return _children(self.agent)

    def kill(self, *pids: int) -> None:
        """SIGKILL."""
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def freeze(self, pid: int) -> None:
        """SIGSTOP: the process is there, and does nothing."""
        os.kill(pid, signal.SIGSTOP)

    def thaw(self, pid: int) -> None:
        """SIGCONT, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Kills the command itself; what it has started has to notice."""
        self.kill(*_children(self._process.pid))
        self._end()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found
