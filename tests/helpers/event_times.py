"""Rows with event times that come out of order, and what plain Python makes of their windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from hypothesis import strategies as st

from limnad.connectors.lists import ListSource
from limnad.testing import Recovery, build, run, spread_out

Row = tuple[str | None, int | None, int, str]
"""A key, an event time, a number, and where the row comes from."""

SCHEMA: dict[str, Any] = {"k": pl.String, "t": pl.Int64, "n": pl.Int64, "from": pl.String}
WORKERS = (1, 2, 3, 5)
LOWEST = -(1 << 62)
FOREVER = 1 << 62

keys = st.sampled_from(["a", "b", "c", None])
sources = st.sampled_from(["x", "y", "z"])


@st.composite
def epochs_of_rows(draw: st.DrawFn, *, nulls: bool = True) -> list[list[Row]]:
    """Epochs whose times go forward on the whole; some rows lie far back, some have no time, some epochs no rows."""
    epochs: list[list[Row]] = []
    at = draw(st.integers(-30, 30))
    for _ in range(draw(st.integers(1, 7))):
        at += draw(st.integers(0, 12))
        times = st.integers(at - 15, at + 6)
        time = st.one_of(times, times, times, times, st.none()) if nulls else times
        epochs.append(draw(st.lists(st.tuples(keys, time, st.integers(-3, 3), sources), max_size=8)))
    return epochs


@dataclass(frozen=True)
class Rule:
    """How a watermark is made; see `limnad.windows.EventTime`."""

    lateness: int = 0
    partition: bool = False
    declared: tuple[str, ...] = ()
    idle_after: int | None = None

    def options(self) -> dict[str, Any]:
        """As `EventTime` takes it."""
        options: dict[str, Any] = {"lateness": self.lateness, "idle_after": self.idle_after}
        if self.partition:
            options |= {"partition": "from", "partitions": self.declared}
        return options

    def watermarks(self, epochs: Sequence[Sequence[Row]]) -> list[tuple[int, int]]:
        """For each epoch the watermark of the one before, and its own, by their definition; last the end's."""
        found, before = [], LOWEST
        for epoch, rows in enumerate(epochs):
            now = max(before, self._least(epochs[: epoch + 1])) if rows else before
            found.append((before, now))
            before = now
        return [*found, (before, FOREVER)]

    def _least(self, epochs: Sequence[Sequence[Row]]) -> int:
        latest = list(self._holding(epochs).values())
        if not latest or None in latest:
            return LOWEST
        return min(time for time in latest if time is not None) - self.lateness

    def _holding(self, epochs: Sequence[Sequence[Row]]) -> dict[str, int | None]:
        """The largest event time of each partition that is not idle at the end of these epochs."""
        latest = {}
        for name, shown in self._shown(epochs).items():
            last = max((epoch for epoch, _ in shown), default=0)
            if self.idle_after is None or len(epochs) - 1 - last < self.idle_after:
                latest[name] = max((time for _, time in shown if time is not None), default=None)
        return latest

    def _shown(self, epochs: Sequence[Sequence[Row]]) -> dict[str, list[tuple[int, int | None]]]:
        found: dict[str, list[tuple[int, int | None]]] = {name: [] for name in self.declared}
        for epoch, rows in enumerate(epochs):
            for row in rows:
                found.setdefault((row[3] or "") if self.partition else "", []).append((epoch, row[1]))
        return found

    def is_idle(self, epochs: Sequence[Sequence[Row]]) -> bool:
        """Whether there are partitions, and all are idle at the end of these epochs."""
        return bool(self._shown(epochs)) and not self._holding(epochs)


def joint_watermarks(rules: Sequence[Rule], streams: Sequence[Sequence[Sequence[Row]]]) -> list[tuple[int, int]]:
    """Likewise for several streams, of which each has as many epochs."""
    found, before, each = [], LOWEST, [LOWEST for _ in rules]
    for epoch in range(len(streams[0])):
        until = [epochs[: epoch + 1] for epochs in streams]
        now = before
        if any(epochs[epoch] for epochs in streams):
            each = [max(own, rule._least(so_far)) for own, rule, so_far in zip(each, rules, until, strict=True)]
            holding = [own for own, rule, so_far in zip(each, rules, until, strict=True) if not rule.is_idle(so_far)]
            now = max(before, min(holding, default=before))
        found.append((before, now))
        before = now
    return [*found, (before, FOREVER)]


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Watermarks of one partition, or of several with some idle ones."""
    lateness = draw(st.integers(0, 8))
    idle_after = draw(st.one_of(st.none(), st.integers(1, 3)))
    if draw(st.booleans()):
        return Rule(lateness, idle_after=idle_after)
    declared = tuple(draw(st.lists(sources, max_size=2, unique=True)))
    return Rule(lateness, True, declared, idle_after)


def frames(epochs: Iterable[Sequence[Row]]) -> list[pl.DataFrame]:
    """Epochs as frames."""
    return [pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in epochs]


Answers = dict[str, dict[int, list[Any]]]


def of(outputs: dict[str, dict[int, Any]]) -> Answers:
    """Outputs as sorted rows."""
    return {
        name: {epoch: ordered(frame.rows()) for epoch, frame in by_epoch.items()} for name, by_epoch in outputs.items()
    }


def ordered(rows: Iterable[Any]) -> list[Any]:
    """Rows in an order that nulls have too."""
    return sorted(rows, key=repr)


def simulated(job: Callable[..., None], inputs: dict[str, list[pl.DataFrame]], workers: int, seed: int) -> Answers:
    """What a run without faults gives."""
    return of(run(job, inputs, workers=workers, seed=seed).outputs)


def recovered(
    job: Callable[..., None], inputs: dict[str, list[pl.DataFrame]], widths: Sequence[int], seed: int
) -> tuple[Answers, Recovery]:
    """What is released by a run that is killed between one number of workers and the next."""
    built = build(job)
    sources = {name: ListSource(spread_out(epochs, 3)) for name, epochs in inputs.items()}
    done = Recovery(built, lambda: {**built.sources, **sources}, seed, interval_ticks=10, store_failures=0.05)
    for number, width in enumerate(widths):
        last = number == len(widths) - 1
        if done.run(width, ticks=None if last else 30 + 37 * ((seed + number) % 9)):
            break
    found: Answers = {}
    for name, epoch, frame in done.released:
        assert epoch not in found.setdefault(name, {}), "an epoch was released twice"
        found[name][epoch] = ordered(frame.rows())
    return found, done


def everywhere(
    job: Callable[..., None], inputs: dict[str, list[pl.DataFrame]], seed: int
) -> Iterator[tuple[str, Answers]]:
    """What a job gives on some number of workers, and when its number changes behind a kill."""
    workers = WORKERS[seed % 4]
    yield f"on {workers} workers", simulated(job, inputs, workers, seed)
    widths = [WORKERS[(seed // 4 + step) % 4] for step in range(3)]
    yield f"killed on {widths}", recovered(job, inputs, widths, seed)[0]
