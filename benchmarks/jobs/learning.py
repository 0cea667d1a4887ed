"""Logistic regression on rows in Parquet files."""

import limnad
from limnad import ml


def job(flow: limnad.Flow, path: str, features: int, tolerance: float) -> None:
    """The output is the fit."""
    rows = flow.read_parquet(path)
    names = [f"f{number}" for number in range(features)]
    ml.logistic_regression(rows, names, "label", tolerance=tolerance).output("fit")
