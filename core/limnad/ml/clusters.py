"""k-means by all-reduce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch import hash_frame
from limnad.bsp import Part, Supersteps, all_gather, all_reduce, run_supersteps
from limnad.errors import JobError
from limnad.ml.matrices import check_features, matrix
from limnad.stream import FrameStream

Matrix = npt.NDArray[np.float64]

SAMPLE = 32
"""From how many rows for each cluster the first centres are chosen."""

BLOCK_ITEMS = 1 << 18
"""How many distances are held at once: what fits into a processor's cache."""


def kmeans(
    rows: FrameStream,
    features: Sequence[str],
    clusters: int,
    *,
    first: Any = None,
    seed: int = 0,
    tolerance: float = 1e-4,
    max_steps: int = 300,
    name: str = "kmeans",
) -> FrameStream:
    """Finds the centres of clusters of each epoch's rows (Lloyd's algorithm): one row for each.

    Each step costs one all-reduce. A cluster that loses all its rows keeps its centre.

    Args:
        rows: The rows, spread over the workers as they are.
        features: Numeric columns without nulls.
        clusters: How many. Where there are fewer different rows, some centres are equal.
        first: The first centres, a row for each cluster; None: chosen by k-means++ from rows that ``seed`` picks, the
            same on any number of workers.
        seed: Decides that choice.
        tolerance: It ends when the squared movement of all centres is not larger than this part of the features' mean
            variance; that is scikit-learn's rule.
        max_steps: Or after so many steps.
        name: Of the stage.

    Returns:
        Columns: ``cluster`` (from 0), the features' names, and ``rows``: how many rows are nearest to that centre.

    Raises:
        GraphError: A column is not there or not numeric.
        JobError: ``clusters`` or ``first`` make no sense; or while the job runs: a null.
    """
    names = list(features)
    check_features("kmeans()", rows.schema, names)
    if clusters < 1:
        raise JobError(f"kmeans() needs at least one cluster, not {clusters}")
    given = None if first is None else np.array(first, dtype=np.float64)
    if given is not None and given.shape != (clusters, len(names)):
        raise JobError(f"kmeans() needs {clusters} first centres of {len(names)} numbers, not shape {given.shape}")
    schema = {"cluster": pl.Int64, **dict.fromkeys(names, pl.Float64), "rows": pl.Int64}

    def program(part: Part) -> Supersteps[pl.DataFrame | None]:
        points = matrix(part, 0, names)
        least = tolerance * (yield from _mean_variance(part, points))
        if part.saved is not None:
            centres = part.saved["centres"]
        else:
            centres = given if given is not None else (yield from _chosen(part, points, names, clusters, seed))
        centres, sizes = yield from _lloyd(part, points, centres, least, max_steps)
        if part.worker:
            return None
        columns = {name: centres[:, column] for column, name in enumerate(names)}
        return pl.DataFrame({"cluster": np.arange(clusters), **columns, "rows": sizes.astype(np.int64)}, schema=schema)

    found: FrameStream = run_supersteps(program, rows, name=name, schema=schema)
    return found


def _lloyd(
    part: Part, points: Matrix, centres: Matrix, least: float, max_steps: int
) -> Supersteps[tuple[Matrix, Matrix]]:
    clusters, width = centres.shape
    for step in range(max_steps + 1):
        part.save(centres=centres)
        sums, sizes = _assigned(points, centres)
        summed = yield from all_reduce(part, np.append(sums.ravel(), sizes))
        sums, sizes = summed[:-clusters].reshape(clusters, width), summed[-clusters:]
        moved = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        done = step == max_steps or float(((moved - centres) ** 2).sum()) <= least
        if done:
            # What was counted are the rows of the centres before this last movement, as in scikit-learn.
            return (centres if step == max_steps else moved), sizes
        centres = moved
    raise AssertionError("the last step ends")


def _assigned(points: Matrix, centres: Matrix) -> tuple[Matrix, Matrix]:
    """The sum and the number of the points nearest to each centre; ties go to the first.

    The sums are a product of matrices: which point is nearest to which centre, times the points.

    >>> _assigned(np.array([[0.0], [1.0], [9.0]]), np.array([[0.0], [8.0]]))
    (array([[1.],
           [9.]]), array([2., 1.]))
    """
    clusters, width = centres.shape
    sums, sizes = np.zeros((clusters, width)), np.zeros(clusters)
    half_norms = (centres**2).sum(axis=1)[:, None] / 2
    block = max(1, BLOCK_ITEMS // clusters)
    for begin in range(0, len(points), block):
        some = points[begin : begin + block]
        nearness = centres @ some.T
        nearness -= half_norms
        is_nearest = nearness == nearness.max(axis=0)  # In half the time of argmax, which is only needed for ties.
        counts = np.count_nonzero(is_nearest, axis=1)
        if counts.sum() != len(some):
            is_nearest = nearness.argmax(axis=0) == np.arange(clusters)[:, None]
            counts = np.count_nonzero(is_nearest, axis=1)
        sums += is_nearest.astype(np.float64) @ some
        sizes += counts
    return sums, sizes


def _mean_variance(part: Part, points: Matrix) -> Supersteps[float]:
    """Over the features. Of what is left when the mean is taken away: squares of large numbers would lose it."""
    width = points.shape[1]
    total = yield from all_reduce(part, np.append(points.sum(axis=0), len(points)))
    mean = total[:-1] / total[-1]
    squares = yield from all_reduce(part, ((points - mean) ** 2).sum(axis=0))
    return float(squares.sum() / total[-1] / width)


def _chosen(part: Part, points: Matrix, names: list[str], clusters: int, seed: int) -> Supersteps[Matrix]:
    """Centres by k-means++ from a sample of rows: those with the least hashes, whichever worker has them."""
    salted = pl.DataFrame(points, schema=names).with_columns(pl.lit(seed).alias("__limnad_seed"))
    hashes = hash_frame(salted, salted.columns)
    least = np.argsort(hashes, kind="stable")[: SAMPLE * clusters]
    told = yield from all_gather(part, (hashes[least], points[least]))
    offered, places = np.concatenate([rows for _, rows in told]), np.concatenate([some for some, _ in told])
    sample = offered[np.argsort(places, kind="stable")[: SAMPLE * clusters]]
    return _plus_plus(sample, clusters, np.random.default_rng(seed))


def _plus_plus(sample: Matrix, clusters: int, rng: np.random.Generator) -> Matrix:
    """Each next centre is a point chosen by its squared distance from those before (Arthur and Vassilvitskii)."""
    chosen = [sample[rng.integers(len(sample))]]
    distances = np.full(len(sample), np.inf)
    while len(chosen) < clusters:
        distances = np.minimum(distances, ((sample - chosen[-1]) ** 2).sum(axis=1))
        total = float(distances.sum())
        at = int(np.searchsorted(np.cumsum(distances), rng.random() * total, side="right")) if total > 0 else 0
        chosen.append(sample[min(at, len(sample) - 1)])
    return np.array(chosen)
