"""Partition functions: which worker gets which row.

Rows go by the stable hash of their key to one of `KEY_GROUPS` key groups, and key groups go to workers in ranges: the
same row finds the same worker in every process, and few groups move when the number of workers changes.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from limnad.batch import hash_frame, hash_records, owners, split_frame, split_records


@dataclass(frozen=True)
class ByColumns:
    """Frames: rows with equal values in these columns meet at one worker."""

    replicates: ClassVar[bool] = False

    columns: tuple[str, ...]

    def split(self, batch: pl.DataFrame, workers: int) -> Iterable[tuple[int, pl.DataFrame]]:
        """See `limnad.timely.graph.PartitionFunction`."""
        parts = split_frame(batch, owners(hash_frame(batch, self.columns), workers), workers)
        return [(worker, part) for worker, part in enumerate(parts) if part is not None]

    def describe(self) -> str:
        """See `limnad.timely.graph.PartitionFunction`."""
        return f"by {', '.join(self.columns)}"


@dataclass(frozen=True)
class ByKey:
    """Records: those with an equal key meet at one worker."""

    replicates: ClassVar[bool] = False

    key: Callable[[Any], Hashable]

    def split(self, batch: list[Any], workers: int) -> Iterable[tuple[int, list[Any]]]:
        """See `limnad.timely.graph.PartitionFunction`."""
        hashes = hash_records([self.key(record) for record in batch])
        parts = split_records(batch, owners(hashes, workers), workers)
        return [(worker, part) for worker, part in enumerate(parts) if part is not None]

    def describe(self) -> str:
        """See `limnad.timely.graph.PartitionFunction`."""
        return "by key"


@dataclass(frozen=True)
class Routed:
    """Records: each goes to the worker (modulo their number) that it names."""

    replicates: ClassVar[bool] = False

    worker: Callable[[Any], int]

    def split(self, batch: list[Any], workers: int) -> Iterable[tuple[int, list[Any]]]:
        """See `limnad.timely.graph.PartitionFunction`."""
        parts: dict[int, list[Any]] = {}
        for record in batch:
            parts.setdefault(self.worker(record) % workers, []).append(record)
        return parts.items()

    def describe(self) -> str:
        """See `limnad.timely.graph.PartitionFunction`."""
        return "routed"


@dataclass(frozen=True)
class ToWorker:
    """Everything goes to one worker (modulo their number)."""

    replicates: ClassVar[bool] = False

    worker: int

    def split(self, batch: Any, workers: int) -> Iterable[tuple[int, Any]]:
        """See `limnad.timely.graph.PartitionFunction`."""
        return [(self.worker % workers, batch)]

    def describe(self) -> str:
        """See `limnad.timely.graph.PartitionFunction`."""
        return f"to worker {self.worker}"


@dataclass(frozen=True)
class Broadcast:
    """Everything goes to every worker."""

    replicates: ClassVar[bool] = True

    def split(self, batch: Any, workers: int) -> Iterable[tuple[int, Any]]:
        """See `limnad.timely.graph.PartitionFunction`."""
        return [(worker, batch) for worker in range(workers)]

    def describe(self) -> str:
        """See `limnad.timely.graph.PartitionFunction`."""
        return "broadcast"


def first(record: tuple[Any, ...]) -> Any:
    """The key of a ``(key, value)`` record."""
    return record[0]
