"""The service for clients: requests in, answers of the agent's jobs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from limnad.timely.progress import Accumulation
from limnad_proto.v1 import control_pb2, jobs_pb2, jobs_pb2_grpc

if TYPE_CHECKING:
    from limnad_worker.agent import Agent, Job

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
        if request.accumulation and request.accumulation not in {mode.value for mode in Accumulation}:
            await _refuse(context, f"accumulation is 'local' or 'none', not {request.accumulation!r}")
        job = await self._agent.submit(request)
        return jobs_pb2.SubmitResponse(job=job.name)

    async def Watch(  # noqa: N802
        self, request: jobs_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[jobs_pb2.JobView]:
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        while True:
            state = job.run.state
            yield job.snapshot()
            if state.ended:
                return
            async with job.changed:
                try:
                    async with asyncio.timeout(WATCH_INTERVAL_S):
                        await job.changed.wait_for(lambda: job.run.state is not state)  # noqa: B023
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
            while given < len(job.outputs):
                output = job.outputs[given]
                given += 1
                if not wanted or output.name in wanted:
                    yield output
            if job.run.state.ended:
                return
            async with job.changed:
                await job.changed.wait_for(lambda: given < len(job.outputs) or job.run.state.ended)  # noqa: B023

    async def Push(  # noqa: N802
        self, request_iterator: AsyncIterator[jobs_pb2.PushRequest], context: Context
    ) -> AsyncIterator[jobs_pb2.PushResponse]:
        """See `jobs.proto`."""
        async for request in request_iterator:
            job = await self._job(request.job, context)
            error = await job.push(request.push)
            if error:
                await _refuse(context, error)
            yield jobs_pb2.PushResponse(request=request.push.request)

    async def Cancel(self, request: jobs_pb2.CancelRequest, context: Context) -> jobs_pb2.CancelResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        await job.cancel()
        return jobs_pb2.CancelResponse()

    async def _job(self, name: str, context: Context) -> Job:
        job = self._agent.jobs.get(name)
        if job is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no job {name!r}")
            raise AssertionError("abort raises")
        return job


async def _refuse(context: Context, why: str) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
    raise AssertionError("abort raises")
