"""Which calls of clients are let in, and within which limits.

Each call has a token, if the cluster has some; each message has a size, each call that answers once a time, and each
client a number of calls at once. What is wrong with a call is said by its status: UNAUTHENTICATED, INVALID_ARGUMENT,
RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from limnad_proto.callers import behaviour_of
from limnad_proto.tokens import Tokens, bearer

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_LOG = logging.getLogger("limnad_worker.admission")

MAX_MESSAGE_BYTES = 64 << 20
"""Of a batch that is pushed: an epoch may have many."""

MAX_CALLS = 128
"""At once, of one client; a program has one for each output that it reads and each input that it feeds."""

SMALL_BYTES = 64 << 10
"""Of a request that has nothing but names and numbers."""

LARGE_BYTES = 4 << 20
"""Of a piece of an archive, which has a quarter of it, and of a submission, which has a job's arguments."""

_JOBS = "/limnad.v1.JobService/"
_HOSTS = "/limnad.v1.Hosts/"
_REFLECTION = "/grpc.reflection."
_HEALTH = "/grpc.health."


@dataclass(frozen=True, slots=True)
class Rule:
    """What a method's calls are limited to.

    Attributes:
        message_bytes: Of each message of the client; 0: what the agent is set to.
        seconds: Until it is answered; None: it lives as long as the job, or as the client feeds it.
    """

    message_bytes: int = SMALL_BYTES
    seconds: float | None = 60.0


# A checkpoint is as large as the state is, and a restore as the start of a job is slow.
RULES = {
    "Upload": Rule(LARGE_BYTES, 600.0),
    "Submit": Rule(LARGE_BYTES, 120.0),
    "Push": Rule(0, None),
    "Watch": Rule(seconds=None),
    "Subscribe": Rule(seconds=None),
    "Logs": Rule(seconds=None),
    "Checkpoint": Rule(seconds=3600.0),
    "Restore": Rule(seconds=3600.0),
    "Rescale": Rule(seconds=3600.0),
    "Pin": Rule(seconds=3600.0),
    "Delete": Rule(seconds=600.0),
    "GetCluster": Rule(seconds=600.0),
}


class Admission(grpc.aio.ServerInterceptor):
    """See the module. It concerns clients alone: calls of other services pass.

    Args:
        tokens: Those that are let in; None: everybody is.
        max_message_bytes: See `MAX_MESSAGE_BYTES`.
        max_calls: See `MAX_CALLS`.
        members: Whether other agents need a token, too: they have no certificates to show.
    """

    def __init__(
        self,
        tokens: Tokens | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_calls: int = MAX_CALLS,
        *,
        members: bool = False,
    ) -> None:
        self._tokens = tokens
        self._max_message_bytes = max_message_bytes
        self._max_calls = max_calls
        self._guarded = (_JOBS, _REFLECTION, _HOSTS) if members else (_JOBS, _REFLECTION)
        self._calls: Counter[tuple[str, str]] = Counter()

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        method = details.method
        handler = await continuation(details)
        if handler is None:
            return handler
        token = ""
        if self._tokens is not None and method.startswith(self._guarded):
            token = bearer(dict(details.invocation_metadata or ()))
            if not self._tokens.admit(token):
                return _refusing("this token is none of the cluster's" if token else "this needs one of its tokens")
        if method.startswith((_JOBS, _REFLECTION, _HEALTH)):
            return self._limited(handler, method, token)
        return handler

    # -- limits --------------------------------------------------------------------------------------------------------

    def _limited(self, handler: Any, method: str, token: str) -> Handler:
        rule = RULES.get(method.removeprefix(_JOBS), Rule())
        if not method.startswith(_JOBS):
            rule = Rule(seconds=None)
        call = _Call(self, rule, method, token, handler.request_deserializer)
        kind, behaviour = behaviour_of(handler)
        # A service of gRPC's own may write its answers itself.
        limited = call.streaming(behaviour) if inspect.isasyncgenfunction(behaviour) else call.answering(behaviour)
        return handler._replace(request_deserializer=None, **{kind: limited})  # type: ignore[no-any-return] # a named tuple

    @contextlib.contextmanager
    def place(self, client: tuple[str, str]) -> Iterator[bool]:
        """A call's place among those of its client; whether there was one."""
        free = self._calls[client] < self._max_calls
        self._calls[client] += free
        try:
            yield free
        finally:
            self._calls[client] -= free
            if not self._calls[client]:
                del self._calls[client]

    @property
    def max_calls(self) -> int:
        """See `MAX_CALLS`."""
        return self._max_calls

    def message_bytes(self, rule: Rule) -> int:
        """How large a message may be."""
        return rule.message_bytes or self._max_message_bytes


class _Call:
    """How calls of one method are carried out.

    Args:
        admission: Whose limits they are.
        rule: The method's own.
        method: Its name, with the service's.
        token: What the client has shown.
        parse: Makes a request of bytes.
    """

    def __init__(
        self, admission: Admission, rule: Rule, method: str, token: str, parse: Callable[[bytes], Any] | None
    ) -> None:
        self._admission = admission
        self._rule = rule
        self._method = method.rpartition("/")[2]
        # A secret is no key of a dictionary that a debugger may show.
        self._token = hashlib.sha256(token.encode()).hexdigest()[:16]
        self._parse = parse or bytes

    def answering(self, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Of a method with one answer."""

        async def answer(request: Any, context: Context) -> Any:
            async with self._admitted(context):
                patience = asyncio.timeout(self._rule.seconds)
                try:
                    async with patience:
                        return await behaviour(await self._request(request, context), context)
                except TimeoutError:
                    if not patience.expired():
                        raise
                    sentence = f"{self._method} was not done after {self._rule.seconds:g} s; whether it will be is open"
                    await _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, sentence)

        return answer

    def streaming(self, behaviour: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        """Of a method with many."""

        async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._admitted(context):
                async for each in behaviour(await self._request(request, context), context):
                    yield each

        return answers

    @contextlib.asynccontextmanager
    async def _admitted(self, context: Context) -> AsyncIterator[None]:
        client = (self._token, context.peer().rpartition(":")[0])
        with self._admission.place(client) as free:
            if not free:
                sentence = f"this client has {self._admission.max_calls} calls already: end some, or make them in turn"
                await _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
            try:
                yield
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the client is to have a status
                _LOG.exception("%s failed", self._method)
                await _abort(context, grpc.StatusCode.INTERNAL, f"{self._method} failed: {type(error).__name__}")

    async def _request(self, given: Any, context: Context) -> Any:
        if isinstance(given, bytes):
            return await self._parsed(given, context)
        return self._parsed_each(given, context)

    async def _parsed_each(self, given: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        async for data in given:
            yield await self._parsed(data, context)

    async def _parsed(self, data: bytes, context: Context) -> Any:
        allowed = self._admission.message_bytes(self._rule)
        if len(data) > allowed:
            sentence = f"a message of {self._method} may have {allowed:,} bytes, and this one has {len(data):,}"
            await _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
        try:
            return self._parse(data)
        except (DecodeError, ValueError):
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"this is no message of {self._method}")


def _refusing(why: str) -> Handler:
    """Refuses before anything is read."""

    async def refuse(_: Any, context: Context) -> None:
        await _abort(context, grpc.StatusCode.UNAUTHENTICATED, f"{why}: send it as `authorization: Bearer TOKEN`")

    return grpc.stream_stream_rpc_method_handler(refuse)


async def _abort(context: Context, code: grpc.StatusCode, why: str) -> NoReturn:
    await context.abort(code, why)
    raise AssertionError("abort raises")
