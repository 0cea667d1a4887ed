"""Joins by time give what plain Python makes of the rows, whatever comes late, on any workers, through kills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad import Flow
from limnad.testing import simulate
from limnad.windows import EventTime
from tests.helpers.event_times import (
    SCHEMA,
    Answers,
    Row,
    Rule,
    epochs_of_rows,
    everywhere,
    frames,
    joint_watermarks,
    ordered,
    rules,
)

Epochs = Sequence[Sequence[Row]]


def of_both(left: Epochs, right: Epochs, rules: Sequence[Rule]) -> list[tuple[list[Row], list[Row], int, int]]:
    """For each epoch, and for the end, the rows of both sides that are in time, and the joint watermarks."""
    found = []
    length = max(len(left), len(right))
    sides = [[*side, *([] for _ in range(length - len(side)))] for side in (left, right)]
    for epoch, (before, now) in enumerate(joint_watermarks(rules, sides)):
        new = [side[epoch] if epoch < length else [] for side in sides]
        in_time = [[row for row in rows if row[1] is not None and row[1] >= before] for rows in new]
        found.append((in_time[0], in_time[1], before, now))
    return found


def time_of(row: Row) -> int:
    assert row[1] is not None
    return row[1]


@settings(max_examples=25, deadline=None)
@given(
    left=epochs_of_rows(),
    right=epochs_of_rows(),
    both=st.tuples(rules(), rules()),
    behind=st.integers(0, 6),
    ahead=st.integers(0, 6),
    seed=st.integers(0, 1 << 16),
)
def test_interval_joins(left: Epochs, right: Epochs, both: Any, behind: int, ahead: int, seed: int) -> None:
    def job(flow: Flow) -> None:
        one, other = (
            EventTime(flow.input(name, SCHEMA), "t", **rule.options())
            for name, rule in zip(("left", "right"), both, strict=True)
        )
        one.join_interval(other, "k", behind=behind, ahead=ahead).output("pairs")
        one.late(other).output("late")

    wanted: Answers = {"pairs": {}, "late": {}}
    lefts: list[Row] = []
    rights: list[Row] = []
    for epoch, (new_left, new_right, _, _) in enumerate(of_both(left, right, both)):
        lefts, rights = [*lefts, *new_left], [*rights, *new_right]
        wanted["pairs"][epoch] = ordered(
            (*one, *other[1:])
            for one in lefts
            for other in rights
            if one[0] is not None and one[0] == other[0]
            if time_of(one) - behind <= time_of(other) <= time_of(one) + ahead
            if any(one is row for row in new_left) or any(other is row for row in new_right)
        )
        all_left = left[epoch] if epoch < len(left) else []
        wanted["late"][epoch] = ordered(row for row in all_left if not any(row is kept for kept in new_left))
    for where, found in everywhere(job, {"left": frames(left), "right": frames(right)}, seed):
        assert found == wanted, where


@settings(max_examples=25, deadline=None)
@given(
    left=epochs_of_rows(),
    right=epochs_of_rows(),
    both=st.tuples(rules(), rules()),
    tolerance=st.one_of(st.none(), st.integers(0, 8)),
    seed=st.integers(0, 1 << 16),
)
def test_as_of_joins(left: Epochs, right: Epochs, both: Any, tolerance: int | None, seed: int) -> None:
    def job(flow: Flow) -> None:
        one, other = (
            EventTime(flow.input(name, SCHEMA), "t", **rule.options())
            for name, rule in zip(("left", "right"), both, strict=True)
        )
        one.join_asof(other, "k", tolerance=tolerance).output("joined")

    wanted: Answers = {"joined": {}}
    pending: list[Row] = []
    rights: list[Row] = []
    for epoch, (new_left, new_right, _, now) in enumerate(of_both(left, right, both)):
        pending, rights = [*pending, *new_left], [*rights, *new_right]
        due = [row for row in pending if time_of(row) < now]
        pending = [row for row in pending if time_of(row) >= now]
        wanted["joined"][epoch] = ordered((*row, *last_before(row, rights, tolerance)) for row in due)
    for where, found in everywhere(job, {"left": frames(left), "right": frames(right)}, seed):
        assert found == wanted, where


def last_before(row: Row, rights: Sequence[Row], tolerance: int | None) -> tuple[Any, ...]:
    near = [
        other
        for other in rights
        if other[0] is not None and other[0] == row[0] and time_of(other) <= time_of(row)
        if tolerance is None or time_of(row) - time_of(other) <= tolerance
    ]
    return max(near, key=lambda other: other[1:])[1:] if near else (None, None, None)


@pytest.mark.parametrize("name", ["join_interval", "join_asof"])
def test_what_is_kept_does_not_grow_with_the_epochs(name: str) -> None:
    spans = {"join_interval": {"behind": 3, "ahead": 3}, "join_asof": {"tolerance": 5}}[name]
    epochs = frames([("abc"[epoch % 3], epoch, 1, "x")] for epoch in range(400))

    def job(flow: Flow) -> None:
        one, other = (EventTime(flow.input(side, SCHEMA), "t", lateness=2) for side in ("left", "right"))
        getattr(one, name)(other, "k", **spans).probe()

    simulation, _ = simulate(job, {"left": epochs, "right": epochs}, partitions=1, check=False)
    simulation.run()
    vertex: Any = next(v for v in simulation.workers[0].scheduler.vertices if hasattr(v, "_lefts"))
    for side in (vertex._lefts, vertex._rights):
        assert len(side.state.to_frame()) < 20
        assert len(side._agenda) < 60
