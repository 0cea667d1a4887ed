"""Collections through checkpoints, kills and restores on other numbers of workers, in loops too."""

import os
from random import Random

import pytest

from limnad.connectors.lists import ListSource
from limnad.incremental import trace
from limnad.store import Checkpoints
from limnad.testing import Recovery, build, spread_out
from tests.helpers.changing_graphs import GRAPHS
from tests.helpers.collections import CASES, LOOPS, differences, expected, frames, job, random_history

SEEDS = int(os.environ.get("LIMNAD_SEEDS", "2"))
PLAIN = [name for name in CASES if name not in LOOPS]
TOGETHER = [PLAIN[start::5] for start in range(5)] + [[name] for name in LOOPS] + [[name] for name in GRAPHS]
ALL = {**CASES, **GRAPHS}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what happens to traces of millions of rows happens to these."""
    monkeypatch.setattr(trace, "ROWS_PER_PIECE", 3)


@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
def test_random_kills(names: list[str]) -> None:
    assert sum(kill_at_random(names, seed) for seed in range(SEEDS)), "no generation started from a checkpoint"


def kill_at_random(names: list[str], seed: int) -> int:
    """Checks one run; returns how many generations started from a checkpoint."""
    random = Random(seed)
    epochs = random.randint(3, 8)
    left, right = random_history(random, epochs), random_history(random, epochs)
    built = build(job, names=names, cases=ALL)
    fed = {"left": ListSource(spread_out(frames(left), 3)), "right": ListSource(spread_out(frames(right), 3))}
    interval, failures = random.choice([20, 60]), random.choice([0, 0.1])
    done = Recovery(
        built, lambda: {**built.sources, **fed}, seed, interval_ticks=interval, store_failures=failures, check=False
    )
    restored = 0
    for _ in range(random.randrange(2, 5)):
        if done.run(random.choice([1, 2, 3, 5]), ticks=random.randrange(50, 1_000)):
            break
        restored += bool(Checkpoints(done.space).numbers())
    else:
        done.run(random.choice([1, 2, 3, 5]))
    for name in names:
        found = {epoch: differences(rows) for of, epoch, rows in done.released if of == name}
        assert found == dict(enumerate(expected(name, left, right, ALL))), f"{name}, seed {seed}"
    return restored
