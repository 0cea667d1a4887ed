"""The service for clients: requests in, answers of the agent's jobs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from limnad.store import StoreError
from limnad.timely.progress import Accumulation
from limnad_proto.v1 import control_pb2, jobs_pb2, jobs_pb2_grpc
from limnad_worker.feeding import Doubtful, Refused
from limnad_worker.outputs import Delivery

if TYPE_CHECKING:
    from limnad_worker.agent import Agent
    from limnad_worker.job import Job

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_WORKERS = 256
"""As many as there are key groups: another worker would own none."""

WATCH_INTERVAL_S = 0.25
"""How often a watcher is told of a job that runs: as often as a live view is drawn."""


class JobService(jobs_pb2_grpc.JobServiceServicer):
    """See `jobs.proto`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def register(self, server: Any) -> None:
        """Adds the service to a server."""
        jobs_pb2_grpc.add_JobServiceServicer_to_server(self, server)

    async def Submit(self, request: jobs_pb2.SubmitRequest, context: Context) -> jobs_pb2.SubmitResponse:  # noqa: N802
        """See `jobs.proto`."""
        if not request.path:
            await _refuse(context, "path is empty: name the job file")
        if request.workers > MAX_WORKERS:
            await _refuse(context, f"{request.workers} workers are more than the {MAX_WORKERS} that a job can have")
        if request.progress and request.progress not in {mode.value for mode in Accumulation}:
            modes = ", ".join(repr(mode.value) for mode in Accumulation)
            await _refuse(context, f"progress is one of {modes}, not {request.progress!r}")
        if request.delivery and request.delivery not in {mode.value for mode in Delivery}:
            await _refuse(context, f"delivery is 'eager' or 'committed', not {request.delivery!r}")
        if request.checkpoint_interval_s < 0:
            await _refuse(context, f"checkpoints cannot be {request.checkpoint_interval_s:g} s apart")
        try:
            told = dict(context.invocation_metadata() or ())
            job = await self._agent.submit(request, str(told.get("traceparent", "")))
        except (Refused, StoreError) as error:
            await _refuse(context, str(error))
        return jobs_pb2.SubmitResponse(job=job.name)

    async def Watch(  # noqa: N802
        self, request: jobs_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[jobs_pb2.JobView]:
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        while True:
            view = job.snapshot()
            ended, seen = job.state.ended, (job.state, job.recovering)
            yield view
            if ended:
                return
            async with job.changed:
                try:
                    async with asyncio.timeout(WATCH_INTERVAL_S):
                        await job.changed.wait_for(lambda: (job.state, job.recovering) != seen)  # noqa: B023
                except TimeoutError:
                    pass

    async def Subscribe(  # noqa: N802
        self, request: jobs_pb2.SubscribeRequest, context: Context
    ) -> AsyncIterator[control_pb2.Output]:
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        wanted = set(request.outputs)
        given = 0
        while True:
            for output in list(job.outputs.read(given)):
                given += 1
                if (not wanted or output.name in wanted) and output.epoch >= request.from_epochs.get(output.name, 0):
                    yield output
            if job.state.ended and given >= job.outputs.readable:
                return
            async with job.changed:
                await job.changed.wait_for(lambda: given < job.outputs.readable or job.state.ended)  # noqa: B023

    async def Push(  # noqa: N802
        self, request_iterator: AsyncIterator[jobs_pb2.PushRequest], context: Context
    ) -> AsyncIterator[jobs_pb2.PushResponse]:
        """See `jobs.proto`."""
        async for request in request_iterator:
            job = await self._job(request.job, context)
            try:
                offset = await job.push(request)
            except Refused as error:
                await _refuse(context, str(error))
            except Doubtful as error:
                await context.abort(grpc.StatusCode.ABORTED, str(error))
            yield jobs_pb2.PushResponse(request=request.push.request, offset=offset)

    async def LastSequence(  # noqa: N802
        self, request: jobs_pb2.LastSequenceRequest, context: Context
    ) -> jobs_pb2.LastSequenceResponse:
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        try:
            return jobs_pb2.LastSequenceResponse(sequence=await job.last_sequence(request.input, request.producer))
        except Refused as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise AssertionError("abort raises") from None

    async def Cancel(self, request: jobs_pb2.CancelRequest, context: Context) -> jobs_pb2.CancelResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        await job.cancel()
        return jobs_pb2.CancelResponse()

    async def Checkpoint(  # noqa: N802
        self, request: jobs_pb2.CheckpointRequest, context: Context
    ) -> jobs_pb2.CheckpointResponse:
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        try:
            return jobs_pb2.CheckpointResponse(checkpoint=await job.checkpoint())
        except Refused as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise AssertionError("abort raises") from None

    async def Rescale(self, request: jobs_pb2.RescaleRequest, context: Context) -> jobs_pb2.RescaleResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        if not 1 <= request.workers <= MAX_WORKERS:
            await _refuse(context, f"a job has 1 to {MAX_WORKERS} workers, not {request.workers}")
        try:
            return jobs_pb2.RescaleResponse(generation=await job.rescale(request.workers))
        except Refused as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise AssertionError("abort raises") from None

    async def _job(self, name: str, context: Context) -> Job:
        job = self._agent.jobs.get(name)
        if job is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no job {name!r}")
            raise AssertionError("abort raises")
        return job


async def _refuse(context: Context, why: str) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
    raise AssertionError("abort raises")
