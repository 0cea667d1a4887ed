"""Edges and nodes as the algorithms take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from limnad.bsp import Part
from limnad.errors import JobError
from limnad.incremental import Collection
from limnad.stream import FrameStream
from limnad.stream.base import extra
from limnad.timely.graph import GraphError

ENDS = ("src", "dst")


def check_edges(
    caller: str, edges: FrameStream | Collection, nodes: FrameStream | Collection | None = None, node: str = "node"
) -> Any:
    """The type of nodes' identifiers.

    Raises:
        GraphError: The edges have no columns ``src`` and ``dst`` of one type, or ``nodes`` no column ``node`` of it.
    """
    for column in ENDS:
        if column not in edges.schema:
            raise GraphError(
                f"{caller} takes edges with the columns 'src' and 'dst', but {_origin(edges)!r} has "
                f"{', '.join(edges.schema)}: rename() them"
            )
    dtype = edges.schema["src"]
    if edges.schema["dst"] != dtype:
        raise GraphError(f"{caller} needs ends of one type, but 'src' is {dtype} and 'dst' {edges.schema['dst']}")
    if not (dtype.is_integer() or dtype == pl.String):
        raise GraphError(f"{caller} takes integers or strings as nodes, not {dtype}: cast 'src' and 'dst'")
    if nodes is not None and nodes.schema.get(node) != dtype:
        raise GraphError(
            f"{caller} takes nodes with a column {node!r} of type {dtype}, but {_origin(nodes)!r} has "
            f"{dict(nodes.schema)}"
        )
    return dtype


def _origin(rows: FrameStream | Collection) -> str:
    return (rows.stream if isinstance(rows, Collection) else rows).stage.name


def check_weight(caller: str, edges: FrameStream | Collection, weight: str | None) -> None:
    """A column of weights is there and numeric.

    Raises:
        GraphError: It is not.
    """
    if weight is not None and (weight not in edges.schema or not edges.schema[weight].is_numeric()):
        raise GraphError(f"{caller} needs a numeric column {weight!r} of weights: there are {dict(edges.schema)}")


def scipy(module: str) -> Any:
    """A module of SciPy, asked for while the flow is described: not while the first rows wait.

    Raises:
        JobError: ``limnad[graph]`` is not installed.
    """
    return extra("graph", f"scipy.{module}")


def both_ways(edges: FrameStream) -> FrameStream:
    """Each edge and its reverse, partitioned by ``src``."""
    straight = edges.select(*ENDS)
    return straight.concat(straight.select(src="dst", dst="src")).partition_by("src")


def simple(frame: pl.DataFrame) -> pl.DataFrame:
    """Each edge once, without loops at a node."""
    return frame.filter(pl.col("src") != pl.col("dst")).unique()


def rows_of(part: Part, port: int, schema: Mapping[str, Any]) -> pl.DataFrame:
    """An input's rows.

    Raises:
        JobError: A node is null.
    """
    frame = part.frame(port, schema)
    for column in frame.columns:
        if frame[column].null_count():
            raise JobError(f"the column {column!r} of a graph's input has nulls: drop or fill those rows before")
    return frame


def optional_nodes(nodes: FrameStream | None, node: str = "node") -> Sequence[FrameStream]:
    """As a further input, partitioned."""
    return [] if nodes is None else [nodes.select(node).partition_by(node)]


def nodes_of(part: Part, port: int, dtype: Any, node: str = "node") -> pl.Series:
    """Of an optional input; empty without one."""
    if port >= len(part.inputs):
        return pl.Series(node, [], dtype=dtype)
    return rows_of(part, port, {node: dtype})[node]
