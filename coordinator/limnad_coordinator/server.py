"""The coordinator's gRPC service: streams of workers in, sums out, on one event loop in one thread."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from weakref import WeakValueDictionary

import grpc

from limnad.cluster.coordinator import Accumulator, Coordinator, Refused, Ticket
from limnad.cluster.effects import LinkError, Progress, flatten, unflatten
from limnad_proto.channels import listen, make_server
from limnad_proto.tls import Role
from limnad_proto.v1 import coordinator_pb2
from limnad_proto.v1 import exchange_pb2 as wire

Context = grpc.aio.ServicerContext[Any, Any]


class Server:
    """Serves one `Coordinator`.

    Args:
        identity: See there.
    """

    def __init__(self, identity: str) -> None:
        self._coordinator = Coordinator(identity)
        # Each as long as somebody is served in it.
        self._generations: WeakValueDictionary[Accumulator, Generation] = WeakValueDictionary()
        self._server = make_server(Role.COORDINATOR)
        handlers: dict[str, Any] = {
            "Assign": grpc.unary_unary_rpc_method_handler(
                self._assign,
                coordinator_pb2.AssignRequest.FromString,
                coordinator_pb2.AssignResponse.SerializeToString,
            ),
            "Accumulate": grpc.stream_stream_rpc_method_handler(
                self._accumulate, wire.ProgressMessage.FromString, None
            ),
        }
        service = grpc.method_handlers_generic_handler("limnad.v1.Coordinator", handlers)
        self._server.add_generic_rpc_handlers((service,))

    async def start(self, host: str, port: int) -> str:
        """Listens; returns the address.

        Raises:
            RuntimeError: The port is taken.
        """
        address = f"{host}:{listen(self._server, Role.COORDINATOR, host, port)}"
        await self._server.start()
        return address

    async def stop(self) -> None:
        """Ends all streams."""
        await self._server.stop(None)

    async def _assign(self, request: coordinator_pb2.AssignRequest, context: Context) -> coordinator_pb2.AssignResponse:
        try:
            self._coordinator.assign(request.job, request.generation, request.workers)
        except Refused as refused:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refused))
        return coordinator_pb2.AssignResponse(identity=self._coordinator.identity)

    async def _accumulate(self, requests: Any, context: Context) -> None:
        told = {key: str(value) for key, value in context.invocation_metadata() or ()}
        try:
            generation, worker = int(told["limnad-generation"]), int(told["limnad-worker"])
            ticket = Ticket(told["limnad-coordinator"], told["limnad-job"], generation, worker)
            accumulator = self._coordinator.attach(ticket)
        except (KeyError, ValueError):
            sentence = "a stream names its job, generation, worker and coordinator"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, sentence)
        except Refused as refused:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refused))
        try:
            await self._generations.setdefault(accumulator, Generation(accumulator)).serve(worker, context)
        finally:
            self._coordinator.left(ticket)


class Generation:
    """The streams of one generation."""

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        self._streams: dict[int, Context] = {}
        self._broadcast: asyncio.Task[None] | None = None

    async def serve(self, worker: int, context: Context) -> None:
        """Takes what a worker sends, until it ends its stream.

        A stream that breaks concerns nobody else here: its worker tells the leader, who ends the generation.
        """
        self._streams[worker] = context
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                batch = message.batch
                update = Progress(batch.sequence, unflatten(list(batch.updates)), batch.epochs)
                self._send(self._accumulator.arrived(worker, update))
        except LinkError as error:
            await context.abort(grpc.StatusCode.DATA_LOSS, str(error))
        finally:
            del self._streams[worker]

    def _send(self, message: Progress | None) -> None:
        if message is not None:
            batch = wire.ProgressBatch(
                sequence=message.sequence, updates=flatten(message.updates), epochs=message.epochs
            )
            data = wire.ProgressMessage(batch=batch).SerializeToString()
            self._broadcast = asyncio.create_task(self._send_all(data))

    async def _send_all(self, data: bytes) -> None:
        await asyncio.gather(*[_write(stream, data) for stream in self._streams.values()])
        self._send(self._accumulator.sent())


async def _write(stream: Context, data: bytes) -> None:
    # A stream that has just broken; see `Generation.serve`.
    with contextlib.suppress(grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
        await stream.write(data)
