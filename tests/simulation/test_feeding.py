"""What clients push comes out once, whoever dies; and each unsafe way that we know of is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from limnad.cluster.feeding import Acknowledge, Append, Backwards, Effect, Feeding, Hand, Push
from limnad.cluster.inputs import SourceFailure
from tests.helpers.feeding import World, Wrong

SEEDS = 400


def test_what_is_pushed_comes_out_once() -> None:
    faults = 0
    for seed in range(SEEDS):
        world = World(seed)
        world.run()
        faults += world.faults
    assert faults > SEEDS


class AcknowledgesBeforeItIsDurable(Feeding):
    def checked(self, generation: int, number: int, reason: str) -> list[Effect]:
        effects = super().checked(generation, number, reason)
        early = [Acknowledge(effect.push, None) for effect in effects if isinstance(effect, Append)]
        return [*early, *effects]


class HandsBeforeItIsDurable(Feeding):
    def checked(self, generation: int, number: int, reason: str) -> list[Effect]:
        effects = super().checked(generation, number, reason)
        return [Hand(self.next, None) for effect in effects if isinstance(effect, Append)] + effects

    def appended(self, push: Push, generation: int, offset: int) -> list[Effect]:
        return [effect for effect in super().appended(push, generation, offset) if not isinstance(effect, Hand)]


class TakesEachAttemptForNew(Feeding):
    """No deduplication: whoever pushes again is somebody new."""

    def push(self, push: Push) -> list[Effect]:
        return super().push(replace(push, producer=f"{push.producer} {push.number}", sequence=1))


class ReplaysNothing(Feeding):
    def begin(
        self, generation: int, position: int | None, end: int, last: Mapping[str, tuple[int, int]]
    ) -> list[Effect]:
        return super().begin(generation, end if position is not None else None, end, last)


def as_the_newest_needs(kept: Iterable[Mapping[str, int | None]], ends: Mapping[str, int]) -> dict[str, int]:
    """Trims what the newest checkpoint covers, whatever older ones need."""
    return {name: end if (at := list(kept)[-1][name]) is None else at for name, end in ends.items()}


def everything(kept: Iterable[Mapping[str, int | None]], ends: Mapping[str, int]) -> dict[str, int]:
    """Trims what was handed to the engine, whether a checkpoint has it or not."""
    del kept
    return dict(ends)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: World(seed, AcknowledgesBeforeItIsDurable),
        lambda seed: World(seed, HandsBeforeItIsDurable),
        lambda seed: World(seed, TakesEachAttemptForNew),
        lambda seed: World(seed, ReplaysNothing),
        lambda seed: World(seed, fenced=False),
        lambda seed: World(seed, covered=as_the_newest_needs),
        lambda seed: World(seed, covered=everything),
    ],
    ids=["ack early", "hand early", "no dedup", "no replay", "no fence", "trim by newest", "trim all"],
)
def test_unsafe_ways_are_caught(make: Callable[[int], World]) -> None:
    with pytest.raises((Wrong, SourceFailure, Backwards)):
        run_all(make)


def run_all(make: Callable[[int], World]) -> None:
    for seed in range(SEEDS):
        make(seed).run()
