"""What a scheduler counts on its way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import collatz
from limnad import Flow
from limnad.histogram import BOUNDS_NS, Histogram
from limnad.testing.runner import run, simulate
from limnad.timely.counters import Stopwatch, Trips
from tests.helpers.flows import FLOWS


@given(st.lists(st.sampled_from(BOUNDS_NS) | st.integers(0, 2 * 10**10)))
def test_each_duration_is_counted_in_the_first_bucket_that_holds_it(durations_ns: list[int]) -> None:
    counted = Histogram()
    for duration_ns in durations_ns:
        counted.add(duration_ns)
    assert counted.sum_ns == sum(durations_ns)
    for place, bound in enumerate(BOUNDS_NS):
        assert sum(counted.counts[: place + 1]) == sum(duration_ns <= bound for duration_ns in durations_ns)
    assert sum(counted.counts) == len(durations_ns)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9))))
def test_trips_are_the_counters_that_were_reached_summed_over_the_times_around(times: list[tuple[int, ...]]) -> None:
    trips = Trips(depth=3)
    furthest: dict[tuple[int, ...], int] = {}
    for time in times:
        trips.reached(time)
        furthest[time[:2]] = max(furthest.get(time[:2], 0), time[2])
    assert trips.count == sum(furthest.values())
    trips.forget(before_epoch=2)
    assert all(around[0] >= 2 for around in trips._furthest)
    trips.forget(before_epoch=None)
    assert not trips._furthest
    assert trips.count == sum(furthest.values())


def test_a_stopwatch_sums_the_spells_and_the_one_that_lasts() -> None:
    now_ns = [0]
    waited = Stopwatch(lambda: now_ns[0])
    waited.turn(on=True)
    now_ns[0] = 7
    assert waited.total_ns == 7
    waited.turn(on=False)
    now_ns[0] = 20
    assert waited.total_ns == 7
    waited.turn(on=True)
    now_ns[0] = 25
    assert waited.total_ns == 12


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_what_waits_is_counted_at_its_connector_at_every_moment(name: str) -> None:
    job, epochs = FLOWS[name]
    simulation, _ = simulate(job, {"numbers": epochs}, workers=2, seed=1)
    while not simulation.settled:
        simulation.advance()
        for worker in simulation.workers:
            scheduler = worker.scheduler
            assert sum(each.queued_bytes for each in scheduler.connector_counters) == scheduler.queued_bytes
    for worker in simulation.workers:
        scheduler = worker.scheduler
        assert all(each.queued_bytes == 0 for each in scheduler.connector_counters)
        assert sum(scheduler.notification_delays.counts) == sum(each.notifications for each in scheduler.counters)


def test_rows_are_counted_where_they_leave_and_where_they_arrive() -> None:
    def job(flow: Flow) -> None:
        words = flow.input("words")
        words.key_by(str.upper).count_by_key().output("counts")

    workers = run(job, {"words": [["a", "b", "A"], [], ["c"]]}, workers=2).simulation.workers

    def total(stage: str) -> tuple[int, int]:
        index = workers[0].graph.stage(stage).index
        edges = workers[0].graph.inputs[index]
        received = sum(worker.scheduler.connector_counters[edge.index].rows for worker in workers for edge in edges)
        return received, sum(worker.scheduler.counters[index].rows_out for worker in workers)

    assert total("words") == (0, 4)
    assert total("count locally")[0] == 4
    assert total("count_by_key")[1] == total("output counts")[0] == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_trips_of_a_loop_in_a_loop(workers: int) -> None:
    done = run(collatz.job, workers=workers, largest=7, epochs=1)

    def most(loop: str) -> int:
        return max(worker.scheduler.loops[loop].count for worker in done.simulation.workers)

    # 7 takes five times 3x + 1 on its way to 1, more than any smaller number.
    assert most("3x + 1") == 5
    assert most("halve") >= 4


def test_feedback_that_leads_straight_into_an_inner_loop_ends_a_trip_there() -> None:
    def job(flow: Flow) -> None:
        outer = flow.loop("outer")
        entered = outer.enter(flow.values([[12]]))
        feedback = outer.feedback(entered)
        inner = outer.loop("inner")
        # Two ways in, of which the feedback's has no vertex between its end and the inner loop.
        odd = [inner.leave(inner.enter(stream).map(lambda n: n - 1)) for stream in (entered, feedback.stream)]
        left = odd[0].concat(odd[1])
        feedback.connect(left.filter(lambda n: n > 0))
        outer.leave(left.filter(lambda n: n == 0)).output("out")

    (worker,) = run(job).simulation.workers
    assert worker.scheduler.loops["outer"].count == 11


def test_loops_of_one_name_are_told_apart() -> None:
    def shrink(numbers: Any) -> tuple[Any, Any]:
        return numbers.filter(lambda n: n > 0).map(lambda n: n - 1), numbers.filter(lambda n: n == 0)

    def job(flow: Flow) -> None:
        for name, start in (("few", 2), ("many", 6)):
            flow.values([[start]], name=name).iterate(shrink, name="shrink").output(f"{name} done")

    (worker,) = run(job).simulation.workers
    assert sorted(trips.count for trips in worker.scheduler.loops.values()) == [2, 6]
    assert set(worker.scheduler.loops) == {"shrink", "shrink-2"}
