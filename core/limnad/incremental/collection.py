"""Collections: rows with multiplicities that change over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.errors import JobError
from limnad.incremental.deltas import DIFF, EPOCH, Layout, hidden_columns
from limnad.incremental.join import Consolidate, Join
from limnad.incremental.linear import (
    FrameStep,
    FromStream,
    ToStream,
    by_time,
    delaying,
    entering,
    filtering,
    flat_mapping,
    leaving,
    negating,
    on_rows,
    selecting,
)
from limnad.incremental.reduce import Reduce, Reduction
from limnad.incremental.reductions import Count, Threshold
from limnad.stream.base import check_callable
from limnad.stream.frames import FrameStream, IntoExpr
from limnad.stream.loop import Loop
from limnad.timely.graph import GraphError, LoopContext, depth_of
from limnad.timely.timestamp import Timestamp

if TYPE_CHECKING:
    from limnad.incremental.arranged import Arranged
    from limnad.incremental.grouped import Grouped

SchemaLike: TypeAlias = Mapping[str, Any]
How = Literal["inner", "left", "semi", "anti"]


@dataclass(frozen=True, eq=False)
class Collection:
    """A multiset of rows that changes from epoch to epoch, and from trip to trip in a loop.

    A collection is a description, like a stream; made by `from_stream`. Its operators are those of relational algebra
    on the collection *as it is at each time*; what flows are differences, and the work is proportional to these.

    Attributes:
        stream: The differences: the rows' columns, then their time, then by how much their multiplicity changes.
        schema: Of the rows.
        consolidated: Whether at each time every row differs at most once.
        loose: Whether differences that cancel may have come from a variable of a loop to here.
    """

    stream: FrameStream
    schema: pl.Schema
    consolidated: bool = False
    loose: bool = False

    # -- what operators are made of ------------------------------------------------------------------------------------

    @property
    def context(self) -> LoopContext | None:
        """The loop that it lives in."""
        return self.stream.context

    @property
    def depth(self) -> int:
        """How many coordinates its times have."""
        return depth_of(self.context)

    @property
    def layout(self) -> Layout:
        """How its differences lie in frames."""
        return Layout(dict(self.schema), self.depth)

    def _step(
        self, name: str, step: FrameStep, schema: pl.Schema | None = None, *, one_to_one: bool = False
    ) -> Collection:
        stage = self.stream._transform(name, step)
        empty = step(pl.DataFrame(schema=self.layout.frame_schema))
        stream = self.stream._with_schema(stage, empty.schema)
        rows = pl.Schema(list(empty.schema.items())[: -self.depth - 1]) if schema is None else schema
        return Collection(stream, rows, self.consolidated and one_to_one, self.loose)

    def _keyed(self, columns: Sequence[str]) -> FrameStream:
        if missing := [column for column in columns if column not in self.schema]:
            raise GraphError(f"there is no column {missing[0]!r}; there are {', '.join(self.schema)}")
        return self.stream.partition_by(*columns)

    def reduce_by(
        self, name: str, key: Sequence[str], answer: Mapping[str, pl.DataType], reduction: Reduction
    ) -> Collection:
        """A reduction of one's own: see `limnad.incremental.reduce.Reduction`.

        Args:
            name: The stage's.
            key: The columns whose equal values make a group.
            answer: Columns and types of the answer, without the key.
            reduction: What is done with each group.
        """
        layout = self.layout
        places = layout.places(key)
        schema = pl.Schema({**{column: self.schema[column] for column in key}, **answer})
        output = Layout(dict(schema), self.depth)
        stage = self._keyed(key)._then(name, lambda: Reduce(layout, places, output, reduction), notifies=True)
        return Collection(self.stream._with_schema(stage, output.frame_schema), schema, consolidated=True)

    def named(self, name: str) -> Collection:
        """Gives the operator that made this collection a name: for pictures, and for finding its state again.

        Raises:
            GraphError: Another stage has that name.
        """
        return replace(self, stream=self.stream.named(name))

    # -- row by row ----------------------------------------------------------------------------------------------------

    def select(self, *exprs: IntoExpr, **named: IntoExpr) -> Collection:
        """Like `polars.DataFrame.select`; expressions must be row by row."""
        wanted = [*_exprs(exprs), *(expr.alias(name) for name, expr in zip(named, _exprs(named.values()), strict=True))]
        if any(expr.meta.has_multiple_outputs() for expr in wanted):
            return self._step("select", on_rows(len(self.schema), lambda frame: frame.select(*wanted)))
        return self._step("select", selecting(wanted, self.depth))

    def with_columns(self, *exprs: IntoExpr, **named: IntoExpr) -> Collection:
        """Like `polars.DataFrame.with_columns`; expressions must be row by row."""
        return self._step("with_columns", on_rows(len(self.schema), lambda frame: frame.with_columns(*exprs, **named)))

    def drop(self, *columns: str) -> Collection:
        """Without these columns."""
        return self._step("drop", lambda frame: frame.drop(*columns))

    def rename(self, mapping: Mapping[str, str]) -> Collection:
        """With columns renamed."""
        return self._step("rename", lambda frame: frame.rename(dict(mapping)), one_to_one=True)

    def filter(self, *predicates: pl.Expr, **equal: Any) -> Collection:
        """Like `polars.DataFrame.filter`; predicates must be row by row."""
        wanted = [*predicates, *(pl.col(name) == value for name, value in equal.items())]
        return self._step("filter", filtering(len(self.schema), wanted), one_to_one=True)

    def explode(self, *columns: str) -> Collection:
        """Like `polars.DataFrame.explode`: one row for each element of list columns."""
        return self._step("explode", lambda frame: frame.explode(*columns))

    def flat_map(self, function: Callable[..., Iterable[Any]], schema: SchemaLike) -> Collection:
        """Any number of rows for each, by a Python function.

        Args:
            function: Takes a row's values; yields rows as tuples, of one column also as bare values.
            schema: Columns and types of what it yields.
        """
        check_callable("flat_map", function)
        made = pl.Schema(schema)
        return self._step("flat_map", flat_mapping(len(self.schema), function, made, self.depth), made)

    def map_batches(self, function: FrameStep) -> Collection:
        """A function from frame to frame that makes one row of each, and treats each for itself."""
        check_callable("map_batches", function)
        return self._step("map_batches", on_rows(len(self.schema), function))

    def inspect(self, look: Callable[[Timestamp, pl.DataFrame], None]) -> Collection:
        """Calls ``look(time, rows)`` for differences as they pass, at their own times; the last column is ``diff``."""
        depth = self.depth
        names = hidden_columns(depth)[:-1]

        def looked(_: Timestamp, frame: pl.DataFrame) -> None:
            for time, part in by_time(frame, depth):
                look(time, part.drop(names).rename({DIFF: "diff"}))

        return replace(self, stream=self.stream.inspect(looked))

    # -- multisets -----------------------------------------------------------------------------------------------------

    def concat(self, *others: Collection) -> Collection:
        """The rows of this collection and of the others: multiplicities add."""
        for other in others:
            self._check_like(other)
        loose = any(each.loose for each in (self, *others))
        return Collection(self.stream.concat(*(other.stream for other in others)), self.schema, loose=loose)

    def negate(self) -> Collection:
        """Every row as often less as it is there."""
        return self._step("negate", negating, one_to_one=True)

    def except_(self, other: Collection) -> Collection:
        """Multiplicities less those of another collection; they may be negative."""
        return self.concat(other.negate())

    def consolidate(self) -> Collection:
        """The same collection; what cancels at a time is not sent on."""
        layout = self.layout
        stage = self._keyed(tuple(self.schema))._then("consolidate", lambda: Consolidate(layout), notifies=True)
        return Collection(self.stream._with_schema(stage, layout.frame_schema), self.schema, consolidated=True)

    def threshold(self, function: Callable[[npt.NDArray[np.int64]], Any], name: str = "threshold") -> Collection:
        """Each row as often as a function of its multiplicity says.

        Args:
            function: Takes an array of multiplicities, none of them 0, and returns as many new ones.
            name: The stage's.
        """
        check_callable("threshold", function)
        return self.reduce_by(name, tuple(self.schema), {}, Threshold(function))

    def distinct(self) -> Collection:
        """Each row that is there once or more often, once."""
        return self.threshold(lambda times: times > 0, "distinct")

    def union(self, other: Collection) -> Collection:
        """Each row that is in this collection or in the other, once."""
        return self.concat(other).distinct()

    def intersect(self, other: Collection) -> Collection:
        """Each row that is in both, once."""
        both = self.distinct().concat(other.distinct())
        return both.threshold(lambda times: times == 2, "intersect")

    def symmetric_difference(self, other: Collection) -> Collection:
        """Each row that is in one of both and not in the other, once."""
        both = self.distinct().concat(other.distinct())
        return both.threshold(lambda times: times == 1, "symmetric_difference")

    def count(self, name: str = "count") -> Collection:
        """Each different row with how often it is there, which may be less than 0."""
        if name in self.schema:
            raise GraphError(f"there is a column {name!r} already: give count() another name for its own")
        return self.reduce_by("count", tuple(self.schema), {name: pl.Int64()}, Count())

    def group_by(self, *by: IntoExpr) -> Grouped:
        """Groups rows by columns or row-by-row expressions; go on with ``agg``, ``count``, ``top_k``, ``apply``..."""
        from limnad.incremental.grouped import Grouped

        return Grouped.of(self, by)

    # -- joins ---------------------------------------------------------------------------------------------------------

    def join(
        self, other: Collection | Arranged, on: str | Sequence[str], how: How = "inner", *, suffix: str = "_right"
    ) -> Collection:
        """Joins with another collection of the same loop; multiplicities multiply.

        Args:
            other: The other collection, or one that is arranged by ``on`` (then ``"inner"`` only).
            on: Columns that both have, with the same types.
            how: ``"inner"``; ``"semi"`` and ``"anti"``: the rows with and without a partner, as often as they are
                there; ``"left"``: inner, and the rows without a partner with nulls.
            suffix: Behind the names of the other's columns that this one has too.

        Raises:
            GraphError: A column that is not there, or of another type.
        """
        from limnad.incremental.arranged import Arranged

        keys = (on,) if isinstance(on, str) else tuple(on)
        if isinstance(other, Arranged):
            return other.joined_by(self, keys, how, suffix)
        self.check_joinable(other.schema, keys)
        match how:
            case "inner":
                return self._inner(other, keys, suffix)
            case "semi":
                return self._inner(other.select(*keys).distinct(), keys, suffix)
            case "anti":
                return self.except_(self.join(other, keys, "semi"))
            case "left":
                inner = self._inner(other, keys, suffix)
                added = [
                    pl.lit(None, dtype).alias(name) for name, dtype in inner.schema.items() if name not in self.schema
                ]
                return inner.concat(self.join(other, keys, "anti").select(*self.schema, *added))
            case _:
                raise GraphError(f"join() knows how='inner', 'left', 'semi' and 'anti', not {how!r}")

    def arrange_by(self, *key: str) -> Arranged:
        """Keeps this collection by key, once for all joins with it: see `Arranged`."""
        from limnad.incremental.arranged import Arranged

        return Arranged.of(self, key)

    def _inner(self, other: Collection, keys: Sequence[str], suffix: str) -> Collection:
        layouts = (self.layout, other.layout)
        places = tuple(layout.places(keys) for layout in layouts)
        schema = self.joined_schema(other.schema, keys, suffix)
        output = Layout(dict(schema), self.depth)
        stage = self._keyed(keys)._then("join", lambda: Join(layouts, places, output), other._keyed(keys))
        loose = self.loose or other.loose
        return Collection(self.stream._with_schema(stage, output.frame_schema), schema, loose=loose)

    def joined_schema(self, other: pl.Schema, keys: Sequence[str], suffix: str) -> pl.Schema:
        """What an inner join has: all columns of this collection, then the other's that are no key."""
        added = {
            (f"{name}{suffix}" if name in self.schema else name): dtype
            for name, dtype in other.items()
            if name not in keys
        }
        return pl.Schema({**self.schema, **added})

    def check_joinable(self, other: pl.Schema, keys: Sequence[str]) -> None:
        """Checks that the columns of a key have one type on both sides.

        Raises:
            GraphError: They have not.
        """
        for key in keys:
            if key in self.schema and key in other and self.schema[key] != other[key]:
                raise GraphError(
                    f"cannot join on {key!r}: it is {self.schema[key]} on one side but {other[key]} on the "
                    "other; cast one of them"
                )

    def _check_like(self, other: Collection) -> None:
        if dict(self.schema) != dict(other.schema) or list(self.schema) != list(other.schema):
            raise GraphError(
                f"collections that are put together have one schema, but one has {dict(self.schema)} and the other "
                f"{dict(other.schema)}: select(...) columns and cast them"
            )

    # -- loops ---------------------------------------------------------------------------------------------------------

    def enter(self, loop: Loop | Collection) -> Collection:
        """The same collection inside a loop around which it lives, there from the first trip on.

        Args:
            loop: The loop, or a collection that lives in it.
        """
        return self._enter(loop, None)

    def enter_at(self, loop: Loop | Collection, trip: pl.Expr) -> Collection:
        """Likewise, but each row enters at a trip of its own: to let some go ahead of others.

        Args:
            loop: The loop, or a collection that lives in it. Through several loops rows enter the outer ones at 0.
            trip: The trip, from 0, as an expression row by row.

        Raises:
            GraphError: The collection does not live around that loop.
        """
        return self._enter(loop, trip)

    def _enter(self, loop: Loop | Collection, trip: pl.Expr | None) -> Collection:
        context = loop.context
        if context is self.context:
            return self
        if context is None:
            raise GraphError("enter() takes a loop, or a collection that lives in one")
        outer = self if context.parent is self.context else self._around(context)
        entered = replace(outer, stream=Loop.of(self.stream.flow, context).enter(outer.stream))
        step = entering(outer.depth, trip)
        stage = entered.stream._transform("enter", step)
        schema = Layout(dict(self.schema), outer.depth + 1).frame_schema
        return Collection(entered.stream._with_schema(stage, schema), self.schema, self.consolidated, self.loose)

    def _around(self, context: LoopContext) -> Collection:
        """The collection just outside a loop."""
        if context.parent is None:
            raise GraphError(f"the collection of {self.stream.stage.name!r} does not live around {context.name!r}")
        return self.enter(Loop.of(self.stream.flow, context.parent))

    def leave(self) -> Collection:
        """The collection outside the innermost loop: what it is when nothing goes round any more."""
        context = self.context
        if context is None:
            raise GraphError("leave() takes a collection that lives in a loop")
        inside = self._step("leave", leaving, self.schema)
        return replace(inside, stream=Loop.of(self.stream.flow, context).leave(inside.stream))

    def iterate(self, body: Callable[[Collection], Collection], name: str = "iterate") -> Collection:
        """Applies a function again and again, until nothing changes.

        Args:
            body: Takes the collection inside the loop and returns the next one, of the same schema. Others come in by
                ``other.enter(inside)``.
            name: The loop's, for errors and pictures.

        Returns:
            The fixpoint: what the collection is when a further trip would change nothing. If there is none, the loop
            does not end.
        """
        from limnad.incremental.loops import iterate

        return iterate((self,), lambda inside: (body(inside),), name)[0]

    # -- time ----------------------------------------------------------------------------------------------------------

    def adjust_time(self, epoch: pl.Expr) -> Collection:
        """Each difference at a later epoch.

        Args:
            epoch: An expression of the row and of ``pl.col("__epoch")``, the epoch that it has; not before that.

        A difference of an epoch that never comes is never seen.
        """
        self._check_outside("adjust_time")
        return self._step("adjust_time", delaying(epoch))

    def delay(self, epochs: int) -> Collection:
        """The collection as it was so many epochs before."""
        if epochs < 0:
            raise GraphError(f"delay() goes forward, and cannot by {epochs} epochs")
        self._check_outside("delay")
        return self._step("delay", delaying(pl.col(EPOCH) + epochs), one_to_one=True)

    def window(self, epochs: int) -> Collection:
        """Only what was added in the last ``epochs`` epochs: each difference is taken back when it is so old."""
        if epochs < 1:
            raise GraphError(f"window() needs at least one epoch, not {epochs}")
        return self.concat(self.delay(epochs).negate())

    def _check_outside(self, deed: str) -> None:
        if self.context is not None:
            raise GraphError(f"{deed}() moves epochs, so it takes a collection outside all loops: leave() first")

    # -- out -----------------------------------------------------------------------------------------------------------

    def to_stream(self, diff: str = "diff") -> FrameStream:
        """The differences of each time as rows of a stream, with a column for by how much their multiplicity changes.

        Each row once at each time, and none that does not change: exactly how the collection differs from before.
        """
        if diff in self.schema:
            raise GraphError(f"there is a column {diff!r} already: give to_stream() another name for its own")
        exact = self if self.consolidated else self.consolidate()
        depth = self.depth
        stage = exact.stream._then("to_stream", lambda: ToStream(diff, depth))
        return exact.stream._with_schema(stage, pl.Schema({**self.schema, diff: pl.Int64()}))

    def output(self, name: str, diff: str = "diff") -> None:
        """Publishes each epoch's differences; see `limnad.Stream.output`."""
        self.to_stream(diff).output(name)

    def assert_equal(self, other: Collection, what: str = "two collections") -> None:
        """Fails the job when two collections differ at the end of an epoch.

        Args:
            other: Of the same schema and loop.
            what: What is compared, for the error.
        """

        def check(frame: pl.DataFrame) -> pl.DataFrame:
            if len(frame):
                raise JobError(f"{what} differ: {frame.head(5).rows(named=True)} (diff > 0: only in the first)")
            return frame

        self.except_(other).consolidate().to_stream()._step("assert_equal", check).probe("assert_equal")


def from_stream(stream: FrameStream, diff: str | None = None) -> Collection:
    """The collection of all rows that a stream has had.

    Args:
        stream: Its rows; each is there from its epoch on.
        diff: A column that says by how much a row's multiplicity changes, for deletions and repetitions; it is no
            column of the collection. None: each row is added once.

    Raises:
        GraphError: There is no such column, or it holds no integers; or a column has a name that is ours.
    """
    schema = pl.Schema({name: dtype for name, dtype in stream.schema.items() if name != diff})
    if diff is not None and not stream.schema.get(diff, pl.Null()).is_integer():
        raise GraphError(f"from_stream(diff={diff!r}) needs a column of integers of that name")
    if ours := [name for name in schema if name.startswith("__")]:
        raise GraphError(f"the column {ours[0]!r} has a name that collections keep for themselves: rename it")
    depth = depth_of(stream.context)
    stage = stream._then("from_stream", lambda: FromStream(diff, depth))
    return Collection(stream._with_schema(stage, Layout(dict(schema), depth).frame_schema), schema)


def _exprs(exprs: Iterable[IntoExpr]) -> list[pl.Expr]:
    return [pl.col(expr) if isinstance(expr, str) else expr for expr in exprs]
