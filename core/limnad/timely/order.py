"""An order in which frontier changes may be processed: it grows along every edge of a graph.

Each location gets a pattern of *ranks* and *prefixes of its time*. At the top, the strongly connected components of
the graph are ranked topologically. Within a component everything happens at equal leading coordinates, except across
the feedbacks of its outermost loop context, which raise the last of them; so a key continues with these coordinates,
and then with the ranks that remain when those feedbacks are cut. And so on inwards:

    key(time, location) = (rank, time[:d], rank, time[:d'], ..., rank)

Law: for every edge from ``a`` to ``b`` with summary ``f``: ``key(t, a) < key(f(t), b)``. Changes that are processed in
the order of their keys therefore meet all others that could cancel them, and a change that runs round a loop ends.
"""

from collections.abc import Callable

from limnad.timely.components import strongly_connected
from limnad.timely.reachability import Edge, Locations
from limnad.timely.timestamp import Timestamp

Key = tuple[object, ...]
Pattern = tuple[int, ...]


def patterns(locations: Locations) -> list[Pattern]:
    """For each location, ``(rank, prefix length, rank, ..., rank)``."""
    found: list[list[int]] = [[] for _ in range(locations.count)]
    edges = [
        (source, edge.target, _grows_at(edge)) for source in range(locations.count) for edge in locations.edges[source]
    ]
    _rank(found, set(range(locations.count)), edges, locations)
    return [tuple(pattern) for pattern in found]


def ranks(locations: Locations) -> list[int]:
    """The locations numbered along the flow: a smaller number is further upstream."""
    found = patterns(locations)
    numbers: dict[Pattern, int] = {pattern: rank for rank, pattern in enumerate(sorted(set(found)))}
    return [numbers[pattern] for pattern in found]


def _grows_at(edge: Edge) -> int:
    """The number of leading coordinates of which the last grows along the edge; 0 where none grows."""
    return edge.summary.keep if edge.summary is not None and edge.summary.increment else 0


def _rank(
    found: list[list[int]],
    members: set[int],
    edges: list[tuple[int, int, int]],
    locations: Locations,
) -> None:
    inner = [(source, target, grows) for source, target, grows in edges if source in members and target in members]
    numbers = {member: number for number, member in enumerate(sorted(members))}
    pairs = [(numbers[source], numbers[target]) for source, target, _ in inner]
    names = sorted(members)
    for rank, component in enumerate(strongly_connected(len(names), pairs)):
        inside = {names[number] for number in component}
        for member in inside:
            found[member].append(rank)
        cyclic = [edge for edge in inner if edge[0] in inside and edge[1] in inside]
        if not cyclic:
            continue
        prefix = min(grows for _, _, grows in cyclic if grows)
        for member in inside:
            found[member].append(prefix)
        _rank(found, inside, [edge for edge in cyclic if edge[2] != prefix], locations)


def key_function(pattern: Pattern) -> Callable[[Timestamp], Key]:
    """The key of a time at a location with this pattern.

    >>> key_function((4,))((7,)), key_function((4, 2, 1))((7, 3, 9))
    ((4,), (4, (7, 3), 1))
    """
    if len(pattern) == 1:
        constant: Key = (pattern[0],)
        return lambda time: constant
    if len(pattern) == 3:
        outer, prefix, rank = pattern
        return lambda time: (outer, time[:prefix], rank)
    return lambda time: tuple(part if place % 2 == 0 else time[:part] for place, part in enumerate(pattern))
