"""What users write: a stream with its event time, its windows, and what is computed of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import polars as pl

from limnad import Flow, FrameStream, GraphError, RecordStream
from limnad.connectors.options import SchemaLike
from limnad.connectors.ticks import Ticks
from limnad.stream.aggregates import flat
from limnad.windows.aggregation import Aggregation
from limnad.windows.axis import Span, TimeAxis
from limnad.windows.joins import AT, OTHER_AT, AsOfJoin, IntervalJoin
from limnad.windows.panes import END, PANE, Late, Panes, Sliding
from limnad.windows.sessions import BORDERS, FIRST, LAST, SESSION, LateForSessions, OpenSessions, Sessions, numbered
from limnad.windows.timers import KeyedFunction, KeyedProcess
from limnad.windows.watermarks import Clock, ToGroups, Watermarks

SHOWN = pl.Schema({"partition": pl.String(), "latest": pl.Int64(), "idle": pl.Boolean()})


class EventTime:
    """A stream of frames whose rows say when they happened, and how far behind rows may be.

    Args:
        stream: Outside all loops.
        time: The column of the event time: a Datetime, a Date or an integer.
        lateness: How far a row may lie behind the largest event time of its partition and still be counted on.
        partition: A column that says where a row comes from: the watermark is the least over its values, so that a
            slow one holds back a fast one. None: the whole stream is one partition.
        partitions: Values of that column that hold the watermark back before they have shown a row.
        idle_after: A partition that has shown no row in so many epochs holds it back no longer, until it shows one.
        idle: Rows for which this is true are no data: they declare that their partition holds it back no longer, from
            the end of their epoch until its next row.

    Attributes:
        rows: The rows that are data.
        axis: The type of their time.

    Raises:
        GraphError: A column is missing or of another type, or a span makes no sense for it.

    >>> from datetime import timedelta
    >>> from limnad import Flow
    >>> clicks = Flow().input("clicks", {"page": pl.String, "at": pl.Datetime("ms")})
    >>> minutes = EventTime(clicks, "at", lateness=timedelta(seconds=10)).tumbling(timedelta(minutes=1))
    >>> minutes.group_by("page").agg(clicks=pl.len()).schema.names()
    ['window_start', 'window_end', 'page', 'clicks']
    """

    def __init__(
        self,
        stream: FrameStream,
        time: str,
        *,
        lateness: Span | None = None,
        partition: str | None = None,
        partitions: Sequence[Any] = (),
        idle_after: int | None = None,
        idle: pl.Expr | None = None,
    ) -> None:
        if stream.context is not None:
            raise GraphError(f"event time inside the loop {stream.context.name!r}: epochs come in no order there")
        self.axis = TimeAxis.of(stream.schema, time)
        self.time = time
        _check_partition(stream, partition, partitions, idle_after)
        declared = () if partition is None else _texts(partitions, stream.schema[partition])
        units = 0 if lateness is None else self.axis.units(lateness, "lateness", least=0)
        self.clock = Clock(units, declared, idle_after)
        self.rows = stream if idle is None else stream.filter(~idle.fill_null(value=False))
        self._stream, self._partition, self._idle = stream, partition, idle

    # -- watermarks ----------------------------------------------------------------------------------------------------

    @property
    def units(self) -> pl.Expr:
        """The event time of a row in units of the axis."""
        return self.axis.to_units(pl.col(self.time))

    @cached_property
    def shown(self) -> FrameStream:
        """What the rows show of the partitions' times: ``(partition, latest, idle)``, on worker 0."""
        name = pl.lit("") if self._partition is None else pl.col(self._partition).cast(pl.String).fill_null("")
        idle = pl.lit(value=False) if self._idle is None else self._idle.fill_null(value=False)
        each = [name.alias("partition"), self.units.alias("latest"), idle.alias("idle")]

        def shrunk(shown: pl.DataFrame) -> pl.DataFrame:
            return shown.group_by("partition").agg(pl.col("latest").max(), pl.col("idle").any())

        def locally(frame: pl.DataFrame) -> pl.DataFrame:
            shown = frame.select(each)
            return shrunk(shown.with_columns(pl.when(~pl.col("idle")).then(pl.col("latest")).alias("latest")))

        return self._stream.map_batches(locally, SHOWN, name="event times").to_worker(0).combined(shrunk)

    @cached_property
    def marks(self) -> RecordStream[Any]:
        """The watermarks of each epoch, for all key groups; see `limnad.windows.watermarks`."""
        return marks_of([self])

    # -- windows -------------------------------------------------------------------------------------------------------

    def tumbling(self, every: Span, *, offset: Span | None = None) -> Windows:
        """Windows of one length, side by side: ``[start, start + every)``.

        Args:
            every: How long they are.
            offset: When one of them begins, counted from the year 1970 (UTC), or from 0.
        """
        return self.sliding(every, every, offset=offset)

    def sliding(self, period: Span, every: Span, *, offset: Span | None = None) -> Windows:
        """Windows of one length that begin at regular times and overlap: ``[start, start + period)``.

        Args:
            period: How long they are.
            every: From the start of one to that of the next; a row is in about ``period / every`` of them.
            offset: See `tumbling`.

        Raises:
            GraphError: ``every`` is longer than ``period``, so that rows would be in no window.
        """
        length, step = self.axis.units(period, "period"), self.axis.units(every, "every")
        if step > length:
            raise GraphError(f"windows of {period} every {every} leave rows between them out: filter these first")
        begin = 0 if offset is None else self.axis.units(offset, "offset", least=-(1 << 61))
        return Windows(self, Sliding(length, step, begin))

    def sessions(self, gap: Span) -> SessionWindows:
        """Windows of a key's rows each of which is less than ``gap`` from another: ``[first, last + gap)``."""
        return SessionWindows(self, self.axis.units(gap, "gap"))

    # -- by key --------------------------------------------------------------------------------------------------------

    def process(
        self,
        make: Callable[[], KeyedFunction],
        by: str | Sequence[str],
        schema: SchemaLike,
        *,
        ticks: EventTime | None = None,
        name: str = "process",
    ) -> FrameStream:
        """A function of one's own for each key, with state and timers.

        Args:
            make: Makes the function for each worker; usually the subclass of `KeyedFunction` itself.
            by: The columns of the key.
            schema: Of what the function emits.
            ticks: Processing time, for `KeyContext.set_clock_timer`: `limnad.windows.ticks`, or in a test any stream.
            name: The stage's name, by which its state is found again.

        Raises:
            GraphError: There is no such column.
        """
        keys, fixed = [by] if isinstance(by, str) else list(by), pl.Schema(schema)
        rows = self.rows.partition_by(*keys)
        empty = pl.DataFrame(schema=rows.schema)
        axes = [self.axis] if ticks is None else [self.axis, ticks.axis]
        answers: FrameStream = rows.flow.vertex(
            lambda: KeyedProcess(empty, keys, self.time, make, fixed, axes),
            rows,
            self.marks if ticks is None else marks_of([self], [ticks]),
            name=name,
            schemas=[fixed],
        )
        return answers

    # -- two streams ---------------------------------------------------------------------------------------------------

    def join_interval(self, other: EventTime, by: str | Sequence[str], *, behind: Span, ahead: Span) -> FrameStream:
        """Pairs of rows of one key whose times are near: the other's is in ``[time - behind, time + ahead]``.

        A pair is sent in the epoch of its later row. Rows that the joint watermark, the least of both, has passed when
        they come are left out: see `late`.

        Args:
            other: With event times of the same type.
            by: Columns that both have, with the same types; a null equals nothing.
            behind: How much earlier the other row may be.
            ahead: How much later.

        Returns:
            The columns of both; of the other's those that this one has too with ``_right`` behind their name.

        Raises:
            GraphError: A column is missing or of another type.
        """
        behind_units, ahead_units = (
            self.axis.units(span, what, least=0) for span, what in ((behind, "behind"), (ahead, "ahead"))
        )
        return self._joined(
            other,
            by,
            lambda left, right, keys: IntervalJoin(left, right, keys, behind_units, ahead_units),
            "join_interval",
        )

    def join_asof(self, other: EventTime, by: str | Sequence[str], *, tolerance: Span | None = None) -> FrameStream:
        """Each row with the last row of the other stream, of the same key, up to the same time; without one with nulls.

        A row is answered in the epoch whose joint watermark, the least of both, passes its time: no other row can come
        between any more. Rows that it has passed when they come are left out: see `late`. Of other rows at one time the
        greatest counts, by its columns in their order.

        Args:
            other: With event times of the same type.
            by: Columns that both have, with the same types; a null equals nothing.
            tolerance: How much earlier the other row may be; without one, the last other row of every key is kept.

        Returns:
            As for `join_interval`.

        Raises:
            GraphError: A column is missing or of another type.
        """
        units = None if tolerance is None else self.axis.units(tolerance, "tolerance", least=0)
        return self._joined(other, by, lambda left, right, keys: AsOfJoin(left, right, keys, units), "join_asof")

    def late(self, other: EventTime | None = None) -> FrameStream:
        """The rows that the watermark of the epoch before had passed: those that joins leave out.

        Args:
            other: Whose watermark counts too: the one that this stream is joined with.
        """
        marks = self.marks if other is None else marks_of([self, other])
        end = (self.units + 1).alias(END)
        ended = self.rows.map_batches(lambda frame: frame.with_columns(end), name="ends")
        empty, columns = pl.DataFrame(schema=ended.schema), self.rows.schema.names()
        late: FrameStream = ended.flow.vertex(
            lambda: Late(empty, 0, columns),
            ended.partition_by(self.time),
            marks,
            name="late rows",
            schemas=[self.rows.schema],
        )
        return late

    def _joined(self, other: EventTime, by: str | Sequence[str], make: MakeJoin, name: str) -> FrameStream:
        keys = [by] if isinstance(by, str) else list(by)
        for key in keys:
            mine, theirs = self.rows.schema.get(key), other.rows.schema.get(key)
            if mine is None or mine != theirs:
                raise GraphError(
                    f"cannot {name} by {key!r}: it is {mine or 'missing'} here and {theirs or 'missing'} there"
                )
        if self.axis != other.axis:
            raise GraphError(f"cannot {name}: event times are {self.axis.dtype} here and {other.axis.dtype} there")
        left = self.rows.with_columns(self.units.alias(AT)).partition_by(*keys)
        right = other.rows.with_columns(other.units.alias(OTHER_AT)).partition_by(*keys)
        empties = pl.DataFrame(schema=left.schema), pl.DataFrame(schema=right.schema)
        joined: FrameStream = left.flow.vertex(
            lambda: make(*empties, keys),
            left,
            right,
            marks_of([self, other]),
            name=name,
            schemas=[make(*empties, keys).nothing.schema],
        )
        return joined


def ticks(flow: Flow, every: timedelta, *, count: int | None = None, name: str = "ticks") -> EventTime:
    """Processing time: a row with the clock's time in each interval of that length, logged so that a replay repeats it.

    Epochs are shared by all inputs of a job: take for the others `limnad.connectors.by_time` of the same length.

    Args:
        flow: The job's.
        every: How long from tick to tick.
        count: After how many they end; None: never, so that the job does not either.
        name: The input's name.
    """
    source = Ticks(every.total_seconds(), count=count)
    return EventTime(flow.read(source, name, source.schema), "now")


MakeJoin = Callable[[pl.DataFrame, pl.DataFrame, list[str]], IntervalJoin | AsOfJoin]


def marks_of(*joint: Sequence[EventTime]) -> RecordStream[Any]:
    """The joint watermarks of some streams, each the least of theirs, for all key groups."""
    clocks = [[each.clock for each in times] for times in joint]
    first, *others = (each.shown for times in joint for each in times)
    marks: RecordStream[Any] = first.flow.vertex(lambda: Watermarks(clocks), first, *others, name="watermarks")
    return marks.spread_by(ToGroups())


@dataclass(frozen=True)
class Windows:
    """Tumbling or sliding windows; made by `EventTime`."""

    source: EventTime
    spans: Sliding

    def group_by(self, *by: str | pl.Expr) -> WindowGroups:
        """Groups each window's rows by columns or row-by-row expressions."""
        return WindowGroups(self.source, self.spans, by)

    def agg(self, *aggregations: pl.Expr | Iterable[pl.Expr], **named: pl.Expr) -> FrameStream:
        """One row for each window that has rows; see `WindowGroups.agg`."""
        return self.group_by().agg(*aggregations, **named)

    def late(self) -> FrameStream:
        """See `WindowGroups.late`."""
        return self.group_by(self.source.time).late()


@dataclass(frozen=True)
class WindowGroups:
    """The rows of tumbling or sliding windows, grouped; made by `Windows.group_by`."""

    source: EventTime
    spans: Sliding
    by: tuple[str | pl.Expr, ...]

    def agg(self, *aggregations: pl.Expr | Iterable[pl.Expr], **named: pl.Expr) -> FrameStream:
        """Like Polars' ``group_by(...).agg(...)`` for each window and key that have rows, once the window is closed.

        A window is answered in the epoch whose watermark passes its end. Aggregations of ``len, sum, count, mean, min,
        max, any, all`` of something row by row are kept as one row for each pane and key, and computed before rows are
        exchanged; for others the rows themselves are kept until the window is closed.

        Returns:
            ``window_start`` and ``window_end``, of the event time's type, the keys, the aggregations.
        """
        source, spans = self.source, self.spans
        aggregation = Aggregation.of(source.rows.schema, self.by, flat(aggregations, named))
        pane = spans.pane_of(source.units).alias(PANE)

        def parts(frame: pl.DataFrame) -> pl.DataFrame:
            keyed = aggregation.keyed(frame).with_columns(pane).filter(pl.col(PANE).is_not_null())
            return aggregation.partial(keyed, [PANE])

        def merged(frame: pl.DataFrame) -> pl.DataFrame:
            return aggregation.merged(frame, [PANE])

        local = source.rows.map_batches(parts, name="panes locally").partition_by(*aggregation.keys)
        empty = pl.DataFrame(schema=local.schema)

        def vertex() -> Panes:
            return Panes(empty, spans, aggregation, source.axis)

        rows = local.combined(merged) if aggregation.splits else local
        answers: FrameStream = local.flow.vertex(
            vertex, rows, source.marks, name="windows", schemas=[vertex().nothing.schema]
        )
        return answers

    def late(self) -> FrameStream:
        """The rows that no window counts, as they came: the watermark of the epoch before theirs had passed them all.

        A row that some of its (sliding) windows count is not among them. Rows without a time are. It costs an exchange
        of the rows.
        """
        source, spans = self.source, self.spans
        keys = Aggregation.of(source.rows.schema, self.by, ())
        end = spans.last_end(spans.pane_of(source.units)).alias(END)
        columns = source.rows.schema.names()
        ended = source.rows.map_batches(lambda frame: keys.keyed(frame).with_columns(end), name="ends")
        empty = pl.DataFrame(schema=ended.schema)
        late: FrameStream = ended.flow.vertex(
            lambda: Late(empty, spans.offset, columns),
            ended.partition_by(*keys.keys),
            source.marks,
            name="late rows",
            schemas=[source.rows.schema],
        )
        return late


@dataclass(frozen=True)
class SessionWindows:
    """Session windows; made by `EventTime.sessions`."""

    source: EventTime
    gap: int

    def group_by(self, *by: str | pl.Expr) -> SessionGroups:
        """Whose sessions: each key has its own."""
        return SessionGroups(self.source, self.gap, by)


@dataclass(frozen=True)
class SessionGroups:
    """The rows of sessions by key; made by `SessionWindows.group_by`."""

    source: EventTime
    gap: int
    by: tuple[str | pl.Expr, ...]

    def agg(self, *aggregations: pl.Expr | Iterable[pl.Expr], **named: pl.Expr) -> FrameStream:
        """One row for each session, once no row can join it any more; see `WindowGroups.agg`."""
        source, gap = self.source, self.gap
        aggregation = Aggregation.of(source.rows.schema, self.by, flat(aggregations, named))

        def parts(frame: pl.DataFrame) -> pl.DataFrame:
            spans = self._spans(aggregation, frame).filter(pl.col(FIRST).is_not_null())
            if not aggregation.splits:
                return spans
            numbers = numbered(spans, aggregation.keys, gap)
            return aggregation.partial(numbers, [SESSION], *BORDERS).drop(SESSION)

        local = source.rows.map_batches(parts, name="sessions locally").partition_by(*aggregation.keys)
        empty = pl.DataFrame(schema=local.schema)

        def vertex() -> Sessions:
            return Sessions(empty, gap, aggregation, source.axis)

        rows = local.combined(OpenSessions(empty, gap, aggregation).merged) if aggregation.splits else local
        answers: FrameStream = local.flow.vertex(
            vertex, rows, source.marks, name="sessions", schemas=[vertex().nothing.schema]
        )
        return answers

    def late(self) -> FrameStream:
        """The rows that no session counts, as they came: theirs was over before their epoch.

        Rows without a time are among them. It costs an exchange of the rows, and keeps the sessions' borders once more.
        """
        source, gap = self.source, self.gap
        keys = Aggregation.of(source.rows.schema, self.by, ())
        columns = source.rows.schema.names()
        spans = source.rows.map_batches(lambda frame: self._spans(keys, frame), name="ends")
        empty = pl.DataFrame(schema=spans.schema)
        late: FrameStream = spans.flow.vertex(
            lambda: LateForSessions(empty, gap, keys, columns),
            spans.partition_by(*keys.keys),
            source.marks,
            name="late rows",
            schemas=[source.rows.schema],
        )
        return late

    def _spans(self, keys: Aggregation, frame: pl.DataFrame) -> pl.DataFrame:
        time = self.source.units
        return keys.keyed(frame).with_columns(time.alias(FIRST), time.alias(LAST))


def _check_partition(
    stream: FrameStream, partition: str | None, partitions: Sequence[Any], idle_after: int | None
) -> None:
    if partition is not None and partition not in stream.schema:
        raise GraphError(f"there is no column {partition!r} with the partition; there are {', '.join(stream.schema)}")
    if partition is None and partitions:
        raise GraphError("partitions=[...] are values of a column: say which one, partition='...'")
    if idle_after is not None and idle_after < 1:
        raise GraphError(f"idle_after is a number of epochs of at least 1, not {idle_after}")


def _texts(values: Sequence[Any], dtype: pl.DataType) -> tuple[str, ...]:
    return tuple(pl.Series(list(values), dtype=dtype).cast(pl.String).to_list())
