"""The same work by SciPy or scikit-learn in one process; prints seconds and the answer as JSON.

``python -m benchmarks.baselines.one_thread pagerank|weak|strong|logistic|kmeans PATH [ARGUMENT ...]``
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse


def load(path: str) -> tuple[Any, Any]:
    """The ends of all edges."""
    frame = pl.read_parquet(path)
    return frame["src"].to_numpy(), frame["dst"].to_numpy()


def pagerank(path: str, rounds: str, large: str) -> dict[str, Any]:
    """Power iteration with a CSR matrix; also the seconds of a round, once the matrix is there."""
    began_s = time.perf_counter()
    sources, targets = load(path)
    size = int(max(sources.max(), targets.max())) + 1
    out = np.bincount(sources, minlength=size).astype(np.float64)
    links = sparse.coo_array((np.ones(len(sources)), (targets, sources)), shape=(size, size)).tocsr()
    there = (out > 0) | (np.bincount(targets, minlength=size) > 0)
    nodes = int(there.sum())
    share = np.divide(1, out, out=np.zeros(size), where=out > 0)
    dangling = np.flatnonzero(there & (out == 0))
    ranks = np.where(there, 1 / nodes, 0.0)
    loaded_s = time.perf_counter()
    changed = np.inf  # Looked at in each round, as somebody would who goes on to a tolerance.
    for _ in range(int(rounds)):
        flowing = links @ (ranks * share)
        flowing += ranks[dangling].sum() / nodes
        flowing *= 0.85
        flowing += 0.15 / nodes
        changed = np.abs(flowing - ranks).sum()
        ranks = flowing
    assert changed >= 0
    ended_s = time.perf_counter()
    answer = int((ranks[there] > float(large)).sum())
    return {"seconds": ended_s - began_s, "round_s": (ended_s - loaded_s) / int(rounds), "answer": answer}


def components(path: str, connection: Any) -> dict[str, Any]:
    """By csgraph, from raw edges."""
    began_s = time.perf_counter()
    sources, targets = load(path)
    size = int(max(sources.max(), targets.max())) + 1
    links = sparse.coo_array((np.ones(len(sources), dtype=np.int8), (sources, targets)), shape=(size, size))
    links.has_canonical_format = True  # As on our side: repeated edges are not put in order, which is much faster.
    # Weak components of an undirected graph are found in half the time of those of a directed one.
    _, labels = sparse.csgraph.connected_components(links.tocsr(), directed=connection == "strong", connection="strong")
    seconds = time.perf_counter() - began_s
    there = np.zeros(size, dtype=bool)
    there[sources], there[targets] = True, True
    return {"seconds": seconds, "answer": len(np.unique(labels[there]))}


def logistic(path: str, features: str, tolerance: str) -> dict[str, Any]:
    """By scikit-learn's L-BFGS; the coefficients, the intercept last."""
    from sklearn.linear_model import LogisticRegression

    began_s = time.perf_counter()
    frame = pl.read_parquet(path)
    points = frame.select(f"f{number}" for number in range(int(features))).to_numpy()
    fit = LogisticRegression(tol=float(tolerance)).fit(points, frame["label"].to_numpy())
    seconds = time.perf_counter() - began_s
    return {"seconds": seconds, "answer": [*fit.coef_[0].tolist(), float(fit.intercept_[0])]}


def kmeans(path: str, features: str, clusters: str, steps: str) -> dict[str, Any]:
    """By scikit-learn's version of Lloyd's algorithm; the centres."""
    from sklearn.cluster import KMeans

    from benchmarks.jobs.learning import first_centres

    first = first_centres(int(clusters), int(features))
    began_s = time.perf_counter()
    points = pl.read_parquet(path).select(f"f{number}" for number in range(int(features))).to_numpy()
    with warnings.catch_warnings(action="ignore"):  # That it has not converged is meant.
        fit = KMeans(int(clusters), init=first, n_init=1, max_iter=int(steps), tol=0, algorithm="lloyd").fit(points)
    seconds = time.perf_counter() - began_s
    return {"seconds": seconds, "answer": fit.cluster_centers_.tolist()}


def main() -> None:
    """Does what the command line says."""
    work, path, *more = sys.argv[1:]
    if work in ("weak", "strong"):
        told = components(path, work)
    else:
        works: dict[str, Callable[..., dict[str, Any]]] = {
            "pagerank": pagerank,
            "logistic": logistic,
            "kmeans": kmeans,
        }
        told = works[work](path, *more)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
