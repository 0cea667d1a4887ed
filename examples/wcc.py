"""Weakly connected components of a random graph: how many there are of each size.

Each worker solves the edges that it has; only what they disagree about travels.

    limnad run examples/wcc.py -w 2 -a nodes=1000000 -a edges=600000
"""

import numpy as np
import polars as pl

import limnad
from limnad import graph


def job(flow: limnad.Flow, nodes: int = 10_000, edges: int = 6_000) -> None:
    def links(rng: np.random.Generator, _start: int, count: int) -> pl.DataFrame:
        return pl.DataFrame(rng.integers(0, nodes, (count, 2)), schema={"src": pl.Int64, "dst": pl.Int64})

    components = graph.connected_components(flow.generate(links, rows=edges))
    sizes = components.group_by("component").len("size")
    sizes.group_by("size").len("components").sort("size").output("sizes")
