"""Measuring in turn, and what one line of the table says."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum


class Better(Enum):
    """Which way a measured number is good."""

    MORE = "more"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for.

    Attributes:
        runs: How often each side is measured.
        quick: Small sizes, to see that everything works; the numbers mean little.
    """

    runs: int
    quick: bool

    def size(self, usual: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else usual


@dataclass(frozen=True, slots=True)
class Aim:
    """What a ratio should be.

    >>> Aim(at_least=0.8).met(0.9), Aim(at_most=1.6).met(1.7), str(Aim(at_least=15))
    (True, False, '>= 15')
    """

    at_least: float | None = None
    at_most: float | None = None

    def met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        bounds = [(">=", self.at_least), ("<=", self.at_most)]
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True)
class Growth:
    """What a row's sides differ in.

    Attributes:
        what: Of which there are more and more.
        size: How many on our side.
        first: How many on the other.
    """

    what: str
    size: int
    first: int


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        work: What was done.
        against: Who did the same.
        unit: Of both sides' numbers.
        ours: A number for each run.
        theirs: Likewise, measured in turn with ours.
        better: Whether a larger number is better.
        upside_down: The ratio is theirs to ours: "how many times faster" of times.
        aim: What the median ratio should be.
        note: What a reader has to know beside.
        growth: For a row that is drawn.
    """

    work: str
    against: str
    unit: str
    ours: list[float]
    theirs: list[float]
    better: Better
    upside_down: bool = False
    aim: Aim | None = None
    note: str = ""
    growth: Growth | None = None

    @property
    def ratios(self) -> list[float]:
        """A ratio for each run, of the two numbers that were measured one after the other."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return [theirs / ours if self.upside_down else ours / theirs for ours, theirs in pairs]

    @property
    def ratio(self) -> float:
        """The median ratio."""
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        """Whether the aim was met."""
        if self.aim is None:
            return ""
        return "yes" if self.aim.met(self.ratio) else "**no**"


class Unavailable(Exception):
    """A side cannot be measured here; the text says what is missing."""


def in_turn(runs: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measures all sides once, then all once more, and so on.

    >>> in_turn(2, {"a": lambda: 1.0, "b": lambda: 2.0})
    {'a': [1.0, 1.0], 'b': [2.0, 2.0]}
    """
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs):
        for name, side in sides.items():
            measured[name].append(side())
            say(f"  run {run + 1}: {name}: {measured[name][-1]:.4g}")
    return measured


def best_of(measured: Mapping[str, list[float]], better: Better) -> str:
    """The side with the best median: the baseline that we have to be compared with.

    >>> best_of({"a": [1, 9, 1], "b": [2, 2, 2]}, Better.LESS)
    'a'
    """
    choose = max if better is Better.MORE else min
    return choose(measured, key=lambda name: statistics.median(measured[name]))


def say(line: str) -> None:
    """Progress, beside the table."""
    print(line, file=sys.stderr, flush=True)
