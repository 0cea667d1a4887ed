"""Approximate shortest paths: how far apart are two places, by way of a landmark.

Distances from a few landmarks are computed once, for all nodes; then any pair is answered by a join. An answer is never
too small.

    limnad run examples/asp.py -w 2 -a side=300
"""

import polars as pl

import limnad
from limnad import graph

ENDS = {"src": pl.Int64, "dst": pl.Int64}


def streets(side: int) -> list[tuple[int, int]]:
    """A town of square blocks; place ``(x, y)`` is node ``x + side * y``."""
    places = range(side * side)
    east = [(place, place + 1) for place in places if (place + 1) % side]
    south = [(place, place + side) for place in places if place + side < side * side]
    return east + south + [(b, a) for a, b in east + south]


def job(flow: limnad.Flow, side: int = 20) -> None:
    edges = flow.values([streets(side)], name="streets").to_frames(ENDS)
    corners = [(0,), (side - 1,), (side * (side - 1),), (side * side - 1,)]
    landmarks = flow.values([corners], name="landmarks").to_frames({"node": pl.Int64})
    pairs = flow.values([[(1, side * side - 2), (side + 1, 2 * side + 2)]], name="pairs").to_frames(ENDS)
    distances = graph.landmark_distances(edges, landmarks)
    graph.estimated_distances(pairs, distances).output("at most")
