"""Strongly connected components: what each worker finds in its own edges is contracted first, often to very little.

What is left is solved at once where it is small. Where it is not, it is *coloured*: each node takes the least node that
reaches it; a node of its own colour is then the least of its component, and those of its colour that reach it are the
component (Orzan's colouring). Components that are found are taken out, and the rest is coloured anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, all_gather, run_supersteps
from limnad.graph.components import locally_connected, merged, relabelled
from limnad.graph.inputs import check_edges, nodes_of, optional_nodes, rows_of, scipy
from limnad.graph.mirrors import Mirrors, mirrors_of
from limnad.graph.numbering import distinct, positions
from limnad.graph.relaxing import Links, relaxed
from limnad.stream import FrameStream

Array = npt.NDArray[Any]

SMALL_EDGES = 1 << 22
"""So many contracted edges are sent to every worker, each of which then needs no superstep more."""


def strongly_connected_components(
    edges: FrameStream,
    nodes: FrameStream | None = None,
    *,
    small_edges: int = SMALL_EDGES,
    name: str = "strongly connected components",
) -> FrameStream:
    """The strongly connected components of each epoch's graph. Needs ``limnad[graph]``.

    Args:
        edges: Columns ``src`` and ``dst``, integers or strings. They stay where they are.
        nodes: Column ``node``: nodes that perhaps have no edge.
        small_edges: Up to so many edges of the contracted graph are gathered on each worker; more are coloured.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``component``: the least node of its component.

    Raises:
        GraphError: The columns are not these.
    """
    dtype = check_edges("strongly_connected_components()", edges, nodes)
    scipy("sparse.csgraph")
    schema = {"node": dtype, "component": dtype}

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        frame = rows_of(part, 0, {"src": dtype, "dst": dtype})
        named, least = locally_connected(frame["src"], frame["dst"], nodes_of(part, 1, dtype), strongly=True)
        own, label = yield from merged(part, named, named.gather(least))
        left = yield from _contracted(part, frame, named, label)
        if sum((yield from all_gather(part, len(left)))) <= small_edges:
            told = pl.concat((yield from all_gather(part, left)))
            joined, least = locally_connected(told["src"], told["dst"], named.clear(), strongly=True)
            return pl.DataFrame({"node": own, "component": relabelled(label, joined, joined.gather(least))})
        component = yield from _coloured(part, left, label)
        return pl.DataFrame({"node": own, "component": component}, schema=schema)

    inputs = [edges.select("src", "dst"), *optional_nodes(nodes)]
    answer: FrameStream = run_supersteps(program, *inputs, name=name, schema=schema)
    return answer


def _contracted(part: Part, frame: pl.DataFrame, named: pl.Series, label: pl.Series) -> Supersteps[pl.DataFrame]:
    """This worker's edges between the labels of their ends, each once and none from a label to itself."""
    mirrors = yield from mirrors_of(part, named)
    labels, _ = yield from mirrors.pull(label.to_numpy())
    ends = {end: pl.Series(labels[mirrors.mirrored(frame[end])], dtype=label.dtype) for end in ("src", "dst")}
    return pl.DataFrame(ends).filter(pl.col("src") != pl.col("dst")).unique()


class _Direction:
    """The contracted edges in one direction, at the owner of the end they come from."""

    def __init__(self, mirrors: Mirrors, edges: pl.DataFrame) -> None:
        self.mirrors = mirrors
        self.sources, self.targets = mirrors.owned(edges["src"]), mirrors.mirrored(edges["dst"])

    def least(self, part: Part, colours: Array, values: Array, *, within: bool) -> Supersteps[None]:
        """Lets values fall along the edges between nodes that have a colour, or (``within``) the same colour."""
        there, _ = yield from self.mirrors.pull(colours)
        kept = (colours[self.sources] >= 0) & (there[self.targets] >= 0)
        if within:
            kept &= colours[self.sources] == there[self.targets]
        links = Links(self.sources[kept], self.targets[kept], np.zeros(int(kept.sum())))
        yield from relaxed(part, self.mirrors, links, values, save=False)


def _direction(part: Part, edges: pl.DataFrame, nodes: pl.Series) -> Supersteps[_Direction]:
    owners = part.owners(edges["src"])
    received = yield [edges.filter(pl.Series(owners == worker)) for worker in range(part.workers)]
    mine = pl.concat(received).unique()
    mirrors = yield from mirrors_of(part, distinct(mine["dst"]), nodes)
    return _Direction(mirrors, mine)


def _coloured(part: Part, left: pl.DataFrame, label: pl.Series) -> Supersteps[pl.Series]:
    """For each label the least label of its strongly connected component."""
    asking = yield from mirrors_of(part, distinct(label))
    forth = yield from _direction(part, left, asking.own)
    back = yield from _direction(part, left.select(src="dst", dst="src"), asking.own)
    known = distinct(*(yield from all_gather(part, asking.own)))
    numbers = positions(known, asking.own).astype(np.float64)
    found = np.full(len(numbers), -1, dtype=np.int64)
    while sum((yield from all_gather(part, int((found < 0).sum())))):
        alive = found < 0
        colours = np.where(alive, numbers, np.inf)[:, None]
        yield from forth.least(part, np.where(alive, 0, -1), colours, within=False)
        colour = np.where(alive, colours[:, 0], -1)
        reached = np.where(alive & (colour == numbers), numbers, np.inf)[:, None]
        yield from back.least(part, colour, reached, within=True)
        done = np.isfinite(reached[:, 0])
        found[done] = colour[done].astype(np.int64)
    answers, _ = yield from asking.pull(found)
    return known.gather(answers[asking.mirrored(label)])
