"""Windows give what plain Python makes of the rows, whatever comes late, on any number of workers, through kills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad import Flow
from limnad.windows import EventTime
from tests.helpers.event_times import SCHEMA, Answers, Row, Rule, epochs_of_rows, everywhere, frames, ordered, rules

AGGREGATIONS: dict[str, tuple[list[pl.Expr], Any]] = {
    "merged": (
        [pl.len().cast(pl.Int64).alias("c"), pl.col("n").sum(), pl.col("n").min().alias("least")],
        lambda ns: (len(ns), sum(ns), min(ns)),
    ),
    "not merged": (
        [pl.col("n").n_unique().cast(pl.Int64).alias("different"), pl.col("n").sort().last().alias("most")],
        lambda ns: (len(set(ns)), max(ns)),
    ),
}


def by_window(
    epochs: Sequence[Sequence[Row]], rule: Rule, period: int, every: int, offset: int, answer: Any
) -> Answers:
    """Each epoch's closing windows and late rows, by their definition."""
    counted: dict[tuple[int, str | None], list[int]] = {}
    found: Answers = {"windows": {}, "late": {}}
    for epoch, (rows, (before, now)) in enumerate(zip([*epochs, []], rule.watermarks(epochs), strict=True)):
        late = []
        for row in rows:
            key, time, n, _ = row
            starts = [] if time is None else windows_of(time, period, every, offset)
            opened = [start for start in starts if start + period > before]
            for start in opened:
                counted.setdefault((start, key), []).append(n)
            if not opened:
                late.append(row)
        closing = [window for window in counted if window[0] + period <= now]
        found["windows"][epoch] = ordered(
            (start, start + period, key, *answer(counted.pop((start, key)))) for start, key in closing
        )
        found["late"][epoch] = ordered(late)
    return found


def windows_of(time: int, period: int, every: int, offset: int) -> list[int]:
    last = (time - offset) // every * every + offset
    return [start for start in range(last, time - period, -every) if start <= time < start + period]


@pytest.mark.parametrize("name", AGGREGATIONS)
@settings(max_examples=25, deadline=None)
@given(
    epochs=epochs_of_rows(),
    rule=rules(),
    every=st.integers(1, 7),
    more=st.integers(0, 9),
    offset=st.integers(-3, 3),
    seed=st.integers(0, 1 << 16),
)
def test_sliding_windows(
    name: str, epochs: list[list[Row]], rule: Rule, every: int, more: int, offset: int, seed: int
) -> None:
    exprs, answer = AGGREGATIONS[name]

    def job(flow: Flow) -> None:
        timed = EventTime(flow.input("rows", SCHEMA), "t", **rule.options())
        groups = timed.sliding(every + more, every, offset=offset).group_by("k")
        groups.agg(exprs).output("windows")
        groups.late().output("late")

    wanted = by_window(epochs, rule, every + more, every, offset, answer)
    for where, found in everywhere(job, {"rows": frames(epochs)}, seed):
        assert found == wanted, where


def by_session(epochs: Sequence[Sequence[Row]], rule: Rule, gap: int, answer: Any) -> Answers:
    """Each epoch's sessions that are over and late rows, by their definition: closeness, transitively."""
    opened: list[list[Row]] = []
    found: Answers = {"sessions": {}, "late": {}}
    for epoch, (rows, (before, now)) in enumerate(zip([*epochs, []], rule.watermarks(epochs), strict=True)):
        late = [row for row in rows if row[1] is None]
        groups = [*opened, *([row] for row in rows if row[1] is not None)]
        while pair := next(((a, b) for i, a in enumerate(groups) for b in groups[i + 1 :] if close(a, b, gap)), None):
            groups = [group for group in groups if group is not pair[0] and group is not pair[1]] + [pair[0] + pair[1]]
        opened = []
        closing = []
        for group in groups:
            times = [row[1] for row in group if row[1] is not None]
            end = max(times) + gap
            if end <= before:
                late += group
            elif end <= now:
                closing.append((min(times), end, group[0][0], *answer([row[2] for row in group])))
            else:
                opened.append(group)
        found["sessions"][epoch], found["late"][epoch] = ordered(closing), ordered(late)
    return found


def close(a: list[Row], b: list[Row], gap: int) -> bool:
    return a[0][0] == b[0][0] and any(
        abs(x[1] - y[1]) < gap for x in a for y in b if x[1] is not None and y[1] is not None
    )


@pytest.mark.parametrize("name", AGGREGATIONS)
@settings(max_examples=25, deadline=None)
@given(epochs=epochs_of_rows(), rule=rules(), gap=st.integers(1, 9), seed=st.integers(0, 1 << 16))
def test_sessions(name: str, epochs: list[list[Row]], rule: Rule, gap: int, seed: int) -> None:
    exprs, answer = AGGREGATIONS[name]

    def job(flow: Flow) -> None:
        timed = EventTime(flow.input("rows", SCHEMA), "t", **rule.options())
        sessions = timed.sessions(gap).group_by("k")
        sessions.agg(exprs).output("sessions")
        sessions.late().output("late")

    wanted = by_session(epochs, rule, gap, answer)
    for where, found in everywhere(job, {"rows": frames(epochs)}, seed):
        assert found == wanted, where
