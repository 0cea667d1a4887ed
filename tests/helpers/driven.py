"""One vertex without an engine: its batches come in any order that a frontier allows, at partially ordered times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any

import polars as pl

import limnad
from limnad.incremental.deltas import Layout

Time = tuple[int, ...]
Change = tuple[Any, Time, int]
"""A row, when it changes, and by how much."""


class Driven:
    """Runs a vertex on changes; the context that a vertex wants, too.

    Args:
        vertex: The vertex.
        layouts: Of its inputs.
        messages: For each message its port, its time, and changes at that time or later.
        random: Decides the order.

    Attributes:
        sent: What it sent.
    """

    worker, workers, generation, job, stage = 0, 1, 1, "job", "driven"

    def __init__(
        self,
        vertex: limnad.Vertex,
        layouts: Sequence[Layout],
        messages: Sequence[tuple[int, Time, list[Change]]],
        random: Random,
    ) -> None:
        self.sent: list[Change] = []
        self._left = list(messages)
        self._requests: set[Time] = set()
        self._held: list[Time] = []
        self._layouts = layouts
        vertex._context = self
        while self._left or self._requests:
            due = [time for time in self._requests if not self._may_come(time)]
            if due and (not self._left or random.random() < 0.5):
                self._requests.difference_update(due)
                self._held = due
                vertex.on_frontier(sorted(due))
                continue
            message = random.choice(self._left)
            port, time, changes = message
            self._held = [time]
            vertex.on_recv(port, self._frame(port, changes), time)
            self._left.remove(message)

    def _frame(self, port: int, changes: list[Change]) -> pl.DataFrame:
        return pl.DataFrame(
            [(*row, *time, diff) for row, time, diff in changes], self._layouts[port].frame_schema, orient="row"
        )

    def _may_come(self, time: Time) -> bool:
        return any(limnad.less_equal(sent, time) for _, sent, _ in self._left)

    def frontier(self, port: int) -> tuple[Time, ...]:
        """See `limnad.Vertex.frontier`."""
        times = {time for of, time, _ in self._left if of == port}
        return tuple(sorted(t for t in times if not any(other != t and limnad.less_equal(other, t) for other in times)))

    def notify(self, guarantee: Time, capability: Time) -> None:
        """See `limnad.Vertex.notify_at`."""
        assert any(limnad.less_equal(held, capability) for held in self._held)
        self._requests.add(guarantee)

    def send(self, port: int, batch: pl.DataFrame, time: Time) -> None:
        """See `limnad.Vertex.send_by`."""
        assert any(limnad.less_equal(held, time) for held in self._held)
        depth = len(time)
        for values in batch.rows():
            row, at, diff = values[: -depth - 1], values[-depth - 1 : -1], values[-1]
            assert limnad.less_equal(time, at), "a row before its message"
            self.sent.append((row, at, diff))

    def publish(self, output: str, epoch: int, batch: Any) -> None:
        """See `limnad.timely.vertex.VertexContext`; unused."""

    def sibling(self, stage: str) -> limnad.Vertex:
        """See `limnad.timely.vertex.VertexContext`."""
        raise KeyError(stage)


def until(changes: Sequence[Change], time: Time) -> Counter[Any]:
    """What there is at a time, in the product order."""
    found: Counter[Any] = Counter()
    for row, at, diff in changes:
        if all(map(int.__le__, at, time)):
            found[row] += diff
    return Counter({row: times for row, times in found.items() if times})


def random_changes(
    random: Random, depth: int, rows: Sequence[Any], port: int = 0
) -> list[tuple[int, Time, list[Change]]]:
    """Messages with changes; at every time every row is there once or more, or not at all."""
    messages = []
    grid = list(product(range(4), repeat=depth))
    for _ in range(random.randint(1, 8)):
        time = random.choice(grid)
        changes: list[Change] = []
        for _ in range(random.randint(1, 3)):
            row = random.choice(rows)
            later = [at for at in grid if all(map(int.__le__, time, at))]
            begin = random.choice([time, random.choice(later)])
            changes.append((row, begin, random.choice([1, 1, 2])))
            ends = [at for at in grid if at != begin and all(map(int.__le__, begin, at))]
            if ends and random.random() < 0.5:
                changes.append((row, random.choice(ends), -1))
        for part in (changes[::2], changes[1::2]):
            if part:
                messages.append((port, time, part))
    return messages
