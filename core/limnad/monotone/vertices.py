"""The vertices: rows with the times at which they were said, and never a notification.

Times are kept in columns. A row that was said at a time is known at that time and all later ones. Times come in any
order, and in loops they are ordered only in part: so a row may be kept at several times, none before another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from limnad import FrameState, Timestamp, Vertex
from limnad import join as later_of
from limnad.timely.graph import LoopContext, depth_of

TIME = "__limnad_time_"


class _Times:
    """The columns of a time of some depth."""

    def __init__(self, context: LoopContext | None) -> None:
        self.columns = [f"{TIME}{place}" for place in range(depth_of(context))]

    def schema(self, empty: pl.DataFrame) -> pl.Schema:
        """Of rows with their time."""
        return pl.Schema({**empty.schema, **dict.fromkeys(self.columns, pl.Int64())})

    def at(self, rows: pl.DataFrame, time: Timestamp) -> pl.DataFrame:
        """Rows with a time."""
        return rows.with_columns(
            pl.lit(part, pl.Int64).alias(name) for name, part in zip(self.columns, time, strict=True)
        )

    def before(self, time: Timestamp) -> pl.Expr:
        """Whether a row's time is `limnad.less_equal` to one: by epoch, and by loop counters lexicographically."""
        counters: pl.Expr = pl.lit(value=True)
        for name, part in reversed(list(zip(self.columns[1:], time[1:], strict=True))):
            counters = (pl.col(name) < part) | ((pl.col(name) == part) & counters)
        return (pl.col(self.columns[0]) <= time[0]) & counters

    def after(self, time: Timestamp) -> pl.Expr:
        """Whether one is to a row's."""
        counters: pl.Expr = pl.lit(value=True)
        for name, part in reversed(list(zip(self.columns[1:], time[1:], strict=True))):
            counters = (pl.col(name) > part) | ((pl.col(name) == part) & counters)
        return (pl.col(self.columns[0]) >= time[0]) & counters


class Distinct(Vertex):
    """Passes on rows that have not come at their time or before. State: rows, by row."""

    def __init__(self, empty: pl.DataFrame, context: LoopContext | None) -> None:
        self._columns = empty.columns
        self._times = _Times(context)
        self._seen = FrameState("seen", self._times.schema(empty), self._columns)

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        rows = batch.unique()
        known = self._seen.get(rows)
        new = rows.join(known.filter(self._times.before(time)), on=self._columns, how="anti", nulls_equal=True)
        if not len(new):
            return
        # What was said at a later time need not be remembered any more.
        left = known.filter(~self._times.after(time)).join(new, on=self._columns, how="semi", nulls_equal=True)
        self._seen.put(pl.concat([left, self._times.at(new, time)]))
        self.send_by(0, new, time)


class Best(Vertex):
    """Passes on rows that are better than all of their key at their time or before. State: the best rows, by key."""

    def __init__(
        self, empty: pl.DataFrame, keys: Sequence[str], value: str, context: LoopContext | None, *, largest: bool
    ) -> None:
        self._keys = list(keys)
        self._value = value
        self._largest = largest
        self._times = _Times(context)
        self._best = FrameState("best", self._times.schema(empty), keys)

    def _of(self, rows: pl.DataFrame) -> pl.DataFrame:
        value = pl.col(self._value)
        best = value.max() if self._largest else value.min()
        return rows.group_by(self._keys).agg(best).drop_nulls(self._value)

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        rows = self._of(batch)
        known = self._best.get(rows)
        before = self._of(known.filter(self._times.before(time))).rename({self._value: _KNOWN})
        compared = rows.join(before, on=self._keys, how="left", nulls_equal=True)
        better = pl.col(self._value) > pl.col(_KNOWN) if self._largest else pl.col(self._value) < pl.col(_KNOWN)
        new = compared.filter(better | pl.col(_KNOWN).is_null()).drop(_KNOWN)
        if not len(new):
            return
        theirs = known.join(new.rename({self._value: _KNOWN}), on=self._keys, how="inner", nulls_equal=True)
        worse = pl.col(self._value) <= pl.col(_KNOWN) if self._largest else pl.col(self._value) >= pl.col(_KNOWN)
        left = theirs.filter(~(self._times.after(time) & worse)).drop(_KNOWN)
        self._best.put(pl.concat([left.select(known.columns), self._times.at(new, time).select(known.columns)]))
        self.send_by(0, new, time)


_KNOWN = "__limnad_known"


class Join(Vertex):
    """Passes on the pairs that each row makes with those that have come. State: the rows of both sides, by key."""

    def __init__(
        self, left: pl.DataFrame, right: pl.DataFrame, keys: Sequence[str], context: LoopContext | None
    ) -> None:
        self._keys = list(keys)
        self._times = _Times(context)
        self._left = FrameState("left", self._times.schema(left), keys)
        self._right = FrameState("right", self._times.schema(right), keys)

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        mine, others = (self._left, self._right) if port == 0 else (self._right, self._left)
        mine.add(self._times.at(batch, time))
        known = others.get(batch)
        before = known.filter(self._times.before(time))
        self._send(port, batch, before, time)
        for at, rows in known.filter(~self._times.before(time)).group_by(self._times.columns):
            self._send(port, batch, rows, later_of(time, tuple(map(int, at))))

    def _send(self, port: int, batch: pl.DataFrame, others: pl.DataFrame, time: Timestamp) -> None:
        if not len(others):
            return
        rows = others.drop(self._times.columns)
        left, right = (batch, rows) if port == 0 else (rows, batch)
        pairs: Any = left.join(right, on=self._keys, how="inner")
        self.send_by(0, pairs, time)
