"""Shortest paths: what has come nearer tells its neighbours, until nothing comes nearer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, all_gather, run_supersteps
from limnad.errors import JobError
from limnad.graph.inputs import check_edges, check_weight, nodes_of, optional_nodes, rows_of
from limnad.graph.mirrors import Mirrors, mirrors_of
from limnad.graph.numbering import distinct, positions
from limnad.graph.relaxing import Links, relaxed
from limnad.stream import FrameStream

Array = npt.NDArray[Any]


def breadth_first(edges: FrameStream, roots: FrameStream, name: str = "breadth first") -> FrameStream:
    """How many edges each node is away from the nearest root.

    Args:
        edges: Columns ``src`` and ``dst``, followed from source to target.
        roots: Column ``node``.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``distance``, of the nodes that can be reached.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("breadth_first()", edges, roots)
    found = _paths(edges, roots, None, name, apart=False)
    return found.select("node", pl.col("distance").cast(pl.Int64))


def shortest_paths(
    edges: FrameStream, roots: FrameStream, weight: str = "weight", name: str = "shortest paths"
) -> FrameStream:
    """The length of the shortest path from the nearest root to each node.

    Args:
        edges: Columns ``src``, ``dst`` and the weight, at least 0; followed from source to target.
        roots: Column ``node``.
        weight: The column of weights.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``distance``, of the nodes that can be reached.

    Raises:
        GraphError: The columns are not these.
        JobError: While the job runs: a weight is negative or no number.
    """
    check_edges("shortest_paths()", edges, roots)
    check_weight("shortest_paths()", edges, weight)
    return _paths(edges, roots, weight, name, apart=False).select("node", "distance")


def landmark_distances(
    edges: FrameStream, landmarks: FrameStream, weight: str | None = None, name: str = "landmark distances"
) -> FrameStream:
    """How far each node is from each of a few landmarks: what `estimated_distances` estimates from.

    Args:
        edges: Columns ``src`` and ``dst`` (and the weight), followed from source to target. For distances in both
            directions give edges both ways.
        landmarks: Column ``node``, some tens at most: each node keeps a number for each.
        weight: The column of weights; None: each edge has length 1.
        name: Of the stage.

    Returns:
        Columns ``node``, ``landmark`` and ``distance``, of those that can be reached.

    Raises:
        GraphError: The columns are not these.
    """
    check_edges("landmark_distances()", edges, landmarks)
    check_weight("landmark_distances()", edges, weight)
    return _paths(edges, landmarks, weight, name, apart=True)


def estimated_distances(pairs: FrameStream, distances: FrameStream) -> FrameStream:
    """At most how far apart two nodes are: the shortest way through a landmark.

    Args:
        pairs: Columns ``src`` and ``dst``.
        distances: From `landmark_distances` on edges both ways.

    Returns:
        Columns ``src``, ``dst`` and ``distance``; no row for a pair that no landmark reaches.
    """
    leaving = pairs.select("src", "dst").unique().join(distances.rename({"node": "src", "distance": "there"}), "src")
    through = leaving.join(distances.rename({"node": "dst", "distance": "back"}), ["dst", "landmark"])
    return through.group_by("src", "dst").agg((pl.col("there") + pl.col("back")).min().alias("distance"))


def _paths(edges: FrameStream, roots: FrameStream, weight: str | None, name: str, *, apart: bool) -> FrameStream:
    dtype = edges.schema["src"]
    columns = {"src": dtype, "dst": dtype, **({} if weight is None else {weight: edges.schema[weight]})}
    schema: dict[str, Any] = {"node": dtype, "landmark": dtype, "distance": pl.Float64}

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        frame, roots_here = rows_of(part, 0, columns), nodes_of(part, 1, dtype).unique()
        mirrors = yield from mirrors_of(part, distinct(frame["dst"]), frame["src"], roots_here)
        links = Links(mirrors.owned(frame["src"]), mirrors.mirrored(frame["dst"]), _lengths(frame, weight))
        landmarks = distinct(*(yield from all_gather(part, roots_here)))
        distances = np.full((len(mirrors.own), len(landmarks) if apart else 1), np.inf)
        distances[mirrors.owned(roots_here), positions(landmarks, roots_here) if apart else 0] = 0
        _take_saved(part, mirrors, distances)
        yield from relaxed(part, mirrors, links, distances)
        node, landmark = np.nonzero(np.isfinite(distances))
        named = landmarks.gather(landmark) if apart else mirrors.own.gather(node)
        reached = {"node": mirrors.own.gather(node), "landmark": named, "distance": distances[node, landmark]}
        return pl.DataFrame(reached, schema=schema)

    inputs = [edges.select(*columns).partition_by("src"), *optional_nodes(roots)]
    found: FrameStream = run_supersteps(program, *inputs, name=name, schema=schema)
    return found


def _lengths(frame: pl.DataFrame, weight: str | None) -> Array:
    if weight is None:
        return np.ones(len(frame))
    lengths = frame[weight].cast(pl.Float64).to_numpy()
    if not (lengths >= 0).all():
        raise JobError(f"shortest paths need weights of at least 0, but column {weight!r} has {np.min(lengths)}")
    return lengths


def _take_saved(part: Part, mirrors: Mirrors, values: Array) -> None:
    """Distances only fall: those of before a restart are as good a start as any."""
    saved: Mapping[str, Array] | None = part.saved
    if saved is not None:
        at = mirrors.owned(saved["node"])
        values[at] = np.minimum(values[at], saved["value"])
