"""The streams between the engines of one job: bytes to events and events to bytes.

To each peer this engine opens a data stream and a progress stream; from each peer it receives both. With a coordinator
it opens one stream to it, which goes both ways. Sending only puts a message into an outbox; what arrives goes into the
engine's inbox. The bytes move while the engine looks into it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from limnad.cluster.effects import COORDINATOR, Ack, Data, Progress, flatten, unflatten
from limnad.cluster.leader import Appointed
from limnad_proto.channels import listen, make_server, open_channel
from limnad_proto.tls import Role
from limnad_proto.v1 import control_pb2
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
    secret: str = field(repr=False)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """As gRPC metadata."""
        return (
            ("limnad-job", self.job),
            ("limnad-generation", str(self.generation)),
            ("limnad-worker", str(self.worker)),
            ("limnad-secret", self.secret),
        )


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of a peer or the coordinator: a `framing.Frame` or a `ProgressMessage`."""

    sender: int
    message: Any


@dataclass(frozen=True, slots=True)
class Broken:
    """A stream to or from a peer or the coordinator has ended before its time."""

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
        self.port = listen(self._server, Role.WORKER, host)
        self.address = f"{host}:{self.port}"
        inbox.run(self._server.start())

    async def _make(self) -> grpc.aio.Server:
        server = make_server(Role.WORKER)
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
            worker, generation = int(told["limnad-worker"]), int(told["limnad-generation"])
            sender = Identity(told["limnad-job"], generation, worker, told["limnad-secret"])
        except (KeyError, ValueError):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a stream has a job, generation, worker, secret")
        if identity is None or (sender.job, sender.generation) != (identity.job, identity.generation):
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"this engine is not of job {sender.job!r}, generation {sender.generation}",
            )
        # What goes on from here may be unpickled.
        if not hmac.compare_digest(sender.secret.encode(), identity.secret.encode()):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the secret of that generation is another one")
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
                put(Broken(f"the {stream} stream from worker {sender} broke: {_reason(error)}"))
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
        self._channel = open_channel(address, Role.WORKER)
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
            self._inbox.put(Broken(f"the {method.lower()} stream to worker {self.worker} broke: {reason}"))

    def send_data(self, message: bytes) -> None:
        """Queues a packed batch."""
        self.data_bytes += len(message)
        self._data.put(message)

    def send_progress(self, message: bytes) -> None:
        """Queues a serialised `ProgressMessage` with a batch."""
        self.progress_bytes += len(message)
        self._progress.put(message)

    def send_ack(self, message: bytes) -> None:
        """Queues a serialised `ProgressMessage` with an acknowledgement."""
        self._progress.put(message)

    def close(self) -> None:
        """Ends both streams."""
        self._closing = True
        for writer in self._writers:
            writer.cancel()
        self._inbox.run(self._channel.close())


class CoordinatorLink:
    """The stream to the coordinator: this engine's progress out, the sums of all engines' in.

    Attributes:
        progress_bytes: What has gone either way.
    """

    def __init__(self, coordinator: Appointed, identity: Identity, inbox: Inbox) -> None:
        self.progress_bytes = 0
        self._inbox = inbox
        self._closing = False
        self._progress: Outbox[bytes] = Outbox()
        inbox.run(self._open(coordinator, identity))

    async def _open(self, coordinator: Appointed, identity: Identity) -> None:
        self._channel = open_channel(coordinator.address, Role.COORDINATOR)
        stub: Any = self._channel.stream_stream("/limnad.v1.Coordinator/Accumulate", None, None)
        call = stub(metadata=(*identity.metadata(), ("limnad-coordinator", coordinator.identity)), wait_for_ready=False)
        self._tasks = [asyncio.create_task(self._write(call)), asyncio.create_task(self._read(call))]

    async def _write(self, call: Any) -> None:
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):  # The reader tells.
            await self._progress.write_all(call.write)

    async def _read(self, call: Any) -> None:
        with contextlib.suppress(grpc.RpcError):
            while (message := await call.read()) is not grpc.aio.EOF:
                self.progress_bytes += len(message)
                self._inbox.put(Arrived(COORDINATOR, wire.ProgressMessage.FromString(message)))
        if not self._closing:
            reason = await call.details() or await call.code()
            self._inbox.put(Broken(f"the stream to the coordinator broke: {reason}"))

    def send_progress(self, message: bytes) -> None:
        """Queues a serialised `ProgressMessage` with a batch."""
        self.progress_bytes += len(message)
        self._progress.put(message)

    def close(self) -> None:
        """Ends the stream."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        self._inbox.run(self._channel.close())


def connect(members: Sequence[str], identity: Identity, inbox: Inbox) -> dict[int, Peer]:
    """Opens the streams to all other members."""
    return {
        worker: Peer(worker, address, identity, inbox)
        for worker, address in enumerate(members)
        if worker != identity.worker
    }


def connect_hearers(
    peers: dict[int, Peer], start: control_pb2.Start, identity: Identity, inbox: Inbox
) -> Sequence[Peer | CoordinatorLink]:
    """Those whom an engine tells its progress: the coordinator, where there is one, else all peers."""
    if not start.HasField("coordinator"):
        return list(peers.values())
    return [CoordinatorLink(Appointed(start.coordinator.address, start.coordinator.identity), identity, inbox)]


def pack_progress(message: Progress) -> bytes:
    """A `ProgressMessage` with one batch of updates."""
    updates = flatten(message.updates)
    batch = wire.ProgressBatch(sequence=message.sequence, updates=updates, epochs=message.epochs)
    return wire.ProgressMessage(batch=batch).SerializeToString()


def unpack_progress(batch: wire.ProgressBatch) -> Progress:
    """What `pack_progress` has written."""
    return Progress(batch.sequence, unflatten(list(batch.updates)), batch.epochs)


def pack_ack(ack: Ack) -> bytes:
    """A `ProgressMessage` with an acknowledgement."""
    return wire.ProgressMessage(
        ack=wire.DataAck(received=ack.received, queued_bytes=ack.queued_bytes, full=ack.full)
    ).SerializeToString()


def unpack_ack(peer: int, ack: wire.DataAck) -> Ack:
    """What `pack_ack` has written; the peer is the one that sends it."""
    return Ack(peer, ack.received, ack.queued_bytes, ack.full)


def pack_data(effect: Data, encoding: int, payload: bytes | memoryview) -> bytes:
    """A packed `DataBatch`."""
    return framing.pack(effect.sequence, effect.connector, effect.time, encoding, payload)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
