"""PageRank of a random graph with a few hubs, three ways.

Each way gives the same ranks: by vertex (a sparse matrix on each worker), by edge (gather, apply, scatter), or pregel
(messages from node to node).

    limnad run examples/pagerank.py -w 2 -a nodes=100000 -a edges=1000000 -a way=edge
"""

import numpy as np
import polars as pl

import limnad
from limnad import graph


def job(flow: limnad.Flow, nodes: int = 10_000, edges: int = 60_000, way: str = "vertex") -> None:
    def links(rng: np.random.Generator, _start: int, count: int) -> pl.DataFrame:
        ends = {"src": rng.integers(0, nodes, count), "dst": (nodes * rng.random(count) ** 3).astype(np.int64)}
        return pl.DataFrame(ends, schema={"src": pl.Int64, "dst": pl.Int64})

    ranks = graph.pagerank(flow.generate(links, rows=edges), way=graph.Way(way))
    ranks.top_k(5, by="rank").output("highest ranks")
