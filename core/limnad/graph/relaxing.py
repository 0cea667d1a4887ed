"""Values that fall along edges until none falls any more: the kernel of shortest paths and of reachability."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from limnad.bsp import Part, Supersteps
from limnad.graph.mirrors import Mirrors

Array = npt.NDArray[Any]

DENSE = 4
"""From one edge in so many on, all edges are relaxed: they lie in order already, and a few must be put in order."""


class Links:
    """A worker's edges, from its own nodes to mirrors.

    Args:
        sources: Positions of own nodes.
        targets: Positions of mirrors.
        lengths: What a value grows by along each edge.
    """

    def __init__(self, sources: Array, targets: Array, lengths: Array) -> None:
        order = np.argsort(sources, kind="stable")
        self._sources, self._targets, self._lengths = sources[order], targets[order], lengths[order]
        self._by_target = np.argsort(self._targets, kind="stable")
        self._all = _Ordered(self._sources, self._targets, self._lengths, self._by_target)

    def least(self, values: Array, changed: Array) -> tuple[Array, Array]:
        """What the changed nodes offer: each mirror that they link to, once, and the least value for it."""
        begins = np.searchsorted(self._sources, changed)
        counts = np.searchsorted(self._sources, changed, side="right") - begins
        total = int(counts.sum())
        if total * DENSE >= len(self._sources):
            return self._all.least(values)
        before = np.cumsum(counts) - counts
        edges = np.repeat(begins - before, counts) + np.arange(total)
        targets = self._targets[edges]
        order = np.argsort(targets, kind="stable")
        return _Ordered(self._sources[edges], targets, self._lengths[edges], order).least(values)


class _Ordered:
    """Edges in the order of their targets."""

    def __init__(self, sources: Array, targets: Array, lengths: Array, order: Array) -> None:
        self._sources, self._lengths = sources[order], lengths[order, None]
        ordered = targets[order]
        self._begins = np.flatnonzero(np.diff(ordered, prepend=-1))
        self._targets = ordered[self._begins]

    def least(self, values: Array) -> tuple[Array, Array]:
        if not len(self._targets):
            return self._targets, values[:0]
        return self._targets, np.minimum.reduceat(values[self._sources] + self._lengths, self._begins)


def relaxed(part: Part, mirrors: Mirrors, links: Links, values: Array, *, save: bool = True) -> Supersteps[None]:
    """Lets values fall, in place, until ``values[target] <= values[source] + length`` holds for every edge.

    Each mirror remembers what its node was offered from here, so nothing is offered twice. One superstep for each edge
    of the longest path that matters, and one in which nobody has anything to say.

    Args:
        part: The worker.
        mirrors: Its nodes and mirrors.
        links: Its edges.
        values: A row for each own node; infinite where nothing is known.
        save: Whether a restart goes on from where it was.
    """
    offered = np.full((len(mirrors.touched), values.shape[1]), np.inf)
    changed = np.flatnonzero(np.isfinite(values).any(axis=1))
    names = mirrors.own.to_numpy()
    while True:
        at, least = links.least(values, changed)
        better = (least < offered[at]).any(axis=1)
        at, least = at[better], least[better]
        offered[at] = np.minimum(offered[at], least)
        cuts = np.searchsorted(at, mirrors.bounds)
        received = yield [
            (at[begin:end] - mirrors.bounds[worker], least[begin:end], len(at))
            for worker, (begin, end) in enumerate(pairwise(cuts))
        ]
        if not any(said for _, _, said in received):
            return
        changed = _taken(mirrors, values, received)
        if save:
            part.save(by="node", node=names, value=values.copy())


def _taken(mirrors: Mirrors, values: Array, received: Any) -> Array:
    """Takes what is less than what is known; the positions of nodes for which something was."""
    touched = np.zeros(len(values), dtype=bool)
    for shared, (at, offer, _) in zip(mirrors.shared, received, strict=True):
        own = shared[at]
        falls = offer < values[own]
        fallen = falls.any(axis=1)
        values[own[fallen]] = np.minimum(values[own[fallen]], offer[fallen])
        touched[own[fallen]] = True
    return np.flatnonzero(touched)
