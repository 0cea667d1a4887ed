"""Programs of supersteps give the same on every number of workers, and after kills at any moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import limnad
from limnad.bsp import Part, Reduction, Supersteps, all_gather, all_reduce, run_supersteps
from limnad.testing import run
from limnad.timely.scheduler import VertexFailure
from tests.helpers.restarting import restarted

SCHEMA = {"key": pl.Int64, "value": pl.Int64}
STEPS = 6


RESUMED: list[int] = []
"""The steps that programs were spared by a restart."""


def doubling(part: Part) -> Supersteps[pl.DataFrame]:
    """Every step each key's value becomes twice itself plus the sum of all values; saved after each step."""
    frame = part.frame(0, SCHEMA)
    keys, values, begin = frame["key"].to_numpy(), frame["value"].to_numpy(), 0
    if part.saved is not None:
        keys, values, begin = part.saved["key"], part.saved["value"], int(part.saved["steps"].max(initial=0))
    told = yield from all_gather(part, begin)
    RESUMED.append(max(told))
    for step in range(max(told), STEPS):
        total = yield from all_reduce(part, np.array([values.sum()], dtype=np.int64))
        values = 2 * values + total[0]
        part.save(by="key", key=keys, value=values, steps=np.full(len(keys), step + 1))
    return pl.DataFrame({"key": keys, "value": values}, schema=SCHEMA)


def job(flow: limnad.Flow) -> None:
    rows = flow.input("rows", SCHEMA).partition_by("key")
    run_supersteps(doubling, rows, name="doubling", schema=SCHEMA).output("answer")


def expected(values: dict[int, int]) -> list[tuple[int, int]]:
    for _ in range(STEPS):
        total = sum(values.values())
        values = {key: 2 * value + total for key, value in values.items()}
    return sorted(values.items())


tables = st.dictionaries(st.integers(0, 40), st.integers(-5, 5), max_size=12)


def frames(epochs: list[dict[int, int]]) -> list[pl.DataFrame]:
    return [pl.DataFrame(list(table.items()), schema=SCHEMA, orient="row") for table in epochs]


@settings(max_examples=25, deadline=None)
@given(st.lists(tables, min_size=1, max_size=3), st.sampled_from([1, 2, 3, 5]), st.integers(0, 1000))
def test_a_program_does_not_depend_on_the_number_of_workers(
    epochs: list[dict[int, int]], workers: int, seed: int
) -> None:
    found = run(job, {"rows": frames(epochs)}, workers=workers, seed=seed).outputs["answer"]
    assert [sorted(found[epoch].rows()) for epoch in found] == [expected(table) for table in epochs]


@pytest.mark.parametrize("widths", [(1, 2, 3, 5), (3,)], ids=["other widths", "the same width"])
def test_a_program_that_is_killed_at_any_moment_goes_on_where_it_was(widths: tuple[int, ...]) -> None:
    epochs = [{key: key for key in range(9)}, {}, {3: 1}]
    generations = 0
    RESUMED.clear()
    for seed in range(50):
        released, lived = restarted(job, {"rows": frames(epochs)}, seed, kills=3, max_ticks=900, widths=widths)
        generations += lived
        assert {at: sorted(rows.rows()) for at, rows in released.items()} == {
            ("answer", epoch): expected(table) for epoch, table in enumerate(epochs)
        }
    assert generations > 60
    assert set(range(1, STEPS)) <= set(RESUMED), "restarts begin everywhere"


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([None, *Reduction]),
    st.integers(0, 7) | st.just(1030),
    st.sampled_from([1, 2, 3, 5]),
    st.integers(1, 31),
)
def test_all_reduce_adds_the_vectors_of_any_length_of_those_that_have_one(
    how: Reduction | None, length: int, workers: int, who: int
) -> None:
    senders = [worker for worker in range(workers) if who >> worker & 1] or [0]
    vectors = {worker: np.arange(length) * (worker + 1) for worker in senders}

    def program(part: Part) -> Supersteps[list[Any]]:
        mine = vectors.get(part.worker)
        chosen = how if how is not None or len(senders) == workers else Reduction.FLAT
        total = yield from all_reduce(part, mine, chosen)
        return [(part.worker, total.tolist())]

    def reducing(flow: limnad.Flow) -> None:
        run_supersteps(program, flow.values([[1]])).output("totals")

    found = run(reducing, workers=workers, seed=length).outputs["totals"][0]
    assert sorted(found) == [(worker, sum(vectors.values()).tolist()) for worker in range(workers)]  # type: ignore[union-attr]


def failing(program: Any) -> str:
    def broken(flow: limnad.Flow) -> None:
        run_supersteps(program, flow.values([[1]])).output("never")

    with pytest.raises(VertexFailure) as caught:
        run(broken, workers=2)
    return str(caught.value.__cause__)


def test_programs_that_disagree_are_told() -> None:
    def one_ends_early(part: Part) -> Supersteps[None]:
        yield [None] * part.workers
        if part.worker == 0:
            yield [None] * part.workers

    assert "disagree" in failing(one_ends_early)


def test_a_message_for_nobody_is_told() -> None:
    def three_of_two(part: Part) -> Supersteps[None]:
        yield [None] * (part.workers + 1)

    assert "2 workers, not 3" in failing(three_of_two)


def test_vectors_of_two_lengths_are_told() -> None:
    def uneven(part: Part) -> Supersteps[None]:
        yield from all_reduce(part, np.zeros(2 + part.worker))

    assert "lengths 2 and 3" in failing(uneven)
