"""One worker on its own, fed by hand: for tests that want to say what happens next."""

from __future__ import annotations

from typing import Any

from limnad.cluster.effects import Publish
from limnad.cluster.worker import Worker
from limnad.connectors.hand import HandReader
from limnad.testing import Trace, build
from limnad.timely.progress import ProgressBuffer
from limnad.timely.timestamp import Timestamp


class Alone:
    """A cluster of one, which moves only when it is told to.

    Attributes:
        worker: The machine.
        trace: Its callbacks.
        published: By output and epoch, what has come out.
    """

    def __init__(self, job: Any) -> None:
        built = build(job)
        self.worker = Worker(built.graph, 0, 1, built.sources)
        self.trace = Trace()
        self.published: dict[str, dict[int, Any]] = {}
        self.worker.start()
        self.trace.watch(self.worker)

    def feed(self, name: str) -> HandReader:
        """The reader of an input; `settle` sees what is handed to it."""
        reader = self.worker.inputs.reader(name)
        assert isinstance(reader, HandReader)
        return reader

    def settle(self) -> None:
        """Steps until there is nothing to do."""
        self.worker.wake()
        while self.worker.step():
            pass
        for effect in self.worker.take_effects():
            if isinstance(effect, Publish):
                self.published.setdefault(effect.output, {})[effect.epoch] = effect.batch


class LoggingBuffer(ProgressBuffer):
    """Writes down each change of a count as ``(location in words, time, delta)``, at the moment it is made."""

    __slots__ = ("_log", "_worker")

    def __init__(self, worker: Worker, log: list[Any]) -> None:
        super().__init__()
        self._worker, self._log = worker, log

    @staticmethod
    def install(worker: Worker, log: list[Any]) -> None:
        """Replaces the buffer of a worker that has nothing unsent."""
        worker.buffer = worker.scheduler.progress = LoggingBuffer(worker, log)

    def add(self, location: int, time: Timestamp, delta: int) -> None:
        """See `ProgressBuffer.add`."""
        self._log.append((self._worker.locations.describe(location), time, delta))
        super().add(location, time, delta)
