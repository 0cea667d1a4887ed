"""Low watermarks: which event times are over, as a value for each epoch.

The watermark of epoch ``e`` is the least, over all partitions, of the largest event time that the partition has shown
up to ``e``, minus its lateness; it never falls. So it is a function of the rows of the epochs up to ``e``: equal
however many workers there are, and in every replay. It moves in epochs that have rows. When all inputs have ended,
there is one epoch more, whose watermark is above every time: what is open then is complete.

The *joint* watermark of several streams is the least of those that have partitions which are not idle; it never falls
either. That a stream has *ended* is not looked at: it may be known at an epoch in one run and not yet in a replay.

One vertex on worker 0 computes it, and tells each *range of key groups*, not each worker: a mark for a range goes
where the rows of its keys go, after a change of the number of workers too. Then workers of the old number may have
been at different epochs; a group whose epoch was closed has no mark for it any more, and one whose epoch was not has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar, Final, TypeAlias

from limnad import END, TimedBatches, Timestamp, Vertex
from limnad.batch import KEY_GROUPS, concat, groups_of

LOWEST: Final = -(1 << 62)
"""The watermark before there is any: below every time, and far from the ends of 64 bits."""

FOREVER: Final = 1 << 62
"""The watermark when all inputs have ended: above every time, likewise."""


Marks: TypeAlias = list[tuple[int, ...]]
"""What an epoch means for the keys of some key groups: for each range of them ``(first, stop, before, now, ...)``.

First comes the range: its first key group, and the one behind its last. Then for each joint watermark two values:
``before``, that of the epoch before (rows of this epoch that it has passed are late), and ``now``, that of this epoch
(what it has passed is complete). They are the same in all marks of an epoch.
"""


@dataclass(frozen=True)
class ToGroups:
    """Each range of key groups goes to the workers that own them."""

    replicates: ClassVar[bool] = False

    def split(self, batch: Marks, workers: int) -> Iterable[tuple[int, Marks]]:
        """See `limnad.timely.graph.PartitionFunction`."""
        for worker in range(workers):
            own_first, own_stop = groups_of(worker, workers)
            parts = [
                (max(first, own_first), min(stop, own_stop), *watermarks)
                for first, stop, *watermarks in batch
                if first < own_stop and own_first < stop
            ]
            if parts:
                yield worker, parts

    def describe(self) -> str:
        """See `limnad.timely.graph.PartitionFunction`."""
        return "by key group"


@dataclass(frozen=True)
class Clock:
    """How the rows of one stream move the watermark.

    Attributes:
        lateness: By how much it stays behind a partition's largest event time.
        declared: Partitions that hold it back before they have shown a row.
        idle_after: A partition that has shown no row for so many epochs holds it back no longer; None: for ever.
    """

    lateness: int
    declared: tuple[str, ...] = ()
    idle_after: int | None = None


@dataclass(frozen=True, slots=True)
class _Partition:
    latest: int | None = None
    epoch: int = 0
    idle: bool = False


class LowWatermark:
    """The watermark of one stream, epoch by epoch.

    >>> low = LowWatermark(Clock(lateness=2))
    >>> low.advance(0, [("a", 10, False), ("b", 5, False)]), low.advance(1, [("b", None, True)])
    (3, 8)

    Attributes:
        now: Of the newest epoch.
        idle: Whether all partitions that there are were idle at its end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._partitions = {name: _Partition() for name in clock.declared}
        self.now = LOWEST
        self.idle = False

    def advance(self, epoch: int, shown: Iterable[tuple[str, int | None, bool]]) -> int:
        """Takes what an epoch has shown.

        Args:
            epoch: Later than any before.
            shown: ``(partition, largest event time or None, whether it is idle from here on)``; a partition may be
                there more than once.
        """
        idle_now: dict[str, bool] = {}
        for name, latest, idle in shown:
            known = self._partitions.get(name, _Partition())
            times = [time for time in (known.latest, latest) if time is not None]
            idle_now[name] = idle_now.get(name, False) or idle
            self._partitions[name] = _Partition(max(times, default=None), epoch, idle_now[name])
        holding = [partition for partition in self._partitions.values() if not self._is_idle(partition, epoch)]
        self.idle = (self.idle or bool(self._partitions)) and not holding
        if holding and all(partition.latest is not None for partition in holding):
            least = min(partition.latest for partition in holding if partition.latest is not None)
            self.now = max(self.now, least - self._clock.lateness)
        self._partitions = {
            name: partition for name, partition in self._partitions.items() if self._matters(name, partition, epoch)
        }
        return self.now

    def _matters(self, name: str, partition: _Partition, epoch: int) -> bool:
        """Whether it has to be remembered.

        One that is not declared, is idle, and that the watermark has passed, moves it by its next row as if it were
        new: until it shows a time that the watermark has not passed, either way it holds it where it is.
        """
        passed = partition.latest is None or partition.latest - self._clock.lateness <= self.now
        return name in self._clock.declared or not (passed and self._is_idle(partition, epoch))

    def _is_idle(self, partition: _Partition, epoch: int) -> bool:
        limit = self._clock.idle_after
        return partition.idle or (limit is not None and epoch - partition.epoch >= limit)

    def dump(self) -> Any:
        """All of it, for a checkpoint."""
        return self.now, self.idle, dict(self._partitions)

    def load(self, dumped: Any) -> None:
        """Takes over what `dump` gave."""
        self.now, self.idle, partitions = dumped
        self._partitions.update(partitions)


class JointWatermark:
    """The watermark of several streams, epoch by epoch.

    >>> joint = JointWatermark([Clock(0, idle_after=2), Clock(0)])
    >>> [joint.advance(e, [[("a", 5, False)] if e == 0 else [], [("b", 10 * e, False)]]) for e in range(4)]
    [0, 5, 20, 30]

    Attributes:
        now: Of the newest epoch.
    """

    def __init__(self, clocks: Sequence[Clock]) -> None:
        self._streams = [LowWatermark(clock) for clock in clocks]
        self.now = LOWEST

    def advance(self, epoch: int, shown: Sequence[Sequence[tuple[str, int | None, bool]]]) -> int:
        """Takes what an epoch has shown of each stream; see `LowWatermark.advance`. Without any row nothing moves."""
        if any(shown):
            for stream, rows in zip(self._streams, shown, strict=True):
                stream.advance(epoch, rows)
            holding = [stream.now for stream in self._streams if not stream.idle]
            self.now = max(self.now, min(holding, default=self.now))
        return self.now

    def dump(self) -> Any:
        """All of it, for a checkpoint."""
        return self.now, [stream.dump() for stream in self._streams]

    def load(self, dumped: Any) -> None:
        """Takes over what `dump` gave."""
        self.now, streams = dumped
        for stream, of_stream in zip(self._streams, streams, strict=True):
            stream.load(of_stream)


class Watermarks(Vertex):
    """Computes joint watermarks of some streams each. Lives on worker 0.

    Args:
        joint: The clocks of the streams of each joint watermark; the input ports are in the same order. What comes
            there is frames of ``(partition, latest, idle)``.
    """

    at_end = True

    def __init__(self, joint: Sequence[Sequence[Clock]]) -> None:
        self._joint = [JointWatermark(clocks) for clocks in joint]
        ports = list(accumulate(map(len, joint), initial=0))
        self._ports = list(pairwise(ports))
        self._shown = TimedBatches("shown", ports=ports[-1])
        self._ended = False

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        if self._shown.add(time, port, batch):
            self.notify_at(time)
            self.notify_at((END,), capability=(END,))

    def on_frontier(self, times: list[Timestamp]) -> None:
        """See `Vertex.on_frontier`."""
        for time in times:
            before = self._watermarks()
            if time == (END,):
                self._end(before)
                continue
            if time not in self._shown:  # Asked for by another worker's vertex, before a restore.
                continue
            shown = [concat(batches).rows() if batches else [] for batches in self._shown.pop(time)]
            for watermark, (first, stop) in zip(self._joint, self._ports, strict=True):
                watermark.advance(time[0], shown[first:stop])
            each = [value for pair in zip(before, self._watermarks(), strict=True) for value in pair]
            self.send_by(0, [(0, KEY_GROUPS, *each)], time)

    def _end(self, before: list[int]) -> None:
        """All rows have been shown, of which some may have come at the end itself, from other windows."""
        self._shown.pop((END,))
        # After a change of their number all workers are told, and the first perhaps again.
        if self.worker == 0 and not self._ended:
            self._ended = True
            each = [value for watermark in before for value in (watermark, FOREVER)]
            self.send_by(0, [(0, KEY_GROUPS, *each)], (END,))

    def _watermarks(self) -> list[int]:
        return [watermark.now for watermark in self._joint]

    def checkpoint(self) -> Any:
        """See `Vertex.checkpoint`."""
        return self._ended, [watermark.dump() for watermark in self._joint]

    def restore(self, state: Any) -> None:
        """See `Vertex.restore`."""
        self._ended, joint = state
        for watermark, dumped in zip(self._joint, joint, strict=True):
            watermark.load(dumped)

    @staticmethod
    def rescale(states: Sequence[Any], workers: int) -> Sequence[Any]:
        """See `Vertex.rescale`."""
        return [states[0]] * workers
