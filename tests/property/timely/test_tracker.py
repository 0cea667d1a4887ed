"""The tracker against the definition of could-result-in, and the definition against all paths."""

from collections import Counter
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from limnad.timely import LogicalGraph, PathSummary, Reachability, Timestamp, Tracker, less_equal
from limnad.timely.order import key_function, patterns
from limnad.timely.reachability import Locations
from tests.helpers.graphs import graphs


def occupied(locations: Locations) -> list[int]:
    """Locations where events may be counted: connectors into vertices, and stages that hold capabilities."""
    graph = locations.graph
    connectors = [edge.index for edge in graph.connectors if not edge.target.is_system]
    stages = [locations.of_stage(s) for s in graph.stages if not s.is_system and locations.holds_capabilities(s)]
    return connectors + stages


def times(depth: int) -> st.SearchStrategy[Timestamp]:
    return st.tuples(*[st.integers(0, 3)] * depth)


def all_paths(locations: Locations, start: int, hops: int) -> Iterator[tuple[int, PathSummary]]:
    """Every path of up to so many hops: where it ends and what it does to a time."""
    waiting = [(start, PathSummary.identity(locations.depth(start)), 0)]
    while waiting:
        location, summary, length = waiting.pop()
        yield location, summary
        if length < hops:
            for edge in locations.edges[location]:
                after = summary.then(edge.summary) if edge.summary else summary
                waiting.append((edge.target, after, length + 1))


@given(graphs(), st.data())
def test_the_table_holds_exactly_what_some_path_gives(graph: LogicalGraph, data: st.DataObject) -> None:
    locations = Locations(graph)
    table = Reachability(locations)
    start = data.draw(st.sampled_from(occupied(locations)))
    reached: dict[int, list[PathSummary]] = {}
    for location, summary in all_paths(locations, start, 7):
        reached.setdefault(location, []).append(summary)
        assert any(least.less_equal(summary) for least in table.summaries(start, location))
    time = data.draw(times(locations.depth(start)))
    for location, summaries in reached.items():
        later = data.draw(times(locations.depth(location)))
        by_paths = any(less_equal(summary(time), later) for summary in summaries)
        if by_paths:
            assert table.could_result_in(time, start, later, location)


@given(graphs(), st.data())
def test_every_summary_in_the_table_is_a_paths_and_is_minimal(graph: LogicalGraph, data: st.DataObject) -> None:
    locations = Locations(graph)
    table = Reachability(locations)
    start = data.draw(st.sampled_from(occupied(locations)))
    paths = {
        (location, summary) for location, summary in all_paths(locations, start, 12 if locations.count < 16 else 8)
    }
    for location in range(locations.count):
        minimal = table.summaries(start, location)
        for summary in minimal:
            assert not any(other.less_equal(summary) for other in minimal if other is not summary)
            if locations.count < 9:
                assert (location, summary) in paths


@given(graphs(), st.data())
def test_keys_grow_along_every_edge(graph: LogicalGraph, data: st.DataObject) -> None:
    locations = Locations(graph)
    keys = [key_function(pattern) for pattern in patterns(locations)]
    for source in range(locations.count):
        time = data.draw(times(locations.depth(source)))
        for edge in locations.edges[source]:
            moved = edge.summary(time) if edge.summary else time
            assert keys[source](time) < keys[edge.target](moved)


@given(graphs(), st.data())
def test_the_trackers_frontiers_are_those_of_the_definition(graph: LogicalGraph, data: st.DataObject) -> None:
    locations = Locations(graph)
    table = Reachability(locations)
    tracker = Tracker(locations)
    places = occupied(locations)
    counts: Counter[tuple[int, Timestamp]] = Counter()
    for _ in range(data.draw(st.integers(1, 12))):
        batch = []
        for _ in range(data.draw(st.integers(1, 3))):
            removes: bool = data.draw(st.booleans())
            if counts and removes:
                location, time = data.draw(st.sampled_from(sorted(counts)))
                delta = -counts[location, time] if data.draw(st.booleans()) else -1
            else:
                location = data.draw(st.sampled_from(places))
                time, delta = data.draw(times(locations.depth(location))), data.draw(st.integers(-1, 2))
            if delta:
                counts[location, time] += delta
                batch.append((location, time, delta))
            counts = Counter({place: count for place, count in counts.items() if count})
        before = [list(antichain.frontier) for antichain in tracker.implied]
        changed = tracker.update(batch)
        after = [list(antichain.frontier) for antichain in tracker.implied]
        assert {location for location in range(locations.count) if before[location] != after[location]} <= changed
        check_against_definition(tracker, table, counts)
    assert tracker.vacant == (not counts)


def check_against_definition(tracker: Tracker, table: Reachability, counts: Counter[tuple[int, Timestamp]]) -> None:
    active = [place for place, count in counts.items() if count > 0]
    assert tracker.first_epoch == min((time[0] for _, time in active), default=None)
    for target in range(table.locations.count):
        expected = minimal(summary(time) for location, time in active for summary in table.summaries(location, target))
        assert tracker.implied[target].frontier == expected
    for location, time in counts:
        others = [place for place in active if place != (location, time)]
        behind = any(table.could_result_in(other, source, time, location) for source, other in others)
        assert tracker.behind_another(location, time) == behind


def minimal(found: Iterator[Timestamp]) -> list[Timestamp]:
    distinct = set(found)
    return sorted(t for t in distinct if not any(less_equal(other, t) for other in distinct if other != t))
