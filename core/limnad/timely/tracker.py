"""The tracker: one worker's view of all outstanding events in the cluster, and the frontiers that follow from it.

It is fed the occurrence counts of pointstamps, as they arrive from all workers, and keeps for each location the
*implied* times: the least times that any outstanding event could result in there. The Naiad paper (section 2.3) keeps
precursor counts, comparing each new pointstamp with all active ones; here a change travels along the graph's edges,
only as far as it changes a minimum, so that the cost of an update follows the part of the graph that it touches and
not the number of epochs in flight. Both answer could-result-in; the tests hold them against each other.

A count may be negative for a while, when a removal has overtaken its addition (section 3.3): it is kept, not clamped.
"""

from collections.abc import Iterable
from heapq import heappop, heappush

from limnad.timely.antichain import MutableAntichain
from limnad.timely.order import Key, key_function, patterns
from limnad.timely.reachability import Locations
from limnad.timely.summary import PathSummary
from limnad.timely.timestamp import Timestamp

Update = tuple[int, Timestamp, int]
"""``(location, time, delta)``: the occurrence count of the pointstamp changes by ``delta``."""


class Tracker:
    """Takes progress updates, yields the locations whose frontier changed.

    Attributes:
        implied: For each location, the times that outstanding events could result in there; its `frontier` is what
            users of the tracker read. An event at the location itself is included.
    """

    __slots__ = ("_edges", "_heap", "_keys", "_occurrences", "_pending", "_total", "implied")

    def __init__(self, locations: Locations) -> None:
        self.implied = [MutableAntichain() for _ in range(locations.count)]
        self._occurrences: list[dict[Timestamp, int]] = [{} for _ in range(locations.count)]
        self._edges: list[list[tuple[int, PathSummary | None]]] = [
            [(edge.target, edge.summary) for edge in edges] for edges in locations.edges
        ]
        self._keys = [key_function(pattern) for pattern in patterns(locations)]
        self._heap: list[tuple[Key, int, Timestamp]] = []
        self._pending: dict[tuple[int, Timestamp], int] = {}
        self._total = 0

    @property
    def vacant(self) -> bool:
        """Whether this view knows of no outstanding event at all: every count is zero."""
        return not self._total

    def update(self, updates: Iterable[Update]) -> set[int]:
        """Applies one batch of updates as a whole; returns the locations whose frontier changed."""
        for location, time, delta in updates:
            counts = self._occurrences[location]
            before = counts.get(time, 0)
            after = before + delta
            if after:
                counts[time] = after
            elif before:
                del counts[time]
            self._total += (after != 0) - (before != 0)
            if before <= 0 < after:
                self._change(location, time, 1)
            elif after <= 0 < before:
                self._change(location, time, -1)
        return self._propagate()

    def occurrences(self) -> dict[tuple[int, Timestamp], int]:
        """All counts other than zero, by ``(location, time)``."""
        return {
            (location, time): count
            for location, counts in enumerate(self._occurrences)
            for time, count in counts.items()
        }

    @property
    def first_epoch(self) -> int | None:
        """The least epoch of any outstanding event; None: there is none.

        No path changes an epoch, so the least one is that of a frontier: what is outstanding need not be looked at.
        """
        return min((implied.frontier[0][0] for implied in self.implied if implied.frontier), default=None)

    def behind_another(self, location: int, time: Timestamp) -> bool:
        """Whether an outstanding event at *another* pointstamp could result in this one.

        The pointstamp itself contributes one to the implied count of its own time, if it is outstanding.
        """
        implied = self.implied[location]
        if not implied.covers(time):
            return False
        own = 1 if self._occurrences[location].get(time, 0) > 0 else 0
        return implied.count(time) > own or time not in implied.frontier

    def _change(self, location: int, time: Timestamp, delta: int) -> None:
        place = (location, time)
        before = self._pending.get(place)
        if before is None:
            self._pending[place] = delta
            heappush(self._heap, (self._keys[location](time), location, time))
        else:
            self._pending[place] = before + delta

    def _propagate(self) -> set[int]:
        heap, pending, implied, edges = self._heap, self._pending, self.implied, self._edges
        changed: set[int] = set()
        while heap:
            _, location, time = heappop(heap)
            delta = pending.pop((location, time))
            if not delta:
                continue
            changes = implied[location].update(time, delta)
            if not changes:
                continue
            changed.add(location)
            for target, summary in edges[location]:
                for moved, step in changes:
                    self._change(target, summary(moved) if summary else moved, step)
        return changed
