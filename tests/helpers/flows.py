"""Flows with nested loops, notifications and exchanges, small enough to be run under thousands of seeds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from limnad import Flow, FrameState, RecordStream, TimedBatches, Timestamp, Vertex

Walk = tuple[int, int, int]


def collatz(flow: Flow) -> None:
    """Two nested loops; walks change workers on every trip."""

    def outer(walks: RecordStream[Walk]) -> tuple[RecordStream[Walk], RecordStream[Walk]]:
        odd = walks.iterate(inner, name="halve")
        again = odd.filter(lambda walk: walk[1] != 1).map(lambda walk: (walk[0], 3 * walk[1] + 1, walk[2] + 1))
        return again, odd.filter(lambda walk: walk[1] == 1)

    def inner(walks: RecordStream[Walk]) -> tuple[RecordStream[Walk], RecordStream[Walk]]:
        spread = walks.partition_by(lambda walk: walk[1]).map(lambda walk: walk)
        again = spread.filter(lambda walk: walk[1] % 2 == 0).map(lambda walk: (walk[0], walk[1] // 2, walk[2] + 1))
        return again, spread.filter(lambda walk: walk[1] % 2 == 1)

    numbers = flow.input("numbers").map(lambda number: (number, number, 0))
    steps = numbers.iterate(outer, name="collatz").map(lambda walk: (walk[0], walk[2]))
    steps.as_keyed().reduce_by_key(max).output("steps")
    steps.count().output("how many")


COLLATZ_EPOCHS = [[6, 1, 9], [], [12, 7]]


class Rounds(Vertex):
    """Counts what each trip of a loop brings, and sends on what is left, by notification."""

    def __init__(self) -> None:
        self.waiting = TimedBatches()

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        if self.waiting.add(time, port, batch):
            self.notify_at(time)

    def on_notify(self, time: Timestamp) -> None:
        counts = Counter(number for batch in self.waiting.pop(time)[0] for number in batch)
        self.send_by(0, [number - 1 for number in counts.elements() if number > 0], time)
        self.send_by(1, [(time[-1], number, count) for number, count in counts.items()], time)


def rounds(flow: Flow) -> None:
    """A loop whose every trip waits for a notification: a barrier, unsound at once if a frontier runs ahead."""
    loop = flow.loop("rounds")
    entered = loop.enter(flow.input("numbers"))
    feedback = loop.feedback(entered)
    again, told = flow.vertex(
        Rounds, entered.concat(feedback.stream).partition_by(lambda number: number), outputs=2, name="rounds"
    )
    feedback.connect(again)
    loop.leave(told).output("told")


ROUNDS_EPOCHS = [[3, 5, 3], [1], [4, 0, 2]]


def joined(flow: Flow) -> None:
    """Per-time operators side by side: group, join, distinct and state across epochs."""
    numbers = flow.input("numbers")
    pairs = numbers.key_by(lambda number: number % 3)
    counts = pairs.count_by_key()
    pairs.join(counts).output("joined")
    numbers.distinct().count().output("distinct")
    counts.scan(lambda: 0, lambda total, count: (total + count, total + count)).output("totals")


JOINED_EPOCHS = [[1, 2, 3, 4, 4], [], [7, 7, 7], [2, 3]]


class Pairing(Vertex):
    """Keeps the numbers whose class (modulo 4) has come once, and sends on both when a second one comes."""

    def __init__(self) -> None:
        self.arrived = TimedBatches("arrived")
        self.alone = FrameState("alone", {"number": pl.Int64, "class": pl.Int64}, key="class")

    def on_recv(self, port: int, batch: pl.DataFrame, time: Timestamp) -> None:
        if self.arrived.add(time, port, batch):
            self.notify_at(time)

    def on_notify(self, time: Timestamp) -> None:
        for batch in self.arrived.pop(time)[0]:
            for row in batch.sort("number").iter_slices(1):
                if len(other := self.alone.get(row)):
                    self.alone.delete(row)
                    self.send_by(0, pl.concat([row, other]), time)
                else:
                    self.alone.add(row)


def kept(flow: Flow) -> None:
    """Frames across epochs: running totals, and rows that come and go."""
    numbers = flow.input("numbers").map(lambda number: (number,)).to_frames({"number": pl.Int64})
    classes = numbers.with_columns((pl.col("number") % 4).alias("class"))
    classes.group_by("class").running(pl.len(), pl.col("number").sum()).to_records().output("totals")
    pairs = flow.vertex(Pairing, classes.partition_by("class"), name="pairing", schemas=[classes.schema])
    pairs.group_by("class").len().to_records().output("pairs")


KEPT_EPOCHS = [[1, 2, 3, 4, 5, 8], [], [5, 6, 12], [7, 9, 1]]


class Shares(Vertex):
    """Each number with the sum of all numbers of its time, which every worker is told."""

    def __init__(self) -> None:
        self.kept = TimedBatches("kept", ports=2)

    def on_recv(self, port: int, batch: list[int], time: Timestamp) -> None:
        if self.kept.add(time, port, batch):
            self.notify_at(time)

    def on_notify(self, time: Timestamp) -> None:
        numbers, told = self.kept.pop(time)
        total = sum(number for batch in told for number in batch)
        self.send_by(0, [(number, total) for batch in numbers for number in batch], time)


def told(flow: Flow) -> None:
    """Something that every worker has a copy of, beside what is spread by key."""
    numbers = flow.input("numbers")
    totals = numbers.map(lambda number: ("all", number)).as_keyed().reduce_by_key(int.__add__).map(lambda pair: pair[1])
    flow.vertex(Shares, numbers.partition_by(lambda number: number), totals.broadcast(), name="shares").output("shares")


TOLD_EPOCHS = [[1, 2, 3, 4, 5, 6], [], [5, 6, 12], [7, 9, 1, 8]]

FLOWS: dict[str, tuple[Any, list[list[int]]]] = {
    "collatz": (collatz, COLLATZ_EPOCHS),
    "rounds": (rounds, ROUNDS_EPOCHS),
    "joined": (joined, JOINED_EPOCHS),
    "kept": (kept, KEPT_EPOCHS),
    "told": (told, TOLD_EPOCHS),
}


def in_order(outputs: dict[str, dict[int, Any]]) -> dict[str, dict[int, list[Any]]]:
    """Outputs as sorted lists: equality is that of multisets."""
    return {name: {epoch: sorted(rows) for epoch, rows in epochs.items()} for name, epochs in outputs.items()}
