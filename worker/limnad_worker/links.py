"""The streams between the engines of one job: bytes to events and events to bytes.

To each peer this engine opens a data stream and a progress stream; from each peer it receives both. Sending only puts
a message into an outbox; what arrives goes into the engine's inbox. The bytes move while the engine looks into it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from limnad.cluster.effects import Ack, Data, Progress
from limnad.timely.tracker import Update
from limnad_proto.channels import listen, make_server, open_channel
from limnad_proto.v1 import exchange_pb2 as wire
from limnad_worker import framing
from limnad_worker.inbox import Inbox, Outbox

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which engine this is: what every stream is opened with."""

    job: str
    generation: int
    worker: int

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """As gRPC metadata."""
        return (
            ("limnad-job", self.job),
            ("limnad-generation", str(self.generation)),
            ("limnad-worker", str(self.worker)),
        )


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of a peer: a `framing.Frame` or a `ProgressMessage`."""

    sender: int
    message: Any


@dataclass(frozen=True, slots=True)
class Broken:
    """A stream to or from a peer has ended before its time."""

    peer: int
    reason: str


class Server:
    """Receives the streams of all peers.

    Args:
        inbox: Where what arrives goes.
        host: The interface to listen on.
    """

    def __init__(self, inbox: Inbox, host: str) -> None:
        self._inbox = inbox
        self._identity: Identity | None = None
        self._closing = False
        self._server = inbox.run(self._make())
        self.port = listen(self._server, host)
        self.address = f"{host}:{self.port}"
        inbox.run(self._server.start())

    async def _make(self) -> grpc.aio.Server:
        server = make_server()
        handlers = {
            "Data": grpc.stream_unary_rpc_method_handler(self._data, None, wire.StreamEnd.SerializeToString),
            "Progress": grpc.stream_unary_rpc_method_handler(
                self._progress, wire.ProgressMessage.FromString, wire.StreamEnd.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("limnad.v1.Exchange", handlers),))
        return server

    def admit(self, identity: Identity) -> None:
        """From now on peers of this job and generation are let in."""
        self._identity = identity

    def close(self) -> None:
        """Ends all streams."""
        self._closing = True
        self._inbox.run(self._server.stop(None))

    async def _sender(self, context: Context) -> int:
        told = {key: str(value) for key, value in context.invocation_metadata() or ()}
        identity = self._identity
        try:
            sender = Identity(told["limnad-job"], int(told["limnad-generation"]), int(told["limnad-worker"]))
        except (KeyError, ValueError):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a stream names its job, generation and worker")
        if identity is None or (sender.job, sender.generation) != (identity.job, identity.generation):
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"this engine is not of job {sender.job!r}, generation {sender.generation}",
            )
        return sender.worker

    async def _data(self, requests: Any, context: Context) -> wire.StreamEnd:
        return await self._receive(await self._sender(context), context, framing.unpack, "data")

    async def _progress(self, requests: Any, context: Context) -> wire.StreamEnd:
        return await self._receive(await self._sender(context), context, None, "progress")

    async def _receive(
        self, sender: int, context: Context, unpack: Callable[[Any], Any] | None, stream: str
    ) -> wire.StreamEnd:
        put, read, received = self._inbox.put, context.read, 0
        try:
            while (message := await read()) is not grpc.aio.EOF:
                received += 1
                put(Arrived(sender, unpack(message) if unpack else message))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, the stream is no more
            if not self._closing:
                put(Broken(sender, f"the {stream} stream from worker {sender} broke: {_reason(error)}"))
        return wire.StreamEnd(received=received)


class Peer:
    """The streams to one peer."""

    def __init__(self, worker: int, address: str, identity: Identity, inbox: Inbox) -> None:
        self.worker = worker
        self.data_bytes = 0
        self.progress_bytes = 0
        self._inbox = inbox
        self._closing = False
        self._data: Outbox[bytes] = Outbox()
        self._progress: Outbox[bytes] = Outbox()
        inbox.run(self._open(address, identity))

    async def _open(self, address: str, identity: Identity) -> None:
        self._channel = open_channel(address)
        self._writers = [
            asyncio.create_task(self._write("Data", self._data, identity)),
            asyncio.create_task(self._write("Progress", self._progress, identity)),
        ]

    async def _write(self, method: str, outbox: Outbox[bytes], identity: Identity) -> None:
        stub: Any = self._channel.stream_unary(f"/limnad.v1.Exchange/{method}", None, wire.StreamEnd.FromString)
        call = stub(metadata=identity.metadata(), wait_for_ready=False)
        writing = asyncio.ensure_future(outbox.write_all(call.write))
        # Who waits for something to write would else not notice that the stream has ended.
        call.add_done_callback(lambda _: writing.cancel())
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            await writing
        if not self._closing:
            reason = await call.details() or await call.code()
            self._inbox.put(Broken(self.worker, f"the {method.lower()} stream to worker {self.worker} broke: {reason}"))

    def send_data(self, message: bytes) -> None:
        """Queues a packed batch."""
        self.data_bytes += len(message)
        self._data.put(message)

    def send_progress(self, message: bytes) -> None:
        """Queues a serialised `ProgressMessage`."""
        self.progress_bytes += len(message)
        self._progress.put(message)

    def close(self) -> None:
        """Ends both streams."""
        self._closing = True
        for writer in self._writers:
            writer.cancel()
        self._inbox.run(self._channel.close())


def connect(members: Sequence[str], identity: Identity, inbox: Inbox) -> dict[int, Peer]:
    """Opens the streams to all other members."""
    return {
        worker: Peer(worker, address, identity, inbox)
        for worker, address in enumerate(members)
        if worker != identity.worker
    }


def pack_progress(message: Progress) -> bytes:
    """A `ProgressMessage` with one batch of updates."""
    flat: list[int] = []
    for location, time, delta in message.updates:
        flat += (location, len(time), *time, delta)
    batch = wire.ProgressBatch(sequence=message.sequence, updates=flat, epochs=message.epochs)
    return wire.ProgressMessage(batch=batch).SerializeToString()


def unpack_progress(batch: wire.ProgressBatch) -> Progress:
    """What `pack_progress` has written."""
    flat = list(batch.updates)
    updates: list[Update] = []
    place = 0
    while place < len(flat):
        location, depth = flat[place], flat[place + 1]
        end = place + 2 + depth
        updates.append((location, tuple(flat[place + 2 : end]), flat[end]))
        place = end + 1
    return Progress(batch.sequence, updates, batch.epochs)


def pack_ack(ack: Ack) -> bytes:
    """A `ProgressMessage` with an acknowledgement."""
    return wire.ProgressMessage(
        ack=wire.DataAck(received=ack.received, queued_bytes=ack.queued_bytes)
    ).SerializeToString()


def pack_data(effect: Data, encoding: int, payload: bytes | memoryview) -> bytes:
    """A packed `DataBatch`."""
    return framing.pack(effect.sequence, effect.connector, effect.time, encoding, payload)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
