"""A `limnad run` that a test strikes at chosen moments."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence

from limnad.cli.watched import Epochs, WatchedRun

__all__ = ["LIMNAD", "Epochs", "Running"]

LIMNAD = [sys.executable, "-m", "limnad.cli"]


class Running(WatchedRun):
    """See `limnad.cli.watched`; it never lasts longer than a test may."""

    def __init__(
        self,
        *arguments: str,
        limit_s: float = 240.0,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        super().__init__(arguments, limit_s, environment, within)

    def freeze(self, pid: int | None) -> None:
        """SIGSTOP: the process is there, and does nothing."""
        assert self.signal(signal.SIGSTOP, pid) == 1

    def thaw(self, pid: int | None) -> None:
        """SIGCONT, if it is still there."""
        self.signal(signal.SIGCONT, pid)
