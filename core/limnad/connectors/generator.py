"""Seeded rows, for load and for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from limnad.errors import InputError
from limnad.timely.source import Answer, End, Idle, Position, Rows

Make = Callable[[np.random.Generator, int, int], pl.DataFrame]


class Generator:
    """Frames made by a function, the same in every run: batch ``b`` of a partition depends only on the seed and ``b``.

    Args:
        make: ``make(rng, start, count)`` returns ``count`` rows, numbered from ``start`` in the whole source.
        rows: How many rows in all.
        batch_rows: How many in one batch.
        epochs: Over how many epochs they are spread, evenly.
        partitions: Over how many partitions.
        seed: Decides all rows.
        rows_per_s: At most so many rows a second from each partition; None: as fast as they are taken.
        clock: Seconds; for tests.

    Raises:
        InputError: A number makes no sense.
    """

    def __init__(
        self,
        make: Make,
        *,
        rows: int,
        batch_rows: int = 65_536,
        epochs: int = 1,
        partitions: int = 4,
        seed: int = 0,
        rows_per_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("batch_rows", batch_rows), ("epochs", epochs), ("partitions", partitions)):
            if value < 1:
                raise InputError(f"a generator needs {name} of at least 1, not {value}")
        if rows < 0 or (rows_per_s is not None and rows_per_s <= 0):
            raise InputError(f"a generator cannot make {rows} rows at {rows_per_s} rows a second")
        self.make = make
        self.rows = rows
        self.batch_rows = batch_rows
        self.epochs = epochs
        self.seed = seed
        self.rows_per_s = rows_per_s
        self.clock = clock
        self._partitions = partitions
        self.schema = make(np.random.default_rng(seed), 0, 0).schema

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return [str(number) for number in range(self._partitions)]

    def open(self, partition: str, position: Position | None) -> GeneratorReader:
        """See `limnad.timely.source.Source`."""
        number = int(partition)
        first, end = (self.rows * edge // self._partitions for edge in (number, number + 1))
        return GeneratorReader(self, number, first, end, 0 if position is None else int(position["batch"]))

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return f"{self.rows:,} generated rows"

    @property
    def steady(self) -> bool:
        """See `limnad.timely.source.SteadySource`."""
        return True


class GeneratorReader:
    """Makes the rows of one partition."""

    def __init__(self, source: Generator, partition: int, first: int, end: int, batch: int) -> None:
        self._source = source
        self._partition = partition
        self._batch = batch
        self._opened_s = source.clock()
        self._given = 0
        edges = [first + (end - first) * epoch // source.epochs for epoch in range(source.epochs + 1)]
        # A batch never spans two epochs.
        self._plan = [
            (epoch, start, min(source.batch_rows, until - start))
            for epoch, (since, until) in enumerate(pairwise(edges))
            for start in range(since, until, source.batch_rows)
        ]

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        source = self._source
        if self._batch >= len(self._plan):
            return End(source.epochs)
        if (wait_s := self._wait_s()) > 0:
            return Idle(wait_s)
        epoch, start, count = self._plan[self._batch]
        frame = source.make(np.random.default_rng((source.seed, self._partition, self._batch)), start, count)
        if frame.schema != source.schema:
            raise InputError(
                f"the generator's function made {dict(frame.schema)} for {count} rows, but for none "
                f"{dict(source.schema)}"
            )
        self._batch += 1
        self._given += count
        return Rows(epoch, frame)

    def _wait_s(self) -> float:
        rate = self._source.rows_per_s
        if rate is None:
            return 0.0
        return self._opened_s + self._given / rate - self._source.clock()

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"batch": self._batch}

    def close(self) -> None:
        """See `limnad.timely.source.Reader`."""
