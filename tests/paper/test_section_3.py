"""Claims of section 3 of the Naiad paper, one test each: what many workers add to the model, and how they agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from limnad import Flow, RecordStream, Timestamp, Vertex
from limnad.cluster.effects import Captured, LinkError, Progress
from limnad.testing import Simulation, build, run, simulate
from limnad.timely.progress import Accumulation
from limnad.timely.reachability import Locations
from tests.helpers.driving import Alone
from tests.helpers.flows import FLOWS
from tests.helpers.talk_flows import Keep, Total
from tests.helpers.workers_talk import WorkersTalk

# -- 3.1, data parallelism -----------------------------------------------------------------------------------------


class Homes(Vertex):
    """Remembers which worker has got which record."""

    def __init__(self, homes: dict[Any, set[int]]) -> None:
        self.homes = homes

    def on_recv(self, port: int, batch: list[Any], time: Timestamp) -> None:
        for record in batch:
            self.homes[record].add(self.worker)
        self.send_by(0, batch, time)


def test_3_1_records_that_the_partition_function_maps_alike_meet_whoever_sends_them_and_when() -> None:
    homes: dict[Any, set[int]] = defaultdict(set)

    def job(flow: Flow) -> None:
        words = flow.input("words").partition_by(len).map(str.upper)
        flow.vertex(lambda: Homes(homes), words.partition_by(lambda word: word[0]), name="homes").output("y")

    words = ["apple", "at", "axe", "bee", "by", "cow", "case", "dog", "do", "eel", "end"]
    run(job, {"words": [words, [], words[::-1]]}, workers=3, seed=5)
    by_letter = {letter: set[int]().union(*(homes[w] for w in homes if w[0] == letter)) for letter in "ABCDE"}
    assert {len(found) for found in by_letter.values()} == {1}
    assert len(set[int]().union(*by_letter.values())) > 1


def test_3_1_without_a_partition_function_a_batch_stays_on_its_worker() -> None:
    def job(flow: Flow) -> None:
        flow.vertex(Keep, flow.input("x").map(lambda n: n), outputs=0, name="keep")

    result = run(job, {"x": [[0, 1, 2, 3, 4, 5]]}, workers=3, seed=2)
    assert not [name for name in result.simulation.links if name[2] == "data"]
    assert {call.worker for call in result.calls if call.stage == "keep"} == {0, 1, 2}


def test_3_1_a_logical_stage_becomes_a_vertex_on_each_worker_and_a_connector_an_edge_between_all() -> None:
    made: Counter[int] = Counter()
    met: set[tuple[int, int]] = set()

    class Counted(Vertex):
        def on_recv(self, port: int, batch: list[tuple[int, int]], time: Timestamp) -> None:
            made[self.worker] += 0
            met.update((sender, self.worker) for sender, _ in batch)

    class Signed(Vertex):
        def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
            self.send_by(0, [(self.worker, number) for number in batch for _ in range(1)], time)

    def job(flow: Flow) -> None:
        signed = flow.vertex(Signed, flow.input("x"), name="signed")
        flow.vertex(Counted, signed.partition_by(lambda pair: pair[1]), outputs=0, name="counted")

    simulation, _ = simulate(job, {"x": [list(range(60))]}, workers=3, seed=1)
    assert len(simulation.workers[0].graph.stages) == 3
    vertices = [worker.scheduler.vertices[2] for worker in simulation.workers]
    assert len({id(vertex) for vertex in vertices}) == 3
    simulation.run()
    assert met == {(sender, receiver) for sender in range(3) for receiver in range(3)}


def local_total(flow: Flow, numbers: RecordStream[int]) -> None:
    flow.vertex(Keep, flow.vertex(Total, numbers, name="total"), outputs=0, name="keep")


def test_3_1_pointstamps_are_projected_so_a_stage_waits_for_its_vertices_elsewhere_too() -> None:
    """No batch of worker 1 can get to worker 0's vertex, yet that one waits: the price of counting per stage."""
    talk = WorkersTalk({"total": local_total})
    for command in ("flow total workers=2", "start all", "push 0 [2]", "advance 0 1", "run 0"):
        talk(command)
    assert talk("show requests 0") == ["total at (0)"]
    assert talk("show frontier 0 total") == ["(0)"]
    talk("advance 1 1")
    talk("run 1")
    assert "on_notify at total: (0)" in [*talk("deliver progress 1->0"), *talk("run 0")]


def test_3_1_what_is_tracked_does_not_grow_with_the_number_of_workers() -> None:
    flow, epochs = FLOWS["collatz"]
    places = []
    for workers in (1, 4):
        simulation, _ = simulate(flow, {"numbers": epochs}, workers=workers)
        places.append(len(simulation.workers[0].view.implied))
    assert places[0] == places[1] == Locations(build(flow).graph).count


# -- 3.2, workers --------------------------------------------------------------------------------------------------


def test_3_2_messages_are_delivered_before_notifications() -> None:
    waiting: list[Any] = []

    class Looks(Total):
        def on_notify(self, time: Timestamp) -> None:
            waiting.append((time, dict(simulations[-1].workers[self.worker].scheduler.queues)))
            super().on_notify(time)

    def job(flow: Flow) -> None:
        numbers = flow.input("x")
        flow.vertex(Keep, flow.vertex(Looks, numbers, name="looks"), outputs=0, name="keep")
        numbers.map(lambda n: n).filter(bool).probe("beside")

    simulations: list[Simulation] = []
    for seed in range(10):
        simulation, _ = simulate(job, {"x": [[1, 2], [3], [4, 5]]}, workers=2, seed=seed)
        simulations.append(simulation)
        simulation.run()
    assert len(waiting) >= 30
    assert [found for found in waiting if found[1]] == []


def test_3_2_of_several_messages_the_earliest_is_delivered_first() -> None:
    talk = WorkersTalk()
    for command in ("flow keep workers=3", "start all", "advance 1 2", "push 1 [3]", "run 1", "push 2 [6]", "run 2"):
        talk(command)
    talk("deliver data 1->0")
    talk("deliver data 2->0")
    assert [line for line in talk("run 0") if line.startswith("on_recv")] == [
        "on_recv at keep: [6] at (0)",
        "on_recv at keep: [3] at (2)",
    ]


def test_3_2_of_messages_at_one_time_those_upstream_come_first_so_that_batches_gather() -> None:
    """A batch further down waits for what may still join it."""
    alone = Alone(lambda flow: two_ways(flow.input("x")))
    alone.feed("x").on_next([1])
    alone.settle()
    meeting = [call.batch for call in alone.trace.calls if call.stage == "count"]
    assert [sorted(batch) for batch in meeting] == [[1, 1]]


def two_ways(numbers: RecordStream[int]) -> None:
    longer = numbers.inspect(lambda time, batch: None).inspect(lambda time, batch: None)
    both = numbers.inspect(lambda time, batch: None).concat(longer)
    both.flow.vertex(Keep, both, outputs=0, name="count")


def test_3_2_batches_that_wait_for_one_vertex_and_time_are_given_to_it_together() -> None:
    talk = WorkersTalk()
    for command in ("flow keep workers=3", "start all", "push 1 [3]", "run 1", "push 2 [6]", "run 2"):
        talk(command)
    talk("deliver data 1->0")
    talk("deliver data 2->0")
    told = talk("step 0")
    assert told == ["on_recv at keep: [3, 6] at (0)", "counts (0) on numbers => keep -2"]


def test_3_2_a_loop_on_one_worker_does_not_recurse() -> None:
    def job(flow: Flow) -> None:
        flow.input("x").iterate(lambda x: (x.map(lambda n: n - 1).filter(bool), x.filter(lambda n: n == 1))).output("y")

    alone = Alone(job)
    alone.feed("x").on_next([100_000])
    alone.feed("x").close()
    alone.settle()
    assert alone.published == {"y": {0: [1]}}


def test_3_2_no_callback_of_a_vertex_runs_while_another_does() -> None:
    depths: list[int] = []

    class Nests(Vertex):
        def __init__(self) -> None:
            self.depth = 0

        def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
            self.depth += 1
            depths.append(self.depth)
            self.send_by(0, [number - 1 for number in batch if number], time)
            self.notify_at(time)
            self.depth -= 1

        def on_notify(self, time: Timestamp) -> None:
            self.depth += 1
            depths.append(self.depth)
            self.depth -= 1

    def job(flow: Flow) -> None:
        loop = flow.loop()
        entered = loop.enter(flow.input("x"))
        again = loop.feedback(entered)
        again.connect(flow.vertex(Nests, entered.concat(again.stream), name="nests"))

    run(job, {"x": [[5, 3]]}, workers=2)
    assert len(depths) > 10
    assert set(depths) == {1}


# -- 3.3, the progress protocol ------------------------------------------------------------------------------------


def test_3_3_no_local_frontier_ever_passes_the_global_one() -> None:
    for seed in range(15):
        flow, epochs = FLOWS["rounds"]
        simulation, _ = simulate(flow, {"numbers": epochs}, workers=3, seed=seed)
        truth = simulation.invariants
        assert truth is not None
        while not simulation.settled:
            simulation.advance()
            for worker in simulation.workers:
                if worker.scheduler.notifying:
                    for location, true in enumerate(truth._truth.implied):
                        assert all(worker.view.implied[location].covers(time) for time in true.frontier)


def test_3_3_a_worker_learns_of_its_own_doings_only_by_the_broadcast() -> None:
    talk = WorkersTalk()
    for command in ("flow keep workers=2 accumulation=none", "start all", "push 0 [1,2]"):
        talk(command)
    before = talk("show view 0")
    assert "counts (0) on numbers => keep +2" in talk("step 0")
    assert talk("show view 0") == before
    told = talk("step 0")
    assert told == ["tells all: progress 1: (0) on numbers => keep +2 (1 epoch)"]
    assert talk("show view 0") == ["(0) on numbers => keep: +2", *before]


def test_3_3_updates_are_broadcast_to_all_and_all_hear_the_same() -> None:
    flow, epochs = FLOWS["joined"]
    simulation = Listens.of(flow, epochs)
    simulation.run()
    for sender in range(3):
        heard = [simulation.heard[sender, receiver] for receiver in range(3) if receiver != sender]
        assert heard[0] == heard[1]
        assert len(heard[0]) == simulation.workers[sender]._sent_progress


class Listens(Simulation):
    """Writes down which progress messages arrive where."""

    @staticmethod
    def of(flow: Any, epochs: Any) -> Listens:
        simulation, _ = simulate(flow, {"numbers": epochs}, workers=3, seed=2, make_simulation=Listens)
        assert isinstance(simulation, Listens)
        return simulation

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.heard: dict[tuple[int, int], list[Any]] = defaultdict(list)
        super().__init__(*arguments, **options)

    def pick(self, name: Any, link: Any) -> Any:
        message = super().pick(name, link)
        if isinstance(message, Progress):
            self.heard[name[:2]].append((message.sequence, tuple(message.updates)))
        return message


def test_3_3_updates_from_one_worker_to_another_are_taken_in_the_order_in_which_they_were_sent() -> None:
    talk = WorkersTalk()
    for command in ("flow keep workers=2 inputs=1 accumulation=none", "start all"):
        talk(command)
    for command in ("push 0 [2]", "run 0", "close 0", "run 0"):
        talk(command)
    first, *_, last = talk.links[0, 1, "progress"]
    with pytest.raises(LinkError, match=f"lost messages {first.sequence} to {last.sequence - 1}"):
        talk.workers[1].progress_arrived(0, last)
    before = talk("show view 1")
    repeated = Progress(0, [(0, (0,), 7)], 9)
    talk.workers[1].progress_arrived(0, repeated)
    assert talk("show view 1") == before


def test_3_3_what_a_callback_took_and_what_it_brought_are_told_in_one_message() -> None:
    talk = WorkersTalk()
    for command in ("flow chain workers=3 inputs=1 accumulation=none", "start all", "push 0 [1]", "run 0"):
        talk(command)
    talk("deliver data 0->1")
    told = [line for line in talk("run 1") if line.startswith("tells all")]
    assert told[0] == "tells all: progress 1: (0) on numbers => ten -1; (0) on ten => keep +3 (0 epochs)"


def test_3_3_nobody_delivers_a_notification_before_all_initial_counts_are_there() -> None:
    talk = WorkersTalk()
    for command in ("flow total workers=2", "start 0", "start 1", "push 0 [2]", "close 0"):
        talk(command)
    assert not [line for line in talk("run 0") if line.startswith("on_notify")]
    talk("deliver progress 1->0")
    talk("close 1")
    assert "worker 0: on_notify at total: (0)" in talk("run all")


def test_3_3_updates_are_held_while_they_lie_behind_something_else_that_is_outstanding() -> None:
    talk = WorkersTalk()
    for command in ("flow keep workers=2", "start all", "advance 0 1", "run 0", "push 0 [2]", "advance 0 2"):
        talk(command)
    assert not [line for line in talk("run 0") if line.startswith("tells all")]
    assert talk("show unsent 0") == ["(1) at numbers: -1", "(2) at numbers: +1"]


def test_3_3_held_updates_go_when_what_they_lie_behind_is_over() -> None:
    talk = WorkersTalk()
    for command in ("flow keep workers=2", "start all", "advance 0 1", "run 0", "advance 0 2", "run 0"):
        talk(command)
    assert talk("show unsent 0") != ["nothing"]
    for command in ("close 1", "run 1", "deliver progress 1->0"):
        talk(command)
    assert [line for line in talk("run 0") if line.startswith("tells all")] == [
        "tells all: progress 2: (1) at numbers -1; (2) at numbers +1 (2 epochs)"
    ]
    assert talk("show unsent 0") == ["nothing"]


def test_3_3_updates_of_one_pointstamp_are_summed_and_those_that_cancel_are_never_told() -> None:
    talk = WorkersTalk()
    for command in ("flow keep workers=2", "start all", "advance 0 1", "run 0"):
        talk(command)
    for epoch in range(2, 12):
        for command in ("push 0 [2,4]", f"advance 0 {epoch}", "run 0"):
            talk(command)
    assert talk("show unsent 0") == ["(1) at numbers: -1", "(11) at numbers: +1"]


def test_3_3_local_accumulation_tells_less_and_changes_no_answer() -> None:
    flow, epochs = FLOWS["collatz"]
    told, outputs = {}, {}
    for mode in Accumulation:
        result = run(flow, {"numbers": epochs}, workers=3, seed=4, accumulation=mode)
        told[mode] = sum(worker._sent_progress for worker in result.simulation.workers)
        outputs[mode] = {
            name: {epoch: sorted(rows) for epoch, rows in found.items()} for name, found in result.outputs.items()
        }
    assert outputs[Accumulation.LOCAL] == outputs[Accumulation.NONE]
    assert told[Accumulation.LOCAL] < told[Accumulation.NONE]


def test_3_3_a_worker_knows_by_itself_when_the_whole_computation_is_over() -> None:
    flow, epochs = FLOWS["collatz"]
    for seed in range(5):
        simulation, _ = simulate(flow, {"numbers": epochs}, workers=3, seed=seed)
        truth = simulation.invariants
        assert truth is not None
        while not simulation.settled:
            simulation.advance()
            assert not truth._counts or not any(worker.finished for worker in simulation.workers)
        assert all(worker.finished for worker in simulation.workers)


# -- 3.4, checkpoints ----------------------------------------------------------------------------------------------


def halted() -> WorkersTalk:
    talk = WorkersTalk()
    for command in ("flow total workers=2", "start all", "push 1 [4]", "run 1", "push 0 [2]", "run 0"):
        talk(command)
    talk("checkpoint 0 1")
    talk("deliver data 1->0")
    return talk


def test_3_4_a_worker_that_halts_for_a_checkpoint_delivers_nothing_until_it_has_been_taken() -> None:
    talk = halted()
    talk("push 0 [6]")
    assert [line for line in talk("run 0") if line.startswith(("on_", "reads"))] == []
    talk("deliver data 0->1")
    assert talk("deliver data 1->0")[0] == "worker 0 gets data 1: the marker of checkpoint 1"
    told = talk("run 0")
    assert [line for line in told if line.startswith(("on_", "reads"))] == [
        "on_recv at total: [4] at (0)",
        "reads [6] of epoch 0",
        "on_recv at total: [6] at (0)",
    ]


def test_3_4_a_checkpoint_holds_vertices_undelivered_batches_and_owed_notifications_but_no_counts() -> None:
    talk = halted()
    talk("deliver data 0->1")
    talk.workers[0].marker_arrived(1, 1, 1)
    (captured,) = [effect for effect in talk.workers[0].take_effects() if isinstance(effect, Captured)]
    snapshot = captured.snapshot
    assert snapshot.custom == {"total": {(0,): 2}}
    assert [(waiting.time, waiting.batch) for waiting in snapshot.waiting] == [((0,), [4])]
    assert [(request.stage, request.guarantee) for request in snapshot.requests] == [("total", (0,))]
    assert not [name for name in type(snapshot).__slots__ if "count" in name or "progress" in name]
