"""What lies exactly on a border: ends are outside, the watermark itself may still come."""

from __future__ import annotations

from typing import Any

import polars as pl

from limnad import Flow
from limnad.testing import run
from limnad.windows import EventTime
from tests.helpers.event_times import ordered

SCHEMA: dict[str, Any] = {"k": pl.String, "t": pl.Int64}
Rows = list[tuple[str, int]]


def frames(*epochs: Rows) -> list[pl.DataFrame]:
    return [pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in epochs]


def outputs(job: Any, **inputs: list[pl.DataFrame]) -> dict[str, list[Any]]:
    """All rows of each output, epoch by epoch; at last those of the end."""
    found = run(job, inputs, workers=2).outputs
    return {name: [ordered(by_epoch[epoch].rows()) for epoch in sorted(by_epoch)] for name, by_epoch in found.items()}


def test_a_row_at_the_end_of_a_window_is_in_the_next_one() -> None:
    def job(flow: Flow) -> None:
        EventTime(flow.input("rows", SCHEMA), "t").tumbling(10).group_by("k").agg(c=pl.len()).output("out")

    found = outputs(job, rows=frames([("a", 9), ("a", 10)], [("a", 10), ("a", 20)]))
    assert found["out"] == [[(0, 10, "a", 1)], [(10, 20, "a", 2)], [(20, 30, "a", 1)]]


def test_a_session_that_ends_at_the_watermark_of_the_epoch_before_is_late() -> None:
    def job(flow: Flow) -> None:
        sessions = EventTime(flow.input("rows", SCHEMA), "t").sessions(5).group_by("k")
        sessions.agg(c=pl.len()).output("sessions")
        sessions.late().output("late")

    found = outputs(job, rows=frames([("b", 10)], [("a", 5)], [("a", 6)], [("b", 15)]))
    assert found["late"] == [[], [("a", 5)], [], [], []]
    assert found["sessions"] == [[], [], [], [(10, 15, "b", 1), (6, 11, "a", 1)], [(15, 20, "b", 1)]]


def joined(left: list[pl.DataFrame], right: list[pl.DataFrame], join: Any) -> list[Any]:
    def job(flow: Flow) -> None:
        one, other = (EventTime(flow.input(name, SCHEMA), "t") for name in ("left", "right"))
        join(one, other).output("out")

    return outputs(job, left=left, right=right)["out"]


def test_a_row_at_the_watermark_still_finds_those_that_are_just_near_enough() -> None:
    def behind(one: EventTime, other: EventTime) -> Any:
        return one.join_interval(other, "k", behind=2, ahead=0)

    def ahead(one: EventTime, other: EventTime) -> Any:
        return one.join_interval(other, "k", behind=0, ahead=2)

    early, late = frames([("k", 8), ("z", 10)], []), frames([("y", 10)], [("k", 10)])
    assert joined(late, early, behind) == [[], [("k", 10, 8)], []]
    assert joined(early, late, ahead) == [[], [("k", 8, 10)], []]


def test_a_row_at_the_watermark_still_finds_the_last_one_within_the_tolerance() -> None:
    def as_of(one: EventTime, other: EventTime) -> Any:
        return one.join_asof(other, "k", tolerance=5)

    left = frames([("y", 10)], [("k", 10)], [("y", 11)])
    right = frames([("k", 5), ("z", 10)], [], [("z", 11)])
    assert joined(left, right, as_of) == [[], [], [("k", 10, 5), ("y", 10, None)], [("y", 11, None)]]
