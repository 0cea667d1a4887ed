"""An algorithm on a graph in Parquet files; says one number by which its answer can be checked."""

import polars as pl

import limnad
from limnad import graph


def job(flow: limnad.Flow, path: str, algorithm: str, rounds: int = 20, large: float = 1.0) -> None:
    """PageRank: how many ranks are larger than ``large``. Components: how many there are."""
    edges = flow.read_parquet(path)
    if algorithm == "pagerank":
        told = graph.pagerank(edges, tolerance=None, max_rounds=rounds).filter(pl.col("rank") > large)
    elif algorithm == "weak":
        told = graph.connected_components(edges).filter(pl.col("node") == pl.col("component"))
    else:
        told = graph.strongly_connected_components(edges).filter(pl.col("node") == pl.col("component"))
    told.count().output("answer")
