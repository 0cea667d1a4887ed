"""Random graphs for the graph library: loops at a node, repeated edges, nodes without edges, nothing at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx as nx
import polars as pl
from hypothesis import strategies as st

Edge = tuple[int, int]

EDGES = {"src": pl.Int64, "dst": pl.Int64}
NODES = {"node": pl.Int64}


@dataclass(frozen=True)
class Graph:
    """Edges and nodes of one epoch."""

    edges: list[Edge]
    alone: list[int]

    def frames(self, **columns: Any) -> dict[str, list[pl.DataFrame]]:
        """As inputs of a job."""
        edges = pl.DataFrame(self.edges, schema=EDGES, orient="row").with_columns(
            **{name: pl.Series(values) for name, values in columns.items()}
        )
        return {"edges": [edges], "nodes": [pl.DataFrame({"node": self.alone}, schema=NODES)]}

    def directed(self) -> Any:
        """As networkx has it, with repeated edges."""
        graph = nx.MultiDiGraph()
        graph.add_nodes_from(self.alone)
        graph.add_edges_from(self.edges)
        return graph

    def simple(self) -> Any:
        """Without direction, repetition, and loops at a node."""
        graph = nx.Graph()
        graph.add_nodes_from([*self.alone, *(end for edge in self.edges for end in edge)])
        graph.add_edges_from((a, b) for a, b in self.edges if a != b)
        return graph


def _scattered(node: int) -> int:
    """Identifiers far apart, so that they are searched for; near ones are looked up in a table."""
    return node * 1_000_003 if node % 2 else -node * 7


@st.composite
def graphs(draw: st.DrawFn, largest: int = 12, most: int = 30) -> Graph:
    """Small graphs; a third of them with identifiers that lie far apart."""
    count = draw(st.integers(1, largest))
    nodes = st.integers(0, count - 1)
    edges = draw(st.lists(st.tuples(nodes, nodes), max_size=most))
    alone = draw(st.lists(st.integers(0, count + 3), max_size=4))
    if draw(st.integers(0, 2)) == 0:
        edges, alone = [(_scattered(a), _scattered(b)) for a, b in edges], [_scattered(node) for node in alone]
    return Graph(edges, alone)


WORKERS = st.sampled_from([1, 2, 3, 5])
