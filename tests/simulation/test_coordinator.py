"""The coordinator in the simulation: it is killed, comes back as another, or is met by those who are not to meet it.

And every unsafe coordinator that we know of is switched in, and has to be caught.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from limnad.cluster.coordinator import Accumulator, Coordinator, Refused, Ticket
from limnad.cluster.effects import LinkError, Progress
from limnad.cluster.worker import Worker
from limnad.testing import Recovery, SimulationError, simulate
from limnad.timely.progress import Accumulation
from limnad.timely.tracker import Update
from tests.helpers.faults import Struck
from tests.helpers.flows import FLOWS
from tests.helpers.recovering import check_outputs, recovery
from tests.simulation.test_recovery import expected

SEEDS = int(os.environ.get("LIMNAD_SEEDS", "40"))
MUTANT_SEEDS = int(os.environ.get("LIMNAD_MUTANT_SEEDS", "400"))
WIDTH = 3
GLOBAL = [mode for mode in Accumulation if mode.at_coordinator]


def drill(name: str, seed: int, mode: Accumulation, widths: Sequence[int] = (1, 2, 3, 5), **options: Any) -> Recovery:
    """Whole generations and single coordinators are killed; workers come upon the wrong one; then all is well."""
    flow, epochs = FLOWS[name]
    random = Random(seed)
    every = random.choice([10, 40, 100])
    done = recovery(
        flow, epochs, seed, interval_ticks=every, accumulation=mode, coordinator_kills=0.005, strays=0.05, **options
    )
    for _ in range(random.randrange(1, 6)):
        if done.run(random.choice(widths), ticks=random.randrange(50, 800), max_ticks=20_000):
            return done
    done.coordinator_kills = done.strays = 0
    assert done.run(random.choice(widths), max_ticks=20_000)
    return done


@pytest.mark.fault(29, "the coordinator killed and restarted, or cut off and met again")
@pytest.mark.parametrize("mode", Accumulation)
@pytest.mark.parametrize("name", FLOWS)
def test_nothing_is_lost_or_repeated(name: str, mode: Accumulation, struck: Struck) -> None:
    wanted, killed = expected(name), 0
    for seed in range(SEEDS if mode.at_coordinator else SEEDS // 4):
        done = drill(name, seed, mode)
        check_outputs(done, wanted)
        killed += len(done.others) - 1
        struck.runs += 1
        struck.rows += sum(map(len, wanted.values()))
    struck.times += killed
    assert bool(killed) == mode.at_coordinator


# -- unsafe coordinators -----------------------------------------------------------------------------------------------


class HoldsPositives(Accumulator):
    """Tells what is over, and keeps what is new for the next message."""

    def _next(self) -> Progress | None:
        message = super()._next()
        if message is None or not message.sequence:
            return message
        kept = [update for update in message.updates if update[2] > 0]
        self._take_back(kept)
        return Progress(message.sequence, [update for update in message.updates if update[2] < 0], message.epochs)

    def _take_back(self, updates: list[Update]) -> None:
        for location, time, delta in updates:
            self._told[location].update(time, -delta)
            self._add((location, time, delta))


class NegativesFirst(HoldsPositives):
    """Tells what is new in a message behind the one that tells what is over."""

    def _next(self) -> Progress | None:
        message = super()._next()
        self._over += message is not None and bool(self._sum)
        return message


class HearsNotAll(Accumulator):
    """Tells a sum before all initial counts are in it."""

    def arrived(self, worker: int, message: Progress) -> Progress | None:
        self._silent.clear()
        return super().arrived(worker, message)


class TellsDuplicates(Accumulator):
    """Does not look at sequence numbers."""

    def arrived(self, worker: int, message: Progress) -> Progress | None:
        self._received[worker] = message.sequence
        return super().arrived(worker, message)


class WaitsTooLong(Accumulator):
    """Waits until everything that it has told is over."""

    def _next(self) -> Progress | None:
        if self._sequence and self._over < sum(len(told.frontier) for told in self._told.values()):
            return None
        return super()._next()


def summing(kind: type[Accumulator]) -> type[Coordinator]:
    class Mutant(Coordinator):
        def assign(self, job: str, generation: int, workers: int) -> None:
            super().assign(job, generation, workers)
            self._assigned[job] = kind(generation, workers)

    return Mutant


class TakesAnybody(Coordinator):
    """Works for whoever comes, whether it was assigned or not."""

    def attach(self, ticket: Ticket) -> Accumulator:
        try:
            return super().attach(ticket)
        except Refused:
            if ticket.job not in self._assigned:
                self.assign(ticket.job, ticket.generation, WIDTH)
            return self._assigned[ticket.job]


class TakesOtherGenerations(Coordinator):
    """A coordinator of an old generation works for workers of a new one."""

    def attach(self, ticket: Ticket) -> Accumulator:
        old = self._assigned.get(ticket.job)
        return super().attach(ticket) if old is None or old.generation == ticket.generation else old


class LearnsTwice(Worker):
    """Learns its own updates as it sends them and from the coordinator."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._learns_by_sending = True


SUMS: dict[str, type[Accumulator]] = {
    "holds positives": HoldsPositives,
    "negatives first": NegativesFirst,
    "does not wait for all initial counts": HearsNotAll,
    "duplicates without sequence numbers": TellsDuplicates,
    "holds what could move a frontier": WaitsTooLong,
}


def fails(name: str, seed: int, mode: Accumulation, **mutant: Any) -> bool:
    flow, epochs = FLOWS[name]
    try:
        simulation, _ = simulate(flow, {"numbers": epochs}, workers=3, seed=seed, accumulation=mode, **mutant)
        simulation.run(max_ticks=50_000)
    except (SimulationError, LinkError):
        return True
    return False


@pytest.mark.parametrize("mode", GLOBAL)
@pytest.mark.parametrize("mutant", SUMS)
def test_the_invariants_catch_one_that(mutant: str, mode: Accumulation) -> None:
    make = summing(SUMS[mutant])
    assert any(fails(name, seed, mode, make_coordinator=make) for seed in range(MUTANT_SEEDS) for name in FLOWS)


@pytest.mark.parametrize("mode", GLOBAL)
def test_the_invariants_catch_a_worker_that_learns_twice(mode: Accumulation) -> None:
    assert any(fails(name, seed, mode, make_worker=LearnsTwice) for seed in range(MUTANT_SEEDS) for name in FLOWS)


@pytest.mark.parametrize("mode", GLOBAL)
@pytest.mark.parametrize("mutant", [TakesAnybody, TakesOtherGenerations])
def test_a_second_or_a_stale_coordinator_is_caught(mutant: type[Coordinator], mode: Accumulation) -> None:
    for seed in range(MUTANT_SEEDS):
        for name in FLOWS:
            try:
                check_outputs(drill(name, seed, mode, [WIDTH], make_coordinator=mutant), expected(name))
            except (AssertionError, SimulationError, LinkError):
                return
    pytest.fail("not caught")
