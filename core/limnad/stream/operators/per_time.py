"""Operators that need a whole time: they gather its batches, and answer when it is complete.

The general pattern of grouping, joining, sorting and distinct: what differs is only the function that turns a time's
batches into its answer.
"""

from collections.abc import Callable, Sequence
from typing import Any

from limnad.batch import concat, size_bytes
from limnad.timely.state import TimedBatches
from limnad.timely.timestamp import Timestamp
from limnad.timely.vertex import Vertex

FOLD_BYTES = 8 << 20
"""Gathered batches beyond this size are folded into a smaller one, where the operator can: bounds the memory a time
needs, and is rare enough to cost little."""


class PerTime(Vertex):
    """Gathers the batches of each time, then sends ``finish(*inputs)``.

    Args:
        empties: For each input port, what stands for "no rows".
        finish: Takes each port's rows of a complete time and returns the time's answer.
        fold: Replaces the first port's gathered rows by fewer ones that mean the same; None where that cannot be done.
    """

    def __init__(
        self,
        empties: Sequence[Any],
        finish: Callable[..., Any],
        fold: Callable[[Any], Any] | None = None,
    ) -> None:
        self._empties = empties
        self._finish = finish
        self._fold = fold
        self._gathered = TimedBatches(ports=len(empties))
        self._unfolded_bytes: dict[Timestamp, int] = {}

    def on_recv(self, port: int, batch: Any, time: Timestamp) -> None:
        """See `Vertex.on_recv`."""
        if self._gathered.add(time, port, batch):
            self.notify_at(time)
        if self._fold is not None and port == 0:
            self._fold_if_large(size_bytes(batch), time)

    def on_frontier(self, times: list[Timestamp]) -> None:
        """See `Vertex.on_frontier`."""
        for time in times:
            if time not in self._gathered:  # Asked for by another worker's vertex, before a restore.
                continue
            inputs = [
                concat(batches) if batches else empty
                for batches, empty in zip(self._gathered.pop(time), self._empties, strict=True)
            ]
            self._unfolded_bytes.pop(time, None)
            self.send_by(0, self._finish(*inputs), time)

    def _fold_if_large(self, size: int, time: Timestamp) -> None:
        assert self._fold is not None
        total = self._unfolded_bytes.get(time, 0) + size
        gathered = self._gathered.get(time, 0)
        if total > FOLD_BYTES and len(gathered) > 1:
            self._gathered.replace(time, 0, self._fold(concat(gathered)))
            total = 0
        self._unfolded_bytes[time] = total
