"""Degrees and triangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from limnad.bsp import Part, Supersteps, run_supersteps
from limnad.graph.inputs import both_ways, check_edges, rows_of, scipy, simple
from limnad.graph.mirrors import mirrors_of
from limnad.graph.numbering import distinct, positions
from limnad.stream import FrameStream


def degrees(edges: FrameStream) -> FrameStream:
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
    return leaving.concat(reaching).group_by("node").agg(pl.col("in_degree").sum(), pl.col("out_degree").sum())


def triangles(edges: FrameStream, name: str = "triangles") -> FrameStream:
    """In how many triangles each node is. Their sum is three times the number of triangles. Needs ``limnad[graph]``.

    Each edge points to the end of the larger degree (ties by name): then a node points to few others even in a graph
    with hubs, and each triangle is found once, from where two of its edges begin.

    Args:
        edges: Columns ``src`` and ``dst``; direction, repetition and loops at a node do not matter.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``triangles``, of all nodes that have an edge.

    Raises:
        GraphError: The columns are not these.
    """
    dtype = check_edges("triangles()", edges)
    scipy("sparse")
    schema = {"node": dtype, "triangles": pl.Int64}

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        whole = rows_of(part, 0, {"src": dtype, "dst": dtype})
        frame = simple(whole)
        mirrors = yield from mirrors_of(part, distinct(frame["dst"]), whole["src"])
        degree = np.bincount(mirrors.owned(frame["src"]), minlength=len(mirrors.own))
        others, _ = yield from mirrors.pull(degree)
        ends = frame.with_columns(
            here=pl.Series(degree[mirrors.owned(frame["src"])]), there=pl.Series(others[mirrors.mirrored(frame["dst"])])
        )
        here, there = pl.col("here"), pl.col("there")
        up = ends.filter((here < there) | (here == there) & (pl.col("src") < pl.col("dst"))).select("src", "dst")
        counts = yield from _closed(part, up)
        told = pl.DataFrame({"node": mirrors.own}).join(counts, on="node", how="left", maintain_order="left")
        return told.select("node", pl.col("triangles").fill_null(0).cast(pl.Int64))

    answer: FrameStream = run_supersteps(program, both_ways(edges), name=name, schema=schema)
    return answer


def _closed(part: Part, up: pl.DataFrame) -> Supersteps[pl.DataFrame]:
    """The triangles of this worker's nodes, from edges that point upwards, at their lower end."""
    wanted = distinct(up["dst"])
    owners = part.owners(wanted)
    asked = yield [wanted.filter(pl.Series(owners == worker)) for worker in range(part.workers)]
    lists: Sequence[pl.DataFrame] = yield [
        up.join(asking.alias("src").to_frame(), on="src", how="semi") for asking in asked
    ]
    second = pl.concat(lists)
    named = distinct(up["src"], up["dst"], second["dst"])
    first_links, second_links = _matrix(named, up), _matrix(named, second)
    # Paths a -> b -> c of two steps that an edge a -> c closes, counted at all three.
    closed = (first_links @ second_links).multiply(first_links).tocsr()
    at_a, at_c = np.asarray(closed.sum(axis=1)).ravel(), np.asarray(closed.sum(axis=0)).ravel()
    through = first_links.multiply(first_links @ second_links.T).tocsr()
    at_b = np.asarray(through.sum(axis=0)).ravel()
    counts = pl.DataFrame({"node": named, "triangles": (at_a + at_b + at_c).astype(np.int64)})
    owners = part.owners(counts["node"])
    received: Sequence[pl.DataFrame] = yield [
        counts.filter(pl.Series(owners == worker)) for worker in range(part.workers)
    ]
    return pl.concat(received).group_by("node").agg(pl.col("triangles").sum())


def _matrix(named: pl.Series, links: pl.DataFrame) -> Any:
    ends = (positions(named, links["src"]), positions(named, links["dst"]))
    return (
        scipy("sparse").coo_array((np.ones(len(links), dtype=np.int64), ends), shape=(len(named), len(named))).tocsr()
    )
