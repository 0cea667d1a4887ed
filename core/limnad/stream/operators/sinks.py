"""Sinks that hand rows to the job's own code and to its clients."""

from collections.abc import Callable
from typing import Any

from limnad.connectors.sinks import EpochSink


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
