"""What the operators of streams mean, in plain Python and plain Polars, on all rows of an epoch at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import polars as pl

Rows = list[Any]


def shown(value: Any) -> str:
    """A value as text, equal for values that are equal: one NaN, one zero, floats to five digits."""
    if isinstance(value, float):
        return "0" if value == 0 else f"{value:.5g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(shown, value)) + ")"
    return repr(value)


def sorted_by(frame: pl.DataFrame, by: str, *, descending: bool) -> pl.DataFrame:
    """In the order of a column, nulls last; ties in the order of the whole row."""
    order = [by, *(name for name in frame.columns if name != by)]
    return frame.sort(order, descending=[descending] + [False] * (len(order) - 1), nulls_last=True)


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """In the order of the whole row."""
    return frame.sort(frame.columns)


def counted(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """How many rows there are; none of none."""
    return pl.DataFrame({name: [len(frame)] if len(frame) else []}, schema={name: pl.Int64})


def frames_joined(left: pl.DataFrame, right: pl.DataFrame, on: list[str], how: Any) -> pl.DataFrame:
    """As Polars joins, by a second key: by one alone NaN does not always meet NaN."""
    left, right = (frame.with_columns(same=0) for frame in (left, right))
    return left.join(right, on=[*on, "same"], how=how).drop("same")


def iterated(start: Any, body: Callable[[Any], tuple[Any, Any]]) -> Any:
    """What leaves a loop, trip after trip."""
    again, left = body(start)
    while len(again):
        again, out = body(again)
        left = pl.concat([left, out]) if isinstance(left, pl.DataFrame) else left + out
    return left


class Kept:
    """What a stateful operator keeps from epoch to epoch."""

    def __init__(self) -> None:
        self.frames: dict[str, pl.DataFrame] = {}
        self.states: dict[str, dict[str, Any]] = {}

    def running(self, name: str, frame: pl.DataFrame, by: str, aggregations: list[pl.Expr]) -> pl.DataFrame:
        """The totals over all epochs so far of the groups that this epoch has rows of."""
        before = self.frames.get(name, frame.clear())
        self.frames[name] = everything = pl.concat([before, frame])
        totals = everything.group_by(by).agg(aggregations).join(frame, on=by, how="semi", nulls_equal=True)
        counts = [key for key, dtype in totals.schema.items() if dtype == pl.UInt32 and key != by]
        return totals.with_columns(pl.col(counts).cast(pl.Int64))

    def scanned(
        self, name: str, pairs: Rows, start: Callable[[], Any], step: Callable[[Any, Any], tuple[Any, Any]]
    ) -> Rows:
        """Each key's values in order through its state."""
        states, results = self.states.setdefault(name, {}), []
        for key, values in grouped(pairs):
            for value in values:
                state, result = step(states.get(shown(key), start()), value)
                states[shown(key)] = state
                results.append((key, result))
        return results


def keyed(records: Rows, key: Callable[[Any], Any]) -> Rows:
    """Pairs."""
    return [(key(record), record) for record in records]


def grouped(pairs: Rows) -> Rows:
    """The values of each key, in order where they have one."""
    keys = {shown(key): key for key, _ in pairs}
    return [(key, _in_order([v for k, v in pairs if shown(k) == text])) for text, key in keys.items()]


def _in_order(values: Rows) -> Rows:
    try:
        return sorted(values)
    except TypeError:
        return values


def different(records: Rows) -> Rows:
    """Each once."""
    return list({shown(record): record for record in records}.values())


def reduced(records: Rows, function: Callable[[Any, Any], Any]) -> Rows:
    """One of all, if there are any."""
    return [reduce(function, records)] if records else []


def reduced_by_key(pairs: Rows, function: Callable[[Any, Any], Any]) -> Rows:
    """One pair for each key."""
    return [(key, reduce(function, values)) for key, values in grouped(pairs)]


def joined(left: Rows, right: Rows, how: str) -> Rows:
    """Pairs by key."""
    found = []
    for key, value in left:
        matches = [other for of, other in right if shown(of) == shown(key)]
        found += {
            "inner": [(key, (value, other)) for other in matches],
            "left": [(key, (value, other)) for other in matches or [None]],
            "semi": [(key, value)] if matches else [],
            "anti": [] if matches else [(key, value)],
        }[how]
    return found


def as_rows(batch: pl.DataFrame | Rows, *, ordered: bool) -> list[str]:
    """What is compared: each row as text; sorted where their order means nothing."""
    texts: Iterable[str] = map(shown, batch.rows() if isinstance(batch, pl.DataFrame) else batch)
    return list(texts) if ordered else sorted(texts)
