"""Pregel on frames: in each superstep, a program for all of a worker's active vertices at once.

Vertices hold state, get messages, send messages along edges or to anybody, vote to halt, and change the graph. What
Pregel says of one vertex is said here of columns: ``compute`` sees the active vertices as a frame, and answers in
frames. It ends when all vertices have voted to halt and no message is on its way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from limnad.bsp import Part, Supersteps, run_supersteps
from limnad.errors import JobError
from limnad.graph.inputs import check_edges, nodes_of, optional_nodes, rows_of
from limnad.graph.numbering import distinct
from limnad.stream import FrameStream

HALTED = "__limnad_halted"

CHANGES = ("remove_edges", "remove_nodes", "add_nodes", "add_edges")
"""Changes of the graph, in the order in which those of one superstep are made (that of the Pregel paper)."""


class Pregel(ABC):
    """An algorithm: subclasses say what vertices hold, what messages carry, and what is computed.

    Attributes:
        state: The columns of a vertex's state, null until they are set.
        message: The columns of a message.
        combine: Expressions that make one message of several to the same vertex, under the same names; then they
            are combined before they are sent, too. None: each stays for itself.
        max_supersteps: It fails after so many.
    """

    state: Mapping[str, Any] = {}
    message: Mapping[str, Any] = {}
    combine: Sequence[pl.Expr] | None = None
    max_supersteps: int = 10_000

    @abstractmethod
    def compute(self, step: Step) -> None:
        """One superstep of this worker's active vertices: those that have not halted, or have a message."""


@dataclass
class Step:
    """What `Pregel.compute` sees and does.

    Attributes:
        superstep: From 0, in which all vertices are active.
        nodes: How many vertices there are on all workers.
        vertices: The active ones: ``node``, the state, and with `Pregel.combine` the message's columns (null: none).
        messages: To them: ``node`` and the message's columns.
        edges: All edges that leave this worker's vertices: ``src``, ``dst`` and their other columns.
    """

    superstep: int
    nodes: int
    vertices: pl.DataFrame
    messages: pl.DataFrame
    edges: pl.DataFrame
    _totals: Mapping[str, Any]
    _set: list[pl.DataFrame] = field(default_factory=list)
    _sent: list[pl.DataFrame] = field(default_factory=list)
    _halted: list[pl.Series] = field(default_factory=list)
    _told: dict[str, tuple[str, Any]] = field(default_factory=dict)
    _changes: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    @property
    def out_degrees(self) -> pl.DataFrame:
        """``node`` and ``degree`` of this worker's vertices that an edge leaves."""
        return self.edges.group_by(node="src").agg(degree=pl.len())

    def set(self, states: pl.DataFrame) -> None:
        """New states: ``node`` and all or some of the state's columns; each node once, of the active ones."""
        self._set.append(states)

    def send(self, messages: pl.DataFrame) -> None:
        """Sends messages: ``node`` (to whom) and the message's columns. Who is not there gets none."""
        self._sent.append(messages)

    def halt(self, nodes: pl.Series | None = None) -> None:
        """These vertices (None: all active ones) vote to halt: they are active again when a message comes."""
        self._halted.append(self.vertices["node"] if nodes is None else nodes)

    def aggregate(self, name: str, value: Any, how: str = "sum") -> None:
        """Adds to what all workers are told in the next superstep.

        Args:
            name: Of the aggregator.
            value: A number.
            how: ``"sum"``, ``"min"`` or ``"max"``.
        """
        self._told[name] = (how, value)

    def total(self, name: str) -> Any:
        """What all workers together had aggregated in the superstep before; 0 if none had."""
        return self._totals.get(name, 0)

    def add_nodes(self, nodes: pl.DataFrame) -> None:
        """From the next superstep on: ``node`` and its state; who is there already stays as it is."""
        self._changes.setdefault("add_nodes", []).append(nodes)

    def add_edges(self, edges: pl.DataFrame) -> None:
        """From the next superstep on; columns as in ``edges``."""
        self._changes.setdefault("add_edges", []).append(edges)

    def remove_nodes(self, nodes: pl.Series) -> None:
        """From the next superstep on, with the edges that leave them. Edges to them stay and lead nowhere."""
        self._changes.setdefault("remove_nodes", []).append(nodes.alias("node").to_frame())

    def remove_edges(self, edges: pl.DataFrame) -> None:
        """From the next superstep on: all edges from these ``src`` to these ``dst``."""
        self._changes.setdefault("remove_edges", []).append(edges.select("src", "dst"))


def pregel(
    algorithm: Pregel, edges: FrameStream, nodes: FrameStream | None = None, *, name: str = "pregel"
) -> FrameStream:
    """Runs a Pregel algorithm on each epoch's graph.

    After a restart an epoch that was not complete is computed anew.

    Args:
        algorithm: What to compute.
        edges: Columns ``src`` and ``dst``, and any others. The nodes are their ends.
        nodes: Column ``node``: nodes that perhaps have no edge.
        name: Of the stage.

    Returns:
        Columns ``node`` and the state's, as they are in the end.

    Raises:
        GraphError: The columns are not these.
        JobError: While the job runs: it does not end, or two workers aggregate in different ways.
    """
    dtype = check_edges("pregel()", edges, nodes)
    schema = {"node": dtype, **algorithm.state}

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        return (yield from _Run(part, algorithm, dtype, dict(edges.schema)).run())

    inputs = [edges.partition_by("src"), *optional_nodes(nodes)]
    answer: FrameStream = run_supersteps(program, *inputs, name=name, schema=schema)
    return answer


class _Run:
    """One worker's vertices, edges and messages."""

    def __init__(self, part: Part, algorithm: Pregel, dtype: Any, edge_schema: Mapping[str, Any]) -> None:
        self._part = part
        self._algorithm = algorithm
        self._dtype = dtype
        self._edges = rows_of(part, 0, edge_schema)
        self._message_schema = {"node": dtype, **algorithm.message}
        self._messages = pl.DataFrame(schema=self._message_schema)
        self._vertices = pl.DataFrame(schema={"node": dtype, **algorithm.state, HALTED: pl.Boolean})
        self._totals: dict[str, Any] = {}

    def run(self) -> Supersteps[pl.DataFrame]:
        part, algorithm = self._part, self._algorithm
        ends = distinct(self._edges["dst"])
        received = yield self._split(ends.alias("node").to_frame(), "node")
        named = distinct(self._edges["src"], *(frame["node"] for frame in received), nodes_of(part, 1, self._dtype))
        self._add_nodes(named.alias("node").to_frame())
        nodes = sum((yield [len(named)] * part.workers))
        for superstep in range(algorithm.max_supersteps):
            step = self._step(superstep, nodes)
            algorithm.compute(step)
            self._take(step)
            said = yield self._envelopes(step)
            self._receive(said)
            nodes = sum((yield [len(self._vertices)] * part.workers))
            if not any(busy for *_, busy in said) and not any(changes for _, changes, _, _ in said):
                return self._vertices.drop(HALTED)
        raise JobError(
            f"a Pregel algorithm has not ended after {algorithm.max_supersteps} supersteps: let vertices halt(), or "
            "raise its max_supersteps"
        )

    def _step(self, superstep: int, nodes: int) -> Step:
        messages, active = self._messages, ~pl.col(HALTED)
        if len(messages):
            self._vertices = self._vertices.with_columns(
                pl.col(HALTED) & ~pl.col("node").is_in(messages["node"].implode())
            )
        vertices = self._vertices.filter(active).drop(HALTED)
        if self._algorithm.combine is not None:
            vertices = vertices.join(messages, on="node", how="left", maintain_order="left")
        return Step(superstep, nodes, vertices, messages, self._edges, self._totals)

    def _take(self, step: Step) -> None:
        """Takes over what the vertices have decided for themselves."""
        for states in step._set:
            self._set(states.cast({name: self._algorithm.state[name] for name in states.columns if name != "node"}))
        for halted in step._halted:
            self._vertices = self._vertices.with_columns(pl.col(HALTED) | pl.col("node").is_in(halted.implode()))

    def _set(self, states: pl.DataFrame) -> None:
        if states["node"].equals(self._vertices["node"]):
            self._vertices = self._vertices.with_columns(states.drop("node"))
        else:
            self._vertices = self._vertices.update(states, on="node", include_nulls=True)

    def _envelopes(self, step: Step) -> Sequence[Any]:
        messages = self._combined([sent.select(list(self._message_schema)) for sent in step._sent])
        changes: list[dict[str, pl.DataFrame]] = [{} for _ in range(self._part.workers)]
        for kind, frames in step._changes.items():
            by = "src" if kind.endswith("edges") else "node"
            for worker, share in enumerate(self._split(pl.concat(frames, how="diagonal"), by)):
                if len(share):
                    changes[worker][kind] = share
        busy = bool(len(messages)) or not self._vertices[HALTED].all()
        shares = self._split(messages, "node")
        return [(share, made, step._told, busy) for share, made in zip(shares, changes, strict=True)]

    def _receive(self, said: Sequence[Any]) -> None:
        for kind in CHANGES:
            for _, changes, _, _ in said:
                if kind in changes:
                    getattr(self, f"_{kind}")(changes[kind])
        arrived = self._combined([messages for messages, *_ in said])
        self._messages = arrived.join(self._vertices.select("node"), on="node", how="semi")
        self._totals = _totals([told for _, _, told, _ in said])

    def _combined(self, frames: list[pl.DataFrame]) -> pl.DataFrame:
        whole = pl.concat([pl.DataFrame(schema=self._message_schema), *frames], how="vertical_relaxed")
        if self._algorithm.combine is None:
            return whole
        return whole.group_by("node").agg(*self._algorithm.combine).cast(self._message_schema)  # type: ignore[arg-type]

    def _split(self, frame: pl.DataFrame, by: str) -> list[pl.DataFrame]:
        owners = self._part.owners(frame[by].cast(self._dtype))
        return [frame.filter(pl.Series(owners == worker)) for worker in range(self._part.workers)]

    def _add_nodes(self, nodes: pl.DataFrame) -> None:
        new = nodes.unique("node").join(self._vertices.select("node"), on="node", how="anti").sort("node")
        new = new.with_columns(pl.lit(False).alias(HALTED))
        self._vertices = pl.concat([self._vertices, new], how="diagonal_relaxed").cast(dict(self._vertices.schema))  # type: ignore[arg-type]

    def _add_edges(self, edges: pl.DataFrame) -> None:
        self._edges = pl.concat([self._edges, edges.select(self._edges.columns)], how="vertical_relaxed")

    def _remove_nodes(self, nodes: pl.DataFrame) -> None:
        self._vertices = self._vertices.join(nodes, on="node", how="anti", maintain_order="left")
        self._edges = self._edges.join(nodes.rename({"node": "src"}), on="src", how="anti", maintain_order="left")

    def _remove_edges(self, edges: pl.DataFrame) -> None:
        self._edges = self._edges.join(edges, on=["src", "dst"], how="anti", maintain_order="left")


_HOW: dict[str, Any] = {"sum": np.sum, "min": np.min, "max": np.max}


def _totals(told: Sequence[Mapping[str, tuple[str, Any]]]) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    ways: dict[str, set[str]] = {}
    for one in told:
        for name, (how, value) in one.items():
            values.setdefault(name, []).append(value)
            ways.setdefault(name, set()).add(how)
    for name, hows in ways.items():
        if len(hows) > 1 or not hows <= _HOW.keys():
            raise JobError(f"the aggregator {name!r} is 'sum', 'min' or 'max', and always the same, not {sorted(hows)}")
    return {name: _HOW[next(iter(ways[name]))](some) for name, some in values.items()}
