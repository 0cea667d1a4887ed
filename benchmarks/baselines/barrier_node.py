"""A bare barrier over gRPC: every process sends one small message to every other, and waits for one from each.

Four ways, of all that we tried the fastest with grpcio's public API:

``pull``    Each process calls its peers; they answer with a stream that a queue feeds. The waiting thread reads the
            calls itself (`SingleThreadedUnaryStream`): no thread stands between it and the wire on this side.
``inline``  The same, and the sender writes to the stream itself, through a non-blocking handler's callback: no thread
            on that side either.
``asyncio`` Limnad's own streams without Limnad: grpc.aio, and the barrier itself runs in the loop. It tells what of our
            time is gRPC's, and what the engine's.
``push``    Threads: a call to each peer that a queue feeds, and handlers that put what comes into one inbox.
"""

import asyncio
import json
import os
import statistics
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import grpc
import grpc.aio
import grpc.experimental

from benchmarks.processes import hear, tell

WARM_UP = 100
SWITCH_INTERVAL_S = 0.0001
SINGLE_THREADED = (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)
Send = Callable[[int, bytes], None]


def message(round_number: int) -> bytes:
    """As long as a small progress update."""
    return struct.pack("<QQQ", round_number, 0, 0)


def rank_of(context: Any) -> int:
    """Who calls."""
    return int(dict(context.invocation_metadata())["rank"])


class PullNode:
    """``pull`` and ``inline``."""

    def __init__(self, rank: int, count: int, *, inline: bool) -> None:
        self._peers = [peer for peer in range(count) if peer != rank]
        self._rank = rank
        self._inline = inline
        self._queues: dict[int, SimpleQueue[bytes]] = {peer: SimpleQueue() for peer in self._peers}
        self._callbacks: dict[int, Callable[[bytes], None]] = {}
        self._all_called = threading.Event()
        self._calls: dict[int, Iterator[bytes]] = {}
        self._channels: list[grpc.Channel] = []
        self._server = grpc.server(ThreadPoolExecutor(2 * count))
        handler: Any = grpc.unary_stream_rpc_method_handler(self._handler(), None, None)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("barrier", {"Pull": handler}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _handler(self) -> Any:
        if not self._inline:
            return lambda request, context: iter(self._queues[rank_of(context)].get, None)

        def keep(request: bytes, context: Any, send_response_callback: Any = None) -> None:  # noqa: ARG001
            self._callbacks[rank_of(context)] = send_response_callback
            if len(self._callbacks) == len(self._peers):
                self._all_called.set()

        keep.experimental_non_blocking = True  # type: ignore[attr-defined]
        return keep

    def connect(self, addresses: list[str]) -> None:
        """Calls all peers, and waits until all have called."""
        for peer in self._peers:
            channel = grpc.insecure_channel(addresses[peer], options=[SINGLE_THREADED])
            self._channels.append(channel)
            pull: Any = channel.unary_stream("/barrier/Pull", None, None)
            self._calls[peer] = pull(b"", metadata=(("rank", str(self._rank)),), wait_for_ready=True)
        if self._inline:
            self._all_called.wait(timeout=30)

    def run(self, rounds: int) -> list[float]:
        """Seconds of each round."""
        peers, calls = self._peers, list(self._calls.values())
        sends = [self._callbacks[peer] if self._inline else self._queues[peer].put for peer in peers]
        took_s = []
        for number in range(rounds):
            began_s = time.perf_counter()
            out = message(number)
            for send in sends:
                send(out)
            for call in calls:
                assert next(call) == out
            took_s.append(time.perf_counter() - began_s)
        return took_s


class PushNode:
    """``push``."""

    def __init__(self, rank: int, count: int) -> None:
        self._peers = [peer for peer in range(count) if peer != rank]
        self._inbox: SimpleQueue[bytes] = SimpleQueue()
        self._queues: list[SimpleQueue[bytes]] = []
        self._keep: list[Any] = []
        self._server = grpc.server(ThreadPoolExecutor(2 * count))
        handler: Any = grpc.stream_unary_rpc_method_handler(self._receive, None, None)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("barrier", {"Push": handler}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _receive(self, requests: Iterator[bytes], context: Any) -> bytes:
        for request in requests:
            self._inbox.put(request)
        return b""

    def connect(self, addresses: list[str]) -> None:
        """Opens a stream to each peer."""
        for peer in self._peers:
            channel = grpc.insecure_channel(addresses[peer])
            queue: SimpleQueue[bytes] = SimpleQueue()
            push: Any = channel.stream_unary("/barrier/Push", None, None)
            self._keep += [channel, push.future(iter(queue.get, None), wait_for_ready=True)]
            self._queues.append(queue)

    def run(self, rounds: int) -> list[float]:
        """Seconds of each round."""
        took_s, early, others = [], 0, len(self._peers)
        for number in range(rounds):
            began_s = time.perf_counter()
            out = message(number)
            for queue in self._queues:
                queue.put(out)
            arrived, early = early, 0
            while arrived < others:
                if self._inbox.get() == out:
                    arrived += 1
                else:
                    early += 1  # A peer may be one round ahead, never two.
            took_s.append(time.perf_counter() - began_s)
        return took_s


class AsyncNode:
    """``asyncio``."""

    def __init__(self, rank: int, count: int) -> None:
        self._rank, self._others = rank, count - 1
        self._peers = [peer for peer in range(count) if peer != rank]
        self._calls: list[Any] = []
        self._round = 0
        self._arrived = [0, 0]
        self._all: asyncio.Future[None] | None = None

    async def serve(self) -> int:
        """Starts; the port."""
        self._server = grpc.aio.server()
        handler: Any = grpc.stream_unary_rpc_method_handler(self._receive, None, None)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("barrier", {"Push": handler}),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    async def _receive(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        while (got := await context.read()) is not grpc.aio.EOF:
            # A peer may be one round ahead, never two.
            number = struct.unpack_from("<Q", got)[0]
            self._arrived[number % 2] += 1
            if number == self._round and self._all is not None and self._arrived[number % 2] == self._others:
                self._all.set_result(None)
        return b""

    def connect(self, addresses: list[str]) -> None:
        """Opens a stream to each peer."""
        for peer in self._peers:
            channel = grpc.aio.insecure_channel(addresses[peer])
            self._calls.append(channel.stream_unary("/barrier/Push", None, None)(wait_for_ready=True))

    async def run(self, rounds: int) -> list[float]:
        """Seconds of each round."""
        took_s = []
        for number in range(rounds):
            began_s = time.perf_counter()
            out = message(number)
            if len(self._calls) == 1:
                await self._calls[0].write(out)
            else:
                await asyncio.gather(*[call.write(out) for call in self._calls])
            if self._arrived[number % 2] < self._others:
                self._all = asyncio.get_running_loop().create_future()
                await self._all
                self._all = None
            self._arrived[number % 2] = 0
            self._round = number + 1
            took_s.append(time.perf_counter() - began_s)
        await asyncio.sleep(0.05)
        return took_s


def run_threads(mode: str, rank: int, count: int, rounds: int) -> None:
    """``pull``, ``inline`` and ``push``."""
    node = PushNode(rank, count) if mode == "push" else PullNode(rank, count, inline=mode == "inline")
    tell(node.port)
    node.connect(hear())
    tell("ready")
    hear()
    finish(node.run(rounds))


async def run_asyncio(rank: int, count: int, rounds: int) -> None:
    """``asyncio``."""
    node = AsyncNode(rank, count)
    loop = asyncio.get_running_loop()
    tell(await node.serve())
    node.connect(await loop.run_in_executor(None, hear))
    tell("ready")
    await loop.run_in_executor(None, hear)
    finish(await node.run(rounds))


def finish(took_s: list[float]) -> None:
    """Tells the median, and ends; the streams are open and their threads wait, but nothing is left to be tidied up."""
    tell({"median_us": statistics.median(took_s[WARM_UP:]) * 1e6})
    hear()
    os._exit(0)


def main() -> None:
    """See `benchmarks.processes` for what is said when."""
    told = json.loads(sys.argv[1])
    mode, rank, count, rounds = told["mode"], told["rank"], told["count"], WARM_UP + told["rounds"]
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if mode == "asyncio":
        asyncio.run(run_asyncio(rank, count, rounds))
    else:
        run_threads(mode, rank, count, rounds)


if __name__ == "__main__":
    main()
