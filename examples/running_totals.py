"""Totals that go on from epoch to epoch: the takings of each shop since the job began.

Each epoch is an hour's sales; what comes out are the new totals of the shops that sold something. The totals are state:
with checkpoints they survive the loss of any process, and only what has changed is stored again.

    limnad run examples/running_totals.py -w 2
    limnad run examples/running_totals.py -w 2 --checkpoint 1s --store dir:shops -a hours=100000
"""

import numpy as np
import polars as pl

import limnad


def sales(rng: np.random.Generator, start: int, count: int) -> pl.DataFrame:
    """So many sales, at any of ten shops."""
    shops, cents = rng.integers(0, 10, count), rng.integers(100, 10_000, count)
    return pl.DataFrame({"sale": np.arange(start, start + count), "shop": shops, "cents": cents})


def job(flow: limnad.Flow, hours: int = 3, sales_an_hour: int = 6) -> None:
    sold = flow.generate(sales, name="sales", rows=hours * sales_an_hour, epochs=hours, partitions=2)
    cents = pl.col("cents")
    totals = sold.group_by("shop").running(cents.sum(), cents.max().alias("largest"), sales=pl.len())
    totals.named("totals").output("takings")
