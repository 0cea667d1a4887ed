"""What is no message of a method, or too large a one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from limnad_proto.messages import SMALL_BYTES, WholeMessages, first_message
from limnad_proto.v1 import control_pb2, coordinator_pb2

NO_MESSAGE = b"\xff\xff\xff"
BAD, LARGE = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED


async def assign(request: coordinator_pb2.AssignRequest, context: Any) -> coordinator_pb2.AssignResponse:
    del context
    return coordinator_pb2.AssignResponse(identity=request.job)


async def attach(requests: AsyncIterator[control_pb2.FromEngine], context: Any) -> AsyncIterator[control_pb2.ToEngine]:
    await first_message(requests, context)
    async for _ in requests:
        yield control_pb2.ToEngine()


HANDLERS: dict[str, dict[str, Any]] = {
    "limnad.v1.Coordinator": {
        "Assign": grpc.unary_unary_rpc_method_handler(
            assign, coordinator_pb2.AssignRequest.FromString, coordinator_pb2.AssignResponse.SerializeToString
        )
    },
    "limnad.v1.Control": {
        "Attach": grpc.stream_stream_rpc_method_handler(
            attach, control_pb2.FromEngine.FromString, control_pb2.ToEngine.SerializeToString
        )
    },
}


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [
        ("/limnad.v1.Coordinator/Assign", [b""], grpc.StatusCode.OK),
        ("/limnad.v1.Coordinator/Assign", [NO_MESSAGE], BAD),
        ("/limnad.v1.Coordinator/Assign", [bytes(SMALL_BYTES + 1)], LARGE),
        ("/limnad.v1.Control/Attach", [b"", b""], grpc.StatusCode.OK),
        ("/limnad.v1.Control/Attach", [], BAD),
        ("/limnad.v1.Control/Attach", [NO_MESSAGE], BAD),
        ("/limnad.v1.Control/Attach", [b"", b"", NO_MESSAGE], BAD),
    ],
)
def test_each_has_its_status(path: str, sent: list[bytes], code: grpc.StatusCode) -> None:
    assert asyncio.run(said(path, sent)) is code


async def said(path: str, sent: list[bytes]) -> grpc.StatusCode:
    server = grpc.aio.server(interceptors=[WholeMessages()])
    for service, handlers in HANDLERS.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        multi: Any = channel.stream_stream(path)
        call = multi(iter(sent))
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            return error.code()
        finally:
            await server.stop(None)
    code: grpc.StatusCode = await call.code()
    return code
