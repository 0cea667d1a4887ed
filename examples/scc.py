"""Strongly connected components by nested fixpoints, kept while edges come and go: the Naiad paper's section 6.1.

Of the edges that are left, those go whose ends are not reached from the same least node, along the edges or against
them; again, until none goes: a fixpoint (which edges) of fixpoints (which least node). An epoch after the first takes
an edge away or brings one, and its answer is what that changes. `limnad.graph` has the same ready-made.

    limnad run examples/scc.py -w 2 -a epochs=20
"""

import numpy as np
import polars as pl

import limnad
from limnad.incremental import Collection, from_stream

EDGES = {"src": int, "dst": int, "diff": int}


def least(edges: Collection) -> Collection:
    """For each node that an edge leads to, the least such node that it is or is reached from."""
    seeds = edges.select(node="dst", label="dst").distinct()

    def spread(labels: Collection) -> Collection:
        sent = labels.rename({"node": "src"}).join(edges.enter(labels), "src").select("label", node="dst")
        return sent.select("node", "label").concat(seeds.enter(labels)).group_by("node").min("label")

    return seeds.iterate(spread, name="labels")


def trim(edges: Collection) -> Collection:
    """The edges whose ends have the same label, turned round."""
    labels = least(edges)
    at_source = edges.join(labels.select(src="node", first="label"), "src")
    at_both = at_source.join(labels.select(dst="node", second="label"), "dst")
    return at_both.filter(pl.col("first") == pl.col("second")).select(src="dst", dst="src")


def on_cycles(edges: Collection) -> Collection:
    """The edges within strongly connected components."""
    return edges.distinct().iterate(lambda left: trim(trim(left)), name="edges")


def history(circles: int, nodes: int, epochs: int, seed: int) -> list[list[tuple[int, int, int]]]:
    """Circles in epoch 0; then an edge that joins any two nodes, or one of a circle's that goes."""
    rng = np.random.default_rng(seed)
    first = [(node, node + 1 if (node + 1) % nodes else node + 1 - nodes, 1) for node in range(circles * nodes)]
    going = [(a, b, -1) for a, b, _ in rng.permutation(first).tolist()]
    coming = [(a, b, 1) for a, b in rng.integers(0, circles * nodes, (epochs, 2)).tolist()]
    return [first, *([coming[epoch] if rng.random() < 0.7 else going.pop()] for epoch in range(epochs - 1))]


def job(flow: limnad.Flow, circles: int = 4, nodes: int = 8, epochs: int = 12, seed: int = 2) -> None:
    told = flow.values(history(circles, nodes, epochs, seed), name="edges").to_frames(EDGES)
    # No edge leads from one component to another any more, so the least node of each reaches all of it.
    components = least(on_cycles(from_stream(told, "diff")))
    components.group_by("label").count("nodes").output("components")
