"""Logistic regression: which of many made-up cells are sick.

Rows stay on their workers; each step of L-BFGS adds one vector over all workers.

limnad run examples/logistic_regression.py -w 2 -a rows=1000000
"""

import numpy as np
import polars as pl

import limnad
from limnad import ml

FEATURES = [f"f{number}" for number in range(8)]
TRUE = np.array([1.5, -2.0, 0.5, 0.0, 1.0, -0.5, 0.25, 2.0])


def cells(rng: np.random.Generator, _start: int, count: int) -> pl.DataFrame:
    points = rng.normal(size=(count, len(FEATURES)))
    sick = points @ TRUE - 0.7 + rng.logistic(size=count) > 0
    return pl.DataFrame(points, schema=FEATURES).with_columns(sick=pl.Series(sick, dtype=pl.Boolean))


def job(flow: limnad.Flow, rows: int = 100_000) -> None:
    ml.logistic_regression(flow.generate(cells, rows=rows), FEATURES, "sick").output("coefficients")
