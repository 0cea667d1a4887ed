"""When all inputs have ended, what is open is complete: as one epoch more, and once."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import limnad
from limnad import Flow
from limnad.incremental import from_stream
from limnad.testing import Recovery, build, run, simulate
from limnad.timely.scheduler import VertexFailure
from limnad.windows import EventTime, KeyContext, KeyedFunction
from limnad.windows.timers import MOST_AT_END

SCHEMA: dict[str, Any] = {"k": pl.String, "t": pl.Int64}


def frame(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def minutes(flow: Flow) -> None:
    EventTime(flow.input("rows", SCHEMA), "t").tumbling(10).group_by("k").agg(pl.len().alias("n")).output("windows")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_open_windows_are_answered_in_one_epoch_more(workers: int) -> None:
    found = run(minutes, {"rows": [frame(("a", 1)), frame(("a", 12), ("b", 13)), None]}, workers=workers)
    windows = {epoch: sorted(rows.rows()) for epoch, rows in found.outputs["windows"].items()}
    assert windows == {0: [], 1: [(0, 10, "a", 1)], 2: [], 3: [(10, 20, "a", 1), (10, 20, "b", 1)]}


def test_the_end_waits_for_the_longest_input_and_is_the_same_epoch_for_all_outputs() -> None:
    def job(flow: Flow) -> None:
        minutes(flow)
        flow.input("other").output("others")

    for seed in range(10):
        found = run(job, {"rows": [frame(("a", 1))], "other": [[n] for n in range(5)]}, workers=2, seed=seed).outputs
        assert [len(rows) for _, rows in sorted(found["windows"].items())] == [0, 0, 0, 0, 0, 1]
        assert [len(rows) for _, rows in sorted(found["others"].items())] == [1, 1, 1, 1, 1, 0]


def test_a_job_without_windows_has_no_such_epoch() -> None:
    assert run(lambda flow: flow.input("rows").output("out"), {"rows": [[1]]}).outputs["out"] == {0: [1]}


def test_windows_of_windows_and_collections_of_windows_are_complete() -> None:
    def job(flow: Flow) -> None:
        small = EventTime(flow.input("rows", SCHEMA), "t").tumbling(10).group_by("k").agg(pl.len().alias("n"))
        large = EventTime(small, "window_start").tumbling(100).agg(pl.col("n").sum())
        large.output("large")
        kept = from_stream(small.select("k", "n"))
        kept.group_by("k").agg(pl.col("n").sum()).output("kept")

    rows = [frame(("a", 1), ("a", 2)), frame(("a", 95), ("b", 99)), frame(("b", 101))]
    for workers in (1, 2):
        found = run(job, {"rows": rows}, workers=workers).outputs
        assert found["large"][3].sort("window_start").rows() == [(0, 100, 4), (100, 200, 1)]
        assert sorted(found["kept"][3].rows()) == [("b", 1, -1), ("b", 2, 1)]


def test_the_end_is_no_epoch_that_a_reader_of_progress_sees() -> None:
    simulation, _ = simulate(minutes, {"rows": [frame(("a", 1))]}, workers=2)
    seen = set()
    while not simulation.settled:
        simulation.advance()
        seen |= {worker.epoch for worker in simulation.workers}
    assert seen <= {None, 0, 1}


def test_a_sink_that_is_restored_at_the_end_shows_it_once() -> None:
    from limnad.connectors.lists import ListSource
    from limnad.testing import spread_out

    built = build(minutes)
    for seed in range(30):
        source = ListSource(spread_out([frame(("a", 1), ("b", 2)), frame(("c", 3))], 2))
        done = Recovery(built, lambda source=source: {**built.sources, "rows": source}, seed, interval_ticks=5)  # type: ignore[misc]
        for workers in (1, 3, 2, 3, 1):
            if done.run(workers, ticks=20 + 11 * (seed % 7)):
                break
        else:
            done.run(2)
        shown = {epoch: sorted(rows.rows()) for _, epoch, rows in done.released}
        assert len(done.released) == 3
        assert shown == {0: [], 1: [], 2: [(0, 10, "a", 1), (0, 10, "b", 1), (0, 10, "c", 1)]}


class Reminder(KeyedFunction):
    """Reminds one step after a row, and (lazily) again while rows have come meanwhile; by the clock, too."""

    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        if key.state is None:
            key.set_timer(rows[-1]["t"] + 10)
            key.set_clock_timer(1_000)
        key.state = rows[-1]["t"]

    def on_timer(self, key: KeyContext, time: int) -> None:
        if key.state + 10 > time:
            key.set_timer(key.state + 10)
        else:
            key.emit(*key.key, time)
            assert key.ended
            assert key.watermark == 6

    def on_clock(self, key: KeyContext, time: int) -> None:
        raise AssertionError("the clock does not jump")


def test_timers_fire_at_the_end_and_those_that_they_set_but_no_clock() -> None:
    def job(flow: Flow) -> None:
        ticks = EventTime(flow.input("ticks", {"now": pl.Int64}), "now")
        EventTime(flow.input("rows", SCHEMA), "t").process(Reminder, "k", SCHEMA, ticks=ticks).output("out")

    rows = {"rows": [frame(("a", 1)), frame(("a", 6))], "ticks": [pl.DataFrame({"now": [5]})]}
    assert run(job, rows, workers=2).outputs["out"][2].rows() == [("a", 16)]


class Forever(Reminder):
    def on_timer(self, key: KeyContext, time: int) -> None:
        key.set_timer(time + 1)

    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        key.set_timer(rows[-1]["t"])


def test_timers_that_set_each_other_for_ever_are_told_of() -> None:
    def job(flow: Flow) -> None:
        EventTime(flow.input("rows", SCHEMA), "t").process(Forever, "k", SCHEMA).output("out")

    with pytest.raises(VertexFailure) as failed:
        run(job, {"rows": [frame(("a", 1))]})
    told = str(failed.value.__cause__)
    assert f"had {MOST_AT_END:,} timers fire after the inputs' end" in told
    assert "do not set a timer again where key.ended is true" in told


def test_a_vertex_of_ones_own_may_ask_for_the_end() -> None:
    class Total(limnad.Vertex):
        at_end = True

        def __init__(self) -> None:
            self.kept = limnad.KeyedState[str, int]("kept")

        def on_recv(self, port: int, batch: list[int], time: limnad.Timestamp) -> None:
            self.kept["sum"] = self.kept.get("sum", 0) + sum(batch)
            self.notify_at((limnad.END,), capability=(limnad.END,))

        def on_notify(self, time: limnad.Timestamp) -> None:
            self.send_by(0, [self.kept["sum"]], time)

    def job(flow: Flow) -> None:
        flow.vertex(Total, flow.input("rows").to_worker(0)).output("total")

    found = run(job, {"rows": [[1, 2], [], [4]]}, workers=2).outputs["total"]
    assert found == {0: [], 1: [], 2: [], 3: [7]}

    Total.at_end = False
    with pytest.raises(VertexFailure) as failed:
        run(job, {"rows": [[1]]})
    assert "say `at_end = True` in the class of its vertex" in str(failed.value.__cause__)
