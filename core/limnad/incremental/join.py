"""The join of two collections, and the consolidation of one.

A row of the one side that changes meets all rows of the other side with the same key, at the join of both their times,
with the product of both their multiplicities. Nothing has to wait for that: no notification is asked for, and what has
been sent is right whatever comes later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from limnad.incremental.columns import hash_columns
from limnad.incremental.deltas import Deltas, Layout
from limnad.incremental.pending import Pending, Requests, by_message, ready
from limnad.incremental.times import Times, distinct, product_antichain
from limnad.incremental.trace import Trace
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex


class Join(Vertex):
    """Matches the rows of two collections by key.

    Args:
        layouts: Of both inputs.
        keys: Which columns of each are the key, in the same order.
        output: Layout of the output: all columns of the left side, then those of the right side that are no key.
    """

    def __init__(self, layouts: Sequence[Layout], keys: Sequence[Sequence[int]], output: Layout) -> None:
        self._layouts = layouts
        self._output = output
        self._left = Trace("left", layouts[0], keys[0])
        self._right = Trace("right", layouts[1], keys[1])
        self._traces = (self._left, self._right)
        self._added = [place for place in range(len(layouts[1].names)) if place not in keys[1]]

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        mine, other = self._traces[port], self._traces[1 - port]
        deltas = self._layouts[port].read(batch).consolidated()
        if not len(deltas):
            return
        hashes = hash_columns(mine.key_of(deltas), len(deltas))
        found = other.find(hashes, mine.key_of(deltas))
        if len(found.deltas):
            changed = deltas.take(found.queries)
            sides = (found.deltas, changed) if port else (changed, found.deltas)
            self.send_by(0, self._output.write(self._matched(*sides)), time)
        if self.frontier(1 - port):
            mine.insert(deltas, hashes, lambda: self._since(1 - port))
        else:
            mine.clear()  # No row of the other side comes any more that would ask for it.
        if not self.frontier(port):
            other.clear()

    def _matched(self, left: Deltas, right: Deltas) -> Deltas:
        columns = (*left.columns, *right.pick(self._added))
        return Deltas(columns, np.maximum(left.times, right.times), left.diffs * right.diffs)

    def _since(self, other: int) -> Times | None:
        frontier = self.frontier(other)
        return product_antichain(frontier) if frontier else None


class Consolidate(Vertex):
    """Holds differences back until their time is complete, and sends those that did not cancel.

    Args:
        layout: Of input and output; the input is partitioned by all its columns.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._waiting = Pending("waiting", layout, range(len(layout.names)))
        self._requests = Requests(self)

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        deltas = self._layout.read(batch).consolidated()
        if len(deltas):
            self._waiting.add(deltas, hash_columns(deltas.columns, len(deltas)))
            self._requests.received(distinct(deltas.times)[0])

    def on_frontier(self, times: list[Timestamp]) -> None:
        """See `Vertex.on_frontier`."""
        waiting, _ = self._waiting.all()
        found, which = distinct(waiting.times)
        held = ready(found, times, self.frontier(0))
        if held:
            now = np.array([time in held for time in found])[which]
            self._waiting.keep(np.flatnonzero(~now))
            self._send(waiting.take(np.flatnonzero(now)).consolidated(), held)
        self._requests.told(times, self._waiting.least())

    def _send(self, deltas: Deltas, held: dict[Timestamp, Timestamp]) -> None:
        for part, time in by_message(deltas, held):
            self.send_by(0, self._layout.write(part), time)
