"""Session windows: a key's rows of which each is less than a gap away from another one.

An open session is kept as one row, with its first and last time and its partial aggregates. What comes in an epoch is
merged with the open sessions of its keys; a session that no row can join any more is answered.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from limnad import FrameState
from limnad.batch import stack
from limnad.stream.operators.per_time import PerTime
from limnad.windows.agenda import DUE, Agenda
from limnad.windows.aggregation import Aggregation
from limnad.windows.axis import TimeAxis
from limnad.windows.watermarks import Marks

FIRST = "__limnad_first"
LAST = "__limnad_last"
SESSION = "__limnad_session"
_KNOWN, _KEY, _REACH = "__limnad_known", "__limnad_key", "__limnad_reach"

BORDERS = (pl.col(FIRST).min(), pl.col(LAST).max())
"""Those of a session, of those of its parts."""


def numbered(spans: pl.DataFrame, keys: Sequence[str], gap: int) -> pl.DataFrame:
    """Spans from ``FIRST`` to ``LAST`` with the number of the ``SESSION`` that they are part of.

    >>> spans = pl.DataFrame({"k": ["a"] * 3, FIRST: [1, 9, 3], LAST: [1, 9, 8]})
    >>> numbered(spans, ["k"], gap=2)[SESSION].n_unique(), numbered(spans, ["k"], gap=3)[SESSION].n_unique()
    (2, 1)
    """
    ordered = spans.sort(*keys, FIRST).with_columns(pl.struct(keys).rle_id().alias(_KEY))
    reached = ordered.with_columns(pl.col(LAST).cum_max().over(_KEY).alias(_REACH))
    # In this order the row before is of the same key, or the key is new.
    begins = (pl.col(_KEY) != pl.col(_KEY).shift(1)) | (pl.col(FIRST) >= pl.col(_REACH).shift(1) + gap)
    return reached.with_columns(begins.fill_null(value=True).cum_sum().alias(SESSION)).drop(_KEY, _REACH)


class OpenSessions:
    """The sessions that rows may still join.

    Args:
        empty: Partials with their borders, without any row.
        gap: How far apart two sessions are at least, in units of the axis.
        aggregation: Of a session's rows.

    Attributes:
        state: What a vertex has to keep: open sessions by key.
        nothing: Numbered parts without any row.
    """

    def __init__(self, empty: pl.DataFrame, gap: int, aggregation: Aggregation) -> None:
        self.state = FrameState("sessions", empty.schema, aggregation.keys)
        self._columns = empty.columns
        self._gap = gap
        self._aggregation = aggregation
        self._keys = list(aggregation.keys)
        self._agenda = Agenda({key: empty.schema[key] for key in self._keys}, first_only=True)
        self.nothing = self.numbered(empty)

    def restored(self) -> None:
        """The state is what it was."""
        self._agenda.add(self.numbered(self.state.to_frame()))

    def merged(self, parts: pl.DataFrame) -> pl.DataFrame:
        """One row for each session that some parts make, where the aggregation allows it."""
        if not self._aggregation.splits:
            return parts
        numbers = numbered(parts, self._keys, self._gap)
        return self._aggregation.merged(numbers, [SESSION], *BORDERS).select(self._columns)

    def numbered(self, parts: pl.DataFrame) -> pl.DataFrame:
        """Parts with their ``SESSION``, and in ``DUE`` its end: its last time and the gap."""
        numbers = numbered(parts, self._keys, self._gap)
        return numbers.with_columns((pl.col(LAST).max().over(SESSION) + self._gap).alias(DUE))

    def add(self, parts: pl.DataFrame, before: int) -> None:
        """Merges the parts of an epoch with what is open; sessions that were over before it are left out."""
        if not len(parts):
            return
        sessions = self.numbered(self.merged(stack([self.state.get(parts), parts])))
        sessions = sessions.filter(pl.col(DUE) > before)
        if len(sessions):
            self.state.put(sessions.select(self._columns))
            self._agenda.add(sessions)

    def take_over(self, now: int) -> pl.DataFrame:
        """Removes the sessions that end at ``now`` or before, and returns their parts, numbered."""
        keys = self._agenda.take(now)
        if not len(keys):
            return self.nothing
        sessions = self.numbered(self.state.get(keys))
        over = sessions.filter(pl.col(DUE) <= now)
        self._agenda.add(sessions.filter(pl.col(DUE) > now))
        if len(over):
            ended = over.select(self._keys).unique()
            left = sessions.filter(pl.col(DUE) > now).join(ended, on=self._keys, how="semi", nulls_equal=True)
            self.state.delete(ended)
            self.state.add(left.select(self._columns))
        return over


class Sessions(PerTime):
    """Sends a session's answer in the epoch whose watermark has passed its end.

    Port 0: partials with their borders, by key. Port 1: marks. State: open sessions by key.

    Args:
        empty: Partials without any row.
        gap: How far apart two sessions are at least, in units of the axis.
        aggregation: Of a session's rows.
        axis: Of the windows' borders in the answer.

    Attributes:
        nothing: An answer without any row.
    """

    def __init__(self, empty: pl.DataFrame, gap: int, aggregation: Aggregation, axis: TimeAxis) -> None:
        self._sessions = OpenSessions(empty, gap, aggregation)
        super().__init__([empty, []], self._advance, self._sessions.merged if aggregation.splits else None)
        self._state = self._sessions.state
        self._gap = gap
        self._aggregation = aggregation
        self._axis = axis
        self.nothing = self.answer(self._sessions.nothing)

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        self._sessions.restored()

    def answer(self, over: pl.DataFrame) -> pl.DataFrame:
        """What numbered parts of complete sessions give."""
        answer = self._aggregation.finished(over.drop(DUE, strict=False), [SESSION], *BORDERS)
        start, end = self._axis.from_units(pl.col(FIRST)), self._axis.from_units(pl.col(LAST) + self._gap)
        borders = [start.alias("window_start"), end.alias("window_end")]
        return answer.select(*borders, pl.all().exclude(SESSION, FIRST, LAST))

    def _advance(self, rows: pl.DataFrame, marks: Marks) -> pl.DataFrame:
        before, now = marks[0][2:]
        self._sessions.add(rows, before)
        over = self._sessions.take_over(now)
        return self.answer(over) if len(over) else self.nothing


class LateForSessions(PerTime):
    """Sends on the rows whose session was over before their epoch.

    Port 0: rows with their time as both borders, by key. Port 1: marks. State: open sessions' borders by key.

    Args:
        empty: Rows without any row.
        gap: How far apart two sessions are at least, in units of the axis.
        keys: An aggregation of nothing by the key.
        columns: What is sent of a row.
    """

    def __init__(self, empty: pl.DataFrame, gap: int, keys: Aggregation, columns: Sequence[str]) -> None:
        super().__init__([empty, []], self._late)
        self._borders = [*keys.keys, FIRST, LAST]
        self._sessions = OpenSessions(empty.select(self._borders), gap, keys)
        self._state = self._sessions.state
        self._columns = list(columns)

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        self._sessions.restored()

    def _late(self, rows: pl.DataFrame, marks: Marks) -> pl.DataFrame:
        before, now = marks[0][2:]
        timed = rows.filter(pl.col(FIRST).is_not_null())
        known = self._state.get(timed)
        spans = self._sessions.numbered(pl.concat([known.with_columns(pl.lit(1).alias(_KNOWN)), timed], how="diagonal"))
        late = spans.filter(pl.col(_KNOWN).is_null() & (pl.col(DUE) <= before)).select(self._columns)
        self._sessions.add(timed.select(self._borders), before)
        self._sessions.take_over(now)
        # A row without a time belongs to no session.
        return pl.concat([late, rows.filter(pl.col(FIRST).is_null()).select(self._columns)])
