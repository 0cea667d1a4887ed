"""What must hold at every moment of a run, whatever the schedule (design of the progress protocol).

The *truth* is what an observer of all workers would count: every change that a worker has put into its buffer, at the
moment it did so. Then, always:

1. no true count is negative;
2. the truth = a worker's view + what no worker has sent yet + what is on its way to that worker;
3. a view never claims too much: what is truly outstanding is covered by every view's frontier, at every location;
4. once every worker has been heard, a view's frontier never moves back;
5. in the end every view is empty.

The "upright" property of the 2013 papers is *not* among them: correct runs violate it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from limnad.cluster.effects import Progress
from limnad.cluster.worker import Worker
from limnad.timely.progress import ProgressBuffer
from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Tracker, Update

Place = tuple[int, Timestamp]


class RecordingBuffer(ProgressBuffer):
    """A worker's progress buffer that tells the truth to an observer too."""

    __slots__ = ("_observer",)

    def __init__(self, observer: "Invariants") -> None:
        super().__init__()
        self._observer = observer

    @staticmethod
    def install(worker: Worker, observer: "Invariants") -> None:
        """Replaces a new worker's buffer."""
        worker.buffer = worker.scheduler.progress = RecordingBuffer(observer)

    def add(self, location: int, time: Timestamp, delta: int) -> None:
        """See `ProgressBuffer.add`."""
        self._observer.happened(location, time, delta)
        super().add(location, time, delta)


class Invariants:
    """Watches the workers of one simulation.

    Args:
        workers: All of them.
        in_flight_to: The progress messages that are on their way to a worker.

    Attributes:
        lossless: Whether the second one holds: not any more when a coordinator is lost, with what was on its way.
    """

    def __init__(self, workers: Sequence[Worker], in_flight_to: Callable[[int], Iterable[Progress]]) -> None:
        self._workers = workers
        self._in_flight_to = in_flight_to
        self._truth = Tracker(workers[0].locations)
        self._counts: Counter[Place] = Counter()
        self._fresh: list[Update] = []
        self._frontiers: list[list[list[Timestamp]] | None] = [None for _ in workers]
        self.lossless = True

    def happened(self, location: int, time: Timestamp, delta: int) -> None:
        """A worker counts an event.

        Raises:
            AssertionError: The true count of the pointstamp would be negative.
        """
        place = (location, time)
        self._counts[place] += delta
        assert self._counts[place] >= 0, f"true count at {self._named(place)} is {self._counts[place]}"
        if not self._counts[place]:
            del self._counts[place]
        self._fresh.append((location, time, delta))

    def check(self, acted: int) -> None:
        """Checks the invariants after a tick.

        Args:
            acted: The only worker whose view can have changed; others are looked at where the truth has.

        Raises:
            AssertionError: One is broken.
        """
        changed = self._truth.update(self._fresh)
        self._fresh.clear()
        if self.lossless:
            self._check_sum(self._workers[acted])
        for worker in self._workers:
            if worker.scheduler.notifying:
                self._check_covers(worker, range(len(self._truth.implied)) if worker.index == acted else changed)
        if self._workers[acted].scheduler.notifying:
            self._check_monotone(self._workers[acted])

    def check_quiescent(self) -> None:
        """Checks the end of a run.

        Raises:
            AssertionError: A view or the truth is not empty.
        """
        assert not self._counts, f"at the end, events are outstanding: {self._all_named(self._counts)}"
        for worker in self._workers:
            left = worker.view.occurrences()
            assert not left, f"at the end, worker {worker.index}'s view holds {self._all_named(left)}"

    def _check_sum(self, worker: Worker) -> None:
        total = worker.view.occurrences()
        for each in self._workers:
            for place, delta in each.buffer._deltas.items():
                total[place] = total.get(place, 0) + delta
        for message in self._in_flight_to(worker.index):
            for location, time, delta in message.updates:
                place = (location, time)
                total[place] = total.get(place, 0) + delta
        total = {place: count for place, count in total.items() if count}
        if total != self._counts:
            wrong = {place for place in total.keys() | self._counts if total.get(place, 0) != self._counts[place]}
            raise AssertionError(
                f"worker {worker.index}: view + unsent + in flight is not the truth at {self._all_named(wrong)}"
            )

    def _check_covers(self, worker: Worker, locations: Iterable[int]) -> None:
        for location in locations:
            view = worker.view.implied[location]
            for time in self._truth.implied[location].frontier:
                assert view.covers(time), (
                    f"worker {worker.index} believes {self._named((location, time))} to be over, but it may still come"
                )

    def _check_monotone(self, worker: Worker) -> None:
        before = self._frontiers[worker.index]
        if before is None:
            self._frontiers[worker.index] = [list(antichain.frontier) for antichain in worker.view.implied]
            return
        for location, antichain in enumerate(worker.view.implied):
            old, new = before[location], antichain.frontier
            if old == new:
                continue
            for time in new:
                assert any(o[0] <= time[0] and o[1:] <= time[1:] for o in old), (
                    f"worker {worker.index}'s frontier went back to {self._named((location, time))} from {old}"
                )
            before[location] = list(new)

    def _named(self, place: Place) -> str:
        location, time = place
        return f"{time} at {self._workers[0].locations.describe(location)}"

    def _all_named(self, places: Iterable[Place]) -> str:
        return ", ".join(self._named(place) for place in sorted(places))
