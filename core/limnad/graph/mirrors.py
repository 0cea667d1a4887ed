"""Which nodes a worker has, which nodes of others its edges touch, and values between the two.

A node belongs to the worker to which ``partition_by`` sends its identifier. A worker's edges touch nodes of any worker:
it keeps a *mirror* of each. Who mirrors what is said once, as lists of identifiers; from then on only bare columns of
values travel, in the order of those lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.bsp import Part, Supersteps, all_gather
from limnad.graph.numbering import distinct, positions

Array = npt.NDArray[Any]


class Mirrors:
    """One worker's nodes and mirrors.

    Attributes:
        own: The identifiers of this worker's nodes, ascending.
        touched: Those of its mirrors, by owner and then ascending; this worker's own nodes may be among them.
        bounds: Where each owner's mirrors begin in ``touched``, and where the last one's end.
        shared: For each worker, the positions in ``own`` of the nodes that it mirrors, in the order of its ``touched``.
        first: The number of this worker's first node, where all nodes are numbered worker by worker.
        nodes: How many nodes there are on all workers.
    """

    def __init__(self, part: Part, touched: pl.Series) -> None:
        owners = part.owners(touched)
        order = np.argsort(owners, kind="stable")
        self.touched = touched.gather(order)
        self._ascending = touched
        self._places = np.empty(len(order), dtype=np.int32)
        self._places[order] = np.arange(len(order), dtype=np.int32)
        self.bounds = np.searchsorted(owners[order], np.arange(part.workers + 1))
        self.own = touched.clear()
        self.shared: list[Array] = []
        self.first = self.nodes = 0

    def slices(self, values: Array) -> list[Array]:
        """A column of mirrors, cut by owner."""
        return [values[begin:end] for begin, end in pairwise(self.bounds)]

    def pull(self, values: Array, extra: Any = None) -> Supersteps[tuple[Array, list[Any]]]:
        """Every mirror gets its node's value; and what each worker has to tell besides. One superstep."""
        received = yield [(values[positions], extra) for positions in self.shared]
        return np.concatenate([column for column, _ in received]), [told for _, told in received]

    def push(self, values: Array, into: Array, ufunc: np.ufunc, extra: Any = None) -> Supersteps[list[Any]]:
        """Every node's value in ``into`` is combined with those of all its mirrors; in place. One superstep."""
        received = yield [(column, extra) for column in self.slices(values)]
        for at, (column, _) in zip(self.shared, received, strict=True):
            into[at] = ufunc(into[at], column)  # No position is there twice.
        return [told for _, told in received]

    def owned(self, keys: pl.Series | Array) -> Array:
        """The positions in ``own`` of identifiers that are there."""
        return positions(self.own, pl.Series(values=keys, dtype=self.own.dtype))

    def mirrored(self, keys: pl.Series) -> Array:
        """The positions in ``touched`` of identifiers that are there."""
        return self._places[positions(self._ascending, keys)]


def mirrors_of(part: Part, touched: pl.Series, *more: pl.Series) -> Supersteps[Mirrors]:
    """Tells all workers which of their nodes this one touches.

    Args:
        part: The worker.
        touched: Identifiers, each once, ascending.
        more: Nodes of this worker that perhaps no edge touches.
    """
    mirrors = Mirrors(part, touched)
    lists: Sequence[pl.Series] = yield [mirrors.touched[begin:end] for begin, end in pairwise(mirrors.bounds.tolist())]
    mirrors.own = distinct(*lists, *more)
    mirrors.shared = [positions(mirrors.own, listed) for listed in lists]
    counts = yield from all_gather(part, len(mirrors.own))
    mirrors.first, mirrors.nodes = sum(counts[: part.worker]), sum(counts)
    return mirrors
