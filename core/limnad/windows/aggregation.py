"""What is computed of a window's rows: in three steps where the aggregations allow it, else of the rows themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from limnad import GraphError
from limnad.stream.aggregates import plan

FrameStep = Callable[[pl.DataFrame], pl.DataFrame]
_KEY = "__limnad_key_"


@dataclass(frozen=True)
class Aggregation:
    """Aggregations of rows that are grouped by keys and by a *slot*: some more columns, such as a window's start.

    Laws: `partial` of each of several frames, `merged` any number of times, then `finished`, is the answer for all of
    their rows; `merged` of `merged` rows are the rows.

    Attributes:
        keys: The columns of the key as they are called inside.
        names: How they are called in the answer.
        keyed: Adds the columns of the key to rows.
        splits: Whether rows shrink by `partial`; else partials are the rows, and `merged` leaves them alone.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    keyed: FrameStep
    splits: bool
    _partial: list[pl.Expr]
    _merge: list[pl.Expr]
    _finish: list[pl.Expr]

    @classmethod
    def of(cls, schema: pl.Schema, by: Sequence[str | pl.Expr], exprs: Sequence[pl.Expr]) -> Aggregation:
        """The best way to compute some aggregations of rows of a schema, grouped by columns or expressions.

        Without any ``by`` there is one key, which all rows have.

        Raises:
            GraphError: An expression stands for several columns: it would take in those that are added here.
        """
        for expr in exprs:
            if expr.meta.has_multiple_outputs():
                raise GraphError(f"{expr} stands for several columns: give a window one expression for each of them")
        empty = pl.DataFrame(schema=schema)
        names = tuple(empty.group_by(*by).agg().columns) if by else ()
        keys = tuple(f"{_KEY}{number}" for number in range(max(1, len(by))))
        sources = [pl.col(key) if isinstance(key, str) else key for key in by] or [pl.lit(0, pl.Int8)]
        columns = [source.alias(key) for source, key in zip(sources, keys, strict=True)]

        def keyed(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.with_columns(columns)

        whole = keyed(empty).group_by(*keys).agg(*exprs).drop(keys).schema
        split = plan(exprs, whole)
        if split is None:
            return cls(keys, names, keyed, False, [], [], list(exprs))
        return cls(keys, names, keyed, True, split.partial, split.merge, split.finish)

    def partial(self, frame: pl.DataFrame, slot: Sequence[str], *extra: pl.Expr) -> pl.DataFrame:
        """Shrinks keyed rows that have a slot. ``extra``: more aggregations that `merged` is given too."""
        return frame.group_by(*self.keys, *slot).agg(*self._partial, *extra) if self.splits else frame

    def merged(self, frame: pl.DataFrame, slot: Sequence[str], *extra: pl.Expr) -> pl.DataFrame:
        """Shrinks partials to one for each key and slot."""
        return frame.group_by(*self.keys, *slot).agg(*self._merge, *extra) if self.splits else frame

    def finished(self, frame: pl.DataFrame, slot: Sequence[str], *extra: pl.Expr) -> pl.DataFrame:
        """The answer of partials for each key and slot: the slot, the keys by their names, the aggregations."""
        groups = [*self.keys, *slot]
        if self.splits:
            answer = frame.group_by(*groups).agg(*self._merge, *extra)
            columns = self._finish
        else:
            answer = frame.group_by(*groups).agg(*self._finish, *extra)
            columns = [pl.all().exclude(*groups, *(each.meta.output_name() for each in extra))]
        keys = [pl.col(key).alias(name) for key, name in zip(self.keys, self.names, strict=False)]
        return answer.select(*slot, *(each.meta.output_name() for each in extra), *keys, *columns)
