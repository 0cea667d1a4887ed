"""Collections through checkpoints, kills and restores on other numbers of workers, in loops too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnad.connectors.lists import ListSource
from limnad.incremental import trace
from limnad.store import Checkpoints
from limnad.testing import Recovery, build, spread_out
from tests.helpers.changing_graphs import GRAPHS
from tests.helpers.collections import CASES, LOOPS, History, differences, expected, frames, job
from tests.helpers.histories import SEEDS, WORKERS, examples, pairs, patient

PLAIN = [name for name in CASES if name not in LOOPS]
TOGETHER = [PLAIN[start::5] for start in range(5)] + [[name] for name in LOOPS] + [[name] for name in GRAPHS]
ALL = {**CASES, **GRAPHS}

Generations = Sequence[tuple[int, int]]
"""Of each that is killed: how many workers it has, and how many ticks it lives."""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what happens to traces of millions of rows happens to these."""
    monkeypatch.setattr(trace, "ROWS_PER_PIECE", 3)


@pytest.fixture
def restored() -> Iterator[list[int]]:
    """How many generations started from a checkpoint, in each example: some have to."""
    counts: list[int] = []
    yield counts
    assert sum(counts), "no generation started from a checkpoint"


@patient
@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
@examples(in_ci=4)
@given(
    sides=pairs(fewest=3),
    killed=st.lists(st.tuples(WORKERS, st.integers(50, 500)), min_size=2, max_size=4),
    last=WORKERS,
    interval=st.sampled_from([20, 60]),
    failures=st.sampled_from([0, 0.1]),
    seed=SEEDS,
)
def test_random_kills(
    names: list[str],
    restored: list[int],
    sides: tuple[History, History],
    killed: Generations,
    last: int,
    interval: int,
    failures: float,
    seed: int,
) -> None:
    left, right = sides
    built = build(job, names=names, cases=ALL)
    fed = {"left": ListSource(spread_out(frames(left), 3)), "right": ListSource(spread_out(frames(right), 3))}
    done = Recovery(
        built, lambda: {**built.sources, **fed}, seed, interval_ticks=interval, store_failures=failures, check=False
    )
    restored.append(lived_through(done, killed, last))
    for name in names:
        found = {epoch: differences(rows) for of, epoch, rows in done.released if of == name}
        assert found == dict(enumerate(expected(name, left, right, ALL))), name


def lived_through(done: Recovery, killed: Generations, last: int) -> int:
    """Runs to the end; returns how many generations were killed and left a checkpoint."""
    left_one = 0
    for workers, ticks in killed:
        if done.run(workers, ticks=ticks):
            return left_one
        left_one += bool(Checkpoints(done.space).numbers())
    done.run(last)
    return left_one
