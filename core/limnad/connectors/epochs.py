"""Which epoch a row belongs to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochRule:
    """Says the epoch of what is read next.

    Attributes:
        size_bytes: An epoch for each so many bytes of a partition; 0: not by size.
        rows: An epoch for each so many rows of a partition; 0: not by rows.
        by_file: An epoch for each file, in sorted order.
        seconds: An epoch for each so many seconds in which rows were read; 0: not by time.
        clock: Seconds; for tests.
    """

    size_bytes: int = 0
    rows: int = 0
    by_file: bool = False
    seconds: float = 0.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)

    def epoch(self, file_number: int, before: int, current: int, opened_s: float) -> int:
        """The epoch of rows in the file of that number that so many bytes (or rows) of the partition come before.

        Args:
            file_number: In the sorted list of all files.
            before: Of the same partition: bytes of a file, rows of a stream.
            current: The partition's open epoch.
            opened_s: When the reader was opened.
        """
        if each := self.size_bytes or self.rows:
            return before // each
        if self.by_file:
            return file_number
        if self.seconds:
            return max(current, int((self.clock() - opened_s) / self.seconds))
        return 0


def by_rows(rows: int) -> EpochRule:
    """An epoch for each so many rows of a partition of a stream: a function of the position, so a replay repeats it."""
    if rows < 1:
        raise ValueError(f"an epoch needs at least 1 row, not {rows}")
    return EpochRule(rows=rows)


def by_size(size_bytes: int) -> EpochRule:
    """An epoch for each so many bytes of a partition: a function of the position, so a replay repeats it."""
    if size_bytes < 1:
        raise ValueError(f"an epoch needs at least 1 byte, not {size_bytes}")
    return EpochRule(size_bytes=size_bytes)


def by_file() -> EpochRule:
    """An epoch for each file, in sorted order."""
    return EpochRule(by_file=True)


def by_time(seconds: float) -> EpochRule:
    """An epoch for each interval of processing time.

    In a job with a store each boundary is durable before the epoch that it ends can be complete, so that a replay
    repeats it: an epoch takes the time of an append to the store longer.
    """
    if seconds <= 0:
        raise ValueError(f"an epoch needs more than 0 seconds, not {seconds}")
    return EpochRule(seconds=seconds)


ALL_AT_ONCE = EpochRule()
"""Everything in epoch 0."""
