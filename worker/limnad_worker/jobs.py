"""The service for clients: requests in, answers of the leader's jobs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc

from limnad.cluster.feeding import DRAINER
from limnad.cluster.records import PartError
from limnad.errors import JobError
from limnad.limits import MAX_WORKERS
from limnad.store import Full, StoreError, Unavailable
from limnad.timely.progress import Accumulation
from limnad_proto.v1 import control_pb2, jobs_pb2, jobs_pb2_grpc
from limnad_worker import steering, stored
from limnad_worker.asking import GivenUp
from limnad_worker.entries import AskAgain
from limnad_worker.feeding import Doubtful, Refused
from limnad_worker.outputs import Delivery
from limnad_worker.pinning import pin, refuse_if_held, unpin
from limnad_worker.pushing import in_turn

if TYPE_CHECKING:
    from limnad_worker.entries import Entry
    from limnad_worker.job import Job
    from limnad_worker.leading import Leader

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

WATCH_INTERVAL_S = 0.25
"""How often a watcher is told of a job that runs: as often as a live view is drawn."""

OWNER = "limnad-owner"
"""Of a call's metadata: who calls."""

_LOOPBACK = ("ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D", "unix:")


class _Unknown(Exception):
    """There is no such job; says so."""


class JobService(jobs_pb2_grpc.JobServiceServicer):
    """See `jobs.proto`."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader
        self._begun: set[asyncio.Future[Any]] = set()

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Does something whole, also if the client hangs up in the middle of it or has no more time."""
        task = asyncio.ensure_future(work)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # Nobody may be left to hear it.
        return await asyncio.shield(task)

    def register(self, server: Any) -> None:
        """Adds the service to a server."""
        jobs_pb2_grpc.add_JobServiceServicer_to_server(self, server)

    # -- to begin ------------------------------------------------------------------------------------------------------

    async def Upload(  # noqa: N802 - the names that the service has
        self, request_iterator: AsyncIterator[jobs_pb2.UploadPiece], context: Context
    ) -> jobs_pb2.UploadResponse:
        """See `jobs.proto`."""
        try:
            return jobs_pb2.UploadResponse(
                archive=await self._leader.archives.receive(piece.data async for piece in request_iterator)
            )
        except (JobError, StoreError) as error:
            await _abort(context, error)

    async def Submit(self, request: jobs_pb2.SubmitRequest, context: Context) -> jobs_pb2.SubmitResponse:  # noqa: N802
        """See `jobs.proto`."""
        if problem := self._problem(request, context):
            await _refuse(context, problem)
        try:
            told = dict(context.invocation_metadata() or ())
            job = await self._whole(self._leader.submit(request, str(told.get("traceparent", ""))))
        except (Refused, JobError, AskAgain, StoreError) as error:
            await _abort(context, error)
        return jobs_pb2.SubmitResponse(job=job.name, durable=job.survives_losses)

    def _problem(self, request: jobs_pb2.SubmitRequest, context: Context) -> str:
        """What is wrong with a request; empty: nothing."""
        if not request.path:
            return "path is empty: name the job file"
        near = self._leader.accept_paths and context.peer().startswith(_LOOPBACK)
        if not request.archive and not near and not self._leader.hosts.shared_paths:
            return "a cluster takes a job with its files, as an archive: upload one, as limnad submit does"
        if request.workers > MAX_WORKERS:
            return f"{request.workers} workers are more than the {MAX_WORKERS} that a job can have"
        if request.progress and request.progress not in {mode.value for mode in Accumulation}:
            modes = ", ".join(repr(mode.value) for mode in Accumulation)
            return f"progress is one of {modes}, not {request.progress!r}"
        if request.delivery and request.delivery not in {mode.value for mode in Delivery}:
            return f"delivery is 'eager' or 'committed', not {request.delivery!r}"
        if request.checkpoint_interval_s < 0:
            return f"checkpoints cannot be {request.checkpoint_interval_s:g} s apart"
        return ""

    # -- to look -------------------------------------------------------------------------------------------------------

    async def Get(self, request: jobs_pb2.GetRequest, context: Context) -> jobs_pb2.JobView:  # noqa: N802
        """See `jobs.proto`."""
        return (await self._job(request.job, context)).snapshot()

    async def List(self, request: jobs_pb2.ListRequest, context: Context) -> jobs_pb2.ListResponse:  # noqa: N802
        """See `jobs.proto`."""
        try:
            return jobs_pb2.ListResponse(jobs=[job.snapshot() for job in self._leader.listed()])
        except AskAgain as error:
            await _abort(context, error)

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
        entry = await self._entry(request.job, context)
        job = entry.job
        try:
            await stored.recall_outputs(entry, self._leader.roster)
        except Refused as error:
            await _refuse(context, str(error), grpc.StatusCode.DATA_LOSS)
        except (StoreError, PartError) as error:
            await _abort(context, error, grpc.StatusCode.DATA_LOSS)
        wanted, first = set(request.outputs), request.from_epochs
        with job.outputs.reader() as reader:
            while reader.behind or not job.state.ended:
                for output in reader.read():
                    if (not wanted or output.name in wanted) and output.epoch >= first.get(output.name, 0):
                        yield output
                async with job.changed:
                    await job.changed.wait_for(lambda: reader.behind or job.state.ended)

    async def Logs(  # noqa: N802
        self, request: jobs_pb2.LogsRequest, context: Context
    ) -> AsyncIterator[jobs_pb2.LogPiece]:
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        async for piece in job.log.read(follow=request.follow):
            yield jobs_pb2.LogPiece(worker=piece.worker, generation=piece.generation, text=piece.text)

    async def GetCluster(  # noqa: N802
        self, request: jobs_pb2.GetClusterRequest, context: Context
    ) -> jobs_pb2.ClusterView:
        """See `jobs.proto`."""
        hosts = self._leader.hosts
        if request.gathered:
            await hosts.complete()
        return jobs_pb2.ClusterView(
            agents=[
                jobs_pb2.AgentView(
                    index=link.info.index,
                    address=link.info.address,
                    slots=link.info.slots,
                    busy=link.load().busy,
                    build=link.info.build,
                    leaving=link.leaving,
                )
                for link in hosts.links
            ],
            expected=hosts.expected,
        )

    # -- to act --------------------------------------------------------------------------------------------------------

    async def Push(  # noqa: N802
        self, request_iterator: AsyncIterator[jobs_pb2.PushRequest], context: Context
    ) -> AsyncIterator[jobs_pb2.PushResponse]:
        """See `jobs.proto`."""
        try:
            # When the client hears of a refusal, nothing that it had sent behind it is taken up any more.
            async with aclosing(in_turn(request_iterator, self._take)) as answers:
                async for request, offset in answers:
                    yield jobs_pb2.PushResponse(request=request.push.request, offset=offset)
        except _Unknown as error:
            await _refuse(context, str(error), grpc.StatusCode.NOT_FOUND)
        except Refused as error:
            await _refuse(context, str(error))
        except Doubtful as error:
            await context.abort(grpc.StatusCode.ABORTED, str(error))
        except AskAgain as error:
            await _abort(context, error)

    async def _take(self, request: jobs_pb2.PushRequest) -> asyncio.Future[int | None]:
        """Takes one push up: see `in_turn`."""
        try:
            entry = self._leader.entry(request.job)
        except KeyError as error:
            raise _Unknown(str(error.args[0])) from None
        if request.producer == DRAINER:
            raise Refused(f"{DRAINER!r} is the producer by which jobs are drained: push under another name")
        try:
            newest = await stored.past_sequence(entry, request.push.input, request.producer)
        except StoreError as error:
            raise Doubtful(f"the job has ended, and whether these rows were taken cannot be read: {error}") from None
        if newest is None or request.sequence > newest:
            return await entry.job.push(request)
        taken: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        taken.set_result(None)  # The answer of the leader before was lost.
        return taken

    async def LastSequence(  # noqa: N802
        self, request: jobs_pb2.LastSequenceRequest, context: Context
    ) -> jobs_pb2.LastSequenceResponse:
        """See `jobs.proto`."""
        entry = await self._entry(request.job, context)
        try:
            newest = await stored.past_sequence(entry, request.input, request.producer)
            if newest is None:
                newest = await entry.job.last_sequence(request.input, request.producer)
        except (Refused, StoreError) as error:
            await _abort(context, error, grpc.StatusCode.FAILED_PRECONDITION)
        return jobs_pb2.LastSequenceResponse(sequence=newest)

    async def Cancel(self, request: jobs_pb2.CancelRequest, context: Context) -> jobs_pb2.CancelResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._own_job(request.job, context)
        await self._whole(job.cancel())
        await self._leader.roster.settle(job)
        return jobs_pb2.CancelResponse()

    async def Drain(self, request: jobs_pb2.DrainRequest, context: Context) -> jobs_pb2.DrainResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._own_job(request.job, context)
        if not job.state.ended:
            await self._whole(steering.drain(job))
            await self._leader.roster.settle(job)
        return jobs_pb2.DrainResponse()

    async def Checkpoint(  # noqa: N802
        self, request: jobs_pb2.CheckpointRequest, context: Context
    ) -> jobs_pb2.CheckpointResponse:
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        try:
            refuse_if_held(job)
            return jobs_pb2.CheckpointResponse(checkpoint=await job.checkpoint())
        except (Refused, GivenUp) as error:
            await _abort(context, error, grpc.StatusCode.FAILED_PRECONDITION)

    async def ListCheckpoints(  # noqa: N802
        self, request: jobs_pb2.ListCheckpointsRequest, context: Context
    ) -> jobs_pb2.ListCheckpointsResponse:
        """See `jobs.proto`."""
        entry = await self._entry(request.job, context)
        try:
            return jobs_pb2.ListCheckpointsResponse(checkpoints=await stored.checkpoints(entry))
        except StoreError as error:
            await _abort(context, error)

    async def Restore(self, request: jobs_pb2.RestoreRequest, context: Context) -> jobs_pb2.RestoreResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._own_job(request.job, context)
        if request.workers > MAX_WORKERS:
            await _refuse(context, f"a job has 1 to {MAX_WORKERS} workers, not {request.workers}")
        try:
            restoring = stored.restore(self._leader.entry(job.name), request.checkpoint, request.workers)
            generation = await self._whole(restoring)
        except (Refused, GivenUp) as error:
            await _abort(context, error, grpc.StatusCode.FAILED_PRECONDITION)
        except StoreError as error:
            await _abort(context, error)
        await self._leader.roster.settle(job)
        return jobs_pb2.RestoreResponse(generation=generation)

    async def Rescale(self, request: jobs_pb2.RescaleRequest, context: Context) -> jobs_pb2.RescaleResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._own_job(request.job, context)
        if not 1 <= request.workers <= MAX_WORKERS:
            await _refuse(context, f"a job has 1 to {MAX_WORKERS} workers, not {request.workers}")
        try:
            generation = await self._whole(steering.rescale(job, request.workers))
        except (Refused, GivenUp) as error:
            await _abort(context, error, grpc.StatusCode.FAILED_PRECONDITION)
        await self._leader.roster.settle(job)
        return jobs_pb2.RescaleResponse(generation=generation)

    async def Pin(self, request: jobs_pb2.PinRequest, context: Context) -> jobs_pb2.PinResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        try:
            number = await self._whole(pin(job, request.name, hold=request.hold))
        except (Refused, GivenUp) as error:
            await _abort(context, error, grpc.StatusCode.FAILED_PRECONDITION)
        await self._leader.roster.settle(job)
        return jobs_pb2.PinResponse(checkpoint=number)

    async def Unpin(self, request: jobs_pb2.UnpinRequest, context: Context) -> jobs_pb2.UnpinResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._job(request.job, context)
        unpin(job, request.name)
        await self._leader.roster.settle(job)
        return jobs_pb2.UnpinResponse()

    async def Delete(self, request: jobs_pb2.DeleteRequest, context: Context) -> jobs_pb2.DeleteResponse:  # noqa: N802
        """See `jobs.proto`."""
        job = await self._own_job(request.job, context)
        try:
            await self._whole(self._leader.roster.delete(job))
        except Refused as error:
            await _abort(context, error, grpc.StatusCode.FAILED_PRECONDITION)
        except StoreError as error:
            await _abort(context, error)
        return jobs_pb2.DeleteResponse()

    async def Resize(self, request: jobs_pb2.ResizeRequest, context: Context) -> jobs_pb2.ResizeResponse:  # noqa: N802
        """See `jobs.proto`."""
        if not request.agents:
            await _refuse(context, "a cluster has at least one agent: the leader")
        await self._leader.hosts.resize(request.agents)
        return jobs_pb2.ResizeResponse()

    async def _own_job(self, name: str, context: Context) -> Job:
        """A job that the caller may change: one that nobody owns, or the caller's."""
        job = await self._job(name, context)
        owner = job.request.owner
        if owner and dict(context.invocation_metadata() or ()).get(OWNER) != owner:
            why = f"the job {name} belongs to {owner}: change that, and the job follows"
            await _refuse(context, why, grpc.StatusCode.FAILED_PRECONDITION)
        return job

    async def _job(self, name: str, context: Context) -> Job:
        return (await self._entry(name, context)).job

    async def _entry(self, name: str, context: Context) -> Entry:
        try:
            return self._leader.entry(name)
        except KeyError as error:
            await _refuse(context, str(error.args[0]), grpc.StatusCode.NOT_FOUND)
        except AskAgain as error:
            await _abort(context, error)


async def _abort(
    context: Context, error: Exception, refused: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT
) -> NoReturn:
    """Says why something cannot be had, and whether to try again.

    Args:
        context: Of the call.
        error: Why not.
        refused: Says that it would be in vain.
    """
    if isinstance(error, AskAgain | Unavailable):
        refused = grpc.StatusCode.UNAVAILABLE
    elif isinstance(error, GivenUp | Full):
        refused = grpc.StatusCode.ABORTED
    await _refuse(context, str(error), refused)


async def _refuse(context: Context, why: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> NoReturn:
    await context.abort(code, why)
    raise AssertionError("abort raises")
