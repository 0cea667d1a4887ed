"""Where partitions enter that a source has after a checkpoint and had not before."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
import pytest

from limnad import Flow
from limnad.cluster.effects import Publish
from limnad.cluster.parts import read_part, write_part
from limnad.cluster.worker import Worker
from limnad.connectors.generator import Generator
from limnad.timely.snapshot import Part, PartitionState, Snapshot

EPOCHS = 3


def numbers(_: np.random.Generator, start: int, count: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(start, start + count)}, schema={"n": pl.Int64})


def worker(partitions: int, *restored: Part) -> Worker:
    """Of a source whose partitions have a row in each of three epochs: 0, 1, 2; 3, 4, 5."""
    flow = Flow()
    source = Generator(numbers, rows=EPOCHS * partitions, epochs=EPOCHS, partitions=partitions)
    flow.read(source, "numbers", source.schema).output("out")
    built = flow.build()
    machine = Worker(built.graph, 0, 1, built.sources)
    machine.start(restored)
    return machine


def part(state: PartitionState, complete: int) -> Part:
    """A checkpoint of when there was one partition."""
    return Part(0, 1, 1, complete, [], [], {("numbers", "0"): state}, {"output out": complete}, {}, {})


def run_out(machine: Worker) -> dict[int, list[int]]:
    while machine.step():
        pass
    published = [effect for effect in machine.take_effects() if isinstance(effect, Publish)]
    return {each.epoch: [] if each.batch is None else sorted(each.batch["n"].to_list()) for each in published}


def epochs_of(published: dict[int, list[int]]) -> dict[int, int]:
    """The epoch of each row."""
    return {row: epoch for epoch, rows in published.items() for row in rows}


def test_one_that_is_found_when_all_have_ended_comes_behind_what_is_complete() -> None:
    ended = part(PartitionState(2, None), complete=EPOCHS)
    assert run_out(worker(2, ended)) == {3: [3], 4: [4], 5: [5]}


def test_one_that_is_found_later_enters_at_the_earliest_open_epoch() -> None:
    open_at_1 = part(PartitionState(1, {"batch": 1}), complete=1)
    assert run_out(worker(2, open_at_1)) == {1: [1, 3], 2: [2, 4], 3: [5]}


@pytest.mark.parametrize("reads", range(6))
def test_its_rows_have_the_same_epochs_when_it_is_restored_itself(reads: int) -> None:
    machine = worker(2, part(PartitionState(1, {"batch": 1}), complete=1))
    for _ in range(reads):
        machine.inputs.read()
    chunks: list[bytes] = []

    def put(datas: Iterable[bytes]) -> list[str]:
        chunks.extend(datas)
        return [str(number) for number in range(len(chunks))]

    record = write_part(Snapshot(0, 1, 2, partitions=machine.inputs.capture()), put, None)
    again = read_part(record, lambda names: [chunks[int(name)] for name in names], 0, 1)
    left = epochs_of(run_out(worker(2, again)))
    assert len(left) == 5 - reads
    assert left.items() <= epochs_of(run_out(machine)).items()
