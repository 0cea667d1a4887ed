"""Rows that are written down: in a job, or in a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limnad.timely.source import Answer, End, Position, Rows


class ListSource:
    """Gives each partition's batches, one an epoch; None is an epoch without a batch.

    Args:
        partitions: For each partition its batches. Every epoch that is listed exists.
    """

    def __init__(self, partitions: Sequence[Sequence[Any]]) -> None:
        self._partitions = partitions

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return [str(number) for number in range(len(self._partitions))]

    def open(self, partition: str, position: Position | None) -> ListReader:
        """See `limnad.timely.source.Source`."""
        return ListReader(self._partitions[int(partition)], 0 if position is None else int(position["epoch"]))

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return "values"


class ListReader:
    """Reads one partition of a `ListSource`."""

    def __init__(self, batches: Sequence[Any], epoch: int) -> None:
        self._batches = batches
        self._epoch = epoch

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        if self._epoch == len(self._batches):
            return End(self._epoch)
        self._epoch += 1
        return Rows(self._epoch - 1, self._batches[self._epoch - 1])

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"epoch": self._epoch}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""
