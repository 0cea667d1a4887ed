"""What is done with the rows of each group: counting, thresholds, Polars expressions, functions of the user's own.

Rows come consolidated, in no order that means anything, each with its multiplicity. Counting needs no more than these;
the least and the greatest of numbers are found by NumPy, because a change of one row must not cost a Polars query; all
else is Polars, on rows that are repeated as often as they are there and sorted, so that floats are summed in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.errors import JobError
from limnad.incremental.columns import Column, Columns, Indexes, from_series, is_plain, take, to_series
from limnad.incremental.deltas import Deltas
from limnad.incremental.reduce import Answers

GROUP: Final = "__group"

Multiplicities = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Threshold:
    """The key itself, as often as a function of its multiplicity says. Takes rows without other columns."""

    function: Multiplicities

    def __call__(self, groups: Indexes, rows: Deltas) -> Answers:
        """See `limnad.incremental.reduce.Reduction`."""
        return Answers(groups, (), np.asarray(self.function(rows.diffs), np.int64))


@dataclass(frozen=True)
class Count:
    """How often the key is there. Takes rows without other columns."""

    def __call__(self, groups: Indexes, rows: Deltas) -> Answers:
        """See `limnad.incremental.reduce.Reduction`."""
        return Answers(groups, (rows.diffs,), np.ones(len(groups), np.int64))


@dataclass(frozen=True)
class Numbers:
    """Lengths, sums, least and greatest values of columns of numbers, by NumPy where they have no nulls.

    Attributes:
        parts: For each column of the answer what is done (``"len"``, ``"sum"``, ``"min"``, ``"max"``) and with which
            column of the rows.
        dtypes: The answer's types.
        otherwise: The same for rows with nulls.
    """

    parts: Sequence[tuple[str, int]]
    dtypes: Sequence[pl.DataType]
    otherwise: Expressions

    def __call__(self, groups: Indexes, rows: Deltas) -> Answers:
        """See `limnad.incremental.reduce.Reduction`."""
        check_multiplicities(rows)
        columns = [rows.diffs if part == "len" else rows.columns[place] for part, place in self.parts]
        starts = _starts(groups)
        if not len(starts) or not all(isinstance(column, np.ndarray) for column in columns):
            return self.otherwise(groups, rows)
        answers = [
            _number(part, column, rows.diffs, starts, dtype)
            for (part, _), column, dtype in zip(self.parts, columns, self.dtypes, strict=True)
        ]
        return Answers(groups[starts], tuple(answers), np.ones(len(starts), np.int64))


def _number(part: str, column: Any, diffs: Indexes, starts: Indexes, dtype: pl.DataType) -> Column:
    match part:
        case "len":
            return np.add.reduceat(diffs, starts)
        case "sum":
            return np.add.reduceat(column.astype(np.int64) * diffs, starts).astype(_numpy(dtype))
        case "min":
            return np.fmin.reduceat(column, starts)
        case _:
            return np.fmax.reduceat(column, starts)


def _numpy(dtype: pl.DataType) -> Any:
    return pl.Series(dtype=dtype).to_numpy().dtype


@dataclass(frozen=True)
class Expressions:
    """Polars aggregations.

    Attributes:
        names: The rows' columns.
        types: Their types.
        exprs: What is made of each group's rows.
        schema: Of the answer.
    """

    names: Sequence[str]
    types: Sequence[pl.DataType]
    exprs: Sequence[pl.Expr]
    schema: Mapping[str, pl.DataType]

    def __call__(self, groups: Indexes, rows: Deltas) -> Answers:
        """See `limnad.incremental.reduce.Reduction`."""
        if not len(groups):
            return Answers(groups, empty_columns(self.schema), groups)
        frame = group_frame(groups, rows, self.names, self.types)
        return answers_of(frame.group_by(GROUP, maintain_order=True).agg(self.exprs), self.schema)


@dataclass(frozen=True)
class TopK:
    """The first rows of each group in some order; ties in the order of the whole row.

    Attributes:
        names: The rows' columns.
        types: Their types.
        k: How many.
        by: What to order by.
        descending: Largest first.
        schema: Of the answer.
    """

    names: Sequence[str]
    types: Sequence[pl.DataType]
    k: int
    by: Sequence[pl.Expr]
    descending: bool
    schema: Mapping[str, pl.DataType]

    def __call__(self, groups: Indexes, rows: Deltas) -> Answers:
        """See `limnad.incremental.reduce.Reduction`."""
        if not len(groups):
            return Answers(groups, empty_columns(self.schema), groups)
        frame = group_frame(groups, rows, self.names, self.types, limit=self.k)
        order = [pl.col(GROUP), *self.by, *map(pl.col, self.names)]
        directions = [False, *(self.descending for _ in self.by), *(False for _ in self.names)]
        ordered = frame.sort(order, descending=directions, nulls_last=True)
        return answers_of(ordered.group_by(GROUP, maintain_order=True).head(self.k), self.schema)


@dataclass(frozen=True)
class Apply:
    """A function of the user's from a group's rows, as a frame, to the rows of its answer.

    Attributes:
        names: The rows' columns.
        types: Their types.
        function: What to do with each group.
        schema: Of the answer.
    """

    names: Sequence[str]
    types: Sequence[pl.DataType]
    function: Callable[[pl.DataFrame], pl.DataFrame]
    schema: Mapping[str, pl.DataType]

    def __call__(self, groups: Indexes, rows: Deltas) -> Answers:
        """See `limnad.incremental.reduce.Reduction`."""
        if not len(groups):
            return Answers(groups, empty_columns(self.schema), groups)
        frame = group_frame(groups, rows, self.names, self.types)
        parts = [
            self._answer(part.drop(GROUP)).with_columns(pl.lit(number, pl.Int64).alias(GROUP))
            for (number,), part in frame.partition_by(GROUP, as_dict=True, maintain_order=True).items()
        ]
        return answers_of(pl.concat(parts), self.schema)

    def _answer(self, rows: pl.DataFrame) -> pl.DataFrame:
        answer = self.function(rows)
        if dict(answer.schema) != dict(self.schema):
            raise JobError(f"the function of a group was to return rows of {dict(self.schema)}, not {answer.schema}")
        return answer


def check_multiplicities(rows: Deltas) -> None:
    """Checks that no row is there less than not at all.

    Raises:
        JobError: One is.
    """
    if len(rows) and rows.diffs.min() < 0:
        row = int(rows.diffs.argmin())
        values = [column[row] for column in rows.columns]
        raise JobError(
            f"a group has the row {values} {rows.diffs[row]} times: a reduction needs rows that are there. Something "
            "took away what was not there: a negate(), an except_(), or a deletion of an unknown row; distinct() "
            "behind it drops what is there less than once"
        )


def group_frame(
    groups: Indexes, rows: Deltas, names: Sequence[str], types: Sequence[pl.DataType], *, limit: int | None = None
) -> pl.DataFrame:
    """The rows as a sorted frame, each as often as it is there (at most ``limit`` times), behind its group's number."""
    check_multiplicities(rows)
    times = rows.diffs if limit is None else np.minimum(rows.diffs, limit)
    columns, number = rows.columns, groups
    if times.max() > 1:
        repeated = np.repeat(np.arange(len(groups)), times)
        columns, number = tuple(take(column, repeated) for column in columns), groups[repeated]
    series = [to_series(column, name, dtype) for column, name, dtype in zip(columns, names, types, strict=True)]
    return pl.DataFrame([pl.Series(GROUP, number), *series]).sort(GROUP, *names, nulls_last=True)


def answers_of(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> Answers:
    """Answers from a frame with the group's number."""
    columns = tuple(
        from_series(frame[name].cast(dtype).rechunk(), plain=is_plain(dtype)) for name, dtype in schema.items()
    )
    return Answers(frame[GROUP].to_numpy(), columns, np.ones(len(frame), np.int64))


def empty_columns(schema: Mapping[str, pl.DataType]) -> Columns:
    """Columns without rows."""
    return tuple(from_series(pl.Series(name, dtype=dtype), plain=is_plain(dtype)) for name, dtype in schema.items())


def _starts(groups: Indexes) -> Indexes:
    """Where each group starts; groups are ascending."""
    if not len(groups):
        return groups
    return np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1])))


def recognised(expr: pl.Expr, places: Mapping[str, int], schema: Mapping[str, pl.DataType]) -> tuple[str, int] | None:
    """What `Numbers` would do for an expression, if it can."""
    bare = expr.meta.undo_aliases()
    if bare.meta.eq(pl.len()):
        return "len", 0
    for name in expr.meta.root_names():
        if name not in places or not is_plain(schema[name]):
            return None
        column = pl.col(name)
        if bare.meta.eq(column.min()):
            return "min", places[name]
        if bare.meta.eq(column.max()):
            return "max", places[name]
        if bare.meta.eq(column.sum()) and schema[name].is_integer():
            return "sum", places[name]
    return None
