"""What is no message of a method of the cluster's own services, or too large a one, is refused by a status."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError

from limnad_proto.callers import CALLERS, behaviour_of

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")

SMALL_BYTES: Final = 64 << 10
"""Of what has nothing but names and numbers."""

LIMITS: Final = {
    "/limnad.v1.Control/FetchArchive": SMALL_BYTES,
    "/limnad.v1.Coordinator/Assign": SMALL_BYTES,
    "/limnad.v1.Exchange/Progress": 64 << 20,
    "/limnad.v1.Coordinator/Accumulate": 64 << 20,
}
"""The longest message by method. What carries rows is as large as the batches are, which stay whole."""


class NoMessage(Exception):
    """What came is no message of its method; says so, with its status."""

    def __init__(self, code: grpc.StatusCode, why: str) -> None:
        super().__init__(why)
        self.code = code


class WholeMessages(grpc.aio.ServerInterceptor):
    """See the module. What clients call passes, and what takes bytes as they are."""

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(details)
        if handler is None or handler.request_deserializer is None or details.method not in CALLERS:
            return handler
        return _checking(handler, details.method)


async def first_message(requests: AsyncIterator[T], context: Context) -> T:
    """What a stream begins with; aborts the call of one that is empty."""
    try:
        return await anext(requests)
    except StopAsyncIteration:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the stream ended before its first message")
        raise AssertionError("abort raises") from None


def _checking(handler: Any, method: str) -> Any:
    """A handler that refuses; of a stream, what is no message ends it."""
    name, behaviour = behaviour_of(handler)
    parse = _parser(handler.request_deserializer, method)
    streams = handler.request_streaming

    async def answer(request: Any, context: Context) -> Any:
        try:
            return await behaviour(request if streams else parse(request), context)
        except NoMessage as error:
            await context.abort(error.code, str(error))

    async def answers(request: Any, context: Context) -> Any:
        try:
            async for each in behaviour(request if streams else parse(request), context):
                yield each
        except NoMessage as error:
            await context.abort(error.code, str(error))

    # gRPC itself would answer what it cannot parse by UNKNOWN.
    chosen = answers if inspect.isasyncgenfunction(behaviour) else answer
    return handler._replace(request_deserializer=parse if streams else None, **{name: chosen})


def _parser(parse: Callable[[bytes], Any], method: str) -> Callable[[bytes], Any]:
    allowed = LIMITS.get(method)

    def parsed(data: bytes) -> Any:
        if allowed is not None and len(data) > allowed:
            why = f"a message of {method} may have {allowed:,} bytes, and this one has {len(data):,}"
            raise NoMessage(grpc.StatusCode.RESOURCE_EXHAUSTED, why)
        try:
            return parse(data)
        except DecodeError:
            raise NoMessage(grpc.StatusCode.INVALID_ARGUMENT, f"this is no message of {method}") from None

    return parsed
