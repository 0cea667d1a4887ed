"""Gather, apply, scatter, with edges partitioned (PowerGraph): a hub's edges lie on all workers.

A node's value is kept by its owner and mirrored wherever it has an edge. Each round, workers gather over their own
edges, each mirror sends its node one partial sum, owners apply, and new values go to the mirrors: two supersteps, and
columns as long as there are mirrors, however many edges there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, all_gather, run_supersteps
from limnad.graph.inputs import check_edges, nodes_of, optional_nodes, rows_of
from limnad.graph.mirrors import Mirrors, mirrors_of
from limnad.graph.numbering import distinct
from limnad.stream import FrameStream
from limnad.timely.graph import GraphError

Array = npt.NDArray[Any]


class Gas(ABC):
    """An algorithm: subclasses say what is gathered, how it is applied, and what is to go on.

    Attributes:
        ufunc: How gathered values are summed: ``np.add``, ``np.minimum`` or ``np.maximum``.
        nothing: What that gives for a node at which nothing was gathered.
        max_rounds: The most rounds.
    """

    ufunc: ClassVar[np.ufunc] = np.add
    nothing: float = 0.0
    max_rounds: int = 100

    @abstractmethod
    def start(self, out_degrees: Array, nodes: int) -> Array:
        """The first value of each node.

        Args:
            out_degrees: Of the nodes of one worker; loops and repeated edges count.
            nodes: How many nodes there are on all workers.
        """

    @abstractmethod
    def gather(self, values: Array, out_degrees: Array, columns: Sequence[Array]) -> Array:
        """What each edge brings to its target.

        Args:
            values: Of the edges' sources.
            out_degrees: Likewise.
            columns: The edges' own columns.
        """

    @abstractmethod
    def apply(self, values: Array, gathered: Array, shared: float, nodes: int) -> Array:
        """The new values of nodes.

        Args:
            values: The old ones.
            gathered: What their edges have brought, summed.
            shared: The sum over all nodes of what `share` gave.
            nodes: How many nodes there are on all workers.
        """

    def share(self, values: Array, out_degrees: Array) -> float:
        """What this worker's nodes tell all, summed before each `apply`: an aggregator."""
        return 0.0

    def active(self, before: Array, after: Array, nodes: int) -> float:
        """How much is left to do; it ends when the sum over all workers is below 1. By default: how many changed."""
        return float((before != after).sum())


def gas(
    algorithm: Gas,
    edges: FrameStream,
    nodes: FrameStream | None = None,
    *,
    columns: Sequence[str] = (),
    value: str = "value",
    name: str = "gas",
) -> FrameStream:
    """Runs gather, apply, scatter on each epoch's graph.

    Args:
        algorithm: What to do.
        edges: Columns ``src`` and ``dst``, and those to be gathered from. They are spread evenly by both ends.
        nodes: Column ``node``: nodes that perhaps have no edge.
        columns: Numeric columns of the edges that `Gas.gather` takes.
        value: What the column of values is called.
        name: Of the stage.

    Returns:
        Columns ``node`` and the value, a float.

    Raises:
        GraphError: The columns are not these.
    """
    dtype = check_edges("gas()", edges, nodes)
    if missing := [column for column in columns if column not in edges.schema]:
        raise GraphError(f"gas() finds no column {missing[0]!r}: there are {', '.join(edges.schema)}")
    taken = {column: edges.schema[column] for column in ("src", "dst", *columns)}

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        frame = rows_of(part, 0, taken)
        mirrors = yield from mirrors_of(part, distinct(frame["src"], frame["dst"]), nodes_of(part, 1, dtype))
        values = yield from _rounds(part, algorithm, mirrors, frame, [frame[column].to_numpy() for column in columns])
        return pl.DataFrame({"node": mirrors.own, value: values}, schema={"node": dtype, value: pl.Float64})

    inputs = [edges.select(*taken).partition_by("src", "dst"), *optional_nodes(nodes)]
    answer: FrameStream = run_supersteps(program, *inputs, name=name, schema={"node": dtype, value: pl.Float64})
    return answer


def _rounds(
    part: Part, algorithm: Gas, mirrors: Mirrors, frame: pl.DataFrame, columns: Sequence[Array]
) -> Supersteps[Array]:
    sources, targets = mirrors.mirrored(frame["src"]), mirrors.mirrored(frame["dst"])
    order = np.argsort(targets, kind="stable")
    sources, targets, columns = sources[order], targets[order], [column[order] for column in columns]
    begins = np.flatnonzero(np.diff(targets, prepend=-1))
    reached = targets[begins]
    out = np.zeros(len(mirrors.own))
    yield from mirrors.push(np.bincount(sources, minlength=len(mirrors.touched)).astype(np.float64), out, np.add)
    out_there, _ = yield from mirrors.pull(out)
    values, done = algorithm.start(out, mirrors.nodes), 0
    if part.saved is not None:
        values[mirrors.owned(part.saved["node"])] = part.saved["value"]
        done = max((yield from all_gather(part, int(part.saved["rounds"].max(initial=0)))))
    names, left = mirrors.own.to_numpy(), np.inf
    while done < algorithm.max_rounds:
        there, told = yield from mirrors.pull(values, left)
        if sum(told) < 1:
            break
        partial = np.full(len(mirrors.touched), algorithm.nothing)
        brought = algorithm.gather(there[sources], out_there[sources], columns)
        if len(begins):
            partial[reached] = algorithm.ufunc.reduceat(brought, begins)
        gathered = np.full(len(values), algorithm.nothing)
        shares = yield from mirrors.push(partial, gathered, algorithm.ufunc, algorithm.share(values, out))
        before, values = values, algorithm.apply(values, gathered, sum(shares), mirrors.nodes)
        left, done = algorithm.active(before, values, mirrors.nodes), done + 1
        part.save(by="node", node=names, value=values, rounds=np.broadcast_to(done, len(values)))
    return values
