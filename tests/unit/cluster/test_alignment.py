"""Partitions of one source wait for the slowest one."""

from __future__ import annotations

import polars as pl
import pytest

import limnad
from limnad.cluster.alignment import AheadLimits
from limnad.cluster.effects import Progress
from limnad.cluster.worker import Worker
from limnad.timely.progress import Accumulation

EPOCHS, ROWS = 40, 10
EPOCH_BYTES = ROWS * 8
"""Of a partition's rows of one epoch."""


def workers(ahead: AheadLimits, mode: Accumulation, partitions: int = 2) -> list[Worker]:
    """Two that read a partition each, and have told each other where they begin."""
    flow = limnad.Flow()
    made = flow.generate(
        lambda rng, start, count: pl.DataFrame({"n": range(start, start + count)}, schema={"n": pl.Int64}),
        rows=partitions * EPOCHS * ROWS,
        epochs=EPOCHS,
        partitions=partitions,
    )
    made.filter(pl.col("n") < 0).output("nothing")
    built = flow.build()
    machines = [Worker(built.graph, index, 2, built.sources, mode, ahead=ahead) for index in range(2)]
    for machine in machines:
        machine.start()
    tell(machines[0], machines[1])
    tell(machines[1], machines[0])
    return machines


def tell(one: Worker, other: Worker) -> None:
    for effect in one.take_effects():
        if isinstance(effect, Progress):
            other.progress_arrived(one.index, effect)


def read_on(machine: Worker) -> int:
    """Runs it, to where it would sleep; the epoch that it stands at."""
    while machine.step():
        pass
    return machine.inputs.next_epoch


@pytest.mark.parametrize("mode", [Accumulation.NONE, Accumulation.LOCAL])
@pytest.mark.parametrize("epochs", [1, 5])
def test_one_that_is_far_ahead_waits_until_the_slowest_has_gone_on(epochs: int, mode: Accumulation) -> None:
    fast, slow = workers(AheadLimits(epochs, nbytes=0), mode)
    assert read_on(fast) == epochs
    turns = 0
    while not (fast.finished and slow.finished):
        for one, other in ((slow, fast), (fast, slow)):
            began = other.inputs.next_epoch
            assert read_on(one) <= began + epochs
            tell(one, other)
        turns += 1
        assert turns <= EPOCHS + 2


@pytest.mark.parametrize(("nbytes", "epoch"), [(EPOCH_BYTES * 10, 10), (EPOCH_BYTES * 1000, 0)])
def test_small_epochs_may_be_ahead_by_bytes(nbytes: int, epoch: int) -> None:
    fast, _ = workers(AheadLimits(epochs=1, nbytes=nbytes), Accumulation.LOCAL)
    assert read_on(fast) == epoch
    assert bool(fast.inputs.readable) is False


def test_a_partition_waits_for_none_that_has_ended() -> None:
    alone, other = workers(AheadLimits(epochs=1, nbytes=0), Accumulation.LOCAL, partitions=1)
    read_on(other)
    tell(other, alone)
    read_on(alone)
    tell(alone, other)
    read_on(other)
    assert alone.finished
    assert other.finished


def test_one_that_is_told_to_end_does_not_wait() -> None:
    fast, _ = workers(AheadLimits(epochs=1, nbytes=0), Accumulation.LOCAL)
    assert read_on(fast) == 1
    fast.inputs.drain([stage.name for stage in fast.graph.stages])
    read_on(fast)
    assert all(state.position is None for state in fast.inputs.capture().values())
