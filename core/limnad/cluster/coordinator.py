"""The coordinator: sums the progress updates of all workers, and tells each sum to all, in one order for all.

Global accumulation (Naiad, section 3.3). Workers send their updates to the coordinator alone, and learn of them, their
own ones too, only by its sums: a generation of N workers sends 2 N messages where N (N - 1) would go round.

    arrived(w) -> the sum of what nobody has been told -> [due] -> one message, the same to all

A sum is due when all workers' initial counts are in it, no message is still being sent, and telling it could move a
frontier forward: with it a pointstamp is over that all believe to be outstanding, with none before it at its location.
Until then it only grows, and what cancels is never told. That needs counts and no graph. Holding a sum is safe because
it is held as a whole: a sum of whole batches, each worker's in their order, is what a worker would have learnt had they
all arrived at once. It holds up nobody, because a frontier stands still until something that it rests on is over.

A coordinator is a process like any other: it can be lost, come back as another one, or be cut off and live on. So it
works only for a generation that the leader has assigned to *it*, by the identity that the process chose for itself, and
refuses every stream that names another coordinator, another generation, or none that was assigned. Two of them cannot
both be believed: a stream to the wrong one is refused, which its worker reports as a lost link.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from limnad.cluster.effects import Progress, is_next
from limnad.limits import MAX_WORKERS
from limnad.timely.antichain import MutableAntichain
from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Update

OVER_KEPT = 10_000
"""Of so many jobs whose workers have all left the newest generation is remembered: a number for each."""


class Refused(Exception):
    """An assignment or a stream that this coordinator must not take."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a worker's stream to a coordinator is opened with.

    Attributes:
        coordinator: Which coordinator the leader has named to the worker.
        job: Whose progress it is.
        generation: Which run of the job.
        worker: Who opens it.
    """

    coordinator: str
    job: str
    generation: int
    worker: int


class Coordinator:
    """One coordinator process: which generations it works for. One at a time for each job.

    Args:
        identity: Random; no other process ever has the same.

    >>> coordinator = Coordinator("a1")
    >>> coordinator.attach(Ticket("a1", "job", 3, worker=0))
    Traceback (most recent call last):
    limnad.cluster.coordinator.Refused: no generation of 'job' is assigned to this coordinator
    >>> coordinator.assign("job", 3, workers=2)
    >>> coordinator.attach(Ticket("b2", "job", 3, worker=0))
    Traceback (most recent call last):
    limnad.cluster.coordinator.Refused: this is coordinator a1, not b2
    >>> coordinator.attach(Ticket("a1", "job", 2, worker=0))
    Traceback (most recent call last):
    limnad.cluster.coordinator.Refused: this coordinator works for generation 3 of 'job', not 2
    >>> accumulator = coordinator.attach(Ticket("a1", "job", 3, worker=0))
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._assigned: dict[str, Accumulator] = {}
        self._over: dict[str, int] = {}

    def assign(self, job: str, generation: int, workers: int) -> None:
        """The leader gives it a generation, in the place of the job's older one.

        Raises:
            Refused: It has, or had, that generation or a newer one; or no job has so many workers.
        """
        if not 1 <= workers <= MAX_WORKERS:
            raise Refused(f"a generation has 1 to {MAX_WORKERS} workers, not {workers}")
        current = self._assigned.get(job)
        newest = self._over.get(job, 0) if current is None else current.generation
        if newest >= generation:
            raise Refused(f"generation {newest} of {job!r} is assigned to this coordinator already")
        self._over.pop(job, None)
        self._assigned[job] = Accumulator(generation, workers)

    def attach(self, ticket: Ticket) -> Accumulator:
        """A worker opens its stream; returns what takes its messages.

        Raises:
            Refused: It is not for a generation that is assigned to this coordinator, or the worker has a stream.
        """
        if ticket.coordinator != self.identity:
            raise Refused(f"this is coordinator {self.identity}, not {ticket.coordinator}")
        accumulator = self._assigned.get(ticket.job)
        if accumulator is None:
            raise Refused(f"no generation of {ticket.job!r} is assigned to this coordinator")
        if accumulator.generation != ticket.generation:
            raise Refused(
                f"this coordinator works for generation {accumulator.generation} of {ticket.job!r}, "
                f"not {ticket.generation}"
            )
        accumulator.attach(ticket.worker)
        return accumulator

    def left(self, ticket: Ticket) -> None:
        """A worker's stream has ended, one that `attach` let in. When all have, nothing is kept of the generation."""
        accumulator = self._assigned.get(ticket.job)
        if accumulator is None or accumulator.generation != ticket.generation:
            return
        accumulator.left(ticket.worker)
        if accumulator.is_over:
            del self._assigned[ticket.job]
            self._over[ticket.job] = ticket.generation
            if len(self._over) > OVER_KEPT:
                del self._over[next(iter(self._over))]


class Accumulator:
    """Sums the progress of one generation.

    Args:
        generation: Its number.
        workers: How many it has.

    >>> accumulator = Accumulator(generation=1, workers=2)
    >>> accumulator.arrived(0, Progress(0, [(0, (0,), 1)], 0))
    >>> accumulator.arrived(1, Progress(0, [(0, (0,), 1)], 0))
    Progress(sequence=0, updates=[(0, (0,), 2)], epochs=0)
    >>> accumulator.sent()
    >>> accumulator.arrived(0, Progress(1, [(0, (0,), -1), (0, (1,), 1)], 2))
    >>> accumulator.arrived(1, Progress(1, [(0, (0,), -1)], 1))
    Progress(sequence=1, updates=[(0, (0,), -2), (0, (1,), 1)], epochs=2)
    """

    def __init__(self, generation: int, workers: int) -> None:
        self.generation = generation
        self.workers = workers
        self._expected = set(range(workers))
        self._silent = set(range(workers))
        self._staying = set(range(workers))
        self._received = dict.fromkeys(range(workers), 0)
        self._told: dict[int, MutableAntichain] = defaultdict(MutableAntichain)
        self._sum: dict[tuple[int, Timestamp], int] = {}
        self._over = 0
        self._epochs = 0
        self._sequence = 0
        self._sending = False

    def attach(self, worker: int) -> None:
        """A worker has opened its stream.

        Raises:
            Refused: There is no such worker, or it has opened one before: numbers on a second one would begin anew.
        """
        if worker not in self._expected:
            raise Refused(f"worker {worker} of {self.workers} cannot have a stream, or has had one")
        self._expected.remove(worker)

    def left(self, worker: int) -> None:
        """A worker's stream has ended."""
        self._staying.discard(worker)

    @property
    def is_over(self) -> bool:
        """Whether all workers have had a stream, and have none any more."""
        return not self._staying

    def arrived(self, worker: int, message: Progress) -> Progress | None:
        """A worker's updates; returns what is to be sent to all now. Those that have come before are dropped.

        Raises:
            LinkError: One or more before them are missing.
        """
        if not is_next(self._received, worker, message.sequence, "progress"):
            return None
        self._silent.discard(worker)
        self._epochs = max(self._epochs, message.epochs)
        for update in message.updates:
            self._add(update)
        return self._next()

    def sent(self) -> Progress | None:
        """The last message is on its way to all; returns the next one, if it is due."""
        self._sending = False
        return self._next()

    @property
    def held(self) -> list[Update]:
        """What nobody has been told."""
        return [(location, time, delta) for (location, time), delta in self._sum.items()]

    def _add(self, update: Update) -> None:
        location, time, delta = update
        place = (location, time)
        before = self._sum.get(place, 0)
        after = before + delta
        if after:
            self._sum[place] = after
        elif before:
            del self._sum[place]
        told = self._told[location]
        if time in told.frontier:
            count = told.count(time)
            self._over += (count + after <= 0) - (count + before <= 0)

    def _next(self) -> Progress | None:
        if self._sending or self._silent or (self._sequence and not self._over):
            return None
        message = Progress(self._sequence, self.held, self._epochs)
        for location, time, delta in message.updates:
            self._told[location].update(time, delta)
        self._sum = {}
        self._over = 0
        self._sequence += 1
        self._sending = True
        return message
