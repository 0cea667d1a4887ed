"""Progress updates on their way out of a worker: what may be held back, and when all must go (Naiad, section 3.3).

A worker never changes its own view. Each callback's updates go into a buffer; the buffer goes to all workers, itself
included, as *one* batch that each applies as a whole. Sending the batch whole is what makes it safe: a receiver never
sees an event end without what it caused.
"""

from collections.abc import Iterator
from enum import Enum

from limnad.timely.antichain import MutableAntichain
from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Tracker, Update


class Accumulation(Enum):
    """How progress updates are gathered before they are sent: the modes of the paper's figure 6c.

    In the global modes a coordinator sums the updates of all workers and sends each sum to all.
    """

    NONE = "none"
    LOCAL = "local"
    GLOBAL = "global"
    LOCAL_AND_GLOBAL = "local+global"

    @property
    def at_workers(self) -> bool:
        """Whether a worker holds back what cannot move a frontier."""
        return self in (Accumulation.LOCAL, Accumulation.LOCAL_AND_GLOBAL)

    @property
    def at_coordinator(self) -> bool:
        """Whether there is a coordinator."""
        return self in (Accumulation.GLOBAL, Accumulation.LOCAL_AND_GLOBAL)


class ProgressBuffer:
    """Sums one worker's updates by pointstamp until they are taken, and knows the minimal ones at each location."""

    __slots__ = ("_deltas", "_times")

    def __init__(self) -> None:
        self._deltas: dict[tuple[int, Timestamp], int] = {}
        self._times: dict[int, MutableAntichain] = {}

    def __bool__(self) -> bool:
        return bool(self._deltas)

    def add(self, location: int, time: Timestamp, delta: int) -> None:
        """Adds to the pointstamp's delta; one that becomes zero is forgotten."""
        place = (location, time)
        before = self._deltas.get(place, 0)
        total = before + delta
        if total:
            self._deltas[place] = total
            if not before:
                times = self._times.get(location)
                if times is None:
                    times = self._times[location] = MutableAntichain()
                times.update(time, 1)
        elif before:
            del self._deltas[place]
            self._times[location].update(time, -1)

    def minimal(self) -> Iterator[tuple[int, Timestamp]]:
        """The minimal pointstamps with a buffered update, location by location."""
        for location, times in self._times.items():
            for time in times.frontier:
                yield location, time

    def take(self) -> list[Update]:
        """Empties the buffer into one batch."""
        deltas, self._deltas = self._deltas, {}
        self._times = {}
        return [(location, time, delta) for (location, time), delta in deltas.items()]


class FlushPolicy:
    """Decides when the buffer goes; the safe ones are here, the unsafe ones in the mutation tests.

    With accumulation at workers the buffer is held while every update in it lies behind another outstanding event of
    the local view: nobody's frontier could move by it. It is tested again whenever buffer or view change. At each
    location the minimal updates decide: what they are behind, later ones are behind too.
    """

    __slots__ = ("_holds", "_mode")

    def __init__(self, mode: Accumulation) -> None:
        self._mode = mode
        self._holds = mode.at_workers

    def batches(self, buffer: ProgressBuffer, view: Tracker) -> list[list[Update]]:
        """The batches to send now, in order; each is applied as a whole."""
        if not buffer or (self._holds and self._all_behind(buffer, view)):
            return []
        return [buffer.take()]

    def _all_behind(self, buffer: ProgressBuffer, view: Tracker) -> bool:
        return all(view.behind_another(location, time) for location, time in buffer.minimal())
