"""Claims of section 4 of the Naiad paper, one test each: what programs are written with, and what it costs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from limnad import Flow, RecordStream, Timestamp, Vertex
from limnad.testing import build, run
from tests.helpers.driving import Alone

# -- 4.1, a program, its inputs and its outputs --------------------------------------------------------------------


def test_4_1_map_and_reduce_answer_each_epoch_for_itself() -> None:
    def job(flow: Flow) -> None:
        words = flow.input("lines").flat_map(str.split)
        words.group_by(lambda word: word[0]).map(lambda pair: (pair[0], len(pair[1]))).output("counts")

    lines = [["to be or", "not to be"], [], ["that is the question"]]
    for workers in (1, 3):
        found = run(job, {"lines": lines}, workers=workers, seed=workers).outputs["counts"]
        for epoch, texts in enumerate(lines):
            assert Counter(dict(found[epoch])) == Counter(word[0] for text in texts for word in text.split())


def test_4_1_a_subscriber_gets_each_epoch_once_when_it_is_complete() -> None:
    got: list[Any] = []
    alone = Alone(lambda flow: flow.input("x").map(lambda n: n * n).subscribe(lambda *epoch: got.append(epoch)))
    numbers = alone.feed("x")
    numbers.on_next([1, 2])
    alone.settle()
    numbers.on_next([3])
    alone.settle()
    assert got == []
    numbers.advance_to(2)
    alone.settle()
    assert got == [(0, [1, 4, 9]), (1, [])]
    numbers.on_next([4])
    numbers.close()
    alone.settle()
    assert got == [(0, [1, 4, 9]), (1, []), (2, [16])]


def test_4_1_a_computation_runs_until_all_its_inputs_are_closed_and_then_drains() -> None:
    def job(flow: Flow) -> None:
        flow.input("x").concat(flow.input("y")).count().output("both")

    alone = Alone(job)
    x, y = alone.feed("x"), alone.feed("y")
    x.on_next([1, 2])
    x.close()
    alone.settle()
    assert not alone.worker.finished
    assert alone.published == {}
    y.on_next([3])
    alone.settle()
    y.close()
    alone.settle()
    assert alone.published == {"both": {0: [3]}}
    assert alone.worker.finished


def test_4_1_a_closed_input_takes_nothing_more() -> None:
    alone = Alone(lambda flow: flow.input("x").output("y"))
    x = alone.feed("x")
    x.advance_to(3)
    with pytest.raises(ValueError, match="already"):
        x.advance_to(3)
    x.close()
    with pytest.raises(ValueError, match="closed"):
        x.on_next([1])


# -- 4.2, operators and what they wait for -------------------------------------------------------------------------

Operator = Callable[[RecordStream[Any]], RecordStream[Any]]

AT_ONCE: dict[str, Operator] = {
    "map": lambda s: s.map(lambda n: n + 1),
    "flat_map": lambda s: s.flat_map(lambda n: [n, n]),
    "filter": lambda s: s.filter(bool),
    "concat": lambda s: s.concat(s.map(lambda n: -n)),
    "exchange": lambda s: s.partition_by(lambda n: n).map(lambda n: n),
    "loop": lambda s: s.iterate(lambda n: (n.map(lambda k: k - 1).filter(bool), n)),
}
COMPLETE: dict[str, Operator] = {
    "count": lambda s: s.count(),
    "group_by": lambda s: s.group_by(lambda n: n % 2),
    "max": lambda s: s.max(),
    "join": lambda s: s.key_by(lambda n: n).join(s.key_by(lambda n: n)),
}


def while_the_epoch_is_open(operator: Operator) -> tuple[list[Any], list[Any]]:
    """What an operator has sent while its epoch is open, and what when it is over."""
    sent: list[Any] = []
    alone = Alone(lambda flow: operator(flow.input("x")).inspect(lambda time, batch: sent.extend(batch)).probe())
    alone.feed("x").on_next([3, 5])
    alone.settle()
    early = list(sent)
    alone.feed("x").advance_to(1)
    alone.settle()
    return early, sent


@pytest.mark.parametrize("name", AT_ONCE)
def test_4_2_operators_record_by_record_need_no_coordination(name: str) -> None:
    early, all_sent = while_the_epoch_is_open(AT_ONCE[name])
    assert early
    assert early == all_sent
    graph = build(lambda flow: AT_ONCE[name](flow.input("x")).output("y")).graph
    assert [stage.name for stage in graph.stages if stage.notifies] == []


@pytest.mark.parametrize("name", COMPLETE)
def test_4_2_operators_on_whole_times_wait_until_a_time_is_over(name: str) -> None:
    early, all_sent = while_the_epoch_is_open(COMPLETE[name])
    assert early == []
    assert all_sent


class Reach(Vertex):
    """Passes on each node once an epoch, as soon as it is seen: no coordination."""

    def __init__(self) -> None:
        self.known: dict[int, set[int]] = {}

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        known = self.known.setdefault(time[0], set())
        new = [node for node in dict.fromkeys(batch) if node not in known]
        known.update(new)
        self.send_by(0, new, time)


def reachable(flow: Flow) -> None:
    def body(nodes: RecordStream[int]) -> tuple[RecordStream[int], RecordStream[int]]:
        new: RecordStream[int] = flow.vertex(Reach, nodes.partition_by(lambda node: node), name="reach")
        return new.flat_map(lambda node: [node * 2 % 101, (node + 7) % 101]), new

    flow.input("starts").iterate(body).count().output("how many")


def test_4_2_a_loop_without_notifications_runs_without_barriers() -> None:
    """Trips overlap: somewhere a later trip is worked on before an earlier one is over everywhere."""
    result = run(reachable, {"starts": [[1]]}, workers=3, seed=3)
    assert result.outputs["how many"] == {0: [101]}
    trips = [call.time[1] for call in result.calls if call.stage == "reach" and call.callback == "on_recv"]
    assert trips != sorted(trips)
    assert {call.stage for call in result.calls if call.callback in ("on_notify", "on_frontier")} == {"count"}


class Barrier(Reach):
    """The same, but a trip is passed on when it is over everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Timestamp, list[int]] = {}

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        if time not in self.found:
            self.notify_at(time)
        self.found.setdefault(time, []).extend(batch)

    def on_notify(self, time: Timestamp) -> None:
        super().on_recv(0, self.found.pop(time), time)


def test_4_2_notifications_in_a_loop_make_it_run_trip_by_trip() -> None:
    def job(flow: Flow) -> None:
        def body(nodes: RecordStream[int]) -> tuple[RecordStream[int], RecordStream[int]]:
            new: RecordStream[int] = flow.vertex(Barrier, nodes.partition_by(lambda node: node), name="barrier")
            return new.flat_map(lambda node: [node * 2 % 101, (node + 7) % 101]), new

        flow.input("starts").iterate(body).count().output("how many")

    result = run(job, {"starts": [[1]]}, workers=3, seed=3)
    assert result.outputs["how many"] == {0: [101]}
    calls = [(call.callback, call.time[1]) for call in result.calls if call.stage == "barrier"]
    for place, (callback, trip) in enumerate(calls):
        if callback == "on_notify":
            assert ("on_recv", trip) not in calls[place:]


# -- 4.3, loops and vertices of one's own --------------------------------------------------------------------------


def test_4_3_loops_nest_and_end_when_nothing_goes_round_any_more() -> None:
    """Three loops, one in the other: each trip of an outer one runs the inner ones to their end."""

    def loop_of(depth: int) -> Operator:
        def body(records: RecordStream[Any]) -> tuple[RecordStream[Any], RecordStream[Any]]:
            inside = loop_of(depth + 1)(records) if depth < 2 else records.map(lambda r: (r[0], r[1] + 1))
            counted = inside.map(lambda r: (tuple(c + (i == depth) for i, c in enumerate(r[0])), r[1]))
            again = counted.filter(lambda r: r[0][depth] < 3)
            return again, counted.filter(lambda r: r[0][depth] == 3).map(
                lambda r: (tuple(0 if i == depth else c for i, c in enumerate(r[0])), r[1])
            )

        return lambda records: records.partition_by(str).map(lambda r: r).iterate(body, name=f"loop {depth}")

    def job(flow: Flow) -> None:
        loop_of(0)(flow.input("x")).map(lambda r: r[1]).output("trips")

    assert run(job, {"x": [[((0, 0, 0), 0)], [], [((0, 0, 0), 100)]]}, workers=2, seed=1).outputs["trips"] == {
        0: [27],
        1: [],
        2: [127],
    }


def test_4_3_a_vertex_has_the_ports_that_it_wants_each_partitioned_by_itself() -> None:
    class Match(Vertex):
        """Port 0: pairs to be looked up on port 1; found ones leave by output 0, keys without one by output 1."""

        def __init__(self) -> None:
            self.seen: dict[Timestamp, tuple[list[Any], dict[Any, Any]]] = {}

        def on_recv(self, port: int, batch: list[Any], time: Timestamp) -> None:
            if time not in self.seen:
                self.seen[time] = ([], {})
                self.notify_at(time)
            if port == 0:
                self.seen[time][0].extend(batch)
            else:
                self.seen[time][1].update(batch)

        def on_notify(self, time: Timestamp) -> None:
            keys, table = self.seen.pop(time)
            self.send_by(0, [(key, table[key]) for key in keys if key in table], time)
            self.send_by(1, [key for key in keys if key not in table], time)

    def job(flow: Flow) -> None:
        keys = flow.input("keys").partition_by(lambda key: key)
        table = flow.input("table").partition_by(lambda pair: pair[0])
        found, missing = flow.vertex(Match, keys, table, outputs=2)
        found.output("found")
        missing.output("missing")

    inputs: dict[str, list[list[Any]]] = {
        "keys": [list("abcxyz")],
        "table": [[(letter, letter.upper()) for letter in "zxcba"]],
    }
    outputs = run(job, inputs, workers=3, seed=6).outputs
    assert sorted(outputs["found"][0]) == [(letter, letter.upper()) for letter in "abcxz"]
    assert outputs["missing"][0] == ["y"]
