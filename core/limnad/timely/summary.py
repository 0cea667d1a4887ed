"""Path summaries: what travelling a path through loop contexts does to a timestamp.

An ingress appends a counter 0, a feedback adds 1 to the last counter, an egress drops the last counter (Naiad, section
2.1). Any sequence of these has a normal form (section 2.3): keep the first coordinates, add to the last one kept,
append constants.
"""

from dataclasses import dataclass
from functools import reduce

from limnad.timely.timestamp import Timestamp


@dataclass(frozen=True)
class PathSummary:
    """The function ``t -> (*t[:keep-1], t[keep-1] + increment, *append)``.

    Attributes:
        keep: How many leading coordinates survive; the epoch is the first, so at least 1.
        increment: Added to the last coordinate that is kept.
        append: Counters of the loop contexts that the path entered and did not leave.

    Law: ``f.then(g)(t) == g(f(t))``.

    >>> enter_and_trip = PathSummary.ingress(1).then(PathSummary.feedback(2))
    >>> enter_and_trip((7,))
    (7, 1)
    """

    keep: int
    increment: int = 0
    append: Timestamp = ()

    @classmethod
    def identity(cls, depth: int) -> "PathSummary":
        """The summary of an edge within one context; ``depth`` counts all coordinates, the epoch included."""
        return cls(depth)

    @classmethod
    def ingress(cls, depth: int) -> "PathSummary":
        """Entering a loop context from a time of ``depth`` coordinates."""
        return cls(depth, 0, (0,))

    @classmethod
    def egress(cls, depth: int) -> "PathSummary":
        """Leaving a loop context from a time of ``depth`` coordinates."""
        return cls(depth - 1)

    @classmethod
    def feedback(cls, depth: int) -> "PathSummary":
        """One more trip round a loop, at a time of ``depth`` coordinates."""
        return cls(depth, 1)

    def __call__(self, time: Timestamp) -> Timestamp:
        """The time at the end of the path of what had ``time`` at its start."""
        if self.increment:
            return (*time[: self.keep - 1], time[self.keep - 1] + self.increment, *self.append)
        return time[: self.keep] + self.append

    def then(self, after: "PathSummary") -> "PathSummary":
        """The summary of this path followed by ``after``."""
        if after.keep < self.keep:
            return after
        if after.keep == self.keep:
            return PathSummary(self.keep, self.increment + after.increment, after.append)
        kept = self.append[: after.keep - self.keep]
        return PathSummary(self.keep, self.increment, (*kept[:-1], kept[-1] + after.increment, *after.append))

    def is_identity(self, depth: int) -> bool:
        """Whether times of ``depth`` coordinates pass unchanged."""
        return self.keep == depth and not self.increment and not self.append

    def less_equal(self, other: "PathSummary") -> bool:
        """Whether ``less_equal(self(t), other(t))`` for *every* time ``t``: both paths must join the same locations.

        >>> leave_and_enter, stay = PathSummary(1, 0, (0,)), PathSummary(2)
        >>> leave_and_enter.less_equal(stay), stay.less_equal(leave_and_enter)
        (True, False)
        """
        if self.keep == other.keep:
            return self._less_equal_at_same_keep(other)
        if self.keep > other.keep:
            # Our coordinate below `other`'s last one is any number, its is a constant: only a step before that decides.
            return other.keep > 1 and other.increment > 0
        if self.increment:
            return False
        shortest = (*(0,) * (other.keep - self.keep - 1), other.increment, *other.append)
        return self.append <= shortest

    def _less_equal_at_same_keep(self, other: "PathSummary") -> bool:
        if self.keep == 1:
            return self.increment <= other.increment and self.append <= other.append
        return (self.increment, *self.append) <= (other.increment, *other.append)


def compose(summaries: "list[PathSummary]", depth: int) -> PathSummary:
    """The summary of a path from its edges' summaries, starting at times of ``depth`` coordinates."""
    return reduce(PathSummary.then, summaries, PathSummary.identity(depth))
