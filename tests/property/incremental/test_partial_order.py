"""Vertices alone, at times with two loop counters: right at every time, whatever comes first and is forgotten when."""

import os
from collections import Counter
from itertools import product
from random import Random
from typing import Any

import polars as pl
import pytest

import limnad
from limnad.incremental import join, reduce, trace
from limnad.incremental.deltas import Layout
from limnad.incremental.join import Consolidate, Join
from limnad.incremental.reduce import Reduce
from limnad.incremental.reductions import Expressions
from limnad.incremental.times import Times, minimal, to_times
from tests.helpers.driven import Driven, random_changes, until

SEEDS = int(os.environ.get("LIMNAD_SEEDS", "25"))
DEPTH = 3
INT = pl.Int64()
ROWS = Layout({"a": INT, "b": INT}, DEPTH)
SUMS = Layout({"a": INT, "s": INT}, DEPTH)
JOINED = Layout({"a": INT, "b": INT, "c": INT}, DEPTH)
SOME = [(a, b) for a in range(2) for b in range(2)]
GRID = list(product(range(5), repeat=DEPTH))


@pytest.fixture(autouse=True, params=[3, 1_000_000], ids=["runs", "one run"])
def growth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How eagerly runs are merged, and so compacted."""
    monkeypatch.setattr(trace, "GROWTH", request.param)


def summed(rows: Counter[Any]) -> Counter[Any]:
    totals: dict[int, list[int]] = {}
    for (a, b), times in rows.items():
        totals.setdefault(a, []).extend([b + 1] * times)
    return Counter((a, sum(values)) for a, values in totals.items())


def check_reduce(seed: int) -> None:
    random = Random(seed)
    messages = random_changes(random, DEPTH, SOME)
    expr = (pl.col("b") + 1).sum().alias("s")
    vertex = Reduce(ROWS, (0,), SUMS, Expressions(["a", "b"], [INT, INT], [expr], {"s": INT}))
    sent = Driven(vertex, [ROWS], messages, random).sent
    given = [change for _, _, changes in messages for change in changes]
    for time in GRID:
        assert until(sent, time) == summed(until(given, time)), f"seed {seed}, time {time}"


def check_join(seed: int) -> None:
    random = Random(seed)
    messages = random_changes(random, DEPTH, SOME, 0) + random_changes(random, DEPTH, SOME, 1)
    vertex = Join([ROWS, ROWS], [(0,), (0,)], JOINED)
    sent = Driven(vertex, [ROWS, ROWS], messages, random).sent
    sides = [[change for of, _, changes in messages if of == port for change in changes] for port in (0, 1)]
    for time in GRID:
        left, right = (until(side, time) for side in sides)
        wanted: Counter[Any] = Counter()
        for (a, b), times in left.items():
            for (c, d), others in right.items():
                if a == c:
                    wanted[a, b, d] += times * others
        assert until(sent, time) == wanted, f"seed {seed}, time {time}"


def check_consolidate(seed: int) -> None:
    random = Random(seed)
    messages = random_changes(random, DEPTH, SOME)
    sent = Driven(Consolidate(ROWS), [ROWS], messages, random).sent
    given = [change for _, _, changes in messages for change in changes]
    assert len({(row, time) for row, time, _ in sent}) == len(sent)
    for time in GRID:
        assert until(sent, time) == until(given, time)


@pytest.mark.parametrize("check", [check_reduce, check_join, check_consolidate])
def test_right_at_every_time(check: Any) -> None:
    for seed in range(SEEDS):
        check(seed)


def wrong(check: Any, seeds: int = 40) -> int:
    """How many of the seeds are caught."""
    caught = 0
    for seed in range(seeds):
        try:
            check(seed)
        except (AssertionError, limnad.JobError):
            caught += 1
    return caught


def test_a_compaction_in_the_engines_order_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant takes the frontier's elements as they are; see `limnad.incremental.times.product_antichain`."""

    def as_they_are(frontier: list[limnad.Timestamp]) -> Times:
        return to_times(minimal(frontier))

    monkeypatch.setattr(reduce, "product_antichain", as_they_are)
    monkeypatch.setattr(join, "product_antichain", as_they_are)
    assert wrong(check_reduce)
    assert wrong(check_join)


def test_times_that_are_not_closed_under_join_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce._Pairs, "close", lambda *_: None)
    assert wrong(check_reduce)
