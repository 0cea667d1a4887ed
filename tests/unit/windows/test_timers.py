"""Functions by key: what is refused, and what is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from benchmarks.in_process import Live
from limnad import Flow, StateError, TimeError
from limnad.testing import build, run
from limnad.timely.scheduler import VertexFailure
from limnad.windows import EventTime, KeyContext, KeyedFunction
from limnad.windows.timers import CANCELLED
from tests.helpers.census import census

SCHEMA: dict[str, Any] = {"k": pl.String, "at": pl.Datetime("ms")}
NOON = datetime.fromisoformat("2026-01-01T12:00")
MINUTE = timedelta(minutes=1)


def frame(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame([(key, NOON + minute * MINUTE) for key, minute in rows], schema=SCHEMA, orient="row")


def told(function: type[KeyedFunction], *epochs: pl.DataFrame) -> list[list[Any]]:
    def job(flow: Flow) -> None:
        EventTime(flow.input("rows", SCHEMA), "at").process(function, "k", SCHEMA).output("out")

    outputs = run(job, {"rows": list(epochs)}, workers=2).outputs["out"]
    return [sorted(outputs[epoch].rows()) for epoch in range(len(epochs))]


class Remind(KeyedFunction):
    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        key.set_timer(rows[-1]["at"] + 5 * MINUTE)

    def on_timer(self, key: KeyContext, time: datetime) -> None:
        key.emit(*key.key, time)


def test_times_are_those_of_the_column() -> None:
    found = told(Remind, frame(("a", 0)), frame(("b", 4)), frame(("b", 5)))
    assert found == [[], [], [("a", NOON + 5 * MINUTE)]]


class Again(Remind):
    def on_timer(self, key: KeyContext, time: datetime) -> None:
        key.set_timer(time)


class ByTheClock(Remind):
    def on_timer(self, key: KeyContext, time: datetime) -> None:
        key.set_clock_timer(time)


class Misfit(Remind):
    def on_timer(self, key: KeyContext, time: datetime) -> None:
        key.emit("too short")


class Forgot(KeyedFunction):
    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        key.set_timer(rows[-1]["at"])


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (Again, TimeError, "would never end"),
        (ByTheClock, StateError, "give process\\(\\) ticks="),
        (Misfit, TypeError, "Misfit emits rows of k, at, not"),
        (Forgot, NotImplementedError, "Forgot calls set_timer but does not override on_timer"),
    ],
)
def test_what_a_function_does_wrong_is_said(function: type[KeyedFunction], kind: type[Exception], message: str) -> None:
    with pytest.raises(VertexFailure) as failed:
        told(function, frame(("a", 0)), frame(("b", 9)))
    assert isinstance(failed.value.__cause__, kind)
    with pytest.raises(kind, match=message):
        raise failed.value.__cause__


class Keeps(Remind):
    def __init__(self) -> None:
        self.seen: dict[str, int] = {}


def test_a_function_that_keeps_something_itself_is_refused() -> None:
    def job(flow: Flow) -> None:
        EventTime(flow.input("rows", SCHEMA), "at").process(Keeps, "k", SCHEMA).output("out")

    with pytest.raises(StateError, match=r"Keeps keeps self\.seen, which a checkpoint would lose"):
        build(job)


class Silence(KeyedFunction):
    """Each row puts off a key's only timer."""

    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        if key.state is not None:
            key.cancel_timer(key.state)
        key.state = rows[-1]["at"] + 10_000 * MINUTE
        key.set_timer(key.state)

    def on_timer(self, key: KeyContext, time: datetime) -> None:
        key.emit(*key.key, time)
        key.state = None


def test_timers_that_are_put_off_again_and_again_do_not_pile_up() -> None:
    def job(flow: Flow) -> None:
        EventTime(flow.input("rows", SCHEMA), "at").process(Silence, "k", SCHEMA).output("out")

    live = Live(job)
    keys = [f"{key:02}" for key in range(50)]
    for epoch in range(100):
        live.feed(frame(*((key, epoch) for key in keys)))
    kept = [vertex for vertex in live.worker.scheduler.vertices if hasattr(vertex, "cancelled")]
    assert census(kept, "kept")["kept[]._heaps[]"] <= CANCELLED + 2 * len(keys)
    live.feed(frame((keys[0], 10_099)))
    assert live.published["out"].rows() == [(key, NOON + 10_099 * MINUTE) for key in keys[1:]]
