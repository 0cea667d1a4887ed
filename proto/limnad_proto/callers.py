"""Who may call what between the processes of a cluster: a table, and nothing that is not in it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from limnad_proto.tls import Role, Tls

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

CALLERS = {
    "/limnad.v1.Hosts/Register": Role.WORKER,
    "/limnad.v1.Control/Attach": Role.WORKER,
    "/limnad.v1.Control/FetchArchive": Role.WORKER,
    "/limnad.v1.Exchange/Data": Role.WORKER,
    "/limnad.v1.Exchange/Progress": Role.WORKER,
    "/limnad.v1.Coordinator/Assign": Role.LEADER,
    "/limnad.v1.Coordinator/Accumulate": Role.WORKER,
}


class Callers(grpc.aio.ServerInterceptor):
    """Lets a call in only from a process whose certificate has the role for it.

    Args:
        tls: What the roles are called.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(details)
        if handler is None:
            return handler
        role = CALLERS.get(details.method)
        wanted = None if role is None else self._tls.name(role).encode()

        async def check(context: Context) -> None:
            names = list(context.auth_context().get("x509_subject_alternative_name", ()))
            if wanted is None or wanted not in names:
                has = b", ".join(names).decode(errors="replace") or "none"
                needs = "nobody" if wanted is None else f"a certificate of {wanted.decode()}"
                sentence = f"{details.method} is for {needs}; the names in this one are: {has}"
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, sentence)

        return checked_first(handler, check)


def checked_first(handler: Handler, check: Callable[[Context], Awaitable[None]]) -> Handler:
    """A handler that is called only after a check, which may abort the call."""
    name, behaviour = behaviour_of(handler)

    async def answer(request: Any, context: Context) -> Any:
        await check(context)
        return await behaviour(request, context)

    async def answers(request: Any, context: Context) -> Any:
        await check(context)
        async for each in behaviour(request, context):
            yield each

    chosen = answers if inspect.isasyncgenfunction(behaviour) else answer
    return handler._replace(**{name: chosen})  # type: ignore[attr-defined,no-any-return] # it is a named tuple


def behaviour_of(handler: Handler) -> tuple[str, Callable[..., Any]]:
    """What a handler calls, and the name of the field that it has for it."""
    fields = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
    return next((field, getattr(handler, field)) for field in fields if getattr(handler, field) is not None)
