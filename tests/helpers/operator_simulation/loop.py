"""An event loop without a clock: when nobody has anything to do, it is as late as the next one has."""

from __future__ import annotations

import asyncio
from typing import Any


class NothingLeft(Exception):
    """Everybody waits for somebody: nothing will ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs timers in their order, and does no IO."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._clock_resolution = 1e-9
        self._selector = self

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """What a selector is asked for: here nothing ever comes from outside."""
        if timeout is None:
            raise NothingLeft
        self._now_s += max(0.0, timeout)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""
