"""Calls of clients within their limits: time, number, and what becomes of a handler that raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from limnad_proto.v1 import jobs_pb2, jobs_pb2_grpc
from limnad_worker import admission
from limnad_worker.admission import Admission, Rule


class Slow(jobs_pb2_grpc.JobServiceServicer):
    """Answers when it is let to."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.came = asyncio.Semaphore(0)
        self.cancelled = asyncio.Event()

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - the names that the service has
        self.came.release()
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return jobs_pb2.JobView(job=request.job)

    async def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise ZeroDivisionError("a secret that is nobody's business")

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield jobs_pb2.JobView(job=request.job)
        raise ZeroDivisionError("a secret that is nobody's business")


def served(talk: Callable[[Any, Slow], Awaitable[None]], max_calls: int = 2) -> None:
    """Runs a talk with it."""

    async def run() -> None:
        service = Slow()  # type: ignore[abstract] # what it does not answer is not asked
        server = grpc.aio.server(interceptors=[Admission(max_calls=max_calls)])
        jobs_pb2_grpc.add_JobServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await talk(jobs_pb2_grpc.JobServiceStub(channel), service)
        await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 60))


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    return await call.code(), await call.details()


def test_what_takes_too_long_is_told_so_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(admission.RULES, "Get", Rule(seconds=0.05))

    async def talk(stub: Any, service: Slow) -> None:
        code, why = await refusal(stub.Get(jobs_pb2.GetRequest(job="x"), timeout=20))
        assert (code, why) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "Get was not done after 0.05 s; whether it will be is open",
        )
        await asyncio.wait_for(service.cancelled.wait(), 20)

    served(talk)


def test_places_are_given_back_whatever_becomes_of_a_call() -> None:
    async def talk(stub: Any, service: Slow) -> None:
        waiting = [stub.Get(jobs_pb2.GetRequest(job=f"{number}")) for number in range(2)]
        for _ in waiting:
            await asyncio.wait_for(service.came.acquire(), 20)
        assert await stub.Get(jobs_pb2.GetRequest(), timeout=20).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        waiting[0].cancel()
        await asyncio.wait_for(service.cancelled.wait(), 20)
        service.let.set()
        assert (await asyncio.wait_for(waiting[1], 20)).job == "1"
        for _ in range(5):
            assert await stub.Cancel(jobs_pb2.CancelRequest(), timeout=20).code() is grpc.StatusCode.INTERNAL
        assert (await stub.Get(jobs_pb2.GetRequest(job="y"), timeout=20)).job == "y"

    served(talk)


def test_a_handler_that_raises_tells_what_and_no_more() -> None:
    async def talk(stub: Any, _: Slow) -> None:
        expected = (grpc.StatusCode.INTERNAL, "Cancel failed: ZeroDivisionError")
        assert await refusal(stub.Cancel(jobs_pb2.CancelRequest(), timeout=20)) == expected
        watching = stub.Watch(jobs_pb2.WatchRequest(job="z"), timeout=20)
        assert (await watching.read()).job == "z"
        assert await refusal(watching) == (grpc.StatusCode.INTERNAL, "Watch failed: ZeroDivisionError")

    served(talk)


def test_all_methods_of_the_service_have_a_rule_or_the_usual_one() -> None:
    methods = {method.name for method in jobs_pb2.DESCRIPTOR.services_by_name["JobService"].methods}
    assert set(admission.RULES) <= methods
