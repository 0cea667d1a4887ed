"""Claims of section 2 of the Naiad paper (Murray et al., SOSP 2013), one test each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from limnad import TOP, Flow, GraphError, TimeError, Timestamp, Vertex
from limnad.testing import run
from limnad.testing.runner import simulate
from limnad.timely import GraphBuilder, LoopContext, less_equal
from limnad.timely.reachability import Reachability
from limnad.timely.scheduler import VertexFailure
from tests.helpers.driving import Alone, LoggingBuffer
from tests.helpers.flows import FLOWS


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
    """A feedback of a loop inside does not help: it does not raise the counter of the loop around."""
    builder = GraphBuilder()
    around = LoopContext("around")
    within = LoopContext("within", around)
    head = builder.stage("head", context=around)
    enter, leave = builder.ingress("enter", within), builder.egress("leave", within)
    both, again = builder.stage("both", context=within, inputs=2), builder.feedback("again", within)
    for source, target, port in (
        (head, enter, 0),
        (enter, both, 0),
        (again, both, 1),
        (both, again, 0),
        (both, leave, 0),
    ):
        builder.connect(source, 0, target, port)
    builder.connect(leave, 0, head, 0)
    with pytest.raises(GraphError, match="without a feedback") as error:
        builder.build()
    assert "'head'" in str(error.value)


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
    for seed in range(5):
        simulation, _ = simulate(probed, {"x": [[1], [2], [3]]}, workers=2, seed=seed)
        known = [[epoch for epoch in range(3) if PROBES[-1].done(epoch)]]
        while not simulation.settled:
            simulation.advance()
            known.append([epoch for epoch in range(3) if PROBES[-1].done(epoch)])
        assert known[0] == []
        assert known == sorted(known)
        assert known[-1] == [0, 1, 2]


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
        flow.vertex(Stale, flow.input("x"), name="stale").output("y")

    alone = Alone(job)
    for epoch in range(4):
        if epoch:
            alone.feed("x").advance_to(epoch)
        alone.feed("x").on_next([epoch])
        alone.settle()
        # The epoch itself is still open: it is the one before that is known to be over.
        assert sorted(set(seen)) == [(earlier,) for earlier in range(epoch)]


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


# -- 2.1, the graph ------------------------------------------------------------------------------------------------


def test_2_1_an_edge_crosses_a_loops_border_only_by_ingress_or_egress() -> None:
    flow = Flow()
    outside = flow.values([[1]])
    loop = flow.loop("round")
    inside = loop.enter(flow.values([[2]]))
    with pytest.raises(GraphError, match="lives in"):
        outside.concat(inside)
    stages = {stage.name: stage for stage in flow.builder.stages}
    with pytest.raises(GraphError, match="only by enter"):
        flow.builder.connect(stages["values"], 0, flow.builder.stage("in", context=loop.context), 0)
    with pytest.raises(GraphError, match="only by leave"):
        flow.builder.connect(inside.stage, 0, flow.builder.stage("out"), 0)


def test_2_1_an_inner_loop_starts_to_count_anew_on_each_trip_of_the_outer_one() -> None:
    """A record says how many trips round the outer and the inner loop are left to it."""
    seen: list[Timestamp] = []

    def outer(records: Any) -> tuple[Any, Any]:
        done = records.iterate(inner, name="inner")
        return done.filter(lambda left: left[0] > 0).map(lambda left: (left[0] - 1, 2)), done

    def inner(records: Any) -> tuple[Any, Any]:
        told = records.inspect(lambda time, batch: seen.append(time))
        return told.filter(lambda left: left[1] > 0).map(lambda left: (left[0], left[1] - 1)), told.filter(
            lambda left: left[1] == 0
        )

    run(lambda flow: flow.input("x").iterate(outer, name="outer").output("y"), {"x": [[(1, 2)]]})
    assert seen == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 1), (0, 1, 2)]


# -- 2.2, vertices -------------------------------------------------------------------------------------------------


class DistinctCount(Vertex):
    """The vertex of figure 4: distinct records at once, their counts when the time is over."""

    def __init__(self) -> None:
        self.counts: dict[Timestamp, Counter[str]] = {}

    def on_recv(self, port: int, batch: list[str], time: Timestamp) -> None:
        if time not in self.counts:
            self.counts[time] = Counter()
            self.notify_at(time)
        self.send_by(0, [word for word in dict.fromkeys(batch) if word not in self.counts[time]], time)
        self.counts[time].update(batch)

    def on_notify(self, time: Timestamp) -> None:
        self.send_by(1, sorted(self.counts.pop(time).items()), time)


def test_2_2_figure_4_sends_distinct_records_at_once_and_counts_when_the_time_is_over() -> None:
    seen: dict[str, list[Any]] = {"distinct": [], "counts": []}

    def job(flow: Flow) -> None:
        distinct, counts = flow.vertex(DistinctCount, flow.input("words"), outputs=2)
        distinct.inspect(lambda time, batch: seen["distinct"].extend(batch)).probe("distinct")
        counts.inspect(lambda time, batch: seen["counts"].append((time, batch))).probe("counts")

    alone = Alone(job)
    words = alone.feed("words")
    words.on_next(["be", "or", "be"])
    alone.settle()
    assert seen == {"distinct": ["be", "or"], "counts": []}
    words.on_next(["or", "not"])
    alone.settle()
    assert seen == {"distinct": ["be", "or", "not"], "counts": []}
    words.advance_to(1)
    alone.settle()
    assert seen["counts"] == [((0,), [("be", 2), ("not", 1), ("or", 2)])]


def test_2_2_a_vertex_may_work_on_later_times_before_earlier_ones_are_over() -> None:
    log: list[Any] = []
    alone = Alone(lambda flow: flow.vertex(lambda: Recorder(log), flow.input("x"), name="recorder").output("y"))
    other = ("recv", (1,))
    feeder = alone.feed("x")
    alone.worker.scheduler.hold(alone.worker.graph.stage("x"), 0)  # somebody else may still send at epoch 0
    feeder.on_next([1])
    feeder.advance_to(1)
    feeder.on_next([2])
    alone.settle()
    assert log == [("recv", (0,)), other]
    alone.worker.scheduler.release(alone.worker.graph.stage("x"), 0)
    alone.settle()
    assert log[2:] == [("notify", (0,))]


# -- 2.3, counts ---------------------------------------------------------------------------------------------------


def test_2_3_sending_and_asking_count_when_they_begin_receiving_and_notifying_when_they_end() -> None:
    log: list[Any] = []

    class Logs(Vertex):
        def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
            log.append("on_recv begins")
            self.send_by(0, batch, time)
            self.notify_at(time)
            log.append("on_recv ends")

        def on_notify(self, time: Timestamp) -> None:
            log.append("on_notify begins")
            self.send_by(0, [0], time)
            log.append("on_notify ends")

    def job(flow: Flow) -> None:
        flow.vertex(Logs, flow.input("x"), name="logs").probe("after")

    alone = Alone(job)
    LoggingBuffer.install(alone.worker, log)
    alone.feed("x").on_next([1])
    alone.feed("x").advance_to(1)
    alone.settle()
    into, out, at, source = "connector 'x' -> 'logs'", "connector 'logs' -> 'after'", "stage 'logs'", "stage 'x'"
    assert log == [
        (into, (0,), +1),
        *("on_recv begins", (out, (0,), +1), (at, (0,), +1), "on_recv ends", (into, (0,), -1)),
        (out, (0,), -1),
        *((source, (1,), +1), (source, (0,), -1)),
        *("on_notify begins", (out, (0,), +1), "on_notify ends", (at, (0,), -1)),
        (out, (0,), -1),
    ]


def test_2_3_an_input_starts_with_its_first_epoch_and_takes_the_next_before_it_gives_one_up() -> None:
    log: list[Any] = []
    alone = Alone(lambda flow: flow.input("x").output("y"))
    assert alone.worker.view.occurrences() == {
        (alone.worker.locations.of_stage(alone.worker.graph.stage("x")), (0,)): 1
    }
    LoggingBuffer.install(alone.worker, log)
    alone.feed("x").advance_to(1)
    alone.feed("x").close()
    alone.settle()
    assert log == [("stage 'x'", (1,), +1), ("stage 'x'", (0,), -1), ("stage 'x'", (1,), -1)]
    assert alone.worker.finished


def test_2_3_the_frontier_is_what_no_other_active_pointstamp_could_result_in() -> None:
    flow, epochs = FLOWS["collatz"]
    simulation, _ = simulate(flow, {"numbers": epochs}, workers=2, seed=3)
    asked = Reachability(simulation.workers[0].locations)
    compared = 0
    while not simulation.settled:
        simulation.advance()
        if simulation.tick % 7:
            continue
        view = simulation.workers[simulation.tick % 2].view
        active = [place for place, count in view.occurrences().items() if count > 0]
        for location, time in active:
            precursors = [
                other
                for other in active
                if other != (location, time) and asked.could_result_in(other[1], other[0], time, location)
            ]
            assert bool(precursors) == view.behind_another(location, time)
            compared += 1
    assert compared > 200


def test_2_3_a_path_through_a_loop_matters_by_its_least_summary() -> None:
    def job(flow: Flow) -> None:
        flow.input("x").iterate(lambda x: (x.filter(bool), x), name="loop").probe("out")

    alone = Alone(job)
    graph, asked = alone.worker.graph, Reachability(alone.worker.locations)
    (inside,) = (
        edge.index for edge in graph.connectors if edge.source.name == "concat" and edge.target.name == "filter"
    )
    (outside,) = (edge.index for edge in graph.connectors if edge.target.name == "out")
    source = alone.worker.locations.of_stage(graph.stage("x"))
    # From the input to the body: by the ingress alone, at trip 0. Every further trip comes later.
    assert asked.could_result_in((3,), source, (3, 0), inside)
    assert not asked.could_result_in((3,), source, (2, 9), inside)
    # Round the loop one comes back later, never at the same trip or an earlier one.
    assert asked.could_result_in((3, 1), inside, (3, 2), inside)
    assert not asked.could_result_in((3, 1), inside, (3, 0), inside)
    # To leave the loop forgets the trip.
    assert asked.could_result_in((3, 7), inside, (3,), outside)
    assert not asked.could_result_in((3,), outside, (3, 8), inside)


# -- 2.4, guarantee and capability ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "seen"),
    [(None, "nothing"), ((1,), "epoch 0"), ((5,), "epochs 0 to 4"), (TOP, "epochs 0 to 5")],
)
def test_2_4_only_the_capability_of_a_request_holds_up_what_comes_after(capability: Any, seen: str) -> None:
    """A request for epoch 9: whoever comes after it waits as far as its capability says, and no further."""

    class Asks(Vertex):
        def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
            if batch == [0]:
                self.notify_at((9,), capability=(0,) if capability is None else capability)

        def on_notify(self, time: Timestamp) -> None:
            pass

    def job(flow: Flow) -> None:
        flow.vertex(Asks, flow.input("x"), name="asks").output("y")

    alone = Alone(job)
    alone.feed("x").on_next([0])
    alone.feed("x").advance_to(6)
    alone.settle()
    epochs = {"nothing": 0, "epoch 0": 1, "epochs 0 to 4": 5, "epochs 0 to 5": 6}[seen]
    assert list(alone.published.get("y", {})) == list(range(epochs))


def test_2_4_a_notification_may_send_from_its_capability_on_not_from_its_guarantee() -> None:
    class Late(Vertex):
        def __init__(self, sends_at: Timestamp) -> None:
            self.sends_at = sends_at

        def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
            self.notify_at(time, capability=(time[0] + 2,))

        def on_notify(self, time: Timestamp) -> None:
            self.send_by(0, [time], self.sends_at)

    def job(sends_at: Timestamp) -> Any:
        return lambda flow: flow.vertex(lambda: Late(sends_at), flow.input("x"), name="late").output("y")

    assert run(job((2,)), {"x": [[1], [], []]}).outputs["y"][2] == [(0,)]
    with pytest.raises(VertexFailure) as failure:
        run(job((1,)), {"x": [[1], [], []]})
    assert isinstance(failure.value.__cause__, TimeError)


def test_2_4_a_request_for_what_is_due_joins_it() -> None:
    called: list[Timestamp] = []

    class Stale(Vertex):
        def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
            self.notify_at((0,), capability=time)

        def on_notify(self, time: Timestamp) -> None:
            self.send_by(0, [1], (2,))

    class Counting(Stale):
        def on_notify(self, time: Timestamp) -> None:
            called.append(time)
            self.send_by(0, [2], (2,))

    def job(flow: Flow) -> None:
        x = flow.input("x")
        first = flow.vertex(Stale, x, name="first")  # Both become due at once, and then the first sends to the second.
        flow.vertex(Counting, first.concat(x), name="second").output("y")

    assert run(job, {"x": [[], [1], []]}).outputs["y"] == {0: [], 1: [], 2: [2]}
    assert called == [(0,)]


class Answers(Vertex):
    """Port 0: questions, answered with the sum of what port 1 had before their epoch."""

    quiet_inputs = frozenset({1})

    def __init__(self) -> None:
        self.told: dict[Timestamp, int] = {}

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        if port == 0:
            self.notify_at((time[0] - 1,), capability=time)
        else:
            self.told[time] = self.told.get(time, 0) + sum(batch)

    def on_notify(self, time: Timestamp) -> None:
        known = sum(number for told, number in self.told.items() if told <= time)
        self.send_by(0, [known], (time[0] + 1,))


def answering(flow: Flow) -> None:
    flow.vertex(Answers, flow.input("questions"), flow.input("facts"), name="answers").output("y")


def test_2_4_a_stale_answer_comes_while_its_own_epoch_is_still_worked_on() -> None:
    alone = Alone(answering)
    for epoch in range(3):
        alone.feed("questions").on_next([0])
        alone.feed("questions").advance_to(epoch + 1)
        alone.settle()
        assert alone.published.get("y", {}) == {known: [10 * known] for known in range(epoch + 1)}
        alone.feed("facts").on_next([10])
        alone.feed("facts").advance_to(epoch + 1)
        alone.settle()


def test_2_4_nothing_follows_from_what_comes_to_a_quiet_input() -> None:
    class Talks(Answers):
        def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
            self.send_by(0, batch, time)

    def job(flow: Flow) -> None:
        flow.vertex(Talks, flow.input("questions"), flow.input("facts"), name="talks").output("y")

    with pytest.raises(VertexFailure) as failure:
        run(job, {"questions": [[]], "facts": [[1]]})
    assert "quiet input" in str(failure.value.__cause__)
