from typing import Any

import polars as pl
import pytest

import limnad
from limnad.cluster.backpressure import BATCH_BYTES, BUDGET_BYTES
from limnad.cluster.effects import Ack, Captured, Data
from limnad.cluster.worker import Worker
from tests.helpers.census import census

ROWS = 200_000  # Of 8 bytes: each batch is larger than what an outgoing buffer may hold.


class Sink(limnad.Vertex):
    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        pass


def exchanging(batches: int, **options: Any) -> Worker:
    """Worker 0 of 2, with one epoch of large batches that go straight from the source to an exchange."""
    flow = limnad.Flow()
    frame = pl.DataFrame({"key": range(ROWS)})
    made = flow.generate(lambda rng, start, count: frame, rows=batches * ROWS, batch_rows=ROWS, partitions=1)
    flow.vertex(Sink, made.partition_by("key"), name="sink", outputs=0)
    built = flow.build()
    machine = Worker(built.graph, 0, 2, built.sources, **options)
    machine.start()
    return machine


def test_large_batches_leave_while_the_source_is_read() -> None:
    machine = exchanging(batches=5)
    sent = 0
    while machine.step():
        assert machine.scheduler.buffered_bytes < 2 * ROWS * 8
        sent += sum(isinstance(effect, Data) for effect in machine.take_effects())
    assert sent == 5


@pytest.mark.parametrize("told", [0, 3])
def test_a_source_waits_while_the_budget_is_in_flight(told: int) -> None:
    machine = exchanging(batches=50, budget_bytes=2 * ROWS * 8)

    def read_on() -> int:
        while machine.step():
            pass
        return sum(isinstance(effect, Data) for effect in machine.take_effects())

    first = read_on()
    assert machine.waiting_for_credit
    assert first < 50
    machine.ack_arrived(1, Ack(1, told, 0))
    assert read_on() == told


def test_the_time_in_which_sources_wait_is_told() -> None:
    now_ns = [0]
    machine = exchanging(batches=50, budget_bytes=2 * ROWS * 8, clock_ns=lambda: now_ns[0])
    while machine.step():
        pass
    now_ns[0] = 5
    assert (machine.waiting_for_credit, machine.waited.total_ns) == (True, 5)
    machine.ack_arrived(1, Ack(1, 3, 0))
    machine.step()
    now_ns[0] = 9
    assert (machine.waiting_for_credit, machine.waited.total_ns) == (False, 5)


def test_a_checkpoint_that_begins_before_the_end_of_the_last_is_heard_takes_over_what_was_held_back() -> None:
    """The leader gives up checkpoint 1 and begins 2; the markers of 2 come before its word."""
    flow = limnad.Flow()
    flow.vertex(Sink, flow.values([[]]).partition_by(lambda number: number), name="sink", outputs=0)
    built = flow.build()
    machine = Worker(built.graph, 0, 3, built.sources)
    machine.start()
    (connector,) = built.graph.connectors
    machine.marker_arrived(1, 0, checkpoint=1)
    machine.data_arrived(1, 1, connector.index, (0,), [7])  # Behind the marker: not part of checkpoint 1.
    machine.marker_arrived(1, 2, checkpoint=2)
    machine.marker_arrived(2, 0, checkpoint=2)
    (captured,) = (effect for effect in machine.take_effects() if isinstance(effect, Captured))
    assert captured.checkpoint == 2
    assert [waiting.batch for waiting in captured.snapshot.waiting] == [[7]]
    machine.abort_checkpoint(1)
    assert not machine.halted


def test_a_halt_is_measured_phase_by_phase() -> None:
    now_ns = 0
    machine = exchanging(batches=1, clock_ns=lambda: now_ns)
    machine.begin_checkpoint(1)
    now_ns += 3_000
    machine.marker_arrived(1, 0, checkpoint=1)
    (captured,) = (effect for effect in machine.take_effects() if isinstance(effect, Captured))
    assert (captured.halt.stop_ns, captured.halt.markers_ns, captured.halt.references_ns) == (0, 3_000, 0)


def test_a_source_of_tiny_epochs_does_not_run_ahead_by_all_that_a_budget_of_rows_holds() -> None:
    flow = limnad.Flow()
    epochs = 20_000
    tiny = flow.generate(
        lambda rng, start, count: pl.DataFrame({"key": range(start, start + count)}, schema={"key": pl.Int64}),
        rows=2 * epochs,
        epochs=epochs,
        partitions=1,
    )
    flow.vertex(Sink, tiny.partition_by("key"), name="sink", outputs=0)
    machine = Worker(flow.build().graph, 0, 2, flow.sources)
    machine.start()
    while machine.step():
        machine.take_effects()
    assert machine.waiting_for_credit
    assert machine.scheduler.epochs_opened < epochs
    assert census(machine.pressure, "pressure")["pressure._in_flight[]"] < 1.1 * 2 * BUDGET_BYTES / BATCH_BYTES
