"""State by key across times."""

from collections.abc import Callable
from typing import Any

from limnad.batch import concat
from limnad.stream.operators.keyed import group
from limnad.timely.state import KeyedState, TimedBatches
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex


class Scan(Vertex):
    """Carries one state per key from epoch to epoch.

    The records of an epoch wait until it is complete, then each key's values go through ``step`` in order: what a run
    computes must not depend on the order of arrival, nor on which keys share a worker.
    """

    def __init__(self, initial: Callable[[], Any], step: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self._initial = initial
        self._step = step
        self._states = KeyedState[Any, Any]("states")
        self._waiting = TimedBatches("waiting")

    def on_recv(self, port: int, batch: list[tuple[Any, Any]], time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        if self._waiting.add(time, port, batch):
            self.notify_at(time)

    def on_frontier(self, times: list[Timestamp]) -> None:
        """See `Vertex.on_frontier`."""
        for time in times:
            (batches,) = self._waiting.pop(time)
            self.send_by(0, self._run(concat(batches)) if batches else [], time)

    def _run(self, records: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        states, results = self._states, []
        for key, values in group(records):
            state = states[key] if key in states else self._initial()
            for value in values:
                state, result = self._step(state, value)
                results.append((key, result))
            states[key] = state
        return results
