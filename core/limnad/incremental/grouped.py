"""Groups of a collection's rows, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from limnad.incremental.collection import Collection
from limnad.incremental.reduce import Reduction
from limnad.incremental.reductions import Apply, Count, Expressions, Numbers, TopK, recognised
from limnad.stream.base import check_callable
from limnad.stream.frames import IntoExpr
from limnad.timely.graph import GraphError


@dataclass(frozen=True, eq=False)
class Grouped:
    """Rows grouped by a key; made by `Collection.group_by`.

    Attributes:
        collection: With the key's columns first.
        key: The key's columns.
    """

    collection: Collection
    key: tuple[str, ...]

    @classmethod
    def of(cls, collection: Collection, by: tuple[IntoExpr, ...]) -> Grouped:
        """Groups by columns or expressions.

        Raises:
            GraphError: By nothing, or by a column that is not there.
        """
        if not by:
            raise GraphError("group_by() needs at least one column or expression")
        if all(isinstance(each, str) for each in by):
            if missing := [each for each in by if each not in collection.schema]:
                raise GraphError(f"cannot group by {missing[0]!r}: there are {', '.join(collection.schema)}")
            return cls(collection, tuple(str(each) for each in by))
        exprs = [pl.col(each) if isinstance(each, str) else each for each in by]
        names = [expr.meta.output_name() for expr in exprs]
        return cls(collection.with_columns(*exprs), tuple(names))

    def agg(self, *aggregations: pl.Expr | Iterable[pl.Expr], **named: pl.Expr) -> Collection:
        """Like Polars' ``group_by(...).agg(...)``: one row for each group that has rows.

        Lengths, sums of integers, least and greatest values of columns of numbers cost least. What Polars would make an
        unsigned integer of 32 bits is an ``Int64``.
        """
        exprs = [each for given in aggregations for each in ([given] if isinstance(given, pl.Expr) else given)]
        exprs += [expr.alias(name) for name, expr in named.items()]
        if not exprs:
            raise GraphError("agg() needs an aggregation; distinct() gives the keys alone")
        needed = self._only(exprs)
        empty = pl.DataFrame(schema=needed.schema).group_by(*self.key).agg(exprs)
        if taken := [name for name in empty.columns[len(self.key) :] if name in self.key]:
            raise GraphError(f"agg() makes a column {taken[0]!r}, which the key has already: alias(...) it")
        answer = {name: _wider(dtype) for name, dtype in list(empty.schema.items())[len(self.key) :]}
        if len(exprs) == 1 and exprs[0].meta.undo_aliases().meta.eq(pl.len()):
            return self.count(next(iter(answer)))
        schema = dict(needed.schema)
        general = Expressions(list(schema), list(schema.values()), exprs, answer)
        places = {name: place for place, name in enumerate(schema)}
        parts = [recognised(expr, places, schema) for expr in exprs]
        reduction: Reduction = general
        if all(part is not None for part in parts):
            reduction = Numbers([part for part in parts if part is not None], list(answer.values()), general)
        return needed.reduce_by("group_by", self.key, answer, reduction)

    def _only(self, exprs: list[pl.Expr]) -> Collection:
        """The key and the columns that some expressions look at."""
        if any(expr.meta.has_multiple_outputs() for expr in exprs):
            return self.collection
        roots = {root for expr in exprs for root in expr.meta.root_names()}
        wanted = [name for name in self.collection.schema if name in roots or name in self.key]
        return self.collection if len(wanted) == len(self.collection.schema) else self.collection.select(*wanted)

    def count(self, name: str = "count") -> Collection:
        """How many rows each group has; the rows themselves are not kept."""
        keys = self.collection.select(*self.key)
        return keys.reduce_by("count", self.key, {name: pl.Int64()}, Count())

    def sum(self, *columns: str) -> Collection:
        """The sums of columns."""
        return self.agg(pl.col(column).sum() for column in columns)

    def mean(self, *columns: str) -> Collection:
        """The means of columns; floats are summed in sorted order."""
        return self.agg(pl.col(column).mean() for column in columns)

    def min(self, *columns: str) -> Collection:
        """The least values of columns."""
        return self.agg(pl.col(column).min() for column in columns)

    def max(self, *columns: str) -> Collection:
        """The greatest values of columns."""
        return self.agg(pl.col(column).max() for column in columns)

    def top_k(self, k: int, by: IntoExpr, *, descending: bool = True) -> Collection:
        """The first ``k`` rows of each group in the order of ``by``; ties in the order of the whole row.

        Args:
            k: How many, at least 1.
            by: What to order by.
            descending: Largest first, or smallest first.
        """
        if k < 1:
            raise GraphError(f"top_k() needs k of at least 1, not {k}")
        names, types, answer = self._row()
        order = [pl.col(by) if isinstance(by, str) else by]
        return self.collection.reduce_by("top_k", self.key, answer, TopK(names, types, k, order, descending, answer))

    def apply(self, function: Callable[[pl.DataFrame], pl.DataFrame], schema: Mapping[str, Any]) -> Collection:
        """Any answer: a Python function of a group's rows.

        Args:
            function: Takes all rows of a group, sorted, as a frame with all columns, each row as often as it is there;
                returns the rows of the answer without the key. It must depend on nothing else.
            schema: Columns and types of what it returns.
        """
        check_callable("apply", function)
        names, types, _ = self._row()
        answer = dict(pl.Schema(schema))
        return self.collection.reduce_by("apply", self.key, answer, Apply(names, types, function, answer))

    def _row(self) -> tuple[list[str], list[pl.DataType], dict[str, pl.DataType]]:
        schema = self.collection.schema
        rest = {name: dtype for name, dtype in schema.items() if name not in self.key}
        return list(schema), list(schema.values()), rest


def _wider(dtype: pl.DataType) -> pl.DataType:
    return pl.Int64() if dtype == pl.UInt32 else dtype
