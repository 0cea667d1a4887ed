"""Watermarks: what holds them back, what does not, and who is told."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnad import Flow
from limnad.batch import KEY_GROUPS, groups_of
from limnad.testing import run
from limnad.windows import EventTime
from limnad.windows.watermarks import LOWEST, Clock, LowWatermark, Marks, ToGroups
from tests.helpers.census import census

Shown = list[tuple[str, int | None, bool]]


def watermarks(clock: Clock, *epochs: Shown) -> list[int]:
    low = LowWatermark(clock)
    return [low.advance(epoch, shown) for epoch, shown in enumerate(epochs)]


def test_the_slowest_partition_holds_it_back() -> None:
    fast_and_slow: Shown = [("fast", 100, False), ("slow", 10, False)]
    assert watermarks(Clock(3), fast_and_slow, [("fast", 200, False)], [("slow", 50, False)]) == [7, 7, 47]


def test_it_never_falls() -> None:
    assert watermarks(Clock(0), [("a", 10, False)], [("a", 4, False)], [("b", 2, False)]) == [10, 10, 10]


def test_declared_partitions_hold_it_back_before_their_first_row() -> None:
    clock = Clock(0, declared=("a", "b"))
    assert watermarks(clock, [("a", 10, False)], [("b", 7, False)]) == [LOWEST, 7]


def test_a_partition_is_idle_after_so_many_epochs_and_is_back_with_its_next_row() -> None:
    clock = Clock(0, idle_after=2)
    slow: Shown = [("fast", 1, False), ("slow", 0, False)]
    fast: list[Shown] = [[("fast", 10 * epoch, False)] for epoch in range(1, 4)]
    assert watermarks(clock, slow, *fast, [("slow", 25, False)], [("slow", 40, False)]) == [0, 0, 20, 30, 30, 40]


def test_a_partition_may_say_that_it_is_idle() -> None:
    epochs: list[Shown] = [[("a", 5, False), ("b", 1, False)], [("b", 2, True)], [("a", 9, False)], [("b", 3, False)]]
    assert watermarks(Clock(0), *epochs) == [1, 5, 9, 9]


class Remembers(LowWatermark):
    """The same, of all partitions that there ever were."""

    def _matters(self, name: str, partition: Any, epoch: int) -> bool:
        return True


SHOWN = st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 20), st.booleans())


@given(
    epochs=st.lists(st.lists(SHOWN, max_size=3), max_size=20),
    clock=st.builds(Clock, st.integers(0, 3), st.just(("a",)) | st.just(()), st.none() | st.integers(1, 3)),
)
def test_what_is_forgotten_makes_no_difference(epochs: list[Shown], clock: Clock) -> None:
    low, other = LowWatermark(clock), Remembers(clock)
    for epoch, shown in enumerate(epochs):
        assert (low.advance(epoch, shown), low.idle) == (other.advance(epoch, shown), other.idle)
        restored = LowWatermark(clock)
        restored.load(low.dump())
        low = restored


def test_partitions_that_are_idle_for_good_are_forgotten() -> None:
    low = LowWatermark(Clock(2, idle_after=3))
    for epoch in range(2_000):
        low.advance(epoch, [(f"visit {epoch}", epoch, False), (f"short visit {epoch}", epoch, True)])
    assert census(low, "low").total() < 20
    assert low.now == 1_995


def test_a_stream_that_is_over_holds_the_other_one_of_a_join_back_no_longer() -> None:
    """Once it is idle, by its own rule; else it may have more."""
    schema = {"k": pl.String, "t": pl.Int64}
    table = [pl.DataFrame([("a", 1)], schema, orient="row")]
    stream = [pl.DataFrame([("a", 10 * epoch)], schema, orient="row") for epoch in range(5)]

    def answered(idle_after: int | None) -> list[int]:
        def job(flow: Flow) -> None:
            one = EventTime(flow.input("stream", schema), "t")
            other = EventTime(flow.input("table", schema), "t", idle_after=idle_after)
            one.join_asof(other, "k").output("out")

        found = run(job, {"stream": stream, "table": table}, workers=2).outputs["out"]
        return [epoch for epoch, frame in found.items() for _ in frame.rows()]

    assert answered(None) == [1, 5, 5, 5, 5]
    assert answered(2) == [1, 2, 3, 4, 5]


@given(ranges=st.lists(st.tuples(st.integers(0, 255), st.integers(1, 256)), max_size=4), workers=st.integers(1, 9))
def test_marks_go_to_the_owners_of_their_groups(ranges: list[tuple[int, int]], workers: int) -> None:
    marks: Marks = [(first, stop, 1, 2) for first, stop in ranges if first < stop]
    found = {
        worker: {g for first, stop, *_ in part for g in range(first, stop)}
        for worker, part in ToGroups().split(marks, workers)
    }
    groups = {g for first, stop, *_ in marks for g in range(first, stop)}
    assert found == {
        worker: owned for worker in range(workers) if (owned := groups & set(range(*groups_of(worker, workers))))
    }
    assert groups <= set(range(KEY_GROUPS))


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_that_declare_idleness_are_no_data(workers: int) -> None:
    schema: dict[str, Any] = {"t": pl.Int64, "from": pl.String, "bye": pl.Boolean}
    epochs = [
        pl.DataFrame({"t": [1, 2], "from": ["a", "b"], "bye": [False, None]}, schema=schema),
        pl.DataFrame({"t": [99, 12], "from": ["b", "a"], "bye": [True, False]}, schema=schema),
    ]

    def job(flow: Flow) -> None:
        timed = EventTime(flow.input("rows", schema), "t", partition="from", idle=pl.col("bye"))
        timed.tumbling(10).agg(pl.len()).output("out")

    found = run(job, {"rows": epochs}, workers=workers).outputs["out"]
    assert [found[epoch].rows() for epoch in (0, 1)] == [[], [(0, 10, 2)]]
