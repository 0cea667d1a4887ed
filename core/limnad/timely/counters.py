"""What a scheduler counts on its way, for whoever watches it. Nothing depends on any of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from limnad.timely.graph import Connector, LogicalGraph, StageKind
from limnad.timely.timestamp import Timestamp


@dataclass(slots=True)
class StageCounters:
    """What went through one stage on one worker; what came in stands at its connectors."""

    rows_out: int = 0
    notifications: int = 0
    busy_ns: int = 0


@dataclass(slots=True)
class ConnectorCounters:
    """What one connector has handed to its vertex on one worker.

    Attributes:
        rows: Rows delivered.
        batches: Batches delivered, before any were merged.
        bytes: Their estimated size.
        arrived_bytes: That of all batches which have come, those that wait included.
        trips: Of the loop whose next trip begins where this connector ends; None for most.
    """

    rows: int = 0
    batches: int = 0
    bytes: int = 0
    arrived_bytes: int = 0
    trips: "Trips | None" = None

    @property
    def queued_bytes(self) -> int:
        """What waits."""
        return self.arrived_bytes - self.bytes


class Trips:
    """How often data went round one loop on one worker: the counters it reached, summed over all times around the loop.

    >>> trips = Trips(depth=2)
    >>> for time in [(0, 1), (0, 2), (1, 1), (0, 2), (0, 3)]:
    ...     trips.reached(time)
    >>> trips.count
    4

    Args:
        depth: Of times inside the loop.
    """

    __slots__ = ("_furthest", "_place", "count")

    def __init__(self, depth: int) -> None:
        self.count = 0
        self._place = depth - 1
        self._furthest: dict[Timestamp, int] = {}

    def reached(self, time: Timestamp) -> None:
        """Data has come round to this time."""
        around, counter = time[: self._place], time[self._place]
        before = self._furthest.get(around, 0)
        if counter > before:
            self.count += counter - before
            self._furthest[around] = counter

    def forget(self, before_epoch: int | None) -> None:
        """Nothing comes any more at epochs before this one; None: nothing at all."""
        kept = {} if before_epoch is None else {t: c for t, c in self._furthest.items() if t[0] >= before_epoch}
        self._furthest = kept


class Stopwatch:
    """For how long something was so.

    >>> now = iter([5, 25, 30, 31])
    >>> waiting = Stopwatch(lambda: next(now))
    >>> waiting.turn(on=True), waiting.turn(on=False), waiting.total_ns
    (None, None, 20)
    >>> waiting.turn(on=True), waiting.total_ns
    (None, 21)
    """

    __slots__ = ("_clock_ns", "_since_ns", "_total_ns")

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._since_ns: int | None = None
        self._total_ns = 0

    def turn(self, *, on: bool) -> None:
        """It is so from now on, or not any more; to be called when that changes."""
        if self._since_ns is not None:
            self._total_ns += self._clock_ns() - self._since_ns
        self._since_ns = self._clock_ns() if on else None

    @property
    def total_ns(self) -> int:
        """Nanoseconds, the current spell included."""
        return self._total_ns + (0 if self._since_ns is None else self._clock_ns() - self._since_ns)


def connector_counters(graph: LogicalGraph) -> tuple[list[ConnectorCounters], dict[str, Trips]]:
    """The counters of all connectors, and the trips round each loop by its name.

    A loop's next trip begins where its feedback ends, or where an inner loop is entered from it: feedback that leads
    straight into another loop ends there.
    """
    loops = {context.name: Trips(context.depth) for context in graph.contexts}
    return [ConnectorCounters(trips=_trips(edge, loops)) for edge in graph.connectors], loops


def _trips(edge: Connector, loops: Mapping[str, Trips]) -> Trips | None:
    turns = edge.source.kind in (StageKind.FEEDBACK, StageKind.INGRESS)
    return loops[edge.source.context.name] if turns and edge.source.context is not None else None


def carriers(graph: LogicalGraph) -> list[Connector]:
    """The connectors on which batches travel: those that end at a vertex."""
    return [edge for edge in graph.connectors if not edge.target.is_system]
