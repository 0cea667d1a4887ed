"""The coordinator's service over real gRPC: whom it refuses, and that all hear the same sums."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from limnad_coordinator.server import Server
from limnad_proto.v1 import coordinator_pb2, coordinator_pb2_grpc
from limnad_proto.v1 import exchange_pb2 as wire


def served(talk: Callable[[Any], Awaitable[None]]) -> None:
    """Runs a talk with a coordinator whose identity is ``one``."""

    async def run() -> None:
        server = Server("one")
        address = await server.start("127.0.0.1", 0)
        async with grpc.aio.insecure_channel(address) as channel:
            await talk(coordinator_pb2_grpc.CoordinatorStub(channel))
        await server.stop()

    asyncio.run(run())


def opened(stub: Any, worker: object, coordinator: str = "one", generation: object = 3) -> Any:
    named = {"job": "job", "generation": generation, "worker": worker, "coordinator": coordinator}
    return stub.Accumulate(metadata=[(f"limnad-{key}", str(value)) for key, value in named.items()])


def message(sequence: int, *updates: int) -> wire.ProgressMessage:
    return wire.ProgressMessage(batch=wire.ProgressBatch(sequence=sequence, updates=updates, epochs=1))


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    return await call.code(), await call.details()


def assignment(generation: int = 3) -> coordinator_pb2.AssignRequest:
    return coordinator_pb2.AssignRequest(job="job", generation=generation, workers=2)


def test_all_workers_hear_the_same_sum() -> None:
    async def talk(stub: Any) -> None:
        assert (await stub.Assign(assignment())).identity == "one"
        calls = [opened(stub, worker) for worker in range(2)]
        for call in calls:
            await call.write(message(0, 4, 1, 0, 1))
        for call in calls:
            assert await call.read() == message(0, 4, 1, 0, 2)
        await calls[0].write(message(1, 4, 1, 0, -1, 4, 1, 1, 1))
        await calls[1].write(message(1, 4, 1, 0, -1))
        for call in calls:
            assert await call.read() == message(1, 4, 1, 0, -2, 4, 1, 1, 1)
            call.cancel()

    served(talk)


@pytest.mark.parametrize(
    ("worker", "coordinator", "generation", "code", "sentence"),
    [
        (0, "another", 3, grpc.StatusCode.FAILED_PRECONDITION, "this is coordinator one, not another"),
        (0, "one", 2, grpc.StatusCode.FAILED_PRECONDITION, "works for generation 3 of 'job', not 2"),
        (2, "one", 3, grpc.StatusCode.FAILED_PRECONDITION, "worker 2 of 2 cannot have a stream"),
        ("x", "one", 3, grpc.StatusCode.INVALID_ARGUMENT, "a stream names its job, generation, worker and coordinator"),
    ],
)
def test_a_stream_to_the_wrong_coordinator_is_refused(
    worker: object, coordinator: str, generation: int, code: grpc.StatusCode, sentence: str
) -> None:
    async def talk(stub: Any) -> None:
        await stub.Assign(assignment())
        got, said = await refusal(opened(stub, worker, coordinator, generation))
        assert got == code
        assert sentence in said

    served(talk)


def test_when_all_workers_have_left_the_generation_is_forgotten() -> None:
    async def talk(stub: Any) -> None:
        await stub.Assign(assignment())
        calls = [opened(stub, worker) for worker in range(2)]
        for call in calls:
            await call.write(message(0, 4, 1, 0, 1))
        for call in calls:
            await call.read()
            call.cancel()
        while "cannot have a stream" in (said := (await refusal(opened(stub, 0)))[1]):
            pass  # Its end is not heard of yet.
        assert said == "no generation of 'job' is assigned to this coordinator"

    served(talk)


def test_one_that_is_not_assigned_refuses_everybody() -> None:
    async def talk(stub: Any) -> None:
        code, said = await refusal(opened(stub, 0))
        assert code == grpc.StatusCode.FAILED_PRECONDITION
        assert said == "no generation of 'job' is assigned to this coordinator"

    served(talk)


def test_a_second_stream_of_a_worker_is_refused() -> None:
    async def talk(stub: Any) -> None:
        await stub.Assign(assignment())
        first = opened(stub, 0)
        await first.write(message(0))
        second = opened(stub, 1)
        await second.write(message(0))
        assert await first.read() == message(0)
        assert (await refusal(opened(stub, 0)))[0] == grpc.StatusCode.FAILED_PRECONDITION
        first.cancel()
        second.cancel()

    served(talk)


@pytest.mark.parametrize("generation", [2, 3])
def test_a_generation_that_is_not_newer_is_not_taken(generation: int) -> None:
    async def talk(stub: Any) -> None:
        await stub.Assign(assignment())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Assign(assignment(generation))
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION

    served(talk)


def test_a_gap_ends_the_stream() -> None:
    async def talk(stub: Any) -> None:
        await stub.Assign(assignment())
        call = opened(stub, 1)
        await call.write(message(1))
        assert await refusal(call) == (
            grpc.StatusCode.DATA_LOSS,
            "the progress stream from worker 1 lost messages 0 to 0",
        )

    served(talk)


@pytest.mark.parametrize("workers", [0, 257, (1 << 32) - 1])
def test_a_generation_has_as_many_workers_as_a_job_may_have(workers: int) -> None:
    async def talk(stub: Any) -> None:
        request = coordinator_pb2.AssignRequest(job="job", generation=3, workers=workers)
        code, why = await refusal(stub.Assign(request, timeout=20))
        assert (code, "1 to 256 workers" in why) == (grpc.StatusCode.FAILED_PRECONDITION, True)

    served(talk)
