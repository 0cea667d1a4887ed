"""Operators that treat each row for itself: what they do to a frame of differences, and where such frames come from.

They neither look at times nor at multiplicities, keep nothing, and send what they have at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from limnad.errors import JobError
from limnad.incremental.deltas import DIFF, EPOCH, hidden_columns, time_columns
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex

FrameStep = Callable[[pl.DataFrame], pl.DataFrame]


def on_rows(width: int, step: FrameStep) -> FrameStep:
    """A step on the rows' own columns, of which there are ``width``; the hidden ones stay beside them."""

    def beside(frame: pl.DataFrame) -> pl.DataFrame:
        columns = frame.get_columns()
        rows = step(pl.DataFrame(columns[:width]))
        if len(rows) != len(frame):
            raise JobError(
                f"an operator row by row made {len(rows)} rows of {len(frame)}: aggregations belong into "
                "group_by(...).agg(...)"
            )
        return pl.DataFrame(rows.get_columns() + columns[width:])

    return beside


def selecting(exprs: Sequence[pl.Expr], depth: int) -> FrameStep:
    """Like Polars' select; a literal stands in every row."""
    hidden = hidden_columns(depth)
    return lambda frame: frame.select(*exprs, *hidden)


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
    return frame.with_columns(-pl.col(DIFF))


def entering(depth: int, counter: pl.Expr) -> FrameStep:
    """Gives the times of ``depth`` coordinates one more."""
    name = time_columns(depth + 1)[-1]

    def entered(frame: pl.DataFrame) -> pl.DataFrame:
        made = frame.with_columns(counter.cast(pl.Int64).alias(name), pl.col(DIFF)).select(
            *frame.columns[:-1], name, DIFF
        )
        if made[name].null_count() or (made[name] < 0).any():
            raise JobError("enter_at() takes an expression that says at which trip, from 0, each row enters the loop")
        return made

    return entered


def leaving(depth: int) -> FrameStep:
    """Takes the innermost counter from times of ``depth`` coordinates."""
    name = time_columns(depth)[-1]
    return lambda frame: frame.drop(name)


def going_round(depth: int) -> FrameStep:
    """Adds one to the innermost counter of times of ``depth`` coordinates."""
    name = time_columns(depth)[-1]
    return lambda frame: frame.with_columns(pl.col(name) + 1)


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
        self._diff = pl.lit(1, pl.Int64) if diff is None else pl.col(diff).cast(pl.Int64)
        self._drop = [diff] if diff is not None else []

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        times = [pl.lit(each, pl.Int64).alias(name) for each, name in zip(time, self._names, strict=True)]
        self.send_by(0, batch.with_columns(*times, self._diff.alias(DIFF)).drop(self._drop), time)


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
        for at, part in by_time(batch, self._names):
            self.send_by(0, part.drop(self._names).rename({DIFF: self._diff}), at)


def by_time(frame: pl.DataFrame, names: Sequence[str]) -> list[tuple[Timestamp, pl.DataFrame]]:
    """The rows of each time."""
    if all(frame[name].n_unique() == 1 for name in names):
        return [(tuple(frame.row(0)[frame.columns.index(name)] for name in names), frame)]
    parts = frame.partition_by(names, as_dict=True, maintain_order=True)
    return [(time, part) for time, part in sorted(parts.items())]
