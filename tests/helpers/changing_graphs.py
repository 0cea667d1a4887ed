"""Graph algorithms on changing edges, each beside networkx on the edges as they are.

Edges are the rows of ``left``, from ``a`` to ``b``; roots are the ``a`` of ``right``, and further nodes its ``b``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import networkx as nx
import polars as pl

from limnad.graph import incremental as graph
from limnad.incremental import Collection
from tests.helpers.collections import Case, Rows, now

A, B = pl.col("a"), pl.col("b")
Algorithm = Callable[[Collection, Collection], Collection]


def edges_of(rows: Collection) -> Collection:
    return rows.rename({"a": "src", "b": "dst"})


def weighed(rows: Collection) -> Collection:
    """Edges of half as many nodes, of which up to four join the same two with other weights, 0 among these."""
    return rows.select(src=A // 2, dst=B // 2, weight=2 * (A % 2) + B % 2)


def named(rows: Collection) -> Collection:
    """Nodes as strings, in another order than the numbers."""
    return rows.select(src=(-A).cast(pl.String), dst=(-B).cast(pl.String))


def directed(edges: Rows, nodes: Rows) -> Any:
    graph = nx.DiGraph(list(edges))
    graph.add_nodes_from(b for _, b in nodes)
    return graph


def simple(edges: Rows, nodes: Rows) -> Any:
    graph = nx.Graph(directed(edges, nodes))
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph


def least(parts: Iterable[Iterable[Any]]) -> list[tuple[Any, Any]]:
    return [(node, min(part)) for part in map(list, parts) for node in part]


def distances(network: Any, roots: Rows) -> Iterable[tuple[Any, ...]]:
    network.add_nodes_from(a for a, _ in roots)
    found = nx.multi_source_dijkstra_path_length(network, {a for a, _ in roots}) if roots else {}
    return list(found.items())


def breadth_first(edges: Rows, roots: Rows) -> Iterable[tuple[Any, ...]]:
    return distances(directed(edges, roots), roots)


def shortest_paths(edges: Rows, roots: Rows) -> Iterable[tuple[Any, ...]]:
    network = nx.MultiDiGraph()
    network.add_weighted_edges_from((a // 2, b // 2, 2 * (a % 2) + b % 2) for a, b in edges)
    return distances(network, Counter((a // 2, b) for a, b in roots))


def strong_edges(edges: Rows, _: Rows) -> Iterable[tuple[Any, ...]]:
    component = dict(least(nx.strongly_connected_components(nx.DiGraph(list(edges)))))
    return [(a, b) for a, b in edges if component[a] == component[b]]


def components_by_name(edges: Rows, _: Rows) -> Iterable[tuple[Any, ...]]:
    network = nx.Graph([(str(-a), str(-b)) for a, b in edges])
    return least(nx.connected_components(network))


def degrees(edges: Rows, _: Rows) -> Iterable[tuple[Any, ...]]:
    into, out = Counter[int](), Counter[int]()
    for (a, b), times in edges.items():
        out[a] += times
        into[b] += times
    return [(node, into[node], out[node]) for node in into.keys() | out.keys()]


def two_core(edges: Rows, nodes: Rows) -> Iterable[tuple[Any, ...]]:
    left = nx.k_core(simple(edges, nodes), 2).edges
    return [*left, *((b, a) for a, b in left)]


NOTHING: Rows = Counter()
GRAPHS: Mapping[str, Case] = {
    "connected components": Case(
        lambda left, right: graph.connected_components(edges_of(left), right.select(node="b")),
        now(lambda edges, nodes: least(nx.weakly_connected_components(directed(edges, nodes)))),
    ),
    "connected components of strings": Case(
        lambda left, _: graph.connected_components(named(left)), now(components_by_name)
    ),
    "strongly connected components": Case(
        lambda left, right: graph.strongly_connected_components(edges_of(left), right.select(node="b")),
        now(lambda edges, nodes: least(nx.strongly_connected_components(directed(edges, nodes)))),
    ),
    "strong edges": Case(lambda left, _: graph.strong_edges(edges_of(left)), now(strong_edges)),
    "breadth first": Case(
        lambda left, right: graph.breadth_first(edges_of(left), right.select(node="a")), now(breadth_first)
    ),
    "shortest paths": Case(
        lambda left, right: graph.shortest_paths(weighed(left), right.select(node=A // 2)), now(shortest_paths)
    ),
    "core numbers": Case(
        lambda left, right: graph.core_numbers(edges_of(left), right.select(node="b")),
        now(lambda edges, nodes: nx.core_number(simple(edges, nodes)).items()),
    ),
    "2-core": Case(lambda left, _: graph.k_core(edges_of(left), 2), now(two_core)),
    "triangles": Case(
        lambda left, _: graph.triangles(edges_of(left)),
        now(lambda edges, _: nx.triangles(simple(edges, NOTHING)).items()),
    ),
    "degrees": Case(lambda left, _: graph.degrees(edges_of(left)), now(degrees)),
}
