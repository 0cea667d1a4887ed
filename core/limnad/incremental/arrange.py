"""One index for many joins: a collection's differences by key, kept once on each worker and read by all that join it.

The stage that arranges puts what it receives into its trace and sends it on to each join, as differences like any
others. A join must match each pair of rows once. So what it reads is what it *has been told* of the collection: the
trace, less what is on its way to it and will be matched when it arrives. The arranging stage notes down with each join
what it sends, and the join crosses off what comes, in whatever order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from limnad.incremental.columns import Columns, Hashes, hash_columns
from limnad.incremental.deltas import Deltas, Layout, concat_deltas
from limnad.incremental.pending import Pending
from limnad.incremental.times import Times, minimal, product_antichain, to_times
from limnad.incremental.trace import Found, Trace
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex


class Arrange(Vertex):
    """Keeps a collection by key, as far back as one of its readers still looks.

    Args:
        layout: Of the collection.
        key: Which columns are the key.
    """

    def __init__(self, layout: Layout, key: Sequence[int]) -> None:
        self._layout = layout
        self._trace = Trace("arranged", layout, key)
        self._readers: tuple[SharedJoin, ...] = ()

    def read_by(self, reader: SharedJoin) -> None:
        """From now on a vertex of this worker reads the trace."""
        self._readers = (*self._readers, reader)

    def find(self, hashes: Hashes, keys: Columns) -> Found:
        """See `Trace.find`."""
        return self._trace.find(hashes, keys)

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        deltas = self._layout.read(batch).consolidated()
        if not len(deltas):
            return
        hashes = hash_columns(self._trace.key_of(deltas), len(deltas))
        for reader in self._readers:
            reader.sent(deltas, hashes)
        self.send_by(0, self._layout.write(deltas), time)
        frontiers = [frontier for reader in self._readers if (frontier := reader.frontier(0))]
        if frontiers:
            self._trace.insert(deltas, hashes, lambda: self._since(frontiers))
        else:
            self._trace.clear()  # Nobody can ask any more.

    def _since(self, frontiers: Sequence[Sequence[Timestamp]]) -> Times:
        """From when on it is read. Of a reader in a loop within, only the outer coordinates matter."""
        depth = self._layout.depth
        read = [time for frontier in frontiers for time in product_antichain(frontier)[:depth].T.tolist()]
        return to_times(minimal(map(tuple, read)))


class SharedJoin(Vertex):
    """Matches the rows of a collection (port 0) with those of an arranged one (port 1: its changes).

    Args:
        layouts: Of both, the arranged one's with the coordinates of where it was arranged.
        keys: Which columns of each are the key.
        output: Layout of the output.
        arranged: The name of the stage that arranges.
    """

    def __init__(
        self, layouts: Sequence[Layout], keys: Sequence[Sequence[int]], output: Layout, arranged: Callable[[], str]
    ) -> None:
        self._layouts = layouts
        self._output = output
        self._left = Trace("left", layouts[0], keys[0])
        self._coming = Pending("coming", layouts[1], keys[1])
        self._right_key = tuple(keys[1])
        self._added = [place for place in range(len(layouts[1].names)) if place not in keys[1]]
        self._name = arranged

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        arranged = self._context.sibling(self._name())
        assert isinstance(arranged, Arrange)
        self._arranged = arranged
        arranged.read_by(self)

    def sent(self, deltas: Deltas, hashes: Hashes) -> None:
        """These changes of the arranged collection are in its trace, and on their way to this vertex."""
        self._coming.add(deltas, hashes)

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        if port:
            self._arranged_changed(batch, time)
        else:
            self._changed(batch, time)

    def _changed(self, batch: pl.DataFrame, time: Timestamp) -> None:
        deltas = self._layouts[0].read(batch).consolidated()
        if not len(deltas):
            return
        keys = self._left.key_of(deltas)
        hashes = hash_columns(keys, len(deltas))
        self._match(deltas, self._arranged.find(hashes, keys), time, 1)
        if len(self._coming):
            coming = Trace("coming", self._layouts[1], self._right_key)
            coming.insert(*self._coming.all(), lambda: None)
            self._match(deltas, coming.find(hashes, keys), time, -1)
        if self.frontier(1):
            self._left.insert(deltas, hashes, self._since)
        else:
            self._left.clear()

    def _arranged_changed(self, batch: pl.DataFrame, time: Timestamp) -> None:
        deltas = self._layouts[1].read(batch)
        keys = deltas.pick(self._right_key)
        hashes = hash_columns(keys, len(deltas))
        self._arrived(deltas)
        found = self._left.find(hashes, keys)
        self._send(found.deltas, deltas.take(found.queries), time, 1)

    def _arrived(self, deltas: Deltas) -> None:
        """Crosses them off one by one: what comes may add up to nothing while all of it is still on its way."""
        coming, _ = self._coming.all()
        self._coming.keep(np.empty(0, np.int64))
        if len(coming) == len(deltas):
            return
        one = np.ones(len(coming) + len(deltas), np.int64)
        one[len(coming) :] = -1
        both = concat_deltas([coming, deltas])
        counted = Deltas((*both.columns, both.diffs), both.times, one).consolidated()
        left = counted.take(np.repeat(np.arange(len(counted)), counted.diffs))
        left = Deltas(left.columns[:-1], left.times, np.asarray(left.columns[-1]))
        self._coming.add(left, hash_columns(left.pick(self._right_key), len(left)))

    def _match(self, deltas: Deltas, found: Found, time: Timestamp, sign: int) -> None:
        self._send(deltas.take(found.queries), found.deltas, time, sign)

    def _send(self, left: Deltas, right: Deltas, time: Timestamp, sign: int) -> None:
        if not len(left):
            return
        times = left.times.copy()
        outer = len(right.times)
        np.maximum(times[:outer], right.times, out=times[:outer])
        whole = Deltas((*left.columns, *right.pick(self._added)), times, left.diffs * right.diffs * sign)
        self.send_by(0, self._output.write(whole), time)

    def _since(self) -> Times | None:
        frontier = self.frontier(1)
        return product_antichain(frontier) if frontier else None
