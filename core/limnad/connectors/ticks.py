"""Processing time as a source: rows that say what the clock said."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import polars as pl

from limnad.errors import InputError
from limnad.timely.source import Answer, Cut, End, Idle, Position, Rows


class Ticks:
    """One row now and then, with the time at which it was made, each in an epoch of its own.

    What the clock said is logged, with the epoch it belongs to, before that epoch can be complete: a replay repeats it.

    Args:
        every_s: Seconds between two ticks. Epochs go on with the clock, as with `by_time`, even where a tick is late.
        count: After how many the source ends; None: never.
        clock: Seconds since 1970; for tests.

    Raises:
        InputError: A number makes no sense.
    """

    timed = True
    schema = pl.Schema({"now": pl.Datetime("us", "UTC")})

    def __init__(self, every_s: float, *, count: int | None = None, clock: Callable[[], float] = time.time) -> None:
        if every_s <= 0 or (count is not None and count < 0):
            raise InputError(f"ticks need a time between them, not {every_s} seconds, and a count of 0 or more")
        self.every_s = every_s
        self.count = count
        self.clock = clock

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return ["clock"]

    def open(self, partition: str, position: Position | None) -> TickReader:
        """See `limnad.timely.source.Source`."""
        return TickReader(self, position)

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return f"a tick each {self.every_s:g} s"


class TickReader:
    """Reads the clock.

    A cut is logged with the position *before* its first row. So a tick is read in two steps: first what the clock says
    becomes part of the position, then the row is given.
    """

    def __init__(self, source: Ticks, position: Position | None) -> None:
        self._source = source
        self._epoch = 0 if position is None else int(position["epoch"])
        self._given = 0 if position is None else int(position["given"])
        self._at_us: int | None = None if position is None else position["at_us"]
        self._cuts: deque[Cut] = deque()
        self._zero_s = source.clock() - self._epoch * source.every_s

    def repeat(self, cuts: Sequence[Cut]) -> None:
        """See `limnad.timely.source.TimedReader`."""
        self._cuts.extend(cuts)

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        source = self._source
        if self._cuts:
            cut = self._cuts.popleft()
            if cut.epoch is None:
                return End(self._epoch + 1)
            self._zero_s = source.clock() - cut.epoch * source.every_s
            return self._tick(cut.epoch, int(cut.position["at_us"]))
        if self._given == source.count:
            return End(self._epoch + 1)
        now_s = source.clock()
        epoch = max(self._epoch + 1, int((now_s - self._zero_s) / source.every_s))
        if self._at_us is not None:
            return self._tick(epoch, self._at_us)
        wait_s = self._zero_s + (self._epoch + 1) * source.every_s - now_s
        if wait_s > 0:
            return Idle(wait_s)
        self._at_us = int(now_s * 1_000_000)
        return Rows(self._epoch)

    def _tick(self, epoch: int, at_us: int) -> Rows:
        self._epoch, self._at_us = epoch, None
        self._given += 1
        now = datetime.fromtimestamp(at_us / 1_000_000, UTC)
        return Rows(epoch, pl.DataFrame({"now": [now]}, schema=self._source.schema))

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"epoch": self._epoch, "given": self._given, "at_us": self._at_us}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""
