"""Sums a vector over all workers, again and again."""

import numpy as np
import polars as pl

import limnad
from limnad.bsp import Part, Supersteps, all_reduce, run_supersteps


def job(flow: limnad.Flow, length: int, rounds: int) -> None:
    """Each round's sums are the next one's vectors, scaled down so that they stay what they were.

    The output is the first number of the last sum, once for each worker.
    """
    begin = flow.generate(lambda rng, start, count: pl.DataFrame({"n": range(count)}), rows=1, partitions=1)

    def program(part: Part) -> Supersteps[pl.DataFrame]:
        vector = np.ones(length)
        for _ in range(rounds):
            vector = (yield from all_reduce(part, vector)) / part.workers
        return pl.DataFrame({"total": [float(vector[0])]})

    run_supersteps(program, begin, name="reducing", schema={"total": pl.Float64}).output("total")
