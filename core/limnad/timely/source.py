"""What feeds an input stage: a fixed set of partitions, each with a reader, an open epoch and a position.

A source is the same whatever the number of workers: partitions, not workers, hold input capabilities, and each is read
by one worker at a time. The epoch of a row is a function of its partition and offset, so that a replay repeats it.
Where it is not, the source is a `TimedSource`, and each cut is durable before an epoch that it ends can be complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

PartitionKey: TypeAlias = tuple[str, str]
"""``(input stage, partition)``."""

Position = dict[str, Any]
"""Where a reader stands; JSON values only, so that it can be stored. What it means is the source's own affair."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of one epoch, or (``batch`` None) only the news that earlier epochs have ended.

    Every later answer of the reader has this epoch or a later one.
    """

    epoch: int
    batch: Any = None


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to read now. ``retry_s`` is after how many seconds to ask again; None: when the reader is woken."""

    retry_s: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The partition has ended. ``epochs``: at least so many epochs exist, even if they had no rows."""

    epochs: int = 0


Answer = Rows | Idle | End


class Reader(Protocol):
    """Reads one partition. Used by one thread; it must not block for longer than a read takes."""

    def read(self) -> Answer:
        """The next batch, or why there is none."""

    def position(self) -> Position:
        """Where a new reader would have to start to give all that this one has not given yet."""

    def close(self) -> None:
        """Releases what it holds."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a partition went on to another epoch.

    Attributes:
        epoch: The one that begins; None: the partition ended, so that no later cut can follow.
        position: Of the reader, before the first row of that epoch.
    """

    epoch: int | None
    position: Position


class Source(Protocol):
    """A replayable input."""

    def partitions(self) -> Sequence[str]:
        """The names of all partitions; equal on all workers and in every run of the job."""

    def open(self, partition: str, position: Position | None) -> Reader:
        """A reader of that partition, from its start or from a position that an earlier reader reported."""

    def describe(self) -> str:
        """A few words for pictures and errors."""


class TimedReader(Reader, Protocol):
    """A reader whose epochs begin when a clock says so."""

    def repeat(self, cuts: Sequence[Cut]) -> None:
        """Makes it cut where an earlier reader did; called once, before the first read.

        Law: a reader that is opened at any position and repeats all cuts behind it gives each row the epoch it had.
        """


@runtime_checkable
class TimedSource(Source, Protocol):
    """A source some of whose epochs do not follow from positions."""

    @property
    def timed(self) -> bool:
        """Whether it has such epochs. Its readers are `TimedReader` then."""


@runtime_checkable
class SteadySource(Source, Protocol):
    """A source whose partitions may wait for each other."""

    @property
    def steady(self) -> bool:
        """Whether its partitions go through the same epochs, and none ever waits for somebody to bring rows."""
