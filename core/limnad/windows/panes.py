"""Tumbling and sliding windows.

Windows overlap where they slide, so rows are kept by *pane*: the greatest piece of time that no window's border cuts.
A row is in one pane, and a window is a run of panes. Panes hold partial aggregates where the aggregation allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import polars as pl

from limnad import FrameState
from limnad.batch import hash_frame, key_group, stack
from limnad.stream.operators.per_time import PerTime
from limnad.windows.agenda import DUE, Agenda
from limnad.windows.aggregation import Aggregation
from limnad.windows.axis import TimeAxis
from limnad.windows.watermarks import Marks

PANE = "__limnad_pane"
END = "__limnad_end"


@dataclass(frozen=True)
class Sliding:
    """Windows of one length that begin at regular times; a time is in units of its axis, less the offset.

    Attributes:
        period: How long a window is.
        every: From the start of one to that of the next; at most ``period``.
        offset: At what time one of them begins.
    """

    period: int
    every: int
    offset: int = 0

    @property
    def pane(self) -> int:
        """How long a pane is."""
        return gcd(self.period, self.every)

    def pane_of(self, time: pl.Expr) -> pl.Expr:
        """The start of the pane that a time is in."""
        return (time - self.offset) // self.pane * self.pane

    def first_end(self, pane: pl.Expr) -> pl.Expr:
        """The end of the earliest window that a pane is part of."""
        return -((self.period - self.pane - pane) // self.every) * self.every + self.period

    def last_end(self, pane: pl.Expr) -> pl.Expr:
        """The end of the latest one."""
        return pane // self.every * self.every + self.period

    def end_after(self, time: int) -> int:
        """The first end of a window that is later than a time."""
        return (time - self.period) // self.every * self.every + self.every + self.period


class Panes(PerTime):
    """Keeps rows by key and pane, and sends a window's answer in the epoch whose watermark has passed its end.

    Port 0: partials with their pane, by key. Port 1: marks. State: partials by key.

    Args:
        empty: Partials without any row.
        windows: Which windows there are.
        aggregation: Of what.
        axis: Of the windows' borders in the answer.

    Attributes:
        nothing: An answer without any row.
    """

    def __init__(self, empty: pl.DataFrame, windows: Sliding, aggregation: Aggregation, axis: TimeAxis) -> None:
        super().__init__([empty, []], self._advance, self._folded if aggregation.splits else None)
        self._windows = windows
        self._aggregation = aggregation
        self._axis = axis
        self._keys = list(aggregation.keys)
        self._panes = FrameState("panes", empty.schema, self._keys)
        self._agenda = Agenda({key: empty.schema[key] for key in self._keys})
        self.nothing = self.answer(empty)

    def _folded(self, rows: pl.DataFrame) -> pl.DataFrame:
        return self._aggregation.merged(rows, [PANE])

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        panes = self._panes.to_frame()
        self._agenda.add(panes.with_columns(self._windows.first_end(pl.col(PANE)).alias(DUE)))

    def answer(self, panes: pl.DataFrame) -> pl.DataFrame:
        """What windows give whose panes are all there, each with the ``END`` of the window it is there for."""
        if END not in panes.columns:
            panes = panes.with_columns(pl.lit(0, pl.Int64).alias(END))
        offset, period, axis = self._windows.offset, self._windows.period, self._axis
        start, end = pl.col(END) - period + offset, pl.col(END) + offset
        answer = self._aggregation.finished(panes, [END])
        borders = [axis.from_units(start).alias("window_start"), axis.from_units(end).alias("window_end")]
        return answer.select(*borders, pl.all().exclude(END))

    def _advance(self, rows: pl.DataFrame, marks: Marks) -> pl.DataFrame:
        before, now = (units - self._windows.offset for units in marks[0][2:])
        rows = rows.filter(self._windows.last_end(pl.col(PANE)) > before)
        if len(rows):
            self._add(rows, before)
        keys = self._agenda.take(now)
        if not len(keys):
            return self.nothing
        panes = self._panes.get(keys)
        answers = [self._closed(_of_groups(panes, self._keys, *mark[:2]), before, now) for mark in marks]
        self._forget(panes, now)
        return pl.concat(answers)

    def _add(self, rows: pl.DataFrame, before: int) -> None:
        if self._aggregation.splits:
            self._panes.put(self._folded(stack([self._panes.get(rows), rows])))
        else:
            self._panes.add(rows)
        self._register(rows, before)

    def _register(self, panes: pl.DataFrame, before: int) -> None:
        """Puts keys on the agenda for the first of their windows that is still open."""
        due = pl.max_horizontal(self._windows.first_end(pl.col(PANE)), pl.lit(self._windows.end_after(before)))
        self._agenda.add(panes.with_columns(due.alias(DUE)))

    def _closed(self, panes: pl.DataFrame, before: int, now: int) -> pl.DataFrame:
        """The answers of the windows whose end the watermark has passed in this epoch."""
        windows = self._windows
        low = pl.max_horizontal(windows.first_end(pl.col(PANE)), pl.lit(windows.end_after(before)))
        high = pl.min_horizontal(windows.last_end(pl.col(PANE)), pl.lit(now))
        closing = panes.with_columns(low.alias(END)).filter(pl.col(END) <= high)
        if windows.period != windows.every:
            ends = pl.int_ranges(pl.col(END), high + 1, windows.every)
            closing = closing.with_columns(ends.alias(END)).explode(END)
        return self.answer(closing)

    def _forget(self, panes: pl.DataFrame, now: int) -> None:
        """Drops the panes whose windows are all closed; of the others the next window is on the agenda."""
        last_end = self._windows.last_end(pl.col(PANE))
        gone, left = panes.filter(last_end <= now), panes.filter(last_end > now)
        if len(gone):
            self._panes.delete(gone)
            self._panes.add(left.join(gone.select(self._keys).unique(), on=self._keys, how="semi", nulls_equal=True))
        self._register(left, now)


def _of_groups(rows: pl.DataFrame, keys: list[str], first: int, stop: int) -> pl.DataFrame:
    """The rows of a range of key groups."""
    if not len(rows):
        return rows
    groups = key_group(hash_frame(rows, keys))
    inside = (groups >= first) & (groups < stop)
    return rows if inside.all() else rows.filter(pl.Series(inside))


class Late(PerTime):
    """Sends on the rows that came too late for every window that they are in, as they came.

    Port 0: rows with the end of their last window in ``END``, by key. Port 1: marks.

    Args:
        empty: Rows without any row.
        offset: Of the windows.
        columns: What is sent of a row.
    """

    def __init__(self, empty: pl.DataFrame, offset: int, columns: Sequence[str]) -> None:
        super().__init__([empty, []], self._late)
        self._offset = offset
        self._columns = list(columns)

    def _late(self, rows: pl.DataFrame, marks: Marks) -> pl.DataFrame:
        # A row without a time is in no window.
        too_late = pl.col(END).is_null() | (pl.col(END) <= marks[0][2] - self._offset)
        return rows.filter(too_late).select(self._columns)
