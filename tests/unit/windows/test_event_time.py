"""Event times of all types, what is refused, and how much is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from benchmarks.in_process import Live
from limnad import Flow, GraphError
from limnad.testing import run, simulate
from limnad.windows import EventTime
from limnad.windows.sessions import Sessions
from tests.helpers.census import census

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("dtype", "span", "times", "border"),
    [
        (pl.Int32(), 10, [-3, 5, 40], -10),
        (pl.Date(), DAY * 7, [date(2026, 1, 1), date(2026, 1, 2), date(2026, 3, 1)], date(2026, 1, 1)),
        *(
            (
                pl.Datetime(unit, "UTC"),
                SECOND * 10,
                [datetime(2026, 1, 1, 0, 0, s, tzinfo=UTC) for s in (1, 9, 50)],
                datetime(2026, 1, 1, tzinfo=UTC),
            )
            for unit in ("ms", "us", "ns")
        ),
    ],
)
def test_windows_have_the_type_of_the_event_time(dtype: Any, span: Any, times: list[Any], border: Any) -> None:
    frame = pl.DataFrame({"t": pl.Series(times, dtype=dtype)})

    def job(flow: Flow) -> None:
        EventTime(flow.input("rows", frame.schema), "t").tumbling(span).agg(pl.len().alias("c")).output("out")

    out = run(job, {"rows": [frame]}).outputs["out"][0].sort("window_start")
    assert out.schema == {"window_start": dtype, "window_end": dtype, "c": pl.get_index_type()}
    assert out["window_start"][0] == border
    assert out["window_end"][0] == border + span
    assert out["c"].sum() == 2


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no such column": (lambda s: EventTime(s, "when"), "there is no column 'when' with the event time"),
    "no time": (lambda s: EventTime(s, "k"), "the column 'k' is String: an event time is"),
    "a wrong span": (lambda s: EventTime(s, "at").tumbling(60), "period is 60, .* it is a timedelta"),
    "another wrong span": (lambda s: EventTime(s, "t").sessions(SECOND), "gap is .* it is an integer"),
    "too fine a span": (lambda s: EventTime(s, "at").tumbling(SECOND / 10**4), "no whole number of"),
    "no span": (lambda s: EventTime(s, "t").tumbling(0), "period is 0: it is to be positive"),
    "a negative lateness": (lambda s: EventTime(s, "t", lateness=-1), "lateness is -1: it is to be zero or more"),
    "holes": (lambda s: EventTime(s, "t").sliding(5, 10), "windows of 5 every 10 leave rows"),
    "no such partition": (lambda s: EventTime(s, "t", partition="p"), "no column 'p' with the partition"),
    "values of nothing": (lambda s: EventTime(s, "t", partitions=["a"]), "values of a column"),
    "idle at once": (lambda s: EventTime(s, "t", partition="k", idle_after=0), "at least 1, not 0"),
    "several columns": (lambda s: EventTime(s, "t").tumbling(5).agg(pl.all().sum()), "one expression for each"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_where_it_is_written(name: str) -> None:
    deed, message = REFUSED[name]
    stream = Flow().input("rows", {"k": pl.String, "t": pl.Int64, "at": pl.Datetime("ms")})
    with pytest.raises(GraphError, match=message):
        deed(stream)


def test_in_a_loop_there_is_no_event_time() -> None:
    def body(stream: Any) -> Any:
        return stream, EventTime(stream, "t").tumbling(5).agg(pl.len())

    with pytest.raises(GraphError, match="inside the loop"):
        Flow().input("rows", {"t": pl.Int64}).iterate(body)


Kind = Callable[[EventTime], Any]
KINDS: dict[str, Kind] = {
    "tumbling": lambda timed: timed.tumbling(20).group_by("k").agg(pl.len()),
    "sliding": lambda timed: timed.sliding(30, 10).group_by("k").agg(pl.col("t").median()),
    "sessions": lambda timed: timed.sessions(4).group_by("k").agg(pl.len()),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_kept_does_not_grow_with_the_epochs(name: str) -> None:
    schema: dict[str, Any] = {"k": pl.Int64, "t": pl.Int64}
    epochs = [
        pl.DataFrame({"k": [(3 * epoch + i) % 17 for i in range(6)], "t": [epoch - i for i in range(6)]}, schema=schema)
        for epoch in range(600)
    ]
    kept: list[int] = []

    def job(flow: Flow) -> None:
        rows = flow.input("rows", schema).inspect(lambda time, batch: kept.append(held()))
        KINDS[name](EventTime(rows, "t", lateness=5)).probe()

    simulation, _ = simulate(job, {"rows": epochs}, partitions=1, check=False)
    vertex: Any = next(v for v in simulation.workers[0].scheduler.vertices if has_state(v))

    def held() -> int:
        inner = getattr(vertex, "_sessions", vertex)
        state = getattr(inner, "state", None) or vertex._panes
        return len(state.to_frame()) + len(inner._agenda)

    simulation.run()
    assert max(kept[300:]) <= 1.2 * max(kept[:300])
    assert max(kept) < 300


def has_state(vertex: Any) -> bool:
    return hasattr(vertex, "_panes") or hasattr(vertex, "_sessions")


def test_sessions_that_are_put_off_again_and_again_are_not_looked_for_at_each_of_their_rows() -> None:
    schema = {"k": pl.Int64, "t": pl.Int64}

    def job(flow: Flow) -> None:
        EventTime(flow.input("rows", schema), "t").sessions(10_000).group_by("k").agg(pl.len()).output("out")

    live = Live(job)
    for epoch in range(100):
        live.feed(pl.DataFrame({"k": range(20), "t": [epoch] * 20}, schema))
    kept = [vertex for vertex in live.worker.scheduler.vertices if isinstance(vertex, Sessions)]
    assert census(kept, "kept")["kept[]._sessions._agenda._runs[]"] == 20
    live.feed(pl.DataFrame({"k": [0], "t": [10_050]}, schema))
    assert not len(live.published["out"])
    live.feed(pl.DataFrame({"k": [0], "t": [10_099]}, schema))
    assert len(live.published["out"]) == 19
