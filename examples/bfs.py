"""Breadth-first search as a loop: how far each node of a random graph is from node 0.

Each trip round the loop joins the newly found nodes with the edges. A node is new when no earlier trip has found it:
`Discover`, a vertex of our own, remembers that. What it remembers is declared as state, so checkpoints hold it, and
nodes find their worker again when the number of workers changes.

    limnad run examples/bfs.py -w 2 -a nodes=10000
"""

import numpy as np

import limnad

Found = tuple[int, int]  # a node and its distance
Node = tuple[int, int]  # the epoch and the node: each epoch has a graph of its own


class Discover(limnad.Vertex):
    """Passes on each node once an epoch, with the least distance; port 0: found nodes, port 1: edges."""

    def __init__(self) -> None:
        self.neighbours = limnad.KeyedState[Node, tuple[int, ...]]("neighbours", by=lambda node: node[1])
        self.known = limnad.KeyedState[Node, bool]("known", by=lambda node: node[1])
        self.found = limnad.TimedBatches("found")

    def on_recv(self, port: int, batch: list[tuple[int, int]], time: limnad.Timestamp) -> None:
        if port == 0 and self.found.add(time, 0, batch):
            self.notify_at(time)
        if port == 1:
            for source, target in batch:
                node = (time[0], source)
                self.neighbours[node] = (*self.neighbours.get(node, ()), target)

    def on_notify(self, time: limnad.Timestamp) -> None:
        epoch, distance = time
        (batches,) = self.found.pop(time)
        new = {node for batch in batches for node, _ in batch if (epoch, node) not in self.known}
        self.known.update({(epoch, node): True for node in new})
        near = [(other, distance + 1) for node in new for other in self.neighbours.get((epoch, node), ())]
        self.send_by(0, [(node, distance) for node in new], time)
        self.send_by(1, near, time)


def random_edges(rng: np.random.Generator, nodes: int, edges: int) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in rng.integers(0, nodes, (edges, 2))]


def job(flow: limnad.Flow, nodes: int = 2_000, edges: int = 6_000, seed: int = 1) -> None:
    graph = flow.values([random_edges(np.random.default_rng(seed), nodes, edges)], name="edges")
    root = flow.values([[(0, 0)]], name="root")

    loop = flow.loop("search")
    start = loop.enter(root)
    again = loop.feedback(start)
    frontier = start.concat(again.stream).partition_by(lambda found: found[0])
    both_ways = loop.enter(graph).flat_map(lambda edge: [edge, edge[::-1]]).partition_by(lambda edge: edge[0])
    found, near = flow.vertex(Discover, frontier, both_ways, outputs=2, name="discover")
    again.connect(near.distinct())

    distances = loop.leave(found).to_frames({"node": int, "distance": int})
    distances.group_by("distance").len("nodes").sort("distance").output("nodes at each distance")
