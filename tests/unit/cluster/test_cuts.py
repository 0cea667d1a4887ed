"""Timed inputs: what an epoch held when it could first be complete, it holds whenever it is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from limnad.cluster.cuts import cuts_of, encode_cuts, passed
from limnad.cluster.inputs import Inputs, Partition
from limnad.cluster.records import PartitionRecord
from limnad.connectors import CsvFiles, TextFiles, by_time
from limnad.stream.flow import Flow
from limnad.timely.snapshot import PartitionState
from limnad.timely.source import Cut, PartitionKey
from tests.helpers.sources import Clock

SEEDS = 300
STAGE = "lines"


class Wrong(AssertionError):
    """What must never be."""


@dataclass
class Shown:
    """In the place of a scheduler: which rows went into which epoch, and which epochs cannot get any more."""

    rows: list[tuple[int, Any]] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)

    def open_epochs(self, epochs: int) -> None:
        """Nothing depends on it here."""

    def hold(self, stage: Any, epoch: int) -> None:
        del stage
        self.held[epoch] = self.held.get(epoch, 0) + 1

    def release(self, stage: Any, epoch: int) -> None:
        del stage
        self.held[epoch] -= 1

    def feed(self, stage: Any, batch: Any, epoch: int) -> None:
        del stage
        self.rows += [(epoch, row) for row in batch.rows()]

    @property
    def open(self) -> int | None:
        return min((epoch for epoch, count in self.held.items() if count), default=None)


class Run:
    """One job over several crashes: reads, logs, makes checkpoints, dies.

    Args:
        path: The file, which grows.
        seed: Decides everything.
        kind: Of the source.
        follow: Whether the file is followed, or read to its end.
        mutant: What makes `Inputs`.
    """

    def __init__(
        self, path: Path, seed: int, kind: type[TextFiles | CsvFiles], *, follow: bool, mutant: type[Inputs]
    ) -> None:
        self.random = Random(seed)
        self.path, self.kind, self.follow, self.mutant = path, kind, follow, mutant
        self.clock = Clock()
        self.lines = 0
        self.splits = self.random.choice([1, 3])
        path.write_text("n\n" if kind is CsvFiles else "")
        self.grow(30)
        self.log: list[bytes] = []
        self.checkpoint: dict[PartitionKey, PartitionState] = {}
        self.before: list[tuple[int, Any]] = []
        self.complete: dict[int, list[Any]] = {}
        self.start()

    def grow(self, most: int) -> None:
        with self.path.open("a") as file:
            for _ in range(self.random.randrange(most)):
                file.write(f'"line {self.lines}"\n')
                self.lines += 1

    def start(self) -> None:
        source = self.kind(
            str(self.path),
            epochs=replace(by_time(1.0), clock=self.clock),
            splits=self.splits,
            batch_bytes=self.random.randrange(5, 60),
            follow=self.follow,
        )
        flow = Flow()
        flow.read(source, name=STAGE).output("out")
        self.shown = Shown(list(self.before))
        self.inputs = self.mutant(
            flow.build().graph,
            self.shown,  # type: ignore[arg-type]
            0,
            1,
            {STAGE: source},
            lambda _: None,
            cuts_of(STAGE, enumerate(self.log)),
        )
        self.pending: list[tuple[PartitionKey, Cut]] = []
        self.inputs.open(self.checkpoint)

    def step(self) -> None:
        choice = self.random.randrange(12)
        if choice < 6:
            self.inputs.read()
            self.pending += self.inputs.take_cuts()
        elif choice == 6:
            self.clock.now_s += self.random.random() * 2
            self.inputs.wake()
        elif choice == 7 and self.follow:
            self.grow(5)
            self.inputs.wake()
        elif choice < 10 and self.pending:
            self.log.append(encode_cuts([(key[1], cut) for key, cut in self.pending]))
            if self.random.random() < 0.8:  # Else it dies before it knows.
                for key, _ in self.pending:
                    self.inputs.cut_logged(key)
                self.pending = []
            else:
                self.start()
        elif choice == 10 and self.random.random() < 0.3:
            self.checkpoint, self.before = self.inputs.capture(), list(self.shown.rows)
        elif choice == 11 and self.random.random() < 0.2:
            self.start()
        self.check()

    def check(self) -> None:
        """An epoch that is complete has the rows that it had the first time."""
        opened = self.shown.open
        ended = (
            range(opened) if opened is not None else range(1 + max((epoch for epoch, _ in self.shown.rows), default=0))
        )
        for epoch in ended:
            rows = sorted(row for at, row in self.shown.rows if at == epoch)
            if self.complete.setdefault(epoch, rows) != rows:
                raise Wrong(f"epoch {epoch} had {self.complete[epoch]}, and has {rows}")


def run(path: Path, seed: int, kind: type[TextFiles | CsvFiles], *, follow: bool, mutant: type[Inputs] = Inputs) -> Run:
    one = Run(path, seed, kind, follow=follow, mutant=mutant)
    for _ in range(200):
        one.step()
    return one


@pytest.mark.parametrize("kind", [TextFiles, CsvFiles])
@pytest.mark.parametrize("follow", [False, True])
def test_an_epoch_that_could_be_complete_is_replayed_as_it_was(
    tmp_path: Path, kind: type[TextFiles | CsvFiles], follow: bool
) -> None:
    complete = rows = 0
    for seed in range(SEEDS):
        one = run(tmp_path / "lines.txt", seed, kind, follow=follow)
        complete += len(one.complete)
        rows += sum(map(len, one.complete.values()))
    assert complete > SEEDS
    assert rows > SEEDS


class NothingLogged(Inputs):
    """Goes by the clock again."""

    def _repeat(self, partition: Partition, cuts: Sequence[Cut]) -> None:
        del partition, cuts


class WaitsForNobody(Inputs):
    """Goes on to the next epoch before its cut is durable."""

    def read(self) -> bool:
        for partition in self._open:
            partition.durable = partition.held is not None
        return super().read()


class EndsUnlogged(Inputs):
    """Takes an end for something that follows from positions."""

    def read(self) -> bool:
        for partition in self._open:
            if partition.held is not None and partition.held[1].epoch is None:
                partition.durable = True
        return super().read()


class CapturesTooFar(Inputs):
    """Takes the position behind rows that are held back."""

    def capture(self) -> dict[PartitionKey, PartitionState]:
        return super().capture() | {
            partition.key: PartitionState(partition.epoch, partition.reader.position()) for partition in self._open
        }


@pytest.mark.parametrize("mutant", [NothingLogged, WaitsForNobody, EndsUnlogged, CapturesTooFar])
def test_unsafe_ways_are_caught(tmp_path: Path, mutant: type[Inputs]) -> None:
    with pytest.raises(Wrong):
        run_all(tmp_path / "lines.txt", mutant)


def run_all(path: Path, mutant: type[Inputs]) -> None:
    for seed in range(SEEDS):
        run(path, seed, TextFiles, follow=seed % 2 == 0, mutant=mutant)


def entry(*cuts: tuple[str, int | None]) -> bytes:
    return encode_cuts([(partition, Cut(epoch, {})) for partition, epoch in cuts])


def at(**epochs: int | None) -> dict[PartitionKey, PartitionRecord]:
    return {
        (STAGE, name): PartitionRecord(STAGE, name, 9 if epoch is None else epoch, None if epoch is None else {})
        for name, epoch in epochs.items()
    }


@pytest.mark.parametrize(
    ("kept", "below"),
    [
        ([], None),
        ([at(a=0, b=0)], None),
        ([at(a=1, b=0)], 6),
        ([at(a=3, b=0)], 6),
        ([at(a=3, b=1)], 8),
        ([at(a=1, b=1), at(a=3, b=1)], 7),
        ([at(a=None, b=1)], 9),
        ([at(a=None, b=None)], 9),
        ([at(a=3)], 6),
    ],
)
def test_entries_that_all_checkpoints_have_passed_are_not_needed(
    kept: list[dict[PartitionKey, PartitionRecord]], below: int | None
) -> None:
    entries = [(5, entry(("a", 1))), (6, entry(("b", 1))), (7, entry(("a", 2), ("a", 3))), (8, entry(("a", None)))]
    assert passed(STAGE, entries, kept) == below
