"""A multiset of timestamps that knows its minimal elements.

The order is the product of two total orders, the epoch's and the counters' (lexicographic), so an antichain is a
staircase: sorted by epoch, its counters strictly fall. Therefore one binary search answers what a scan would.
"""

from bisect import bisect_left, bisect_right, insort

from limnad.timely.timestamp import Timestamp

Changes = list[tuple[Timestamp, int]]


class MutableAntichain:
    """Counts of times, and the `frontier`: the minimal times whose count is positive.

    `update` costs O(log n) plus, when a minimal element goes, a walk over the *epochs* behind it (not over the times):
    a thousand epochs in flight at one location stay cheap.

    >>> times = MutableAntichain()
    >>> times.update((0, 3), 1), times.update((1, 1), 1), times.update((1, 4), 1)
    ([((0, 3), 1)], [((1, 1), 1)], [])
    >>> times.frontier
    [(0, 3), (1, 1)]
    >>> times.update((1, 1), -1), times.frontier
    ([((1, 1), -1)], [(0, 3)])
    """

    __slots__ = ("_counts", "_present", "frontier")

    def __init__(self) -> None:
        self._counts: dict[Timestamp, int] = {}
        self._present: list[Timestamp] = []
        self.frontier: list[Timestamp] = []
        """Minimal present times, ascending. Read it, never change it."""

    def __bool__(self) -> bool:
        return bool(self._present)

    def count(self, time: Timestamp) -> int:
        """How often ``time`` is in the multiset; negative while a removal has overtaken its addition."""
        return self._counts.get(time, 0)

    def items(self) -> list[tuple[Timestamp, int]]:
        """Every time with a count other than zero."""
        return list(self._counts.items())

    def update(self, time: Timestamp, delta: int) -> Changes:
        """Adds ``delta`` to the count of ``time``; returns what joined (+1) and left (-1) the frontier."""
        before = self._counts.get(time, 0)
        after = before + delta
        if after:
            self._counts[time] = after
        elif before:
            del self._counts[time]
        if before <= 0 < after:
            return self._appear(time)
        if after <= 0 < before:
            return self._vanish(time)
        return []

    def covers(self, time: Timestamp) -> bool:
        """Whether some frontier element is `less_equal` to ``time``.

        Of the elements whose epoch is not later, the last has the least counters: it decides.
        """
        frontier = self.frontier
        if not frontier:
            return False
        if len(frontier) == 1:
            least = frontier[0]
        else:
            position = bisect_right(frontier, time[0], key=_epoch)
            if not position:
                return False
            least = frontier[position - 1]
        return least[0] <= time[0] and least[1:] <= time[1:]

    def _appear(self, time: Timestamp) -> Changes:
        covered = self.covers(time)
        present = self._present
        if not present or time > present[-1]:
            present.append(time)
        else:
            insort(present, time)
        if covered:
            return []
        frontier = self.frontier
        start = bisect_left(frontier, time)
        stop, counters = start, time[1:]
        while stop < len(frontier) and frontier[stop][1:] >= counters:
            stop += 1
        changes: Changes = [(gone, -1) for gone in frontier[start:stop]]
        frontier[start:stop] = [time]
        changes.append((time, 1))
        return changes

    def _vanish(self, time: Timestamp) -> Changes:
        present, frontier = self._present, self.frontier
        place = bisect_left(present, time)
        del present[place]
        step = bisect_left(frontier, time)
        if step == len(frontier) or frontier[step] != time:
            return []
        del frontier[step]
        uncovered = self._uncovered(place, step)
        frontier[step:step] = uncovered
        return [(time, -1), *((found, 1) for found in uncovered)]

    def _uncovered(self, place: int, step: int) -> list[Timestamp]:
        """The staircase of the present times from ``place`` on that only the vanished element covered.

        Of each epoch only its first time can be minimal, and only if its counters are below those of every earlier
        epoch; once they are all zero nothing later can be minimal.
        """
        present, frontier, found = self._present, self.frontier, []
        lowest = frontier[step - 1][1:] if step else None
        following = frontier[step] if step < len(frontier) else None
        while place < len(present):
            time = present[place]
            if following is not None and time >= following:
                break
            counters = time[1:]
            if lowest is None or counters < lowest:
                found.append(time)
                lowest = counters
                if not any(counters):
                    break
            place = bisect_left(present, (time[0] + 1,), place + 1)
        return found


def _epoch(time: Timestamp) -> int:
    return time[0]
