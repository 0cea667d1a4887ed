"""Sinks whose rows are shown exactly once, whatever dies when: the protocol, without any IO.

A `Sink` stages each complete epoch at its `Target`; a checkpoint lists what is staged; when the checkpoint is durable,
what it lists is committed, which makes it visible. A target has four verbs, and implements no more of the protocol:

    on_start        open      who writes
                    commit    again, what the checkpoint lists that is restored: its commit may not have come about
                    discard   refuse older generations from now on, and undo what that checkpoint does not cover
    on_complete     stage     an epoch, invisible; with eager delivery commit follows at once
    on_commit       commit    what the checkpoint lists that has become durable

Whatever a late zombie was told to commit is listed in a durable checkpoint, so it can only repeat a commit; what it
stages or commits of its own is refused.

A **writer** is a worker of one generation. What writer ``w`` has left is looked after by worker ``w modulo workers``,
commit before discard, so no two workers of a generation ever touch the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from limnad.batch import concat
from limnad.errors import ClusterError
from limnad.timely.state import TimedBatches
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex

Delivery = Literal["eager", "committed"]
"""When a sink shows an epoch: at once, or when a durable checkpoint covers it."""


class Fenced(ClusterError):
    """A newer generation has taken over: this one writes nothing any more."""


class LostOutput(ClusterError):
    """The target has seen more than the checkpoint that was restored knows of: going on would repeat it."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes.

    Attributes:
        job: The same in all generations of a job, and no other job's.
        stage: The sink's name in the job.
        worker: Which worker,
        workers: of how many.
        generation: Which generation of the job.
    """

    job: str
    stage: str
    worker: int
    workers: int
    generation: int

    def looks_after(self, worker: int) -> bool:
        """Whether what that worker of an older generation has left is this one's to settle."""
        return worker % self.workers == self.worker


@dataclass(frozen=True, slots=True)
class Staged:
    """What a target holds of an epoch, and nobody sees.

    Attributes:
        generation: Which generation's
        worker: worker staged it.
        epoch: The epoch.
        content: What the target wants to find again; it goes into the checkpoint.
    """

    generation: int
    worker: int
    epoch: int
    content: Any


@dataclass(frozen=True, slots=True)
class Covered:
    """What a checkpoint covers of a sink's output.

    Attributes:
        generation: The one that made the checkpoint.
        epochs: By worker, how many epochs of that generation's it covers.
        staged: What has been staged, and may not have been committed.
        places: By worker, what its target's `place` returned.
    """

    generation: int
    epochs: dict[int, int]
    staged: tuple[Staged, ...]
    places: dict[int, Any]

    def covers(self, generation: int, worker: int, epoch: int) -> bool:
        """Whether what a writer has made of an epoch is part of the checkpoint.

        What an older generation made is: had it not been, the generation that made the checkpoint had discarded it.
        """
        if generation != self.generation:
            return generation < self.generation
        return epoch < self.epochs.get(worker, 0)


class Target(Protocol):
    """Where a sink's rows go. Used by one thread."""

    def open(self, writer: Writer) -> None:
        """Called once, first."""

    def place(self) -> Any:
        """What a restore wants to know of the target as it is now. The worker stands still meanwhile.

        Something that can be pickled, and is not changed; None for nothing.
        """

    def stage(self, epoch: int, batch: Any) -> Any:
        """Keeps an epoch's rows where nobody sees them; returns the content of `Staged`.

        What is not kept in what it returns is durable when it returns.

        Raises:
            Fenced: A newer generation has taken over.
        """

    def commit(self, staged: Sequence[Staged]) -> None:
        """Shows it, durably. What has been shown already stays as it is, whoever shows it again.

        Raises:
            Fenced: A newer generation has taken over, which has settled it.
        """

    def discard(self, covered: Covered | None, *, shown: bool) -> None:
        """Refuses older generations from now on, and undoes what they did that the checkpoint does not cover.

        Args:
            covered: All that a restored checkpoint covers of the writers that this one looks after; None: the job
                begins at its inputs' beginning.
            shown: Whether what is not covered may have been shown (eager delivery).

        Raises:
            LostOutput: Something is visible that is not covered, and cannot be undone.
        """


class EpochSink(Vertex):
    """Gathers rows by epoch; hands over each epoch once, in order, when it is complete.

    Args:
        empty: What stands for an epoch without rows.
    """

    def __init__(self, empty: Any) -> None:
        self._empty = empty
        self._gathered = TimedBatches("gathered")

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        self._gathered.add(time, 0, batch)

    def on_complete(self, epochs: range) -> None:
        """See `Vertex.on_complete`."""
        for epoch in epochs:
            (batches,) = self._gathered.pop((epoch,))
            self.deliver(epoch, concat(batches) if batches else self._empty)

    def deliver(self, epoch: int, batch: Any) -> None:
        """Takes a complete epoch."""
        raise NotImplementedError


class Sink(EpochSink):
    """One worker's part of a sink.

    Args:
        empty: See `EpochSink`.
        make_target: Makes its target.
        delivery: See `Delivery`.
    """

    def __init__(self, empty: Any, make_target: Callable[[], Target], delivery: Delivery) -> None:
        super().__init__(empty)
        self._target = make_target()
        self._eager = delivery == "eager"
        self._epochs = 0
        self._staged: list[Staged] = []
        self._restored: Covered | None = None

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        context = self._context
        self._target.open(Writer(context.job, context.stage, context.worker, context.workers, context.generation))
        if self._restored is not None:
            self._target.commit(self._restored.staged)
        self._target.discard(self._restored, shown=self._eager)

    def on_complete(self, epochs: range) -> None:
        """See `Vertex.on_complete`."""
        super().on_complete(epochs)
        self._epochs = epochs.stop

    def deliver(self, epoch: int, batch: Any) -> None:
        """See `EpochSink.deliver`."""
        if not len(batch):
            return
        staged = Staged(self.generation, self.worker, epoch, self._target.stage(epoch, batch))
        if self._eager:
            self._target.commit([staged])
        else:
            self._staged.append(staged)

    def on_commit(self, epochs: int) -> None:
        """See `Vertex.on_commit`."""
        durable = [staged for staged in self._staged if staged.epoch < epochs]
        if durable:
            self._target.commit(durable)
            del self._staged[: len(durable)]

    def checkpoint(self) -> Covered:
        """See `Vertex.checkpoint`."""
        worker = self.worker
        return Covered(self.generation, {worker: self._epochs}, tuple(self._staged), {worker: self._target.place()})

    def restore(self, state: Covered) -> None:
        """See `Vertex.restore`."""
        self._restored = state

    @staticmethod
    def rescale(states: Sequence[Covered], workers: int) -> Sequence[Covered]:
        """See `Vertex.rescale`."""
        return [
            Covered(
                state.generation,
                {writer: epochs for each in states for writer, epochs in each.epochs.items()},
                tuple(staged for each in states for staged in each.staged if staged.worker % workers == worker),
                {writer: place for each in states for writer, place in each.places.items()},
            )
            for worker, state in ((worker, states[0]) for worker in range(workers))
        ]
