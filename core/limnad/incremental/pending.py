"""What a stage has received and not worked on yet, and when it asked to be told that it may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from limnad.batch import KEY_GROUPS, owners
from limnad.incremental.columns import Columns, Hashes, Indexes, hash_columns
from limnad.incremental.deltas import Deltas, Layout, concat_deltas
from limnad.incremental.times import distinct, minimal
from limnad.timely.state import Capture, Piece, Share, State
from limnad.timely.timestamp import Timestamp, less_equal
from limnad.timely.vertex import Vertex


class Pending(State):
    """Differences that wait for their times to be complete; of a stage that only needs times, these differences are 1.

    Args:
        name: See `limnad.timely.state.State`.
        layout: Of the differences.
        key: Which columns make the key; the stage's input is partitioned by them.
    """

    def __init__(self, name: str, layout: Layout, key: Sequence[int]) -> None:
        self.name = name
        self.version = 1
        self._layout = layout
        self._key = tuple(key)
        self._deltas: list[Deltas] = []
        self._hashes: list[Hashes] = []
        self._least: list[Timestamp] | None = []

    def __len__(self) -> int:
        return sum(map(len, self._deltas))

    def add(self, deltas: Deltas, hashes: Hashes) -> None:
        """Adds differences, with their keys' hashes."""
        if len(deltas):
            self._deltas.append(deltas)
            self._hashes.append(hashes)
            self._least = None

    def all(self) -> tuple[Deltas, Hashes]:
        """What waits."""
        if not self._deltas:
            return self._layout.empty(), np.empty(0, np.uint64)
        if len(self._deltas) > 1:
            self._deltas = [concat_deltas(self._deltas)]
            self._hashes = [np.concatenate(self._hashes)]
        return self._deltas[0], self._hashes[0]

    def keep(self, rows: Indexes) -> None:
        """Forgets all but some of what `all` returned."""
        deltas, hashes = self.all()
        self._deltas, self._hashes, self._least = [], [], []
        if len(rows):
            self.add(deltas.take(rows), hashes[rows])

    def least(self) -> list[Timestamp]:
        """The minimal times of what waits, in the product order."""
        if self._least is None:
            self._least = minimal({time for deltas in self._deltas for time in distinct(deltas.times)[0]})
        return self._least

    def key_of(self, deltas: Deltas) -> Columns:
        """The key columns."""
        return deltas.pick(self._key)

    def size_bytes(self) -> int:
        """See `State.size_bytes`."""
        return sum(deltas.size_bytes() + 8 * len(deltas) for deltas in self._deltas)

    def capture(self) -> Capture:
        """See `State.capture`."""
        return _Capture(tuple(self._deltas), self._layout)

    def restore(self, share: Share) -> None:
        """See `State.restore`."""
        for piece in share.pieces:
            deltas = self._layout.read(piece.batch)
            hashes = hash_columns(self.key_of(deltas), len(deltas))
            mine = np.flatnonzero(owners(hashes, share.workers) == share.worker)
            self.add(deltas.take(mine), hashes[mine])

    def committed(self, capture: Any) -> None:
        """See `State.committed`."""

    def forget(self) -> None:
        """See `State.forget`."""


class _Capture:
    def __init__(self, deltas: Sequence[Deltas], layout: Layout) -> None:
        self._deltas, self._layout = deltas, layout

    def pieces(self) -> Iterable[Piece]:
        """See `Capture.pieces`."""
        for number, deltas in enumerate(self._deltas):
            yield Piece(self._layout.write(deltas), (0, KEY_GROUPS), run=number)


class Requests:
    """Asks a vertex's notifications for times, as few as will do.

    While a request waits, later times need none of their own: when it is answered, they can be asked for again. So at
    any moment there is one for each minimal time that waits, and the view of the whole job stays small.
    """

    def __init__(self, vertex: Vertex) -> None:
        self._vertex = vertex
        self._asked: set[Timestamp] = set()

    def received(self, times: Iterable[Timestamp]) -> None:
        """Sees to it that the vertex is called when each of these times is complete, or before; in `on_recv`."""
        for time in sorted(times):
            if not any(less_equal(asked, time) for asked in self._asked):
                self._asked.add(time)
                self._vertex.notify_at(time)

    def told(self, told: Sequence[Timestamp], waiting: Iterable[Timestamp]) -> None:
        """Likewise for the minimal times that wait still, at the end of `on_frontier`, which was called with ``told``.

        Of those that no request among ``told`` stood for, another one does, which a restore may have brought.
        """
        self._asked.difference_update(told)
        self.received(time for time in waiting if any(less_equal(one, time) for one in told))


def ready(
    waiting: Sequence[Timestamp], told: Sequence[Timestamp], frontier: Sequence[Timestamp]
) -> dict[Timestamp, Timestamp]:
    """Which times can be worked on, and with which of the times that were told each can be sent.

    Args:
        waiting: The times that wait.
        told: What `Vertex.on_frontier` was called with.
        frontier: What may still be received.
    """
    found = {}
    for time in waiting:
        if any(less_equal(element, time) for element in frontier):
            continue
        for held in told:
            if less_equal(held, time):
                found[time] = held
                break
    return found


def by_message(deltas: Deltas, held: dict[Timestamp, Timestamp]) -> list[tuple[Deltas, Timestamp]]:
    """Differences divided by the time with which each is to be sent.

    Args:
        deltas: What is sent.
        held: For each time of theirs, one not after it.
    """
    if not len(deltas):
        return []
    found, which = distinct(deltas.times)
    by: dict[Timestamp, list[int]] = {}
    for number, time in enumerate(found):
        by.setdefault(held[time], []).append(number)
    if len(by) == 1:
        return [(deltas, next(iter(by)))]
    return [(deltas.take(np.flatnonzero(np.isin(which, numbers))), time) for time, numbers in by.items()]
