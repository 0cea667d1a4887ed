"""Sinks that hand rows to the job's own code and to its clients."""

from collections.abc import Callable, Sequence
from typing import Any

from limnad.connectors.exactly_once import EpochSink


class Gathered(EpochSink):
    """A sink whose rows all go to worker 0, which alone delivers.

    Workers learn at different moments that an epoch is complete, and after a change of their number all start from the
    least. So what worker 0 has delivered is remembered apart.
    """

    def __init__(self, empty: Any) -> None:
        super().__init__(empty)
        self._delivered = 0

    def on_complete(self, epochs: range) -> None:
        """See `Vertex.on_complete`."""
        if self.worker == 0:
            super().on_complete(range(max(epochs.start, self._delivered), epochs.stop))
            self._delivered = max(self._delivered, epochs.stop)

    def checkpoint(self) -> int:
        """See `Vertex.checkpoint`."""
        return self._delivered

    def restore(self, state: int) -> None:
        """See `Vertex.restore`."""
        self._delivered = state

    @staticmethod
    def rescale(states: Sequence[int], workers: int) -> Sequence[int]:
        """See `Vertex.rescale`."""
        return [states[0]] * workers


class Subscription(Gathered):
    """Calls a function of the user with each epoch."""

    def __init__(self, empty: Any, callback: Callable[[int, Any], None]) -> None:
        super().__init__(empty)
        self._callback = callback

    def deliver(self, epoch: int, batch: Any) -> None:
        """See `EpochSink.deliver`."""
        self._callback(epoch, batch)


class Output(Gathered):
    """Publishes each epoch under a name, for the job's clients."""

    def __init__(self, empty: Any, name: str) -> None:
        super().__init__(empty)
        self._name = name

    def deliver(self, epoch: int, batch: Any) -> None:
        """See `EpochSink.deliver`."""
        self._context.publish(self._name, epoch, batch)
