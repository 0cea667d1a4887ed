"""The cost of one progress update, as the graph, the nesting of loops and the epochs in flight grow."""

from collections.abc import Callable, Iterable

import limnad
from benchmarks.harness import Row, Settings
from benchmarks.in_process import seconds
from benchmarks.scaling import Wait, growth
from limnad.timely.graph import Connector, LogicalGraph
from limnad.timely.reachability import Locations
from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Tracker

HOPS = 20_000

NOTE = (
    "Tracker: microseconds per update (a count of one pointstamp changes by one), against the smallest size. A "
    "message goes from stage to stage, each able to hold a capability: at each hop one update adds it behind, one "
    "takes it away before, and the frontier moves."
)


def rows(settings: Settings) -> Iterable[Row]:
    """Stages, nested loops, epochs in flight."""
    hops = settings.size(HOPS, HOPS // 10)
    stages = {size: (lambda size=size: _cost_us(_chain(size), 1, hops)) for size in (10, 50, 100, 200, 400)}
    yield from growth(settings, "stages: tracker update", stages, NOTE)
    loops = {size: (lambda size=size: _cost_us(_nested(size), 1, hops)) for size in (1, 2, 3)}
    yield from growth(settings, "nested loops: tracker update", loops, NOTE)
    epochs = {size: (lambda size=size: _cost_us(_chain(20), size, hops)) for size in (1, 10, 100, 1_000)}
    yield from growth(settings, "epochs in flight: tracker update", epochs, NOTE)


def _chain(stages: int) -> LogicalGraph:
    """Stages one after the other."""
    flow = limnad.Flow()
    stream = flow.values([[0]])
    for _ in range(stages):
        stream = flow.vertex(Wait, stream)
    return flow.build().graph


def _nested(depth: int) -> LogicalGraph:
    """Ten stages in a loop in a loop."""
    flow = limnad.Flow()
    stream = flow.values([[0]])
    loops = [flow.loop()]
    while len(loops) < depth:
        loops.append(loops[-1].loop())
    for loop in loops:
        stream = loop.enter(stream)
    feedback = loops[-1].feedback(stream)
    stream = stream.concat(feedback.stream)
    for _ in range(10):
        stream = flow.vertex(Wait, stream)
    feedback.connect(stream)
    for loop in reversed(loops):
        stream = loop.leave(stream)
    flow.vertex(Wait, stream)
    return flow.build().graph


class Walk:
    """A message that goes through a graph: down a chain and from its head again, or round the innermost loop."""

    def __init__(self, graph: LogicalGraph, epoch: int) -> None:
        self._graph = graph
        self._epoch = epoch
        deepest = max(graph.connectors, key=_depth)
        self._head = graph.connectors[0] if _depth(deepest) == 1 else deepest
        self.place = self._head
        self.time: Timestamp = (epoch,) + (0,) * (_depth(self._head) - 1)

    def hop(self) -> list[tuple[int, Timestamp, int]]:
        """Moves on by one connector."""
        before = (self.place.index, self.time, -1)
        ports = self._graph.routes[self.place.target.index]
        for route in ports[0] if ports else ():
            moved = route.summary(self.time) if route.summary else self.time
            if len(moved) == len(self.time):
                self.place, self.time = route.connector, moved
                break
        else:
            self.place = self._head
        return [(self.place.index, self.time, 1), before]


def _depth(connector: Connector) -> int:
    context, depth = connector.target.context, 1
    while context is not None:
        context, depth = context.parent, depth + 1
    return depth


def _cost_us(graph: LogicalGraph, epochs: int, hops: int) -> float:
    tracker = Tracker(Locations(graph))
    walks = [Walk(graph, epoch) for epoch in range(epochs)]
    tracker.update([(walk.place.index, walk.time, 1) for walk in walks])
    planned = [walks[number % epochs].hop() for number in range(hops)]
    update: Callable[[list[tuple[int, Timestamp, int]]], object] = tracker.update

    def all_hops() -> None:
        for updates in planned:
            update(updates)

    return seconds(all_hops) / (2 * hops) * 1e6
