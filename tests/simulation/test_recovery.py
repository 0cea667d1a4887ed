"""Checkpoint, kill, restore, at every step, on every number of workers: outputs are those of a run without faults."""

import os
from functools import cache
from random import Random
from typing import Any

import pytest

from limnad.store import Checkpoints
from limnad.testing import Recovery, run
from limnad.timely import frame_state
from tests.helpers.faults import Struck
from tests.helpers.flows import FLOWS, in_order
from tests.helpers.recovering import Expected, check_outputs, recovery

SEEDS = int(os.environ.get("LIMNAD_SEEDS", "40"))
EVERY = int(os.environ.get("LIMNAD_EVERY", "7"))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what happens to frame states of millions of rows happens to these."""
    monkeypatch.setattr(frame_state, "ROWS_PER_BLOCK", 1)
    monkeypatch.setattr(frame_state, "UNFOLDED_ROWS", 3)


@cache
def expected(name: str) -> Expected:
    flow, epochs = FLOWS[name]
    outputs = in_order(run(flow, {"numbers": epochs}, workers=1).outputs)
    return {(output, epoch): rows for output, by_epoch in outputs.items() for epoch, rows in by_epoch.items()}


@pytest.mark.fault(0, "none: checkpoints alone")
@pytest.mark.parametrize("name", FLOWS)
def test_checkpoints_change_nothing(name: str, struck: Struck) -> None:
    flow, epochs = FLOWS[name]
    for seed in range(SEEDS):
        done = recovery(flow, epochs, seed, interval_ticks=20)
        assert done.run(workers=1 + seed % 5)
        check_outputs(done, expected(name))
        struck.count(0, expected(name))
        assert Checkpoints(done.space).numbers()


@pytest.mark.fault(1, "SIGKILL of all workers at random moments, restored on 1, 2, 3 or 5; one part in ten not stored")
@pytest.mark.parametrize("name", FLOWS)
def test_random_kills(name: str, struck: Struck) -> None:
    for seed in range(SEEDS):
        kill_at_random(name, seed, struck)


@pytest.mark.fault(7, "zombies: taken for dead, replaced, and at work beside those who replace them")
@pytest.mark.parametrize("name", FLOWS)
def test_generations_that_were_only_taken_for_dead(name: str, struck: Struck) -> None:
    fenced = sum(
        zombie.fenced for seed in range(SEEDS) for zombie in kill_at_random(name, seed, struck, zombies=0.7).zombies
    )
    assert fenced > SEEDS / 10


def kill_at_random(name: str, seed: int, struck: Struck, **options: Any) -> Recovery:
    flow, epochs = FLOWS[name]
    wanted, random = expected(name), Random(seed)
    interval = random.choice([5, 10, 40, 100])
    done = recovery(flow, epochs, seed, interval_ticks=interval, store_failures=0.1, **options)
    for _ in range(random.randrange(1, 5)):
        if done.run(random.choice([1, 2, 3, 5]), ticks=random.randrange(1, 400)):
            break
    else:
        done.run(random.choice([1, 2, 3, 5]))
    check_outputs(done, wanted)
    struck.count(done.generations - 1, wanted)
    return done


@pytest.mark.fault(20, "a checkpoint and a kill at every step of two nested loops, restored on 1, 2, 3 and 5 workers")
@pytest.mark.parametrize("after", [1, 2, 3, 5])
@pytest.mark.parametrize("before", [1, 3])
def test_a_checkpoint_and_a_crash_at_every_step(before: int, after: int, struck: Struck) -> None:
    """Two nested loops, three epochs in flight; how long after the checkpoint the crash comes is left to the seed."""
    flow, epochs = FLOWS["collatz"]
    wanted = expected("collatz")
    step = first = 1 + (before + after) % EVERY
    while True:
        done = recovery(flow, epochs, seed=step, interval_ticks=None, check=False)
        generation = done.start(before)
        while not generation.settled and generation.tick < step:
            generation.advance()
        if generation.settled:
            break
        generation.checkpoint()
        while not Checkpoints(done.space).numbers():
            generation.advance()
        for _ in range(step % 50):
            if not generation.settled:
                generation.advance()
        generation.crash()
        done.run(after)
        check_outputs(done, wanted)
        struck.count(1, wanted)
        step += EVERY
    assert step > first + 20 * EVERY
