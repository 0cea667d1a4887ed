"""Connected components: each worker solves its own edges, and what they disagree about is a much smaller graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, all_gather, run_supersteps
from limnad.graph.inputs import check_edges, nodes_of, optional_nodes, rows_of, scipy
from limnad.graph.numbering import distinct, placed, positions
from limnad.stream import FrameStream

Array = npt.NDArray[Any]

SAMPLE = 8
"""One edge in so many is looked at first."""

SAMPLED_EDGES = 1 << 16
"""Fewer edges are looked at all at once."""


def connected_components(
    edges: FrameStream, nodes: FrameStream | None = None, name: str = "connected components"
) -> FrameStream:
    """The weakly connected components of each epoch's graph. Needs ``limnad[graph]``.

    Args:
        edges: Columns ``src`` and ``dst``, integers or strings; direction does not matter. They stay where they are.
        nodes: Column ``node``: nodes that perhaps have no edge.
        name: Of the stage.

    Returns:
        Columns ``node`` and ``component``: the least node of its component.

    Raises:
        GraphError: The columns are not these.
    """
    dtype = check_edges("connected_components()", edges, nodes)
    scipy("sparse.csgraph")

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        frame = rows_of(part, 0, {"src": dtype, "dst": dtype})
        named, least = locally_connected(frame["src"], frame["dst"], nodes_of(part, 1, dtype))
        own, label = yield from merged(part, named, named.gather(least))
        return pl.DataFrame({"node": own, "component": label}, schema={"node": dtype, "component": dtype})

    inputs = [edges.select("src", "dst"), *optional_nodes(nodes)]
    answer: FrameStream = run_supersteps(program, *inputs, name=name, schema={"node": dtype, "component": dtype})
    return answer


def merged(part: Part, named: pl.Series, leaders: pl.Series) -> Supersteps[tuple[pl.Series, pl.Series]]:
    """Joins what all workers know of which nodes belong together.

    Args:
        part: The worker.
        named: Nodes, each once.
        leaders: For each another node (or itself) to which it belongs.

    Returns:
        This worker's own nodes, of all that were named anywhere, and for each the least leader of those joined.
    """
    owners = part.owners(named)
    sent = [(named.filter(pl.Series(mine)), leaders.filter(pl.Series(mine))) for mine in _each(owners, part.workers)]
    received = yield sent
    own = distinct(*(nodes for nodes, _ in received))
    chosen = np.full(len(own), -1, dtype=np.int64)
    known = distinct(*(leading for _, leading in received))
    pairs = []
    for nodes, leading in received:
        at, leader = positions(own, nodes), positions(known, leading)
        before = chosen[at]
        differ = (before >= 0) & (before != leader)
        pairs.append(pl.DataFrame({"a": before[differ], "b": leader[differ]}))
        chosen[at] = leader
    links = pl.concat(pairs).unique()
    told = yield from all_gather(part, (known.gather(links["a"]), known.gather(links["b"])))
    joined, least = locally_connected(pl.concat([a for a, _ in told]), pl.concat([b for _, b in told]), known.clear())
    return own, relabelled(known, joined, joined.gather(least)).gather(chosen)


def relabelled(labels: pl.Series, old: pl.Series, new: pl.Series) -> pl.Series:
    """Each label that is among the old ones becomes the new one beside it; others stay.

    >>> relabelled(pl.Series([1, 2, 1]), pl.Series([1]), pl.Series([5])).to_list()
    [5, 2, 5]
    """
    told = pl.DataFrame({"label": labels}).join(
        pl.DataFrame({"label": old, "new": new}), on="label", how="left", maintain_order="left"
    )
    return told.select(pl.coalesce("new", "label")).to_series()


def _each(owners: Array, workers: int) -> list[Array]:
    return [owners == worker for worker in range(workers)]


def locally_connected(
    sources: pl.Series, targets: pl.Series, more: pl.Series, *, strongly: bool = False
) -> tuple[pl.Series, Array]:
    """All nodes, ascending, and for each the position of the least node of its component."""
    places = placed(sources, targets, more)
    find = _strong_labels if strongly else _weak_labels
    return places.named, first_of(find(places.size, places.of[0], places.of[1])[places.at])


def _weak_labels(size: int, sources: Array, targets: Array) -> Array:
    """A label for each place, of a part of the edges first: it joins so much that few others join anything more.

    (Subgraph sampling, after Sutton and others' Afforest, 2018; exact whatever the part is.)
    """
    if len(sources) < SAMPLED_EDGES:
        return _labels(size, sources, targets, directed=False)
    part = len(sources) // SAMPLE
    labels = _labels(size, sources[:part], targets[:part], directed=False)
    a, b = labels[sources[part:]], labels[targets[part:]]
    apart = np.flatnonzero(a != b)
    joined: Array = _labels(int(labels.max()) + 1, a[apart], b[apart], directed=False)
    return joined[labels]


def _strong_labels(size: int, sources: Array, targets: Array) -> Array:
    return _labels(size, sources, targets, directed=True)


def _labels(size: int, sources: Array, targets: Array, *, directed: bool) -> Array:
    edges = scipy("sparse").coo_array((np.ones(len(sources), dtype=np.int8), (sources, targets)), shape=(size, size))
    edges.has_canonical_format = True  # A repeated edge does no harm, and putting them in order costs most of all.
    # Weak components of an undirected graph are found in half the time of those of a directed one.
    _, labels = scipy("sparse.csgraph").connected_components(edges.tocsr(), directed=directed, connection="strong")
    return np.asarray(labels)


def first_of(labels: Array) -> Array:
    """For each place the first place with the same label.

    >>> first_of(np.array([7, 2, 7, 2])).tolist()
    [0, 1, 0, 1]
    """
    first = np.empty(int(labels.max(initial=-1)) + 1, dtype=np.int64)
    first[labels[::-1]] = np.arange(len(labels) - 1, -1, -1)
    return first[labels]
