"""Counts durations in buckets: as little work as can be on the way, and all that a histogram of metrics needs."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS_NS: Final = tuple(
    digit * 10**power for power in range(4, 11) for digit in (1, 2, 5) if 10_000 <= digit * 10**power <= 10**10
)
"""Upper ends of the buckets, in nanoseconds: 10 microseconds to 10 seconds, three to a decade; one more has no end."""


class Histogram:
    """How many durations fell into each bucket, and their sum.

    One thread adds; another may read at any time, and then sees a state at most one duration old.

    >>> delays = Histogram()
    >>> delays.add(10_000), delays.add(10_001), delays.add(10**12)
    (None, None, None)
    >>> delays.counts[0], delays.counts[1], delays.counts[-1], delays.sum_ns
    (1, 1, 1, 1000000020001)

    Attributes:
        counts: By bucket of `BOUNDS_NS`, each without those before it.
        sum_ns: Of all durations, nanoseconds.
    """

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_NS) + 1)
        self.sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """Counts a duration, in nanoseconds."""
        self.counts[bisect_left(BOUNDS_NS, duration_ns)] += 1
        self.sum_ns += duration_ns
