"""What nodes learn from their neighbours' values, round after round: core numbers and communities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, all_gather, run_supersteps
from limnad.errors import JobError
from limnad.graph.inputs import both_ways, check_edges, nodes_of, optional_nodes, rows_of, simple
from limnad.graph.mirrors import Mirrors, mirrors_of
from limnad.graph.numbering import distinct, positions
from limnad.stream import FrameStream

Array = npt.NDArray[Any]

Learn = Callable[[Array, Array, Array], Array]
"""Makes the new values of own nodes from their old ones and from pairs of node and neighbour's value, by node."""


def core_numbers(edges: FrameStream, nodes: FrameStream | None = None, name: str = "core numbers") -> FrameStream:
    """For each node the largest k such that it is in a subgraph where all have k neighbours.

    Each node starts from its degree and takes the largest h of which h neighbours have at least h, until none changes
    (Lü and others, 2016).

    Args:
        edges: Columns ``src`` and ``dst``; direction, repetition and loops at a node do not matter.
        nodes: Column ``node``: nodes that perhaps have no edge.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``core``.

    Raises:
        GraphError: The columns are not these.
    """
    dtype = check_edges("core_numbers()", edges, nodes)

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        near = yield from _neighbours(part, dtype)
        degrees = np.bincount(near.sources, minlength=len(near.mirrors.own))
        values = yield from _rounds(part, near, degrees, _h_index, None)
        return pl.DataFrame({"node": near.mirrors.own, "core": values}, schema={"node": dtype, "core": pl.Int64})

    return _run(program, edges, nodes, name, {"node": dtype, "core": pl.Int64})


def label_propagation(
    edges: FrameStream, rounds: int, nodes: FrameStream | None = None, name: str = "label propagation"
) -> FrameStream:
    """Communities: each round, each node takes the commonest label of its neighbours, of several the least.

    A node's first label is its position among all nodes, so the answer is the same on any number of workers. All change
    at once; it ends early when none changes.

    Args:
        edges: Columns ``src`` and ``dst``; direction, repetition and loops at a node do not matter.
        rounds: How many, at least 0.
        nodes: Column ``node``: nodes that perhaps have no edge.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``label``: a node, whose label it was.

    Raises:
        GraphError: The columns are not these.
        JobError: ``rounds`` is negative.
    """
    dtype = check_edges("label_propagation()", edges, nodes)
    if rounds < 0:
        raise JobError(f"label_propagation() needs rounds of at least 0, not {rounds}")

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        near = yield from _neighbours(part, dtype)
        own = near.mirrors.own
        known = distinct(*(yield from all_gather(part, own)))
        first = positions(known, own).astype(np.int64)
        values = yield from _rounds(part, near, first, _commonest, rounds)
        return pl.DataFrame({"node": own, "label": known.gather(values)}, schema={"node": dtype, "label": dtype})

    return _run(program, edges, nodes, name, {"node": dtype, "label": dtype})


def _run(program: Any, edges: FrameStream, nodes: FrameStream | None, name: str, schema: Any) -> FrameStream:
    answer: FrameStream = run_supersteps(program, both_ways(edges), *optional_nodes(nodes), name=name, schema=schema)
    return answer


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """Pairs of an own node's position and a neighbour's mirror, by node."""

    mirrors: Mirrors
    sources: Array
    targets: Array


def _neighbours(part: Part, dtype: Any) -> Supersteps[_Neighbours]:
    frame = rows_of(part, 0, {"src": dtype, "dst": dtype})
    edges = simple(frame)
    mirrors = yield from mirrors_of(part, distinct(edges["dst"]), frame["src"], nodes_of(part, 1, dtype))
    sources, targets = mirrors.owned(edges["src"]), mirrors.mirrored(edges["dst"])
    order = np.argsort(sources, kind="stable")
    return _Neighbours(mirrors, sources[order], targets[order])


def _rounds(part: Part, near: _Neighbours, values: Array, learn: Learn, rounds: int | None) -> Supersteps[Array]:
    """Pulls neighbours' values and learns from them, until nothing changes or for so many rounds."""
    mirrors, done = near.mirrors, 0
    if part.saved is not None:
        values[mirrors.owned(part.saved["node"])] = part.saved["value"]
        done = max((yield from all_gather(part, int(part.saved["rounds"].max(initial=0)))))
    names, changed = mirrors.own.to_numpy(), True
    while rounds is None or done < rounds:
        pulled, told = yield from mirrors.pull(values, changed)
        if not any(told):
            break
        before, values, done = values, learn(values, near.sources, pulled[near.targets]), done + 1
        changed = bool((before != values).any())
        part.save(by="node", node=names, value=values, rounds=np.broadcast_to(done, len(values)))
    return values


def _h_index(values: Array, sources: Array, near: Array) -> Array:
    """The largest h of which h neighbours have at least h, and not more than before.

    >>> _h_index(np.array([3, 0]), np.array([0, 0, 0]), np.array([2, 1, 5])).tolist()
    [2, 0]
    """
    order = np.lexsort((-near, sources))
    by_node = sources[order]
    begins = np.searchsorted(by_node, np.arange(len(values)))
    rank = np.arange(len(order)) - begins[by_node] + 1
    index = np.bincount(by_node[near[order] >= rank], minlength=len(values))
    return np.minimum(values, index)


def _commonest(values: Array, sources: Array, near: Array) -> Array:
    """The commonest of each node's neighbours' values, of several the least; without neighbours its own.

    >>> _commonest(np.array([7, 9]), np.array([0, 0, 0]), np.array([2, 1, 2])).tolist()
    [2, 9]
    """
    order = np.lexsort((near, sources))
    by_node, ordered = sources[order], near[order]
    begins = np.flatnonzero((np.diff(by_node, prepend=-1) != 0) | (np.diff(ordered, prepend=-1) != 0))
    counts = np.diff(begins, append=len(order))
    node, value = by_node[begins], ordered[begins]
    best = np.lexsort((-value, counts, node))
    chosen = values.copy()
    chosen[node[best]] = value[best]  # The last one of each node stays: the commonest, and of several the least.
    return chosen
