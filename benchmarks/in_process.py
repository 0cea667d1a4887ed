"""One worker without process, link or thread: what the engine's own code costs."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from limnad.cluster.effects import Publish
from limnad.cluster.worker import Worker
from limnad.stream.flow import Flow
from limnad.timely.source import Answer, End, Idle, Position, Rows, Source


class Repeated:
    """A source that gives the same batch again and again, all in epoch 0.

    Args:
        batch: The batch.
        times: How often.
    """

    def __init__(self, batch: Any, times: int) -> None:
        self._batch, self._times = batch, times

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return ["0"]

    def open(self, partition: str, position: Position | None) -> "Repeated":
        """See `limnad.timely.source.Source`."""
        return Repeated(self._batch, self._times)

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return f"{self._times} times the same"

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        if not self._times:
            return End(1)
        self._times -= 1
        return Rows(0, self._batch)

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"left": self._times}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""


class Given:
    """A source whose answers are put into a list by hand.

    Attributes:
        answers: What is read next.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return ["0"]

    def open(self, partition: str, position: Position | None) -> "Given":
        """See `limnad.timely.source.Source`."""
        return self

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return "given by hand"

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        return self.answers.pop(0) if self.answers else Idle()

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""


class Live:
    """The only worker of a job that is fed one epoch after the other.

    Args:
        job: Its hand-fed input is ``rows``.

    Attributes:
        worker: The worker.
        published: By output, what the last epoch gave.
    """

    def __init__(self, job: Callable[[Flow], None]) -> None:
        self._given = Given()
        self._epoch = 0
        self.published: dict[str, Any] = {}
        self.worker = make_worker(job, {"rows": self._given})
        self._drain()

    def feed(self, batch: Any) -> float:
        """Runs one epoch; returns how many seconds it took until nothing was left to do."""
        self._given.answers += [Rows(self._epoch, batch), Rows(self._epoch + 1)]
        self._epoch += 1
        self.published = {}
        self.worker.wake()
        return seconds(self._drain)

    def _drain(self) -> None:
        while self.worker.step():
            for effect in self.worker.take_effects():
                if isinstance(effect, Publish):
                    self.published[effect.output] = effect.batch


def make_worker(job: Callable[[Flow], None], sources: Mapping[str, Source] | None = None) -> Worker:
    """The only worker of a job, started."""
    flow = Flow()
    job(flow)
    built = flow.build()
    worker = Worker(built.graph, 0, 1, {**built.sources, **(sources or {})}, clock_ns=time.perf_counter_ns)
    worker.start()
    return worker


def drain(worker: Worker) -> None:
    """Runs until nothing is left to run."""
    while worker.step():
        worker.take_effects()


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def run_s(job: Callable[[Flow], None]) -> float:
    """How long a job runs, building and starting it not counted."""
    worker = make_worker(job)
    took_s = seconds(lambda: drain(worker))
    assert worker.finished
    return took_s
