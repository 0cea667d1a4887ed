"""Every operator on random histories of changes: each epoch's differences are those of computing everything anew."""

from __future__ import annotations

import pytest
from hypothesis import given

from limnad.testing import run
from tests.helpers.collections import CASES, LOOPS, History, check, frames, job
from tests.helpers.histories import SEEDS, WORKERS, examples, pairs, patient

PLAIN = [name for name in CASES if name not in LOOPS]
TOGETHER = [PLAIN[start::5] for start in range(5)] + [[name] for name in LOOPS]


@patient
@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
@examples(in_ci=8)
@given(sides=pairs(), workers=WORKERS, seed=SEEDS)
def test_histories(names: list[str], sides: tuple[History, History], workers: int, seed: int) -> None:
    left, right = sides
    fed = {"left": frames(left), "right": frames(right)}
    done = run(job, fed, workers=workers, seed=seed, check=False, names=names)
    check(done.outputs, names, left, right)


@pytest.mark.parametrize("seed", range(8))
def test_changes_on_their_way_to_an_arrangement_may_add_up_to_nothing(seed: int) -> None:
    """All of them were taken for arrived, those that followed were matched twice, and the loop went on for ever."""
    left: History = [[(1, 1, 1)], [(1, 2, 1), (1, 1, 1), (1, 1, -1), (1, 1, -1)], [], []]
    right: History = [[], [(1, 2, 1)], [], []]
    fed = {"left": frames(left), "right": frames(right)}
    names = ["reach by an arrangement"]
    check(run(job, fed, workers=3, seed=seed, check=False, names=names).outputs, names, left, right)
