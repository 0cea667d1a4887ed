"""Functions by key with timers do what plain Python does, on any number of workers, through kills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad import Flow
from limnad.windows import EventTime, KeyContext, KeyedFunction, timers
from tests.helpers.event_times import LOWEST, SCHEMA, Answers, Row, Rule, epochs_of_rows, everywhere, frames, ordered
from tests.helpers.event_times import rules as any_rules

SILENCE = 5
PATIENCE = 7
OUT = {"k": pl.String, "what": pl.String, "at": pl.Int64, "sum": pl.Int64}


class Silence(KeyedFunction):
    """Adds up; says so when a key has been silent for some event time, or (by the clock) has waited for too long."""

    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        total, latest = key.state or (0, None)
        if latest is not None:
            key.cancel_timer(latest + SILENCE)
        elif key.clock is not None:
            key.set_clock_timer(key.clock + PATIENCE)
        for row in rows:
            if row["t"] is None or (key.watermark is not None and row["t"] < key.watermark):
                key.emit(row["k"], "late", row["t"], row["n"])
                continue
            total, latest = total + row["n"], max(row["t"], row["t"] if latest is None else latest)
        key.state = (total, latest)
        if latest is not None:
            key.set_timer(latest + SILENCE)

    def on_timer(self, key: KeyContext, time: int) -> None:
        if key.state is None:  # Another timer of the key has said it.
            return
        key.emit(k=key.key[0], what="silent", at=time, sum=key.state[0])
        if key.state[0] % 2:  # Once more, a little later.
            key.state = (key.state[0] + 1, None)
            key.set_timer(time + 1)
        else:
            key.state = None

    def on_clock(self, key: KeyContext, time: int) -> None:
        key.emit(key.key[0], "impatient", time, 0 if key.state is None else key.state[0])


class ByDefinition:
    """The same, written down once more without any engine."""

    def __init__(self) -> None:
        self.states: dict[Any, Any] = {}
        self.timers: set[tuple[int, Any]] = set()
        self.clock_timers: set[tuple[int, Any]] = set()
        self.out: list[Any] = []

    def epoch(self, rows: Sequence[Row], before: int, now: int, clock_before: int | None, clock: int) -> list[Any]:
        self.out = []
        for key in {row[0] for row in rows}:
            self.take(key, [row for row in rows if row[0] == key], before, clock_before)
        while due := sorted((timer for timer in self.timers if timer[0] <= now), key=lambda timer: timer[0]):
            self.fire(*due[0])
        for timer in [timer for timer in self.clock_timers if timer[0] <= clock]:
            self.clock_timers.discard(timer)
            self.out.append((timer[1], "impatient", timer[0], (self.states.get(timer[1]) or (0,))[0]))
        return ordered(self.out)

    def take(self, key: Any, rows: Sequence[Row], before: int, clock_before: int | None) -> None:
        total, latest = self.states.get(key) or (0, None)
        if latest is not None:
            self.timers.discard((latest + SILENCE, key))
        elif clock_before is not None:
            self.clock_timers.add((clock_before + PATIENCE, key))
        for _, time, n, _ in rows:
            if time is None or (before > LOWEST and time < before):
                self.out.append((key, "late", time, n))
            else:
                total, latest = total + n, max(time, time if latest is None else latest)
        self.states[key] = (total, latest)
        if latest is not None:
            self.timers.add((latest + SILENCE, key))

    def fire(self, time: int, key: Any) -> None:
        self.timers.discard((time, key))
        if self.states[key] is None:
            return
        self.out.append((key, "silent", time, self.states[key][0]))
        if self.states[key][0] % 2:
            self.states[key] = (self.states[key][0] + 1, None)
            self.timers.add((time + 1, key))
        else:
            self.states[key] = None


@pytest.fixture(autouse=True, scope="module")
def swept_at_once() -> Iterator[None]:
    """Cancelled timers are swept out when there are as many as others."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(timers, "CANCELLED", 0)
        yield


@settings(max_examples=25, deadline=None)
@given(
    epochs=epochs_of_rows(), rule=any_rules(), steps=st.lists(st.integers(0, 9), min_size=7), seed=st.integers(0, 999)
)
def test_silent_keys(epochs: list[list[Row]], rule: Rule, steps: list[int], seed: int) -> None:
    def job(flow: Flow) -> None:
        ticks = EventTime(flow.input("ticks", {"now": pl.Int64}), "now")
        timed = EventTime(flow.input("rows", SCHEMA), "t", **rule.options())
        timed.process(Silence, "k", OUT, ticks=ticks).output("told")

    clocks = [sum(steps[: epoch + 1]) for epoch in range(len(epochs))]
    at_end = clocks[-1]
    ticks = [pl.DataFrame({"now": [clock]}, schema={"now": pl.Int64}) for clock in clocks]
    plain = ByDefinition()
    wanted: Answers = {"told": {}}
    for epoch, (rows, marks) in enumerate(zip([*epochs, []], rule.watermarks(epochs), strict=True)):
        before = clocks[epoch - 1] if epoch else None
        wanted["told"][epoch] = plain.epoch(rows, *marks, before, [*clocks, at_end][epoch])
    for where, found in everywhere(job, {"rows": frames(epochs), "ticks": ticks}, seed):
        assert found == wanted, where
