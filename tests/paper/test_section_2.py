"""Claims of section 2 of the Naiad paper (Murray et al., SOSP 2013), one test each."""

from __future__ import annotations

from typing import Any

import pytest

from limnad import TOP, Flow, GraphError, TimeError, Timestamp, Vertex
from limnad.testing import run
from limnad.testing.runner import simulate
from limnad.timely import less_equal
from limnad.timely.scheduler import VertexFailure


class Recorder(Vertex):
    """Asks for a notification at each time and remembers what came."""

    log: list[tuple[str, Timestamp]]

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def on_recv(self, port: int, batch: list[Any], time: Timestamp) -> None:
        self.log.append(("recv", time))
        self.notify_at(time)

    def on_notify(self, time: Timestamp) -> None:
        self.log.append(("notify", time))
        self.send_by(0, [time], time)


def test_2_1_timestamps_are_ordered_by_epoch_and_lexicographically_by_counters() -> None:
    assert less_equal((1, 2, 9), (1, 3, 0))
    assert not less_equal((1, 3, 0), (1, 2, 9))
    assert not less_equal((2, 0), (1, 5))
    assert not less_equal((1, 5), (2, 0))


def test_2_1_ingress_appends_zero_feedback_adds_one_egress_drops() -> None:
    seen: list[Timestamp] = []
    left: list[Timestamp] = []

    def job(flow: Flow) -> None:
        loop = flow.loop()
        entered = loop.enter(flow.input("x"))
        again = loop.feedback(entered)
        inside = entered.concat(again.stream).inspect(lambda time, batch: seen.append(time))
        again.connect(inside.map(lambda n: n - 1).filter(lambda n: n >= 0))
        loop.leave(inside).inspect(lambda time, batch: left.append(time)).output("out")

    run(job, {"x": [[2]]})
    assert seen == [(0, 0), (0, 1), (0, 2)]
    assert set(left) == {(0,)}


def test_2_1_a_cycle_must_pass_through_a_feedback_stage_of_its_context() -> None:
    flow = Flow()
    loop = flow.loop("outer")
    inner = loop.loop("inner")
    entered = loop.enter(flow.values([[1]]))
    again = loop.feedback(entered)
    body = inner.enter(entered.concat(again.stream))
    with pytest.raises(GraphError, match="outer"):
        again.connect(body)


def test_2_2_a_vertex_is_notified_only_after_all_messages_at_that_time() -> None:
    for seed in range(20):
        log: list[Any] = []

        def job(flow: Flow, log: list[Any] = log) -> None:
            spread = flow.input("x").partition_by(lambda n: n).map(lambda n: n)
            flow.vertex(lambda: Recorder(log), spread.to_worker(0), name="recorder").output("times")

        run(job, {"x": [[1, 2, 3, 4], [5, 6]]}, workers=3, seed=seed)
        for epoch in (0, 1):
            last = max(place for place, entry in enumerate(log) if entry == ("recv", (epoch,)))
            assert log.index(("notify", (epoch,))) > last
            assert log.count(("notify", (epoch,))) == 1


def test_2_2_sending_or_asking_into_the_past_is_an_error_that_names_vertex_and_times() -> None:
    class Back(Vertex):
        def on_recv(self, port: int, batch: list[Any], time: Timestamp) -> None:
            self.send_by(0, batch, (time[0] - 1,))

    def job(flow: Flow) -> None:
        flow.vertex(Back, flow.input("x"), name="back").output("y")

    with pytest.raises(VertexFailure) as failure:
        run(job, {"x": [[], [1]]})
    cause = failure.value.__cause__
    assert isinstance(cause, TimeError)
    assert "'back'" in str(cause)
    assert "(0,)" in str(cause)
    assert "(1,)" in str(cause)


def test_2_2_a_probe_tells_which_times_are_complete() -> None:
    simulation, _ = simulate(probed, {"x": [[1], [2], [3]]}, workers=2, seed=4)
    known: list[int] = []
    while not simulation.settled:
        simulation.advance()
        done = [epoch for epoch in range(3) if PROBES[-1].done(epoch)]
        assert done == list(range(len(done)))
        known.append(len(done))
    assert known == sorted(known)
    assert known[-1] == 3


PROBES: list[Any] = []


def probed(flow: Flow) -> None:
    PROBES.append(flow.input("x").partition_by(lambda n: n).map(lambda n: n).probe())


def test_2_4_a_guarantee_may_be_earlier_than_the_capability_for_bounded_staleness() -> None:
    seen: list[Any] = []

    class Stale(Vertex):
        def on_recv(self, port: int, batch: list[Any], time: Timestamp) -> None:
            self.notify_at((max(0, time[0] - 1),), capability=time)

        def on_notify(self, time: Timestamp) -> None:
            seen.append(time)

    def job(flow: Flow) -> None:
        flow.vertex(Stale, flow.input("x"), name="stale", outputs=0)

    run(job, {"x": [[1], [2], [3]]})
    assert sorted(set(seen)) == [(0,), (1,)]


def test_2_4_a_purge_notification_holds_up_nobody_and_may_not_send() -> None:
    class Purges(Vertex):
        def on_recv(self, port: int, batch: list[Any], time: Timestamp) -> None:
            self.notify_at(time, capability=TOP)

        def on_notify(self, time: Timestamp) -> None:
            self.send_by(0, [1], time)

    def job(flow: Flow) -> None:
        flow.vertex(Purges, flow.input("x"), name="purges").output("y")

    with pytest.raises(VertexFailure) as failure:
        run(job, {"x": [[1]]})
    assert "purge" in str(failure.value.__cause__)


def test_3_2_a_loop_on_one_worker_does_not_recurse() -> None:
    def job(flow: Flow) -> None:
        flow.input("x").iterate(lambda x: (x.map(lambda n: n - 1).filter(bool), x.filter(lambda n: n == 1))).output("y")

    result = run(job, {"x": [[100_000]]}, check=False)
    assert result.outputs["y"] == {0: [1]}
