"""Operators that treat each row for itself: what they do to a frame of differences, and where such frames come from.

They neither look at times nor at multiplicities, keep nothing, and send what they have at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from limnad.errors import JobError
from limnad.incremental.deltas import DIFF, EPOCH, hidden_columns, time_columns
from limnad.incremental.quick import frame as frame_of
from limnad.incremental.quick import series
from limnad.incremental.times import distinct
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex

FrameStep = Callable[[pl.DataFrame], pl.DataFrame]


def on_rows(width: int, step: FrameStep) -> FrameStep:
    """A step on the rows' own columns, of which there are ``width``; the hidden ones stay beside them."""

    def beside(frame: pl.DataFrame) -> pl.DataFrame:
        columns = frame.get_columns()
        rows = step(frame_of(columns[:width]))
        if len(rows) != len(frame):
            raise JobError(
                f"an operator row by row made {len(rows)} rows of {len(frame)}: aggregations belong into "
                "group_by(...).agg(...)"
            )
        return frame_of(rows.get_columns() + columns[width:])

    return beside


def selecting(exprs: Sequence[pl.Expr], depth: int) -> FrameStep:
    """Like Polars' select; a literal stands in every row. Columns that are only chosen and renamed need no query."""
    hidden = hidden_columns(depth)
    chosen = [_only_a_column(expr) for expr in exprs]
    columns = [each for each in chosen if each is not None]
    if len(columns) < len(chosen):
        return lambda frame: frame.select(*exprs, *hidden)
    columns += [(name, name) for name in hidden]
    return lambda frame: pl.DataFrame([frame.get_column(name).alias(alias) for name, alias in columns])


def _only_a_column(expr: pl.Expr) -> tuple[str, str] | None:
    """The column that an expression gives another name, and this name."""
    roots = expr.meta.root_names()
    if len(roots) != 1 or not expr.meta.undo_aliases().meta.eq(pl.col(roots[0])):
        return None
    return roots[0], expr.meta.output_name()


def filtering(width: int, predicates: Sequence[pl.Expr]) -> FrameStep:
    """Like Polars' filter."""
    if not any(predicate.meta.has_multiple_outputs() for predicate in predicates):
        return lambda frame: frame.filter(*predicates)

    def kept(frame: pl.DataFrame) -> pl.DataFrame:
        rows = pl.DataFrame(frame.get_columns()[:width])
        return frame.filter(rows.select(pl.all_horizontal(*predicates)).to_series())

    return kept


def flat_mapping(
    width: int, function: Callable[..., Iterable[Any]], schema: Mapping[str, pl.DataType], depth: int
) -> FrameStep:
    """A function of the user's on each row, which gives any number of rows."""
    names = list(schema)
    hidden = hidden_columns(depth)

    def mapped(frame: pl.DataFrame) -> pl.DataFrame:
        found: list[tuple[Any, ...]] = []
        came_from: list[int] = []
        for number, row in enumerate(pl.DataFrame(frame.get_columns()[:width]).rows()):
            for made in function(*row):
                found.append(tuple(made) if len(names) > 1 or isinstance(made, tuple) else (made,))
                came_from.append(number)
        rows = pl.DataFrame(found, schema=dict(schema), orient="row")
        kept = frame.select(hidden)[pl.Series(came_from, dtype=pl.UInt32)]
        return pl.DataFrame(rows.get_columns() + kept.get_columns())

    return mapped


def negating(frame: pl.DataFrame) -> pl.DataFrame:
    """Takes away what was added, and the other way round."""
    columns = frame.get_columns()
    return frame_of([*columns[:-1], series(DIFF, -columns[-1].to_numpy())])


def entering(depth: int, trip: pl.Expr | None) -> FrameStep:
    """Gives the times of ``depth`` coordinates one more: 0, or what an expression says."""
    name = time_columns(depth + 1)[-1]

    def entered(frame: pl.DataFrame) -> pl.DataFrame:
        *columns, diff = frame.get_columns()
        if trip is None:
            return frame_of([*columns, series(name, np.zeros(len(frame), np.int64)), diff])
        counter = frame.select(trip.cast(pl.Int64).alias(name)).to_series()
        if counter.null_count() or (counter < 0).any() or len(counter) != len(frame):
            raise JobError("enter_at() takes an expression that says at which trip, from 0, each row enters the loop")
        return frame_of([*columns, counter, diff])

    return entered


def leaving(frame: pl.DataFrame) -> pl.DataFrame:
    """Takes the innermost counter away."""
    columns = frame.get_columns()
    return frame_of([*columns[:-2], columns[-1]])


def going_round(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds one to the innermost counter."""
    *columns, counter, diff = frame.get_columns()
    return frame_of([*columns, series(counter.name, counter.to_numpy() + 1), diff])


def delaying(epoch: pl.Expr) -> FrameStep:
    """Moves rows to later epochs."""

    def delayed(frame: pl.DataFrame) -> pl.DataFrame:
        moved = frame.with_columns(epoch.cast(pl.Int64).alias(EPOCH))
        if not (moved[EPOCH] >= frame[EPOCH]).all() or moved[EPOCH].null_count():
            raise JobError("adjust_time() may move a row to its own epoch or a later one, never to an earlier one")
        return moved

    return delayed


class FromStream(Vertex):
    """Turns rows of a stream into differences: each row is there from its epoch on.

    Args:
        diff: The column with the rows' multiplicities, which is taken away; None: 1 each.
        depth: How many coordinates a time has.
    """

    def __init__(self, diff: str | None, depth: int) -> None:
        self._names = time_columns(depth)
        self._diff = diff

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        columns = [column for column in batch.get_columns() if column.name != self._diff]
        for name, coordinate in zip(self._names, time, strict=True):
            columns.append(series(name, np.full(len(batch), coordinate)))
        if self._diff is None:
            columns.append(series(DIFF, np.ones(len(batch), np.int64)))
        else:
            columns.append(batch.get_column(self._diff).cast(pl.Int64).alias(DIFF))
        self.send_by(0, frame_of(columns), time)


class ToStream(Vertex):
    """Turns consolidated differences into rows of a stream, each at its own time, with their multiplicities.

    Args:
        diff: What the column with the multiplicities is called.
        depth: How many coordinates a time has.
    """

    def __init__(self, diff: str, depth: int) -> None:
        self._diff = diff
        self._names = time_columns(depth)

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        for at, part in by_time(batch, len(self._names)):
            *columns, diff = part.get_columns()
            rows = frame_of([*columns[: -len(at)], diff.alias(self._diff)])
            self.send_by(0, rows, at)


def by_time(frame: pl.DataFrame, depth: int) -> list[tuple[Timestamp, pl.DataFrame]]:
    """The rows of each time, of ``depth`` coordinates."""
    times = np.array([column.to_numpy() for column in frame.get_columns()[-depth - 1 : -1]])
    found, which = distinct(times)
    if len(found) == 1:
        return [(found[0], frame)]
    return [(time, frame.filter(pl.Series(which == number))) for number, time in enumerate(found)]
