"""Single kinds of faults in the simulation, each by itself: rows of the table in docs/reliability.md.

`test_recovery` mixes kills at random; here each strikes where it could do most harm.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from limnad.store import Checkpoints
from limnad.testing import Recovery
from limnad.testing.recovery import Generation
from tests.helpers.faults import Struck
from tests.helpers.flows import FLOWS
from tests.helpers.recovering import check_outputs, recovery
from tests.simulation.test_recovery import SEEDS, expected

OF_EACH = max(5, SEEDS // 4)
WIDTHS = [1, 2, 3, 5]

flows = pytest.mark.parametrize("name", FLOWS)


def drill(name: str, seed: int, make: type[Recovery] = Recovery, **options: Any) -> Recovery:
    flow, epochs = FLOWS[name]
    return recovery(flow, epochs, seed, make, **options)


def finish(done: Recovery, name: str, struck: Struck, times: int) -> None:
    check_outputs(done, expected(name))
    struck.count(times, expected(name))


@pytest.mark.fault(2, "all workers killed before the first checkpoint")
@flows
def test_killed_before_the_first_checkpoint(name: str, struck: Struck) -> None:
    for seed in range(OF_EACH):
        random = Random(seed)
        done = drill(name, seed, interval_ticks=None)
        times = 0
        while times < 3 and not done.run(random.choice(WIDTHS), ticks=random.randrange(1, 300)):
            times += 1
        if times == 3:
            done.run(random.choice(WIDTHS))
        finish(done, name, struck, times)


@pytest.mark.fault(3, "all workers killed at each step of a checkpoint")
@flows
def test_killed_at_each_step_of_a_checkpoint(name: str, struck: Struck) -> None:
    """The steps between the leader's first word and the last of what it has done in the store."""
    struck_at = []
    for seed in range(max(1, OF_EACH // 10)):
        steps, complete = 0, False
        while not complete:
            random = Random(seed)
            done = drill(name, seed, interval_ticks=None, check=False)
            generation = done.start(random.choice(WIDTHS))
            for _ in range(random.randrange(5, 120)):
                if generation.choices():
                    generation.advance()
            if not generation.choices():
                break  # A small job is over by then.
            generation.checkpoint()
            for _ in range(steps):
                generation.advance()
            complete = bool(Checkpoints(done.space).numbers())
            generation.crash()
            done.run(WIDTHS[steps % 4])
            finish(done, name, struck, 1)
            steps += 1
        struck_at.append(steps)
    assert max(struck_at) > 3


@pytest.mark.fault(4, "all workers killed while they restore, several times in a row")
@flows
def test_killed_while_they_restore(name: str, struck: Struck) -> None:
    for seed in range(OF_EACH):
        random = Random(seed)
        done = drill(name, seed, interval_ticks=15)
        times = 0
        for ticks in (random.randrange(40, 300), *(random.randrange(12) for _ in range(4))):
            if done.run(random.choice(WIDTHS), ticks=ticks):
                break
            times += 1
        else:
            done.run(random.choice(WIDTHS))
        finish(done, name, struck, times)


class Cut(Generation):
    """A generation in which a worker is cut off, for good or until others have taken over."""

    lost = -1
    both_ways = True

    def choices(self) -> list[Any]:
        found = [choice for choice in super().choices() if not self._holds(choice)]
        return found or [self._give_up]

    def _holds(self, choice: Any) -> bool:
        if self.given_up or not isinstance(choice, tuple):
            return False  # It has been replaced, and the partition has healed.
        sender, receiver, _ = choice
        return receiver == self.lost or (self.both_ways and sender == self.lost)


class Partitions(Recovery):
    """Generations in each of which some worker is cut off at some time; the leader notices that at some other time."""

    both_ways = True
    healed = 3

    def start(self, workers: int) -> Cut:
        self.generations += 1
        cut = Cut(self, workers, self.seed * 1_000_003 + self.generations, self.generations)
        cut.both_ways = self.both_ways
        return cut

    def cut_off(self, workers: int, random: Random) -> bool:
        """One generation with a partition; whether it has finished all the same."""
        cut = self.start(workers)
        at, noticed = random.randrange(300), random.randrange(1, 120)
        while not cut.settled and not cut.given_up:
            if cut.tick == at:
                cut.lost = random.randrange(workers)
            if cut.tick == at + noticed:
                break
            cut.advance()
            self._advance_zombies()
        if cut.settled and all(worker.finished for worker in cut.workers):
            self.released.extend(cut.log)
            return True
        cut.given_up = True
        self.zombies.append(cut)
        return False


class OneWay(Partitions):
    both_ways = False


@pytest.mark.fault(8, "a partition that heals when others have taken over")
@flows
def test_partitions_that_heal(name: str, struck: Struck) -> None:
    partitions(name, struck, Partitions)


@pytest.mark.fault(9, "a one-way partition")
@flows
def test_one_way_partitions(name: str, struck: Struck) -> None:
    partitions(name, struck, OneWay)


def partitions(name: str, struck: Struck, make: type[Partitions]) -> None:
    fenced = 0
    for seed in range(OF_EACH):
        random = Random(seed)
        done = drill(name, seed, make, interval_ticks=random.choice([10, 40]))
        assert isinstance(done, Partitions)
        times = 0
        while times < 3 and not done.cut_off(random.choice(WIDTHS[1:]), random):
            times += 1
        if times == 3:
            done.run(random.choice(WIDTHS))
        fenced += sum(zombie.fenced for zombie in done.zombies)
        finish(done, name, struck, times)
    assert fenced > OF_EACH / 10


class Straggler(Generation):
    """One worker hardly ever gets to run, and what is sent to it hardly ever arrives."""

    def choices(self) -> list[Any]:
        found = super().choices()
        if self._random.random() < 0.03:
            return found
        return [choice for choice in found if not self._is_slow(choice)] or found

    @staticmethod
    def _is_slow(choice: Any) -> bool:
        return choice == 0 or (isinstance(choice, tuple) and choice[1] == 0)


class WithStraggler(Recovery):
    def start(self, workers: int) -> Straggler:
        self.generations += 1
        return Straggler(self, workers, self.seed * 1_000_003 + self.generations, self.generations)


@pytest.mark.fault(10, "a straggler")
@flows
def test_a_straggler(name: str, struck: Struck) -> None:
    for seed in range(OF_EACH):
        done = drill(name, seed, WithStraggler, interval_ticks=30)
        times = int(not done.run(3, ticks=300))
        if times:
            done.run(3)
        finish(done, name, struck, times)


@pytest.mark.fault(11, "a store that fails for every second part")
@flows
def test_a_store_that_often_fails(name: str, struck: Struck) -> None:
    for seed in range(OF_EACH):
        random = Random(seed)
        done = drill(name, seed, interval_ticks=10, store_failures=0.5)
        times = int(not done.run(random.choice(WIDTHS), ticks=random.randrange(100, 400)))
        if times:
            done.run(random.choice(WIDTHS))
        finish(done, name, struck, times)


@pytest.mark.fault(16, "2, then 5, then 1 worker, with a kill in the middle")
@flows
def test_scaled_with_a_kill_in_the_middle(name: str, struck: Struck) -> None:
    for seed in range(OF_EACH):
        random = Random(seed)
        done = drill(name, seed, interval_ticks=20)
        times = 0
        for workers in (2, 5, 5):
            if done.run(workers, ticks=random.randrange(60, 250)):
                break
            times += 1
        else:
            done.run(1)
        finish(done, name, struck, times)
