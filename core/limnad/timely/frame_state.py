"""Rows by key as frames, kept across times: the state of vertices that work on whole batches.

The rows lie in *blocks*, one for each range of key groups, and above them in a few *runs*, newest last:

    runs      hides these keys below, and has these rows       a change makes a run, two of like size become one
    folding   what runs had gathered when it was enough        each change folds some more of it in
    blocks    the rows of a range of key groups

A block or run never changes: a change makes new ones. So a checkpoint takes references, whatever the state's size; and
what it stores are the blocks and runs that were made since the last one, whose size is proportional to what has
changed. Each has a number; those whose numbers a durable checkpoint holds are neither encoded nor hashed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from limnad.batch import KEY_GROUPS, SortedRows, groups_of, key_group, stack
from limnad.timely.state import Capture, Piece, Share, State, StateError

ROWS_PER_BLOCK = 1 << 16
"""Some megabytes: little to write again for one change, and to fold in at once. A look-up of many keys goes through all
blocks, and would rather have fewer: at ten million rows it takes 13 ms, and 25 with blocks of half the size."""

UNFOLDED_ROWS = 1 << 12
"""Runs up to this size are not worth to be folded in."""

UNFOLDED_SHARE = 8
"""Runs are folded in when they have more than this part of the blocks' rows: a row is copied some eight times then."""

FOLDED_PER_CHANGED = UNFOLDED_SHARE + 2
"""So many rows of blocks are made anew for each one that is changed: all are when there is as much to fold again."""

GROWTH = 4
"""A run is at least so many times as large as the next newer one: a look-up goes through few of them."""

GONE = "__limnad_gone"
"""In what is stored of a run: whether a row is only a key that it hides."""

Groups = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    number: int
    groups: Groups
    rows: SortedRows

    def stored(self) -> pl.DataFrame:
        return self.rows.frame


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    number: int
    hidden: SortedRows
    rows: SortedRows

    groups = (0, KEY_GROUPS)

    def __len__(self) -> int:
        return len(self.hidden) + len(self.rows)

    def stored(self) -> pl.DataFrame:
        hidden, rows = self.hidden.frame, self.rows.frame
        marked = [hidden.with_columns(pl.lit(True).alias(GONE)), rows.with_columns(pl.lit(False).alias(GONE))]
        return pl.concat(marked, how="diagonal")


@dataclass(frozen=True, slots=True)
class _FrameCapture:
    parts: tuple[_Block | _Run, ...]
    durable: frozenset[int]

    def pieces(self) -> Iterable[Piece]:
        for part in self.parts:
            batch = None if part.number in self.durable else part.stored()
            yield Piece(batch, part.groups, run=part.number)


class FrameState(State):
    """Rows by key, kept across times; a key may have any number of rows.

    A vertex that has one takes its input through a connector that is partitioned by the key.

    Args:
        name: See `limnad.timely.state.State`.
        schema: Columns and types of the rows.
        key: The columns that make the key.
        version: Of what the rows mean.
        migrate: Turns ``(version, rows)`` of an older version into the rows of this one, each row for itself and with
            the same key.

    Raises:
        StateError: The key is not among the columns.

    >>> totals = FrameState("totals", {"word": pl.String, "n": pl.Int64}, key="word")
    >>> totals.put(pl.DataFrame({"word": ["a", "b"], "n": [1, 2]}))
    >>> totals.put(pl.DataFrame({"word": ["b"], "n": [5]}))
    >>> totals.get(pl.DataFrame({"word": ["b", "x"]})).rows()
    [('b', 5)]
    """

    def __init__(
        self,
        name: str,
        schema: Mapping[str, Any],
        key: str | Sequence[str],
        *,
        version: int = 1,
        migrate: Callable[[int, pl.DataFrame], pl.DataFrame] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.schema = pl.Schema(schema)
        self.key = (key,) if isinstance(key, str) else tuple(key)
        if missing := [column for column in self.key if column not in self.schema]:
            raise StateError(
                f"the state {name!r} has no column {missing[0]!r} for its key: there are {', '.join(self.schema)}"
            )
        if not self.key:
            raise StateError(f"the state {name!r} needs at least one column as its key")
        self._migrate = migrate
        self._blocks: dict[Groups, _Block] = {}
        self._runs: list[_Run] = []
        self._folding: _Run | None = None
        self._to_fold: list[Groups] = []  # Of the blocks that it has yet to change, the last one first.
        self._may_fold_rows = 0
        self._block_groups = KEY_GROUPS
        self._block_rows = 0
        self._made = 0
        self._durable: frozenset[int] = frozenset()
        self._nothing = SortedRows.of(pl.DataFrame(schema=self.schema), self.key)

    # -- reading and changing ------------------------------------------------------------------------------------------

    def get(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of some keys.

        Args:
            keys: Its key columns count, others do not; a key may be there more than once.

        Raises:
            StateError: A column of the key is missing or of another type.
        """
        asked = self._keys(keys)
        found = []
        for run in reversed(self._layers()):
            found.append(run.rows.of_keys(asked).frame)
            asked = asked.without(run.hidden)
        for groups in self._touched(asked):
            if (block := self._blocks.get(groups)) is not None:
                found.append(block.rows.of_keys(asked.groups(*groups)).frame)
        return stack([frame for frame in found if len(frame)] or [self._nothing.frame])

    def put(self, rows: pl.DataFrame) -> None:
        """From now on the keys of these rows have these rows only.

        Raises:
            StateError: The columns are not those of the state.
        """
        put = self._rows(rows)
        self._change(put.keys(), put)

    def add(self, rows: pl.DataFrame) -> None:
        """Adds rows to those that their keys have.

        Raises:
            StateError: The columns are not those of the state.
        """
        self._change(self._nothing.keys(), self._rows(rows))

    def delete(self, keys: pl.DataFrame) -> None:
        """From now on these keys have no rows; they need not have had any. Arguments and errors: see `get`."""
        self._change(self._keys(keys), self._nothing)

    def to_frame(self) -> pl.DataFrame:
        """All rows, in no particular order."""
        run = reduce(self._joined, self._layers(), _Run(0, self._nothing.keys(), self._nothing))
        below = [block.rows.without(run.hidden.groups(*block.groups)) for block in self._blocks.values()]
        return stack([run.rows.frame, *(rows.frame for rows in below)])

    def _keys(self, keys: pl.DataFrame) -> SortedRows:
        for column in self.key:
            if keys.schema.get(column) != self.schema[column]:
                raise StateError(
                    f"the state {self.name!r} has the key {column!r} of type {self.schema[column]}, but was asked for "
                    f"keys with {keys.schema.get(column, 'no such column')}"
                )
        return SortedRows.of(keys[list(self.key)], self.key).keys()

    def _rows(self, rows: pl.DataFrame) -> SortedRows:
        if dict(rows.schema) != dict(self.schema):
            raise StateError(f"the state {self.name!r} holds rows of {self.schema}, and was given {rows.schema}")
        return SortedRows.of(rows[self.schema.names()], self.key)

    # -- runs and blocks -----------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _change(self, hidden: SortedRows, rows: SortedRows) -> None:
        if not len(hidden) and not len(rows):
            return
        self._runs.append(_Run(self._number(), hidden, rows))
        while len(self._runs) > 1 and len(self._runs[-2]) < GROWTH * len(self._runs[-1]):
            self._runs.append(self._joined(self._runs.pop(-2), self._runs.pop()))
        if self._folding is None and sum(map(len, self._runs)) > max(UNFOLDED_ROWS, self._block_rows // UNFOLDED_SHARE):
            self._begin_folding()
        self._fold(FOLDED_PER_CHANGED * (len(hidden) + len(rows)))

    def _layers(self) -> list[_Run]:
        """All that lies above the blocks, newest last."""
        return self._runs if self._folding is None else [self._folding, *self._runs]

    def _joined(self, older: _Run, newer: _Run) -> _Run:
        hidden = older.hidden.without(newer.hidden).with_rows(newer.hidden)
        return _Run(self._number(), hidden, older.rows.without(newer.hidden).with_rows(newer.rows))

    def _begin_folding(self) -> None:
        self._folding = run = reduce(self._joined, self._runs)
        self._runs, self._may_fold_rows = [], 0
        # Not for their sum: rows that take the place of others do not make a state larger.
        self._split_blocks(max(self._block_rows, len(run.rows)))
        self._to_fold = self._touched(run.hidden, run.rows)[::-1]

    def _fold(self, rows: int) -> None:
        """Makes new blocks of some that the folding run changes: of as many rows more than the calls before."""
        self._may_fold_rows += rows
        while self._folding is not None and self._may_fold_rows > 0:
            run, groups = self._folding, self._to_fold.pop()
            block = self._blocks.get(groups)
            before = block.rows if block is not None else self._nothing
            hidden, new = run.hidden.groups(*groups), run.rows.groups(*groups)
            self._set_block(groups, before.without(hidden).with_rows(new))
            self._may_fold_rows -= len(before) + len(hidden) + len(new)
            self._folding = self._part(run, groups[1], KEY_GROUPS) if self._to_fold else None

    def _part(self, run: _Run, first: int, stop: int) -> _Run:
        return _Run(self._number(), run.hidden.groups(first, stop), run.rows.groups(first, stop))

    def _touched(self, *changes: SortedRows) -> list[Groups]:
        """The key groups of the blocks that these rows and keys are of."""
        step = self._block_groups
        blocks = {block for rows in changes for block in np.unique(key_group(rows.hashes) // step).tolist()}
        return [(block * step, (block + 1) * step) for block in sorted(blocks)]

    def _set_block(self, groups: Groups, rows: SortedRows) -> None:
        before = self._blocks.pop(groups, None)
        if before is not None and before.rows is rows:
            self._blocks[groups] = before
            return
        self._block_rows += len(rows) - (len(before.rows) if before is not None else 0)
        if len(rows):
            self._blocks[groups] = _Block(self._number(), groups, rows)

    def _split_blocks(self, rows: int) -> None:
        """Blocks double in number as the state grows."""
        while self._block_groups > 1 and rows * self._block_groups > 2 * KEY_GROUPS * ROWS_PER_BLOCK:
            self._block_groups //= 2
        if any(groups[1] - groups[0] != self._block_groups for groups in self._blocks):
            before, self._blocks, self._block_rows = list(self._blocks.values()), {}, 0
            self._fill(before)

    def _fill(self, parts: Sequence[_Block]) -> None:
        """Makes blocks of rows that lie in others, whose key groups may be divided in another way."""
        for first in range(0, KEY_GROUPS, self._block_groups):
            groups = (first, first + self._block_groups)
            shares = [part.rows.groups(*groups) for part in parts if _overlap(part.groups, groups)]
            self._set_block(groups, reduce(SortedRows.with_rows, shares, self._nothing))

    def size_bytes(self) -> int:
        """See `State.size_bytes`."""
        held = [block.rows for block in self._blocks.values()]
        for run in self._layers():
            held += [run.hidden, run.rows]
        return sum(rows.size_bytes() for rows in held)

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def capture(self) -> Capture:
        """See `State.capture`."""
        return _FrameCapture((*self._blocks.values(), *self._layers()), self._durable)

    def committed(self, capture: Any) -> None:
        """See `State.committed`."""
        self._durable = frozenset(part.number for part in capture.parts)

    def forget(self) -> None:
        """See `State.forget`."""
        self._durable = frozenset()

    def restore(self, share: Share) -> None:
        """See `State.restore`.

        Raises:
            StateError: What was stored is of another version, and there is no `migrate`; or its columns are others.
        """
        owned = groups_of(share.worker, share.workers)
        if share.version == self.version:
            self._take(share.pieces, owned)
        elif frames := [piece.batch for piece in share.pieces]:
            self._load(self._migrated(share, frames[0].schema, owned), owned)

    def _migrated(self, share: Share, stored: Mapping[str, Any], owned: Groups) -> pl.DataFrame:
        if self._migrate is None:
            raise StateError(
                f"the state {self.name!r} was stored with version {share.version}, and the job has version "
                f"{self.version}: give it a migrate() that turns the one into the other"
            )
        schema = {name: dtype for name, dtype in stored.items() if name != GONE}
        before = FrameState(self.name, schema, self.key)
        before._take(share.pieces, owned)
        return self._migrate(share.version, before.to_frame())

    def _load(self, rows: pl.DataFrame, owned: Groups) -> None:
        self._take([Piece(rows, (0, KEY_GROUPS))], owned)

    def _take(self, pieces: Sequence[Piece], owned: Groups) -> None:
        blocks, runs = [], []
        for piece in pieces:
            assert piece.groups is not None
            if GONE in piece.batch.columns:
                gone, rows = piece.batch.filter(pl.col(GONE)), piece.batch.filter(~pl.col(GONE)).drop(GONE)
                runs.append((self._keys(gone).groups(*owned), self._rows(rows).groups(*owned)))
            else:
                blocks.append(_Block(0, piece.groups, self._rows(piece.batch).groups(*owned)))
        self._split_blocks(sum(len(block.rows) for block in blocks))
        self._fill(blocks)
        for hidden, rows in runs:  # Each part's in their order; no key is in two parts.
            self._change(hidden, rows)


def _overlap(one: Groups, other: Groups) -> bool:
    return one[0] < other[1] and other[0] < one[1]
