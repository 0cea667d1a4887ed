"""Running totals by key, epoch after epoch: a job whose state is as large as there are keys."""

import numpy as np
import polars as pl

import limnad


def job(flow: limnad.Flow, rows: int, epochs: int, keys: int, rows_per_s: float = 0.0) -> None:
    """As many rows a second as it can, or so many from each of two partitions."""

    def make(rng: np.random.Generator, start: int, count: int) -> pl.DataFrame:
        del start
        return pl.DataFrame({"key": rng.integers(0, keys, count), "value": rng.random(count)})

    made = flow.generate(make, rows=rows, epochs=epochs, partitions=2, rows_per_s=rows_per_s or None)
    totals = made.group_by("key").running(pl.len(), pl.col("value").sum()).named("totals")
    totals.count().output("changed")
