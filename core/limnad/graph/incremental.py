"""Graphs that change: the algorithms of `limnad.graph` on collections of edges, kept up to date as edges come and go.

Each takes a collection (`limnad.incremental`) of edges and answers with a collection: when edges change, so do the rows
of the answer that have to, at a cost that follows the change. At every time the answer is that of the algorithm of the
same name on the edges as they are then. An edge is there when its multiplicity is above 0; only `degrees` counts
repetitions.

Almost all are one fixpoint, `_least`: each node takes the least label among its own and those sent along edges. A
fixpoint is defined from its start at every time, and not from the answer of the epoch before: so labels rise when an
edge goes, and a cycle that nothing feeds any more does not feed itself.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from limnad.errors import JobError
from limnad.graph.inputs import ENDS, check_edges, check_weight
from limnad.incremental import Collection, Variable
from limnad.timely.graph import GraphError

__all__ = [
    "breadth_first",
    "connected_components",
    "core_numbers",
    "degrees",
    "k_core",
    "shortest_paths",
    "strong_edges",
    "strongly_connected_components",
    "triangles",
]

TRIPS_PER_SIZE = 8
"""How many trips a label is given to spread before labels of twice its size set out: enough for most components."""


def connected_components(edges: Collection, nodes: Collection | None = None) -> Collection:
    """For each node the least node that it hangs together with, whichever way the edges point.

    Args:
        edges: Columns ``src`` and ``dst``.
        nodes: Column ``node``: nodes that perhaps have no edge.

    Returns:
        Columns ``node`` and ``component``.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("connected_components()", edges, nodes)
    near = _both_ways(edges)
    seeds = _nodes(edges, nodes).select("node", component="node")
    return _least("connected components", seeds, near, pl.col("component"), _in_order(seeds, "component"))


def strongly_connected_components(edges: Collection, nodes: Collection | None = None) -> Collection:
    """For each node the least node of the cycles that it is on; itself if it is on none.

    Args:
        edges: Columns ``src`` and ``dst``.
        nodes: Column ``node``: nodes that perhaps have no edge.

    Returns:
        Columns ``node`` and ``component``.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("strongly_connected_components()", edges, nodes)
    seeds = _nodes(edges, nodes).select("node", component="node")
    # Within a strong component the least node reaches all, so one direction says it.
    return _least("strong components", seeds, strong_edges(edges), pl.col("component"), _in_order(seeds, "component"))


def strong_edges(edges: Collection) -> Collection:
    """The edges that lie on cycles: those whose ends are in one strongly connected component.

    A fixpoint of fixpoints. Of the edges that are left, those go whose ends are not reached from the same least node,
    or do not reach the same least node; again, until none goes. Where all edges of a piece agree in both, its least
    node reaches all of it and is reached from all of it.

    Args:
        edges: Columns ``src`` and ``dst``.

    Returns:
        Columns ``src`` and ``dst``, each edge once.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("strong_edges()", edges)
    return _once(edges).iterate(lambda left: _agreeing(_reversed(_agreeing(_reversed(left)))), name="strong edges")


def breadth_first(edges: Collection, roots: Collection) -> Collection:
    """How many edges each node is away from the nearest root.

    Args:
        edges: Columns ``src`` and ``dst``, followed from source to target.
        roots: Column ``node``.

    Returns:
        Columns ``node`` and ``distance``, of the nodes that can be reached.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("breadth_first()", edges, roots)
    seeds = roots.select("node").distinct().select("node", distance=pl.lit(0, dtype=pl.Int64))
    return _least("breadth first", seeds, _once(edges), pl.col("distance") + 1)


def shortest_paths(edges: Collection, roots: Collection, weight: str = "weight") -> Collection:
    """The length of the shortest path from the nearest root to each node.

    Args:
        edges: Columns ``src``, ``dst`` and the weight, at least 0; followed from source to target.
        roots: Column ``node``.
        weight: The column of weights.

    Returns:
        Columns ``node`` and ``distance``, of the nodes that can be reached.

    Raises:
        GraphError: The columns are not these.
        JobError: While the job runs: a weight is negative or no number.
    """
    check_edges("shortest_paths()", edges, roots)
    check_weight("shortest_paths()", edges, weight)

    def checked(frame: pl.DataFrame) -> pl.DataFrame:
        wrong = frame.filter((pl.col("weight") >= 0).fill_null(False).not_() | pl.col("weight").is_nan())
        if len(wrong):
            raise JobError(f"shortest paths need weights of at least 0, but column {weight!r} has {wrong['weight'][0]}")
        return frame

    weighed = edges.select(*ENDS, pl.col(weight).cast(pl.Float64).alias("weight")).map_batches(checked)
    lightest = weighed.group_by(*ENDS).min("weight")
    seeds = roots.select("node").distinct().select("node", distance=pl.lit(0.0, dtype=pl.Float64))
    return _least("shortest paths", seeds, lightest, pl.col("distance") + pl.col("weight"))


def core_numbers(edges: Collection, nodes: Collection | None = None) -> Collection:
    """For each node the largest k such that it is in a subgraph where all have k neighbours.

    Each node starts from its degree and takes the largest h of which h neighbours have at least h, until none changes
    (Lü and others, 2016).

    Args:
        edges: Columns ``src`` and ``dst``; direction, repetition and loops at a node do not matter.
        nodes: Column ``node``: nodes that perhaps have no edge.

    Returns:
        Columns ``node`` and ``core``.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("core_numbers()", edges, nodes)
    near = _simple_both_ways(edges)
    degree = near.group_by("src").count("core").rename({"src": "node"})
    largest_first = pl.col("core").sort(descending=True)
    h_index = (largest_first >= pl.int_range(1, pl.len() + 1, dtype=pl.Int64)).sum().cast(pl.Int64)

    def learn(cores: Collection) -> Collection:
        heard = cores.rename({"node": "src"}).join(near.enter(cores), "src").select(pl.col("dst").alias("node"), "core")
        return heard.group_by("node").agg(h_index.alias("core"))

    cores = degree.iterate(learn, name="core numbers")
    alone = _nodes(edges, nodes).join(degree, "node", "anti")
    return cores.concat(alone.select("node", core=pl.lit(0, dtype=pl.Int64)))


def k_core(edges: Collection, k: int) -> Collection:
    """The largest subgraph where each node has at least ``k`` neighbours: nodes with fewer go, again and again.

    Args:
        edges: Columns ``src`` and ``dst``; direction, repetition and loops at a node do not matter.
        k: How many neighbours, at least 1.

    Returns:
        Columns ``src`` and ``dst``: the edges that are left, each once in each direction.

    Raises:
        GraphError: The columns are not these, or ``k`` is less than 1.
    """
    check_edges("k_core()", edges)
    if k < 1:
        raise GraphError(f"k_core() needs k of at least 1, not {k}")

    def trim(left: Collection) -> Collection:
        stay = left.group_by("src").count("degree").filter(pl.col("degree") >= k).select("src")
        return left.join(stay, "src").join(stay.rename({"src": "dst"}), "dst").select(*ENDS)

    return _simple_both_ways(edges).iterate(trim, name="k-core")


def triangles(edges: Collection) -> Collection:
    """In how many triangles each node is. Their sum is three times the number of triangles.

    A change of an edge costs as much as its ends have neighbours.

    Args:
        edges: Columns ``src`` and ``dst``; direction, repetition and loops at a node do not matter.

    Returns:
        Columns ``node`` and ``triangles``, of all nodes that have an edge.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("triangles()", edges)
    up = _simple_both_ways(edges).filter(pl.col("src") < pl.col("dst"))
    first = up.rename({"src": "a", "dst": "b"})
    paths = first.join(up.rename({"src": "b", "dst": "c"}), "b")
    closed = paths.join(up.rename({"src": "a", "dst": "c"}), ("a", "c"))
    corners = [closed.select(pl.col(corner).alias("node")) for corner in "abc"]
    # Each node counts once more than it has triangles: so that those without one have a group too.
    counted = _nodes(edges, None).concat(*corners).group_by("node").count("triangles")
    return counted.select("node", pl.col("triangles") - 1)


def degrees(edges: Collection) -> Collection:
    """How many edges leave and reach each node that has one. Edges that are there twice count twice.

    Args:
        edges: Columns ``src`` and ``dst``.

    Returns:
        Columns ``node``, ``in_degree`` and ``out_degree``.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("degrees()", edges)
    one, none = pl.lit(1, dtype=pl.Int64), pl.lit(0, dtype=pl.Int64)
    leaving = edges.select(pl.col("src").alias("node"), none.alias("in_degree"), one.alias("out_degree"))
    reaching = edges.select(pl.col("dst").alias("node"), one.alias("in_degree"), none.alias("out_degree"))
    return leaving.concat(reaching).group_by("node").sum("in_degree", "out_degree")


# -- the fixpoint ------------------------------------------------------------------------------------------------------


def _least(name: str, seeds: Collection, edges: Collection, sent: pl.Expr, trip: pl.Expr | None = None) -> Collection:
    """The least label of each node: of its own, and of what its labelled neighbours send.

    Args:
        name: The loop's.
        seeds: Columns ``node`` and the label.
        edges: Columns ``src``, ``dst`` and what `sent` needs, each edge once.
        sent: What goes along an edge; never less than the sender's label.
        trip: The trip at which a seed enters; None: the first.
    """
    label = seeds.schema.names()[1]
    loop = edges.stream.flow.loop_around(edges.stream, name)
    received = Variable(loop, seeds.schema)
    entered = seeds.enter(loop) if trip is None else seeds.enter_at(loop, trip)
    labels = entered.concat(received.collection).group_by("node").min(label)
    along = labels.rename({"node": "src"}).join(edges.enter(loop), "src")
    received.set(along.select(pl.col("dst").alias("node"), sent.alias(label)))
    return labels.leave()


def _in_order(seeds: Collection, label: str) -> pl.Expr | None:
    """Small labels set out first, so that most of the larger ones never travel. Strings have no size to go by."""
    if not seeds.schema[label].is_integer():
        return None
    size = (pl.col(label).cast(pl.Float64).clip(lower_bound=0) + 1).log(2).floor().cast(pl.Int64)
    return TRIPS_PER_SIZE * size


def _agreeing(edges: Collection) -> Collection:
    """The edges whose ends are reached from the same least node, of those that edges lead to."""
    seeds = edges.select(node="dst").distinct().select("node", label="node")
    labels = _least("reached", seeds, edges, pl.col("label"), _in_order(seeds, "label"))
    at_source = edges.join(labels.rename({"node": "src", "label": "at_source"}), "src")
    at_both = at_source.join(labels.rename({"node": "dst", "label": "at_target"}), "dst")
    return at_both.filter(pl.col("at_source") == pl.col("at_target")).select(*ENDS)


# -- edges and nodes ---------------------------------------------------------------------------------------------------


def _once(edges: Collection) -> Collection:
    return edges.select(*ENDS).distinct()


def _reversed(edges: Collection) -> Collection:
    return edges.select(src="dst", dst="src")


def _both_ways(edges: Collection) -> Collection:
    straight = edges.select(*ENDS)
    return straight.concat(_reversed(straight)).distinct()


def _simple_both_ways(edges: Collection) -> Collection:
    return _both_ways(edges.filter(pl.col("src") != pl.col("dst")))


def _nodes(edges: Collection, nodes: Collection | None) -> Collection:
    """Each end of an edge, and each further node, once."""
    more: list[Any] = [] if nodes is None else [nodes.select("node")]
    return edges.select(node="src").concat(edges.select(node="dst"), *more).distinct()
