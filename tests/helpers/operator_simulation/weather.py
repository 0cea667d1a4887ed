"""How long everything takes and what fails, all from one seed. Each seed has a climate of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Weather:
    """The climate of a seed, and its dice.

    Attributes:
        random: The dice.
        calm: Whether nothing fails any more, and everything is quick.
        latency_s: How long a message between a process and what it talks to is on its way.
        tail: How often it is on its way for up to `tail_s`.
        tail_s: See there; longer than a call may take.
        lag_s: How much later a watch tells, at most.
        lost: How often a message gets lost.
        broken: How often a watch breaks, for each event.
        expired: How often a watch that begins is too old.
        work_s: How long controllers and leaders take at most.
        losses: How often a process could not know what became of what it had asked for.
    """

    random: Random
    calm: bool = False
    latency_s: float = 0.01
    tail: float = 0.0
    tail_s: float = 20.0
    lag_s: float = 0.1
    lost: float = 0.0
    broken: float = 0.0
    expired: float = 0.0
    work_s: float = 2.0
    losses: int = 0

    @classmethod
    def of(cls, random: Random) -> Weather:
        """The climate that the dice give."""
        return cls(
            random,
            latency_s=random.choice([0.001, 0.05, 0.5, 2.0]),
            tail=random.choice([0.0, 0.0, 0.02, 0.05]),
            lag_s=random.choice([0.01, 0.1, 1.0, 5.0, 15.0]),
            lost=random.choice([0.0, 0.0, 0.01, 0.05]),
            broken=random.choice([0.0, 0.02, 0.1]),
            expired=random.choice([0.0, 0.0, 0.3]),
            work_s=random.choice([0.5, 3.0, 8.0]),
        )

    def clear_up(self) -> None:
        """From now on nothing fails."""
        self.calm = True
        self.latency_s, self.tail, self.lag_s, self.lost, self.broken, self.expired = 0.01, 0.0, 0.05, 0.0, 0.0, 0.0
        self.work_s = 1.0

    def chance(self, share: float) -> bool:
        """True so often."""
        return share > 0 and self.random.random() < share

    def between(self, least: float, most: float) -> float:
        """Some number."""
        return self.random.uniform(least, most)

    def pick(self, some: Sequence[T]) -> T:
        """One of them."""
        return some[self.random.randrange(len(some))]

    def travel_s(self) -> float:
        """How long a message is on its way."""
        if self.chance(self.tail):
            return self.between(0, self.tail_s)
        return self.between(0.1, 1) * self.latency_s

    def watch_lag_s(self) -> float:
        """How much later than it happened something is told."""
        return self.random.random() ** 2 * self.lag_s

    def takes_s(self) -> float:
        """How long a piece of work takes."""
        return self.between(0.01, 1) * self.work_s
