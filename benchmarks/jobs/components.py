"""Connected components of a random graph: each node takes the least label of its neighbours until nothing changes."""

from collections import defaultdict

import numpy as np

import limnad
from limnad.connectors.lists import ListSource

Labelled = tuple[int, int]


class Spread(limnad.Vertex):
    """Keeps each node's least label; what is new goes to its neighbours at once. Port 0: labels, port 1: edges."""

    stateless = True

    def __init__(self) -> None:
        self._neighbours: dict[int, list[int]] = defaultdict(list)
        self._labels: dict[int, int] = {}

    def on_recv(self, port: int, batch: list[Labelled], time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""
        self.send_by(0, self._met(batch) if port else self._lowered(batch, time), time)

    def _met(self, edges: list[Labelled]) -> list[Labelled]:
        for source, target in edges:
            self._neighbours[source].append(target)
        labels = self._labels
        return [(target, labels[source]) for source, target in edges if source in labels]

    def _lowered(self, offered: list[Labelled], time: limnad.Timestamp) -> list[Labelled]:
        news: dict[int, int] = {}
        for node, label in offered:
            if label < self._labels.get(node, label + 1):
                self._labels[node] = news[node] = label
        self.send_by(1, list(news.items()), time)
        return [(near, label) for node, label in news.items() for near in self._neighbours[node]]


def job(flow: limnad.Flow, nodes: int = 4_000, edges: int = 4_000, seed: int = 1) -> None:
    """One epoch; the output is how many components there are."""
    ends = np.random.default_rng(seed).integers(0, nodes, (edges, 2)).tolist()
    pieces = [[tuple(pair) for pair in ends[start::8]] for start in range(8)]
    graph = flow.read(ListSource([[piece] for piece in pieces]), "edges")
    own = graph.flat_map(lambda edge: [(node, node) for node in edge])
    loop = flow.loop("spread")
    entered = loop.enter(own)
    again = loop.feedback(entered)
    offered = entered.concat(again.stream).partition_by(lambda pair: pair[0])
    both_ways = loop.enter(graph).flat_map(lambda edge: [edge, edge[::-1]]).partition_by(lambda edge: edge[0])
    onward, news = flow.vertex(Spread, offered, both_ways, outputs=2, name="spread")
    again.connect(onward)
    labels = loop.leave(news).as_keyed().reduce_by_key(min)
    labels.map(lambda pair: pair[1]).distinct().count().output("components")
