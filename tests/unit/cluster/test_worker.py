from typing import Any

import polars as pl
import pytest

import limnad
from limnad.cluster.effects import Ack, Data
from limnad.cluster.worker import Worker

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
