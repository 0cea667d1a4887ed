"""Joins by time: rows of one key whose times are near each other, and the last row before a time.

Both use the joint watermark of their two streams: it tells until when a row may still find another one. Rows that it
has passed when they come are left out, on either side: `EventTime.late` gives them.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from limnad.stream.operators.per_time import PerTime
from limnad.windows.agenda import DUE
from limnad.windows.timed_rows import TimedRows
from limnad.windows.watermarks import FOREVER, Marks

AT = "__limnad_at"
OTHER_AT = "__limnad_other_at"
"""The times of a left and of a right row in units; for the length of a join both sides have other names for them."""


def _kept(schema: pl.Schema) -> pl.Schema:
    return pl.Schema({**schema, DUE: pl.Int64()})


class IntervalJoin(PerTime):
    """Sends each pair in the epoch of the later of its rows.

    Ports 0 and 1: left and right rows with ``AT`` or ``OTHER_AT``, by key. Port 2: joint marks. State: the rows of both
    sides that may still find another one, by key.

    Args:
        left: Left rows without any row.
        right: Likewise.
        by: The columns of the key.
        behind: How much earlier than the left row the right one may be, in units.
        ahead: How much later.
    """

    def __init__(self, left: pl.DataFrame, right: pl.DataFrame, by: Sequence[str], behind: int, ahead: int) -> None:
        super().__init__([left, right, []], self._advance)
        self._by = list(by)
        self._behind, self._ahead = behind, ahead
        self._lefts = TimedRows("left", _kept(left.schema), by)
        self._rights = TimedRows("right", _kept(right.schema), by)
        self._states = self._lefts.state
        self._other_states = self._rights.state
        self.nothing = self._pairs(left, right)

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        self._lefts.restored()
        self._rights.restored()

    def _pairs(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        pairs = left.join(right, on=self._by, how="inner")
        near = pl.col(OTHER_AT).is_between(pl.col(AT) - self._behind, pl.col(AT) + self._ahead)
        return pairs.filter(near).drop(AT, OTHER_AT)

    def _advance(self, left: pl.DataFrame, right: pl.DataFrame, marks: Marks) -> pl.DataFrame:
        before, now = marks[0][2:]
        left, right = left.filter(pl.col(AT) >= before), right.filter(pl.col(OTHER_AT) >= before)
        pairs = [self._pairs(left, right)]
        if len(left):
            pairs.append(self._pairs(left, self._rights.of(left).drop(DUE)))
        if len(right):
            pairs.append(self._pairs(self._lefts.of(right).drop(DUE), right))
        # What still comes is at the watermark or behind it.
        self._lefts.add(left.with_columns((pl.col(AT) + self._ahead + 1).alias(DUE)))
        self._rights.add(right.with_columns((pl.col(OTHER_AT) + self._behind + 1).alias(DUE)))
        self._lefts.take_due(now)
        self._rights.take_due(now)
        return pl.concat(pairs)


class AsOfJoin(PerTime):
    """Sends each left row, with the last right row of its key up to its time, when the watermark has passed that time.

    Ports and state: as for `IntervalJoin`; of right rows that the watermark has passed the last of a key is kept.

    Args:
        left: Left rows without any row.
        right: Likewise.
        by: The columns of the key.
        tolerance: How much earlier than the left row the right one may be, in units; None: as early as it may be.
    """

    def __init__(self, left: pl.DataFrame, right: pl.DataFrame, by: Sequence[str], tolerance: int | None) -> None:
        super().__init__([left, right, []], self._advance)
        self._by = list(by)
        self._tolerance = tolerance
        self._order = [OTHER_AT, *(name for name in right.columns if name != OTHER_AT)]
        self._lefts = TimedRows("left", _kept(left.schema), by)
        self._rights = TimedRows("right", _kept(right.schema), by)
        self._states = self._lefts.state
        self._other_states = self._rights.state
        self.nothing = self._answers(left, right)

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        self._lefts.restored()
        self._rights.restored()

    def _last(self, right: pl.DataFrame, *subset: str) -> pl.DataFrame:
        """Of the rows with equal keys (and columns), the last; of equally late ones never just any."""
        return right.sort(self._order).unique([*self._by, *subset], keep="last", maintain_order=True)

    def _answers(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        return (
            left.sort(AT)
            .join_asof(
                self._last(right, OTHER_AT),
                left_on=AT,
                right_on=OTHER_AT,
                by=self._by,
                tolerance=self._tolerance,
                check_sortedness=False,
            )
            .drop(AT, OTHER_AT, strict=False)
        )

    def _advance(self, left: pl.DataFrame, right: pl.DataFrame, marks: Marks) -> pl.DataFrame:
        before, now = marks[0][2:]
        self._lefts.add(left.filter(pl.col(AT) >= before).with_columns((pl.col(AT) + 1).alias(DUE)))
        self._rights.add(right.filter(pl.col(OTHER_AT) >= before).with_columns((pl.col(OTHER_AT) + 1).alias(DUE)))
        due = self._lefts.take_due(now).drop(DUE)
        answer = self._answers(due, self._rights.of(due).drop(DUE)) if len(due) else self.nothing
        self._forget(now)
        return answer

    def _forget(self, now: int) -> None:
        """Of the right rows that the watermark has passed, the last of each key may still be wanted."""
        passed = self._rights.take_due(now)
        if not len(passed):
            return
        rest = self._rights.of(passed)
        last = self._last(pl.concat([passed, rest.filter(pl.col(OTHER_AT) < now)]))
        until = pl.lit(FOREVER) if self._tolerance is None else pl.col(OTHER_AT) + self._tolerance + 1
        last = last.with_columns(until.alias(DUE))
        wanted = pl.concat([rest.filter(pl.col(OTHER_AT) >= now), last.filter(pl.col(DUE) > now)])
        self._rights.replace(passed, wanted)
