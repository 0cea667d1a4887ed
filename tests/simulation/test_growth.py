"""Jobs that go on for ever: nothing that is kept grows with the epochs, whether there are checkpoints or not.

A census (`tests.helpers.census`) counts what can be reached from the workers, the leader's machine, the coordinator and
the store, so whatever grows is named. CI runs a share of the epochs, ``script/soak`` as many as it is told.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import pytest

import limnad
from limnad import Flow, FrameStream
from limnad.incremental import from_stream
from limnad.testing import Recovery, build
from limnad.timely import frame_state, state
from limnad.timely.progress import Accumulation
from limnad.timely.source import Answer, Idle, Position, Rows
from limnad.windows import EventTime, KeyContext, KeyedFunction, timers
from tests.helpers.census import census, grown

EPOCHS = int(os.environ.get("LIMNAD_SOAK_EPOCHS", "40"))
"""Half of them until the first census, half until the second."""

SCHEMA = pl.Schema({"key": pl.Int64, "visit": pl.Int64, "at": pl.Int64, "diff": pl.Int64})


class Gate:
    """A source of one small frame for each epoch, as many as are let through.

    Attributes:
        epochs: How many are let through.
    """

    schema = SCHEMA

    def __init__(self) -> None:
        self.epochs = 0

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return ["0", "1"]

    def open(self, partition: str, position: Position | None) -> GateReader:
        """See `limnad.timely.source.Source`."""
        return GateReader(self, int(partition), 0 if position is None else position["epoch"])

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return "as many as are let through"


class GateReader:
    """Reads one partition."""

    def __init__(self, gate: Gate, partition: int, epoch: int) -> None:
        self._gate, self._partition, self._epoch = gate, partition, epoch

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        if self._epoch >= self._gate.epochs:
            return Idle()
        epoch = self._epoch
        self._epoch += 1
        return Rows(epoch, rows(epoch, self._partition))

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"epoch": self._epoch}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""


def rows(epoch: int, partition: int) -> pl.DataFrame:
    """Two keys of ten, two visits that never come again, and differences that add up to nothing each ten epochs."""
    number = 2 * epoch + partition
    sign = 1 if epoch // 5 % 2 == 0 else -1
    keys = [(epoch % 5 * 2 + place + 5 * partition) % 10 for place in range(2)]
    found = [(key, 2 * number + place, epoch, sign) for place, key in enumerate(keys)]
    return pl.DataFrame(found, SCHEMA, orient="row")


# -- jobs --------------------------------------------------------------------------------------------------------------


class Visits(limnad.Vertex):
    """A state by key whose keys come and go."""

    def __init__(self) -> None:
        self.open = limnad.KeyedState[int, int]("open")

    def on_recv(self, port: int, batch: pl.DataFrame, time: limnad.Timestamp) -> None:
        """See `Vertex.on_recv`."""
        for visit, at in batch.select("visit", "at").iter_rows():
            self.open[visit] = at
        self.notify_at(time)

    def on_notify(self, time: limnad.Timestamp) -> None:
        """See `Vertex.on_notify`."""
        for visit in [visit for visit, at in self.open.items() if at < time[0] - 3]:
            del self.open[visit]
        self.send_by(0, [len(self.open)], time)


def keyed(stream: FrameStream) -> None:
    stream.group_by("key").agg(pl.len().alias("n")).output("each epoch's")
    stream.group_by("key").running(pl.len().alias("n")).output("so far")
    pairs = stream.to_records().map(lambda row: (row[0], row[1])).as_keyed()
    pairs.scan(lambda: 0, lambda before, visit: (before + visit, before + visit)).output("scanned")
    stream.flow.vertex(Visits, stream.partition_by("visit")).output("visits")


def looping(stream: FrameStream) -> None:
    def halve(pairs: Any) -> Any:
        halved = pairs.map(lambda pair: (pair[0], pair[1] // 2))
        return halved.filter(lambda pair: pair[1] > 1), halved.filter(lambda pair: pair[1] <= 1)

    stream.to_records().map(lambda row: (row[0], row[1] % 64)).iterate(halve).output("halved")


class Silence(KeyedFunction):
    """Each row of a key puts its timer off, so that it never fires."""

    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        """See `KeyedFunction.on_rows`."""
        if key.state is not None:
            key.cancel_timer(key.state)
        key.state = rows[-1]["at"] + 10_000
        key.set_timer(key.state)

    def on_timer(self, key: KeyContext, time: int) -> None:
        """See `KeyedFunction.on_timer`."""
        raise AssertionError(f"{key.key} at {time}")


def windows(stream: FrameStream) -> None:
    timed = EventTime(stream, "at", lateness=1, partition="visit", idle_after=2)
    panes = timed.sliding(4, 2).group_by("visit")
    panes.agg(pl.len().alias("n")).output("panes")
    panes.late().output("late")
    timed.sessions(2).group_by("visit").agg(pl.len().alias("n")).output("sessions")
    timed.process(Silence, "key", {"key": pl.Int64}).output("silent")


def joins(stream: FrameStream) -> None:
    left = EventTime(stream.select("key", "at"), "at", lateness=1)
    right = EventTime(stream.select("key", "at", "visit"), "at", lateness=1)
    left.join_asof(right, "key", tolerance=3).output("as of")
    left.join_interval(right, "key", behind=1, ahead=1).output("near")


def incremental(stream: FrameStream) -> None:
    edges = from_stream(stream.select(a="key", b=(pl.col("key") + 1) % 10, diff="diff"), "diff")
    edges.join(edges.select("a", c="b"), "a").group_by("a").count().output("joined")
    edges.distinct().output("distinct")
    start = edges.select(a="a").filter(pl.col("a") == 0).distinct()
    by_a = edges.arrange_by("a")
    start.iterate(
        lambda near: near.join(by_a.enter(near), "a").select(a="b").concat(start.enter(near)).distinct()
    ).output("reached")


# -- what is counted ---------------------------------------------------------------------------------------------------


class Endless:
    """A job on two simulated workers that is fed epoch by epoch; each is worked on to its end.

    Args:
        describe: Says what becomes of the source's rows.
        interval_ticks: From one checkpoint to the next; None for none.
        accumulation: How progress updates are gathered.
    """

    def __init__(
        self, describe: Callable[[FrameStream], None], interval_ticks: float | None, accumulation: Accumulation
    ) -> None:
        self._gate = Gate()

        def job(flow: Flow) -> None:
            describe(flow.read(self._gate, "rows", SCHEMA))

        built = build(job)
        self._recovery = Recovery(
            built,
            lambda: built.sources,
            seed=1,
            interval_ticks=interval_ticks,
            accumulation=accumulation,
            check=False,
        )
        self._generation = self._recovery.start(2)

    def run(self, epochs: int) -> None:
        """So many more epochs, and the checkpoint behind them."""
        for _ in range(epochs):
            self._gate.epochs += 1
            self._settle()
        if self._generation.leader.interval_s is not None:
            self._generation.checkpoint()
            self._settle()

    def _settle(self) -> None:
        generation = self._generation
        for worker in generation.workers:
            worker.wake()
            generation._idle.discard(worker.index)
        while not generation.settled:
            generation.advance()
        for worker in generation.workers:
            for trips in worker.scheduler.loops.values():
                trips.forget(before_epoch=worker.epoch)  # As an engine does with each status.

    def census(self) -> Counter[str]:
        """How much there is, and where."""
        generation = self._generation
        roots = {
            "workers": generation.workers,
            "leader": generation.leader,
            "coordinator": generation.streams,
            "store": self._recovery.space,
        }
        return sum((census(root, name) for name, root in roots.items()), Counter[str]())


@pytest.fixture(autouse=True)
def little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What grows up to some thousands does so within few epochs."""
    monkeypatch.setattr(frame_state, "UNFOLDED_ROWS", 16)
    monkeypatch.setattr(state, "NOTED_KEYS", 16)
    monkeypatch.setattr(timers, "CANCELLED", 16)


@pytest.mark.parametrize("interval_ticks", [None, 300], ids=["no checkpoints", "checkpoints"])
@pytest.mark.parametrize("describe", [keyed, looping, windows, joins, incremental], ids=lambda each: each.__name__)
def test_nothing_grows_with_the_epochs(describe: Callable[[FrameStream], None], interval_ticks: float | None) -> None:
    accumulation = Accumulation.LOCAL_AND_GLOBAL if describe is looping else Accumulation.LOCAL
    endless = Endless(describe, interval_ticks, accumulation)
    endless.run(EPOCHS // 2)
    before = endless.census()
    endless.run(EPOCHS // 2)
    assert not grown(before, endless.census())
