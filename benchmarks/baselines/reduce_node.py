"""Sums a vector over all processes without an engine: NumPy, and a gRPC stream to each peer.

A long vector in slices, of which each process sums one and sends the sum to all; a short one whole to everybody.
"""

import json
import os
import sys
import time

import numpy as np
import numpy.typing as npt

from benchmarks.baselines.exchange_node import SWITCH_INTERVAL_S, Node
from benchmarks.processes import hear, tell
from limnad.bsp.collectives import FLAT_ITEMS

Vector = npt.NDArray[np.float64]


def received(node: Node) -> list[Vector]:
    """A message of each peer, in no order."""
    return [np.frombuffer(node.inbox.get()) for _ in node.peers]


def flat(node: Node, vector: Vector) -> Vector:
    """Everybody sends all."""
    for peer in node.peers:
        node.send(peer, vector.tobytes())
    total = vector.copy()
    for other in received(node):
        total += other
    return total


def scatter(node: Node, vector: Vector) -> Vector:
    """Each sums a slice. For two processes, whose slices need not say whose they are."""
    slices = np.array_split(vector, node.count)
    for peer in node.peers:
        node.send(peer, slices[peer].tobytes())
    mine = slices[node.rank].copy()
    for other in received(node):
        mine += other
    for peer in node.peers:
        node.send(peer, mine.tobytes())
    (other,) = received(node)
    return np.concatenate([mine, other] if node.rank == 0 else [other, mine])


def main() -> None:
    """See `benchmarks.processes` for what is said when."""
    configuration = json.loads(sys.argv[1])
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    node = Node(configuration["rank"], configuration["count"])
    tell(node.port)
    node.connect(hear())
    tell("ready")
    hear()
    vector, rounds = np.ones(configuration["length"]), configuration["rounds"]
    summed = flat if len(vector) <= FLAT_ITEMS else scatter
    began_s = time.monotonic()
    for _ in range(rounds):
        vector = summed(node, vector) / node.count
    tell({"round_s": (time.monotonic() - began_s) / rounds, "total": float(vector[0])})
    hear()
    sys.stdout.flush()
    # The streams are open and their threads wait, but nothing is left to be tidied up.
    os._exit(0)


if __name__ == "__main__":
    main()
