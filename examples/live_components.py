"""Connected components of a network whose links come and go: each epoch gives exactly what has changed.

One index of the links serves the loop; small labels go ahead, so that larger ones hardly travel. Deleting a link that
holds a component together splits it: the labels on one side rise.

    limnad run examples/live_components.py -w 2 -a epochs=20
"""

import numpy as np
import polars as pl

import limnad
from limnad.incremental import Collection, Variable, from_stream


def history(nodes: int, links: int, epochs: int, seed: int) -> list[list[tuple[int, int, int]]]:
    """A network in epoch 0; then a link less or more in each."""
    rng = np.random.default_rng(seed)
    there = {(int(a), int(b)) for a, b in rng.integers(0, nodes, (links, 2)) if a != b}
    told = [[(a, b, 1) for a, b in sorted(there)]]
    for _ in range(epochs - 1):
        if rng.random() < 0.5:
            a, b = sorted(there)[rng.integers(len(there))]
            there.remove((a, b))
            told.append([(a, b, -1)])
        else:
            a, b = (int(node) for node in rng.choice(nodes, 2, replace=False))
            told.append([] if (a, b) in there else [(a, b, 1)])
            there.add((a, b))
    return told


def components(links: Collection) -> Collection:
    near = links.concat(links.select(a="b", b="a")).distinct()
    nodes = near.select("a", label="a").distinct()
    by_node = near.arrange_by("a")

    loop = links.stream.flow.loop("components")
    proposals = Variable(loop, nodes.schema)
    size = (pl.col("label") + 1).log(2).floor().cast(pl.Int64)
    labels = nodes.enter_at(loop, 16 * size).concat(proposals.collection).group_by("a").min("label")
    proposals.set(labels.join(by_node.enter(loop), "a").select(a="b", label="label"))
    return labels.leave()


def job(flow: limnad.Flow, nodes: int = 40, links: int = 45, epochs: int = 20, seed: int = 1) -> None:
    told = flow.values(history(nodes, links, epochs, seed), name="links").to_frames({"a": int, "b": int, "diff": int})
    labels = components(from_stream(told, "diff"))
    labels.output("labels")
    labels.group_by("label").count("nodes").output("components")
