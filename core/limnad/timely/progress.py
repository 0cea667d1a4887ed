"""Progress updates on their way out of a worker: what may be held back, and when all must go (Naiad, section 3.3).

A worker never changes its own view. Each callback's updates go into a buffer; the buffer goes to all workers, itself
included, as *one* batch that each applies as a whole. Sending the batch whole is what makes it safe: a receiver never
sees an event end without what it caused.
"""

from collections.abc import Iterable
from enum import Enum

from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Tracker, Update


class Accumulation(Enum):
    """How progress updates are gathered before they are sent: the modes of the paper's figure 6c.

    The global modes need a coordinator, which sums the updates of all workers and sends each sum to all.
    """

    NONE = "none"
    LOCAL = "local"


class ProgressBuffer:
    """Sums one worker's updates by pointstamp until they are taken."""

    __slots__ = ("_deltas",)

    def __init__(self) -> None:
        self._deltas: dict[tuple[int, Timestamp], int] = {}

    def __bool__(self) -> bool:
        return bool(self._deltas)

    def add(self, location: int, time: Timestamp, delta: int) -> None:
        """Adds to the pointstamp's delta; one that becomes zero is forgotten."""
        place = (location, time)
        total = self._deltas.get(place, 0) + delta
        if total:
            self._deltas[place] = total
        else:
            self._deltas.pop(place, None)

    def places(self) -> Iterable[tuple[int, Timestamp]]:
        """The pointstamps with a buffered update."""
        return self._deltas.keys()

    def take(self) -> list[Update]:
        """Empties the buffer into one batch."""
        deltas, self._deltas = self._deltas, {}
        return [(location, time, delta) for (location, time), delta in deltas.items()]


class FlushPolicy:
    """Decides when the buffer goes; the safe ones are here, the unsafe ones in the mutation tests.

    With `Accumulation.LOCAL` the buffer is held while every update in it lies behind another outstanding event of the
    local view: nobody's frontier could move by it. It is tested again whenever buffer or view change.
    """

    __slots__ = ("_mode",)

    def __init__(self, mode: Accumulation) -> None:
        self._mode = mode

    def batches(self, buffer: ProgressBuffer, view: Tracker) -> list[list[Update]]:
        """The batches to send now, in order; each is applied as a whole."""
        if not buffer or (self._mode is Accumulation.LOCAL and self._all_behind(buffer, view)):
            return []
        return [buffer.take()]

    def _all_behind(self, buffer: ProgressBuffer, view: Tracker) -> bool:
        return all(view.behind_another(location, time) for location, time in buffer.places())
