"""Every operator on random histories of changes: each epoch's differences are those of computing everything anew."""

from __future__ import annotations

import pytest
from hypothesis import given

from limnad.testing import run
from tests.helpers.collections import CASES, LOOPS, History, check, frames, job
from tests.helpers.histories import SEEDS, WORKERS, examples, pairs

PLAIN = [name for name in CASES if name not in LOOPS]
TOGETHER = [PLAIN[start::5] for start in range(5)] + [[name] for name in LOOPS]


@pytest.mark.timeout(900)  # shrinking takes long
@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
@examples(in_ci=8)
@given(sides=pairs(), workers=WORKERS, seed=SEEDS)
def test_histories(names: list[str], sides: tuple[History, History], workers: int, seed: int) -> None:
    left, right = sides
    fed = {"left": frames(left), "right": frames(right)}
    done = run(job, fed, workers=workers, seed=seed, check=False, names=names)
    check(done.outputs, names, left, right)
