"""What a collection has been, as differences that are found by key: the memory of stateful operators.

    runs      sorted by the key's hash, each some times as long as the next: a look-up is a few binary searches
    a change  makes a small run; runs of like length become one, and what cancels there is gone

Runs never change. So a checkpoint takes references, and those that a durable one holds are not stored again; a run is
stored in parts by key group, so that the parts that a merge has left as they were are recognised by their content.

**Compaction.** When runs are merged, times are first moved to where no time that may still come can tell them from
what they were (`limnad.incremental.times.advance`): a row that came and went is then nothing. So what a trace holds is
bounded by the collection as it is, and by what is in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from limnad.batch import KEY_GROUPS, groups_of, least_hash
from limnad.incremental.columns import Columns, Hashes, Indexes, all_equal, hash_columns, ranges, same_rows
from limnad.incremental.deltas import Deltas, Layout, concat_deltas
from limnad.incremental.times import Times, advance
from limnad.timely.state import Capture, Piece, Share, State, StateError

GROWTH = 3
"""A run is at least so many times as long as the next newer one."""

ROWS_PER_PIECE = 1 << 15
"""About so many rows of a run are stored together: a megabyte, a good size for one value of a store."""

Since: TypeAlias = Callable[[], "Times | None"]
"""From when on a trace is read: an antichain in the product order; None: from the beginning of time."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Differences in the order of their keys' hashes."""

    number: int
    hashes: Hashes
    deltas: Deltas

    def __len__(self) -> int:
        return len(self.hashes)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Differences of some keys.

    Attributes:
        queries: For each difference, which of the keys that were asked for is its own.
        deltas: The differences.
    """

    queries: Indexes
    deltas: Deltas


@dataclass(frozen=True, slots=True)
class _Capture:
    runs: tuple[Run, ...]
    durable: frozenset[int]
    layout: Layout

    def pieces(self) -> Iterable[Piece]:
        for run in self.runs:
            step = KEY_GROUPS
            while step > 1 and len(run) * step > ROWS_PER_PIECE * KEY_GROUPS:
                step //= 2
            for first in range(0, KEY_GROUPS, step):
                groups_stored = (first, first + step)
                batch = None if run.number in self.durable else self._rows(run, *groups_stored)
                yield Piece(batch, groups_stored, run=run.number)

    def _rows(self, run: Run, first: int, stop: int) -> pl.DataFrame:
        start, end = _bounds(run.hashes, first, stop)
        if end - start == len(run):
            return self.layout.write(run.deltas)
        return self.layout.write(run.deltas.take(np.arange(start, end)))


def _bounds(hashes: Hashes, first: int, stop: int) -> tuple[int, int]:
    start = int(np.searchsorted(hashes, np.uint64(least_hash(first))))
    return start, int(np.searchsorted(hashes, np.uint64(least_hash(stop) - 1), side="right"))


class Trace(State):
    """Differences by key, across times.

    Args:
        name: See `limnad.timely.state.State`.
        layout: Of the differences.
        key: Which columns make the key; the stage's input is partitioned by them.
    """

    def __init__(self, name: str, layout: Layout, key: Sequence[int]) -> None:
        self.name = name
        self.version = 1
        self.layout = layout
        self.key = tuple(key)
        self._runs: list[Run] = []
        self._made = 0
        self._durable: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def key_of(self, deltas: Deltas) -> Columns:
        """The key columns of differences."""
        return deltas.pick(self.key)

    # -- changing ------------------------------------------------------------------------------------------------------

    def insert(self, deltas: Deltas, hashes: Hashes, since: Since) -> None:
        """Adds differences.

        Args:
            deltas: The differences.
            hashes: Of their keys.
            since: Asked if runs are merged; see `Since`.
        """
        if not len(deltas):
            return
        self._runs.append(self._sorted(deltas, hashes))
        merged = 1
        total = len(deltas)
        while merged < len(self._runs) and len(self._runs[-merged - 1]) < GROWTH * total:
            merged += 1
            total += len(self._runs[-merged])
        if merged > 1:
            self._merge(merged, since())

    def compact(self, since: Since) -> None:
        """Makes one run of all, at a cost that is proportional to all of them."""
        if self._runs:
            self._merge(len(self._runs), since())

    def clear(self) -> None:
        """Forgets everything."""
        self._runs = []

    def _sorted(self, deltas: Deltas, hashes: Hashes) -> Run:
        self._made += 1
        if len(hashes) > 1 and not (hashes[1:] >= hashes[:-1]).all():
            order = np.argsort(hashes, kind="stable")
            deltas, hashes = deltas.take(order), hashes[order]
        return Run(self._made, hashes, deltas)

    def _merge(self, newest: int, since: Times | None) -> None:
        merging = self._runs[-newest:]
        del self._runs[-newest:]
        deltas = concat_deltas([run.deltas for run in merging])
        if since is not None and since.shape[1]:
            deltas = deltas.at(advance(deltas.times, since))
        hashes = np.concatenate([run.hashes for run in merging])
        whole = _consolidated(deltas, hashes)
        if len(whole[0]):
            self._runs.append(self._sorted(*whole))
            self._settle()

    def _settle(self) -> None:
        """A merge may leave little: then the run before is not much longer, which does no harm to look-ups."""
        if len(self._runs) > 1 and len(self._runs[-2]) < len(self._runs[-1]):
            self._runs[-2:] = [self._runs[-1], self._runs[-2]]

    # -- reading -------------------------------------------------------------------------------------------------------

    def find(self, hashes: Hashes, keys: Columns) -> Found:
        """The differences of some keys, each of which is asked for once or more often.

        Args:
            hashes: Of the keys.
            keys: Their columns.
        """
        queries, found = [], []
        for run in self._runs:
            starts = run.hashes.searchsorted(hashes)
            counts = run.hashes.searchsorted(hashes, side="right") - starts
            if not counts.any():
                continue
            places = ranges(starts, counts)
            asked = np.repeat(np.arange(len(hashes)), counts)
            same = all_equal(self.key_of(run.deltas), places, keys, asked)
            if not same.all():  # Keys that differ may have one hash.
                places, asked = places[same], asked[same]
            queries.append(asked)
            found.append(run.deltas.take(places))
        if not found:
            return Found(np.empty(0, np.int64), self.layout.empty())
        return Found(np.concatenate(queries), concat_deltas(found))

    def everything(self) -> Deltas:
        """All differences, in no particular order."""
        return concat_deltas([self.layout.empty(), *(run.deltas for run in self._runs)])

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def size_bytes(self) -> int:
        """See `State.size_bytes`."""
        return sum(run.hashes.nbytes + run.deltas.size_bytes() for run in self._runs)

    def capture(self) -> Capture:
        """See `State.capture`."""
        return _Capture(tuple(self._runs), self._durable, self.layout)

    def committed(self, capture: Any) -> None:
        """See `State.committed`."""
        self._durable = frozenset(run.number for run in capture.runs)

    def forget(self) -> None:
        """See `State.forget`."""
        self._durable = frozenset()

    def restore(self, share: Share) -> None:
        """See `State.restore`.

        Raises:
            StateError: What was stored is of another version.
        """
        if share.version != self.version:
            raise StateError(f"the state {self.name!r} was stored with version {share.version}, not {self.version}")
        parts = [self.layout.read(piece.batch) for piece in share.pieces]
        if not parts:
            return
        deltas = concat_deltas(parts)
        hashes = hash_columns(self.key_of(deltas), len(deltas))
        run = self._sorted(deltas, hashes)
        start, end = _bounds(run.hashes, *groups_of(share.worker, share.workers))
        mine = np.arange(start, end)
        self.insert(run.deltas.take(mine), run.hashes[mine], lambda: None)


def _consolidated(deltas: Deltas, hashes: Hashes) -> tuple[Deltas, Hashes]:
    rows = (*deltas.columns, *deltas.times)
    order, starts = same_rows(rows, len(deltas))
    sums = np.add.reduceat(deltas.diffs[order], starts)
    kept = np.flatnonzero(sums)
    places = order[starts[kept]]
    taken = deltas.take(places)
    return Deltas(taken.columns, taken.times, sums[kept]), hashes[places]
