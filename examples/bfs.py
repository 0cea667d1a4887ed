"""Breadth-first search as a loop: how far each node of a random graph is from node 0.

Each trip round the loop joins the newly found nodes with the edges. A node is new when no earlier trip has found it:
`Discover`, a vertex of our own, remembers that for each epoch and forgets it when the epoch is complete.

    limnad run examples/bfs.py -w 2 -a nodes=10000
"""

from collections import defaultdict

import numpy as np

import limnad

Found = tuple[int, int]  # a node and its distance


class Discover(limnad.Vertex):
    """Passes on each node once an epoch, with the least distance; port 0: found nodes, port 1: edges."""

    def __init__(self) -> None:
        self.neighbours: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self.known: dict[int, set[int]] = defaultdict(set)
        self.found: dict[limnad.Timestamp, set[int]] = defaultdict(set)

    def on_recv(self, port: int, batch: list[tuple[int, int]], time: limnad.Timestamp) -> None:
        epoch = time[0]
        if port == 1:
            for source, target in batch:
                self.neighbours[epoch][source].append(target)
            return
        if time not in self.found:
            self.notify_at(time)
        self.found[time].update(node for node, _ in batch)

    def on_notify(self, time: limnad.Timestamp) -> None:
        epoch, distance = time
        new = self.found.pop(time) - self.known[epoch]
        self.known[epoch] |= new
        self.send_by(0, [(node, distance) for node in new], time)
        self.send_by(1, [(near, distance + 1) for node in new for near in self.neighbours[epoch][node]], time)


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
