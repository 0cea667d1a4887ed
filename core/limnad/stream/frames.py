"""Streams of Polars frames: Polars expressions are the operator language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os.path import normpath
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
import polars.selectors as cs

from limnad.connectors.exactly_once import Delivery
from limnad.connectors.options import SchemaLike
from limnad.stream.aggregates import flat, needs_order, plan
from limnad.stream.base import Stream, check_callable
from limnad.stream.joins import How, join_frames
from limnad.stream.operators.per_time import PerTime
from limnad.stream.operators.running import Running
from limnad.stream.partitions import ByColumns
from limnad.stream.row_by_row import check_row_by_row
from limnad.timely.graph import GraphError, Stage

if TYPE_CHECKING:
    from limnad.connectors.file_sink import FileFormat
    from limnad.stream.records import RecordStream

IntoExpr: TypeAlias = str | pl.Expr
FrameStep = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, eq=False)
class FrameStream(Stream):
    """A stream whose batches are Polars frames of one schema.

    The schema is known when the flow is described, so a misspelt column is an error in the line that has it, before
    anything runs.

    Attributes:
        schema: Columns and types of every batch.
    """

    schema: pl.Schema = field(default_factory=pl.Schema)

    def _empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.schema)

    def _with_schema(self, stage: Stage, schema: pl.Schema) -> FrameStream:
        return replace(self, stage=stage, port=0, partition=None, combine=None, schema=schema)

    def _check_like(self, other: Stream) -> None:
        super()._check_like(other)
        assert isinstance(other, FrameStream)
        if other.schema != self.schema:
            raise GraphError(
                f"cannot concat {other.stage.name!r} to {self.stage.name!r}: {_difference(self.schema, other.schema)}"
            )

    def _step(self, name: str, step: FrameStep) -> FrameStream:
        """Adds a stateless frame operator; what it does to the schema is seen by trying it on no rows."""
        return self._with_schema(self._transform(name, step), self._try(step).schema)

    def _try(self, step: Callable[..., pl.DataFrame], *others: FrameStream) -> pl.DataFrame:
        return step(self._empty(), *(other._empty() for other in others))

    # -- row by row ----------------------------------------------------------------------------------------------------

    def select(self, *exprs: IntoExpr, **named: IntoExpr) -> FrameStream:
        """Like `polars.DataFrame.select`; expressions must be row by row.

        Raises:
            GraphError: They are not, as far as Polars can tell.
        """

        def selected(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.select(*exprs, **named)

        if len(self._try(selected)):
            raise GraphError(
                "select() takes expressions row by row, and these make one row of a whole batch, whatever a batch is: "
                "count() and group_by(...).agg(...) answer for a whole epoch, with_columns() adds a constant"
            )
        check_row_by_row("select", [*exprs, *named.values()])
        return self._step("select", selected)

    def with_columns(self, *exprs: IntoExpr, **named: IntoExpr) -> FrameStream:
        """Like `polars.DataFrame.with_columns`; expressions must be row by row.

        Raises:
            GraphError: They are not, as far as Polars can tell.
        """
        check_row_by_row("with_columns", [*exprs, *named.values()])
        return self._step("with_columns", lambda frame: frame.with_columns(*exprs, **named))

    def filter(self, *predicates: pl.Expr, **equal: Any) -> FrameStream:
        """Like `polars.DataFrame.filter`; predicates must be row by row.

        Raises:
            GraphError: They are not, as far as Polars can tell.
        """
        check_row_by_row("filter", predicates)
        return self._step("filter", lambda frame: frame.filter(*predicates, **equal))

    def explode(self, *columns: str) -> FrameStream:
        """Like `polars.DataFrame.explode`: one row for each element of list columns."""
        return self._step("explode", lambda frame: frame.explode(*columns))

    def drop(self, *columns: str) -> FrameStream:
        """Without these columns."""
        return self._step("drop", lambda frame: frame.drop(*columns))

    def rename(self, mapping: Mapping[str, str]) -> FrameStream:
        """With columns renamed."""
        return self._step("rename", lambda frame: frame.rename(dict(mapping)))

    def map_batches(
        self, function: FrameStep, schema: SchemaLike | None = None, *, name: str = "map_batches"
    ) -> FrameStream:
        """Any function from frame to frame that treats each row for itself.

        Args:
            function: What to do with each batch.
            schema: What it returns; by default seen by calling it with a frame without rows.
            name: What pictures call it.
        """
        check_callable("map_batches", function)
        if schema is None:
            return self._step(name, function)
        return self._with_schema(self._transform(name, function), pl.Schema(schema))

    # -- by time -------------------------------------------------------------------------------------------------------

    def partition_by(self, *columns: str) -> FrameStream:
        """Rows with equal values in these columns meet at one worker, for the next operator.

        Raises:
            GraphError: A column that is not there.
        """
        missing = [column for column in columns if column not in self.schema]
        if missing or not columns:
            raise GraphError(f"cannot partition by {missing or 'no column'}: there are {', '.join(self.schema)}")
        return replace(self, partition=ByColumns(tuple(columns)))

    def group_by(self, *by: IntoExpr) -> GroupBy:
        """Groups rows by columns or row-by-row expressions; go on with ``agg``, ``len`` or ``running``."""
        if not by:
            raise GraphError("group_by() needs at least one column or expression")
        check_row_by_row("group_by", by)
        return GroupBy(self, by)

    def unique(self, *columns: str) -> FrameStream:
        """The different rows of each time, or (with columns) one row for each different value of these."""
        keys = columns or tuple(self.schema)
        subset = list(keys)

        def first(frame: pl.DataFrame) -> pl.DataFrame:
            # Which row stays must not depend on the order of arrival: the smallest does.
            return frame.sort(frame.columns).unique(subset, keep="first") if columns else frame.unique()

        local = self._step("unique locally", first).partition_by(*keys)
        return self._with_schema(local._per_time("unique", first, combine=first, fold=first), self.schema)

    def top_k(self, k: int, by: IntoExpr, *, descending: bool = True) -> FrameStream:
        """The ``k`` first rows of each time in the order of ``by``; ties in the order of the whole row.

        Args:
            k: How many, at least 1.
            by: What to order by.
            descending: Largest first, or smallest first.
        """
        if k < 1:
            raise GraphError(f"top_k() needs k of at least 1, not {k}")

        def top(frame: pl.DataFrame) -> pl.DataFrame:
            return _sorted(frame, [by], descending).head(k)

        local = self._step("top_k locally", top).to_worker(0)
        return self._with_schema(local._per_time("top_k", top, combine=top, fold=top), self.schema)

    def sort(self, *by: IntoExpr, descending: bool = False) -> FrameStream:
        """The rows of each time in order, on one worker; ties in the order of the whole row."""
        keys = by or tuple(self.schema)

        def ordered(frame: pl.DataFrame) -> pl.DataFrame:
            return _sorted(frame, keys, descending)

        self._try(ordered)
        return self._with_schema(self.to_worker(0)._per_time("sort", ordered), self.schema)

    def count(self, name: str = "count") -> FrameStream:
        """How many rows each time has: one row with one column; times without rows have none."""
        local = self._step("count locally", lambda frame: frame.select(pl.len().cast(pl.Int64).alias(name)))

        def total(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.sum()

        counted = local.to_worker(0)
        return counted._with_schema(counted._per_time("count", total, combine=total, fold=total), local.schema)

    def join(self, other: FrameStream, on: str | Sequence[str], how: How = "inner") -> FrameStream:
        """Joins the rows of each time with those of another stream at the same time. NaN meets NaN, and null nothing.

        Args:
            other: Of the same loop.
            on: Columns that both have, with the same types.
            how: ``"inner"``, ``"left"``, ``"semi"`` or ``"anti"``.

        Raises:
            GraphError: A column that is not there, or of another type.
        """
        keys = [on] if isinstance(on, str) else list(on)
        if how not in ("inner", "left", "semi", "anti"):
            raise GraphError(f"join() knows how='inner', 'left', 'semi' and 'anti', not {how!r}")
        for key in keys:
            if key in self.schema and key in other.schema and self.schema[key] != other.schema[key]:
                raise GraphError(
                    f"cannot join on {key!r}: it is {self.schema[key]} in {self.stage.name!r} but "
                    f"{other.schema[key]} in {other.stage.name!r}; cast one of them"
                )

        def joined(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
            return join_frames(left, right, keys, how)

        left, right = self.partition_by(*keys), other.partition_by(*keys)
        empties = [self._empty(), other._empty()]
        stage = left._then("join", lambda: PerTime(empties, joined), right, notifies=True)
        return self._with_schema(stage, self._try(joined, other).schema)

    def _per_time(
        self,
        name: str,
        finish: FrameStep,
        combine: FrameStep | None = None,
        fold: FrameStep | None = None,
    ) -> Stage:
        empties = [self._empty()]
        return self._then(name, lambda: PerTime(empties, finish, fold), notifies=True, combine=combine)

    # -- out -----------------------------------------------------------------------------------------------------------

    def to_records(self, *, named: bool = False) -> RecordStream[Any]:
        """The rows as Python tuples, or (``named``) as dicts."""
        from limnad.stream.records import RecordStream

        stage = self._transform("to_records", lambda frame: frame.rows(named=named))
        return RecordStream(self.flow, stage)

    def write(self, path: str, format: FileFormat, *, delivery: Delivery = "eager") -> None:
        """Writes every epoch's rows below a directory: ``epoch=00000003/part-<worker>-<generation>.<format>``.

        A file appears whole or not at all, and its rows are in no other file, whatever was killed.

        Args:
            path: The directory; it must not hold the files of another run. `limnad run --resume` goes on in it.
            format: ``"csv"``, ``"ndjson"`` or ``"parquet"``.
            delivery: ``"eager"`` shows an epoch when it is complete; a restart takes away what no checkpoint covers,
                and writes it again. ``"committed"`` shows it when a durable checkpoint covers it, for good.

        Raises:
            GraphError: The stream is in a loop, or another sink of the job writes there.
            JobError: There is no such format.
        """
        from limnad.connectors.file_sink import FileTarget

        self.to_sink(f"write {normpath(path)}", lambda: FileTarget(path, format), delivery=delivery)

    def write_csv(self, path: str, *, delivery: Delivery = "eager") -> None:
        """Writes CSV files below a directory, one an epoch and worker. See `write`."""
        self.write(path, "csv", delivery=delivery)

    def write_ndjson(self, path: str, *, delivery: Delivery = "eager") -> None:
        """Writes files of JSON lines below a directory, one an epoch and worker. See `write`."""
        self.write(path, "ndjson", delivery=delivery)

    def write_parquet(self, path: str, *, delivery: Delivery = "eager") -> None:
        """Writes Parquet files below a directory, one an epoch and worker. See `write`."""
        self.write(path, "parquet", delivery=delivery)


@dataclass(frozen=True, eq=False)
class GroupBy:
    """Rows of each time, grouped; made by `FrameStream.group_by`."""

    stream: FrameStream
    by: tuple[IntoExpr, ...]

    def len(self, name: str = "len") -> FrameStream:
        """How many rows each group has."""
        return self.agg(pl.len().alias(name))

    def running(self, *aggregations: pl.Expr | Iterable[pl.Expr], **named: pl.Expr) -> FrameStream:
        """Like `agg`, but over all epochs so far: each epoch gives the new totals of the groups that it has rows of.

        The totals are state: they are in every checkpoint, and spread by key. What Polars would make an unsigned
        integer of 32 bits is an ``Int64`` here, because counts grow on.

        Args:
            aggregations: Of ``len, sum, count, mean, min, max, any, all`` of something row by row.
            named: Likewise.

        Raises:
            GraphError: Another aggregation; or inside a loop, where times come in no order.
        """
        self.stream._check_outside_loops("running")
        exprs = flat(aggregations, named)
        whole = self.stream._empty().group_by(*self.by).agg(*exprs).schema
        split = plan(exprs, pl.Schema({name: _wider(dtype) for name, dtype in whole.items()}))
        if split is None:
            raise GraphError(
                "running() keeps totals that grow, so it takes only aggregations whose parts can be merged: len, sum, "
                "count, mean, min, max, any and all of something row by row. Make others of these, or keep what they "
                "need in a vertex with a limnad.FrameState"
            )
        by, partial, merge, finish = self.by, split.partial, split.merge, split.finish
        keys = list(self.stream._empty().group_by(*by).agg().schema)

        def merged(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.group_by(keys).agg(merge)

        def finished(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.select(*keys, *finish)

        def locally(frame: pl.DataFrame) -> pl.DataFrame:
            return (
                frame.group_by(*by)
                .agg(partial)
                .with_columns((cs.by_dtype(pl.UInt32) - cs.by_name(keys)).cast(pl.Int64))
            )

        local = self.stream._step("group_by locally", locally).partition_by(*keys)
        empty = local._empty()
        stage = local._then("running", lambda: Running(empty, keys, merged, finished), notifies=True, combine=merged)
        return self.stream._with_schema(stage, finished(empty).schema)

    def agg(self, *aggregations: pl.Expr | Iterable[pl.Expr], **named: pl.Expr) -> FrameStream:
        """Like Polars' ``group_by(...).agg(...)``, for each time.

        Where Polars' expression is one of ``len, sum, count, mean, min, max, any, all`` of something row by row, each
        worker aggregates its own rows before they are exchanged; other expressions exchange the rows. To those that
        depend on the order of a group's rows, as ``first`` does, they come in the order of the whole row.
        """
        exprs = flat(aggregations, named)
        whole = self.stream._empty().group_by(*self.by).agg(*exprs).schema
        split = plan(exprs, whole)
        if split is None:
            return self._exchange_rows(exprs, whole)
        partial, merge, answer = split.partial, split.merge, split.answer
        by = self.by
        keys = list(self.stream._empty().group_by(*by).agg().schema)

        def merged(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.group_by(keys).agg(merge)

        def finished(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.group_by(keys).agg(answer)

        local = self.stream._step("group_by locally", lambda frame: frame.group_by(*by).agg(partial))
        exchanged = local.partition_by(*keys)
        return self.stream._with_schema(exchanged._per_time("group_by", finished, combine=merged, fold=merged), whole)

    def _exchange_rows(self, exprs: list[pl.Expr], whole: pl.Schema) -> FrameStream:
        by, sorts = self.by, any(map(needs_order, exprs))
        hidden = [f"__limnad_key_{number}" for number in range(len(by))]
        keyed = self.stream._step(
            "group_by key",
            lambda frame: frame.with_columns(
                **{name: (pl.col(key) if isinstance(key, str) else key) for name, key in zip(hidden, by, strict=True)}
            ),
        )

        def finished(frame: pl.DataFrame) -> pl.DataFrame:
            rows = frame.drop(hidden)
            # Rows come in any order, and what is made of them must not tell.
            return (rows.sort(rows.columns) if sorts else rows).group_by(*by).agg(exprs)

        return self.stream._with_schema(keyed.partition_by(*hidden)._per_time("group_by", finished), whole)


def _wider(dtype: pl.DataType) -> pl.DataType:
    return pl.Int64() if dtype == pl.UInt32 else dtype


def _sorted(frame: pl.DataFrame, by: Sequence[IntoExpr], descending: bool) -> pl.DataFrame:
    names = {key for key in by if isinstance(key, str)}
    rest = [column for column in frame.columns if column not in names]
    order = [*by, *rest]
    directions = [descending] * len(by) + [False] * len(rest)
    return frame.sort(order, descending=directions, nulls_last=True)


def _difference(mine: pl.Schema, other: pl.Schema) -> str:
    told = [
        f"column {name!r} is {other.get(name, 'missing')} there and {mine.get(name, 'missing')} here"
        for name in {**mine, **other}
        if mine.get(name) != other.get(name)
    ]
    return "; ".join(told) or f"their columns stand in another order: {list(other)} and {list(mine)}"
