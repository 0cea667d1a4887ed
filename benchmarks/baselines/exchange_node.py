"""Rows from every process to every other without an engine: what exchange costs when somebody writes it by hand.

Mode ``pipeline``: make a batch, hash its keys, split it, Arrow IPC, a gRPC stream to each peer, decode, count. Mode
``bytes``: only the gRPC streams, with as many bytes in messages of the same size.
"""

import io
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Semaphore
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.jobs.exchange import BATCH_ROWS, make
from benchmarks.processes import hear, tell

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
WAITING_MESSAGES = 32
"""How many messages to one peer may wait: a pipeline that makes rows faster than they go would fill the memory."""

ROW_BYTES = 16
SWITCH_INTERVAL_S = 0.0001
END = b""


class Node:
    """One process: its inbox, and a stream to each peer."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self.inbox: SimpleQueue[bytes] = SimpleQueue()
        self._server = grpc.server(ThreadPoolExecutor(2 * count), options=OPTIONS)
        handler: Any = grpc.stream_unary_rpc_method_handler(self._receive, None, None)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("exchange", {"Rows": handler}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self._queues: dict[int, SimpleQueue[bytes]] = {}
        self._room: dict[int, Semaphore] = {}
        self._keep: list[Any] = []

    def _receive(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        put = self.inbox.put
        for message in requests:
            put(message)
        return b""

    def connect(self, addresses: list[str]) -> None:
        """Opens the streams."""
        for peer in self.peers:
            channel = grpc.insecure_channel(addresses[peer], options=OPTIONS)
            grpc.channel_ready_future(channel).result(timeout=30)
            self._queues[peer], self._room[peer] = SimpleQueue(), Semaphore(WAITING_MESSAGES)
            rows: Any = channel.stream_unary("/exchange/Rows", None, None)
            self._keep += [channel, rows.future(self._outgoing(peer))]

    @property
    def peers(self) -> list[int]:
        """All others."""
        return [peer for peer in range(self.count) if peer != self.rank]

    def _outgoing(self, peer: int) -> Iterator[bytes]:
        get, release = self._queues[peer].get, self._room[peer].release
        while True:
            message = get()
            yield message
            release()

    def send(self, peer: int, message: bytes) -> None:
        """Queues a message; waits while too many wait."""
        self._room[peer].acquire()
        self._queues[peer].put(message)


def mix(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64: every bit of a key moves every bit of its hash."""
    keys = keys ^ (keys >> np.uint64(30))
    keys *= np.uint64(0xBF58476D1CE4E5B9)
    keys ^= keys >> np.uint64(27)
    keys *= np.uint64(0x94D049BB133111EB)
    keys ^= keys >> np.uint64(31)
    return keys


def split(frame: pl.DataFrame, count: int) -> list[pl.DataFrame]:
    """A part for each process, by the hash of the key."""
    hashes = mix(frame["key"].to_numpy().view(np.uint64))
    destinations = ((hashes >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)
    return [frame.filter(pl.Series(destinations == number)) for number in range(count)]


def pack(frame: pl.DataFrame) -> bytes:
    """Arrow IPC."""
    sink = io.BytesIO()
    frame.write_ipc_stream(sink)
    return sink.getvalue()


def batches(node: Node, rows: int) -> Iterator[pl.DataFrame]:
    """This process's share of the rows."""
    first, last = rows * node.rank // node.count, rows * (node.rank + 1) // node.count
    for start in range(first, last, BATCH_ROWS):
        rng = np.random.default_rng([0, node.rank, start])
        yield make(rng, start, min(BATCH_ROWS, last - start))


def pipeline(node: Node, rows: int) -> int:
    """How many rows came here."""
    arrived = ended = 0

    def take(message: bytes) -> None:
        nonlocal arrived, ended
        if message == END:
            ended += 1
        else:
            arrived += len(pl.read_ipc_stream(message))

    for frame in batches(node, rows):
        for peer, part in enumerate(split(frame, node.count)):
            if peer == node.rank:
                arrived += len(part)
            else:
                node.send(peer, pack(part))
        while not node.inbox.empty():
            take(node.inbox.get())
    for peer in node.peers:
        node.send(peer, END)
    while ended < len(node.peers):
        take(node.inbox.get())
    return arrived


def only_bytes(node: Node, rows: int) -> int:
    """How many rows' bytes came here, with those that would have stayed."""
    message = bytes(BATCH_ROWS * ROW_BYTES // node.count)
    messages = rows // node.count // BATCH_ROWS
    for _ in range(messages):
        for peer in node.peers:
            node.send(peer, message)
    arrived = messages * len(message)
    for _ in range(messages * len(node.peers)):
        arrived += len(node.inbox.get())
    return arrived // ROW_BYTES


def main() -> None:
    """See `benchmarks.processes` for what is said when."""
    configuration = json.loads(sys.argv[1])
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    node = Node(configuration["rank"], configuration["count"])
    tell(node.port)
    node.connect(hear())
    tell("ready")
    hear()
    began_s = time.monotonic()
    work = pipeline if configuration["mode"] == "pipeline" else only_bytes
    arrived = work(node, configuration["rows"])
    tell({"rows": arrived, "began_s": began_s, "ended_s": time.monotonic()})
    hear()
    sys.stdout.flush()
    # The streams are open and their threads wait, but nothing is left to be tidied up.
    os._exit(0)


if __name__ == "__main__":
    main()
