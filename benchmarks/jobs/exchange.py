"""Sends rows of 16 bytes from all workers to all, by the hash of a column, and counts them where they arrive."""

from typing import Any

import numpy as np
import polars as pl

import limnad

BATCH_ROWS = 100_000


def make(rng: np.random.Generator, start: int, count: int) -> pl.DataFrame:
    """Rows of a key and a value: as cheap as rows can be, because it is the exchange that is measured."""
    del rng
    key = np.arange(start, start + count, dtype=np.int64)
    return pl.DataFrame({"key": key, "value": key})


class Count(limnad.Vertex):
    """Takes rows; the engine counts them."""

    def on_recv(self, port: int, batch: Any, time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""


def job(flow: limnad.Flow, rows: int, partitions: int) -> None:
    """As many partitions as workers."""
    made = flow.generate(make, rows=rows, batch_rows=BATCH_ROWS, partitions=partitions)
    flow.vertex(Count, made.partition_by("key"), name="count", outputs=0)
