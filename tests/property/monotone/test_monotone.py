"""Sets that grow: up to each time they are those of the definition, whoever was faster, through kills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from limnad import Flow, FrameStream
from limnad.monotone import best, distinct, join, uncoordinated
from limnad.testing import run
from tests.helpers.event_times import WORKERS, recovered

Edge = tuple[int, int | None]
SCHEMA: dict[str, Any] = {"a": pl.Int64, "b": pl.Int64}
epochs_of_edges = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.one_of(st.integers(0, 5), st.none())), max_size=5), min_size=1, max_size=5
)


def frames(epochs: Sequence[Sequence[Edge]]) -> list[pl.DataFrame]:
    return [pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in epochs]


def grown(by_epoch: dict[int, Any]) -> list[set[Any]]:
    """The set of rows up to each epoch."""
    found: list[set[Any]] = []
    for epoch in sorted(by_epoch):
        rows = by_epoch[epoch].rows() if isinstance(by_epoch[epoch], pl.DataFrame) else by_epoch[epoch]
        found.append({*(found[-1] if found else ()), *rows})
    return found


def check(
    job: Callable[[Flow], None], epochs: Sequence[Sequence[Edge]], seed: int, wanted: Callable[[set[Edge]], set[Any]]
) -> list[dict[int, Any]]:
    """On some number of workers, and through kills, the set up to each epoch is what is wanted of the rows up to it."""
    inputs = {"rows": frames(epochs)}
    by_definition = [wanted({row for rows in epochs[: epoch + 1] for row in rows}) for epoch in range(len(epochs))]
    whole = run(job, inputs, workers=WORKERS[seed % 4], seed=seed).outputs["out"]
    widths = [WORKERS[(seed // 4 + step) % 4] for step in range(3)]
    killed = recovered(job, inputs, widths, seed)[0]["out"]
    assert grown(whole) == by_definition
    assert grown(killed) == by_definition
    return [whole, killed]


@settings(max_examples=25, deadline=None)
@given(epochs=epochs_of_edges, seed=st.integers(0, 999))
def test_distinct(epochs: list[list[Edge]], seed: int) -> None:
    def job(flow: Flow) -> None:
        uncoordinated(distinct(flow.input("rows", SCHEMA))).output("out")

    for found in check(job, epochs, seed, lambda rows: rows):
        for by_epoch in found.values():
            rows = by_epoch.rows() if isinstance(by_epoch, pl.DataFrame) else by_epoch
            assert len(rows) == len(set(rows))


@settings(max_examples=25, deadline=None)
@given(epochs=epochs_of_edges, largest=st.booleans(), seed=st.integers(0, 999))
def test_best(epochs: list[list[Edge]], largest: bool, seed: int) -> None:
    def job(flow: Flow) -> None:
        uncoordinated(best(flow.input("rows", SCHEMA), "a", "b", largest=largest)).output("out")

    choose = max if largest else min
    for found in (
        run(job, {"rows": frames(epochs)}, workers=WORKERS[seed % 4], seed=seed).outputs["out"],
        recovered(job, {"rows": frames(epochs)}, [3, 2, 5], seed)[0]["out"],
    ):
        for epoch, said in enumerate(grown(found)):
            rows = {row for rows in epochs[: epoch + 1] for row in rows if row[1] is not None}
            assert said <= rows
            for key in {row[0] for row in rows}:
                assert choose(b for a, b in said if a == key) == choose(b for a, b in rows if a == key if b is not None)


@settings(max_examples=25, deadline=None)
@given(epochs=epochs_of_edges, seed=st.integers(0, 999))
def test_join(epochs: list[list[Edge]], seed: int) -> None:
    def job(flow: Flow) -> None:
        edges = flow.input("rows", SCHEMA)
        uncoordinated(join(edges, edges.rename({"b": "c"}), "a")).output("out")

    check(job, epochs, seed, lambda rows: {(a, b, c) for a, b in rows for other, c in rows if a == other})


def reach(edges: FrameStream) -> FrameStream:
    """Who can be reached from whom: rows go round a loop without waiting for anybody."""
    loop = edges.flow.loop("reach")
    steps = loop.enter(edges)
    again = loop.feedback(steps)
    known = distinct(steps.concat(again.stream))
    longer = join(known.rename({"b": "via"}), steps.rename({"a": "via"}), "via").select("a", "b")
    again.connect(longer)
    return loop.leave(known)


@settings(max_examples=25, deadline=None)
@given(epochs=epochs_of_edges, seed=st.integers(0, 999))
def test_a_fixpoint_of_them_is_right_without_any_notification(epochs: list[list[Edge]], seed: int) -> None:
    def job(flow: Flow) -> None:
        edges = flow.input("rows", SCHEMA).filter(pl.col("b").is_not_null())
        uncoordinated(reach(edges)).output("out")

    def closure(rows: set[Edge]) -> set[Edge]:
        found = {row for row in rows if row[1] is not None}
        edges = set(found)
        while more := {(a, d) for a, b in found for c, d in edges if b == c} - found:
            found |= more
        return found

    check(job, epochs, seed, closure)
