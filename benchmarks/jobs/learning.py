"""Logistic regression, or k-means where ``clusters`` are asked for, on rows in Parquet files."""

from typing import Any

import numpy as np

import limnad
from limnad import ml


def first_centres(clusters: int, features: int) -> Any:
    """Where k-means begins, on both sides."""
    return np.random.default_rng(2).normal(size=(clusters, features))


def job(flow: limnad.Flow, path: str, features: int, tolerance: float = 0.0, clusters: int = 0, steps: int = 0) -> None:
    """The output is the fit."""
    rows = flow.read_parquet(path)
    names = [f"f{number}" for number in range(features)]
    if clusters:
        first = first_centres(clusters, features)
        ml.kmeans(rows, names, clusters, first=first, tolerance=tolerance, max_steps=steps).output("fit")
    else:
        ml.logistic_regression(rows, names, "label", tolerance=tolerance).output("fit")
