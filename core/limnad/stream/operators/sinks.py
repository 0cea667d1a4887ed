"""Where rows leave the dataflow: an epoch at a time, complete or not at all, the empty epochs included."""

from collections.abc import Callable
from typing import Any

from limnad.batch import concat
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex


class EpochSink(Vertex):
    """Gathers rows by epoch; hands over each epoch once, in order, when it is complete.

    Args:
        empty: What stands for an epoch without rows.
    """

    def __init__(self, empty: Any) -> None:
        self._empty = empty
        self._gathered: dict[int, list[Any]] = {}
        self._next = 0

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        self._gathered.setdefault(time[0], []).append(batch)

    def on_complete(self, epochs: int) -> None:
        """See `Vertex.on_complete`."""
        while self._next < epochs:
            batches = self._gathered.pop(self._next, [])
            self.deliver(self._next, concat(batches) if batches else self._empty)
            self._next += 1

    def deliver(self, epoch: int, batch: Any) -> None:
        """Takes a complete epoch."""
        raise NotImplementedError


class Subscription(EpochSink):
    """Calls a function of the user with each epoch; on worker 0, which gets all rows."""

    def __init__(self, empty: Any, callback: Callable[[int, Any], None]) -> None:
        super().__init__(empty)
        self._callback = callback

    def deliver(self, epoch: int, batch: Any) -> None:
        """See `EpochSink.deliver`."""
        if self.worker == 0:
            self._callback(epoch, batch)


class Output(EpochSink):
    """Publishes each epoch under a name, for the job's clients; on worker 0, which gets all rows."""

    def __init__(self, empty: Any, name: str) -> None:
        super().__init__(empty)
        self._name = name

    def deliver(self, epoch: int, batch: Any) -> None:
        """See `EpochSink.deliver`."""
        if self.worker == 0:
            self._context.publish(self._name, epoch, batch)
