"""Every operator on random histories of changes: each epoch's differences are those of computing everything anew."""

import os
from random import Random

import pytest

from limnad.testing import run
from tests.helpers.collections import CASES, LOOPS, check, frames, job, random_history

SEEDS = int(os.environ.get("LIMNAD_SEEDS", "2"))
PLAIN = [name for name in CASES if name not in LOOPS]
TOGETHER = [PLAIN[start::5] for start in range(5)] + [[name] for name in LOOPS]


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
def test_histories(names: list[str], workers: int) -> None:
    for seed in range(SEEDS):
        check_history(names, workers, seed)


def check_history(names: list[str], workers: int, seed: int) -> None:
    random = Random(1_000 * seed + workers)
    epochs = random.randint(1, 8)
    left, right = random_history(random, epochs), random_history(random, epochs)
    done = run(
        job, {"left": frames(left), "right": frames(right)}, workers=workers, seed=seed, check=False, names=names
    )
    check(done.outputs, names, left, right)
