"""Could-result-in, by its definition: a table of minimal path summaries between locations (Naiad, section 2.3).

A *location* is where an event may be outstanding: at a connector (a message) or at a stage (a capability: a pending
notification, an input that is still open). Pointstamp ``(t1, l1)`` *could result in* ``(t2, l2)`` iff some path from
``l1`` to ``l2`` has a summary ``f`` with ``f(t1) <= t2``.

This table is quadratic in the graph; it is the specification that `tracker` is tested against, and what tools and
invariants ask. The engine itself asks the tracker.
"""

from dataclasses import dataclass, field

from limnad.timely.graph import Connector, LogicalGraph, Stage, depth_of
from limnad.timely.summary import PathSummary
from limnad.timely.timestamp import Timestamp, less_equal


@dataclass(frozen=True, slots=True)
class Edge:
    """A step between two locations and what it does to a time (None: nothing)."""

    target: int
    summary: PathSummary | None


class Locations:
    """Numbers the locations of a graph and knows the steps between them.

    Connectors come first, at their own index; the location of a stage follows at ``len(connectors) + stage.index``.
    Only stages that can hold a capability are on a path; a message passes straight through all others.
    """

    def __init__(self, graph: LogicalGraph) -> None:
        self.graph = graph
        self.count = len(graph.connectors) + len(graph.stages)
        self.edges: list[list[Edge]] = [[] for _ in range(self.count)]
        for stage in graph.stages:
            if stage.is_system:
                continue
            hops = [Edge(route.connector.index, route.summary) for port in graph.routes[stage.index] for route in port]
            at_stage = self.of_stage(stage)
            if self.holds_capabilities(stage):
                self.edges[at_stage] = hops
                hops = [Edge(at_stage, None)]
            for connector in graph.inputs[stage.index]:
                self.edges[connector.index] = [] if connector.input in stage.quiet else hops

    def of_stage(self, stage: Stage) -> int:
        """Where capabilities of ``stage`` are counted."""
        return len(self.graph.connectors) + stage.index

    @staticmethod
    def holds_capabilities(stage: Stage) -> bool:
        """Whether vertices of the stage can hold back others without holding a message."""
        return stage.notifies or stage.inputs == 0

    def depth(self, location: int) -> int:
        """The coordinates of a time at ``location``, the epoch included."""
        connectors = self.graph.connectors
        if location < len(connectors):
            return depth_of(connectors[location].target.context)
        return depth_of(self.graph.stages[location - len(connectors)].context)

    def describe(self, location: int) -> str:
        """The location in words, for errors and traces."""
        connectors = self.graph.connectors
        if location < len(connectors):
            edge: Connector = connectors[location]
            return f"connector {edge.source.name!r} -> {edge.target.name!r}"
        return f"stage {self.graph.stages[location - len(connectors)].name!r}"


@dataclass
class Reachability:
    """Answers could-result-in; rows of the table are made when they are first asked for."""

    locations: Locations
    _rows: dict[int, dict[int, list[PathSummary]]] = field(default_factory=dict)

    def summaries(self, source: int, target: int) -> list[PathSummary]:
        """The minimal summaries of all paths from ``source`` to ``target``; the empty path counts."""
        if source not in self._rows:
            self._rows[source] = self._row(source)
        return self._rows[source].get(target, [])

    def could_result_in(self, time: Timestamp, source: int, later: Timestamp, target: int) -> bool:
        """Whether an event at ``(time, source)`` may lead to one at ``(later, target)``."""
        return any(less_equal(summary(time), later) for summary in self.summaries(source, target))

    def _row(self, source: int) -> dict[int, list[PathSummary]]:
        row: dict[int, list[PathSummary]] = {}
        waiting = [(source, PathSummary.identity(self.locations.depth(source)))]
        while waiting:
            location, summary = waiting.pop()
            known = row.setdefault(location, [])
            if any(other.less_equal(summary) for other in known):
                continue
            row[location] = [other for other in known if not summary.less_equal(other)] + [summary]
            for edge in self.locations.edges[location]:
                waiting.append((edge.target, summary.then(edge.summary) if edge.summary else summary))
        return row
