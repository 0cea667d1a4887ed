"""The agent: starts engines, leads them through a job, and serves its clients. It never runs user code.

It is an asyncio shell around `limnad.cluster.leader`: gRPC messages and process exits become events, the leader's
effects become messages and signals.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from limnad.cluster import leader
from limnad.timely.progress import Accumulation
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import control_pb2_grpc, jobs_pb2
from limnad_worker.links import CHANNEL_OPTIONS
from limnad_worker.processes import EngineProcess, threads_per_engine

TICK_S = 0.1
"""How often the leader is told that time has passed."""

_STATES = {
    leader.State.STARTING: jobs_pb2.JOB_STATE_STARTING,
    leader.State.RUNNING: jobs_pb2.JOB_STATE_RUNNING,
    leader.State.FINISHED: jobs_pb2.JOB_STATE_FINISHED,
    leader.State.FAILED: jobs_pb2.JOB_STATE_FAILED,
    leader.State.CANCELLED: jobs_pb2.JOB_STATE_CANCELLED,
}


@dataclass
class Engine:
    """An engine as its agent sees it."""

    process: EngineProcess
    address: str = ""
    outgoing: asyncio.Queue[wire.ToEngine | None] = field(default_factory=asyncio.Queue)


class Job:
    """One run of a job: the leader's machine, its engines, and what they have told."""

    def __init__(self, name: str, request: jobs_pb2.SubmitRequest, engines: list[Engine]) -> None:
        self.name = name
        self.request = request
        self.engines = engines
        self.run = leader.Run(len(engines), Accumulation(request.accumulation or "local"))
        self.view = jobs_pb2.JobView(job=name, workers=[wire.Status() for _ in engines])
        self.changed = asyncio.Condition()
        self.outputs: list[wire.Output] = []
        self.pushes: dict[int, asyncio.Future[str]] = {}
        self._submitted_s = self._running_s = time.monotonic()
        self._next_push = 0

    # -- the leader ----------------------------------------------------------------------------------------------------

    async def tell_leader(self, event: leader.Event) -> None:
        """Feeds the leader's machine and carries out its effects."""
        for effect in self.run.handle(event, time.monotonic()):
            self._carry_out(effect)
        await self.notify()

    def _carry_out(self, effect: leader.Effect) -> None:
        match effect:
            case leader.SendPrepare(worker):
                self._send(worker, prepare=self._prepare())
            case leader.SendStart(worker, members, accumulation):
                self._send(worker, start=wire.Start(members=members, accumulation=accumulation.value))
            case leader.SendStop(worker):
                self._send(worker, stop=wire.Stop())
            case leader.Kill(worker):
                self.engines[worker].process.kill()
            case leader.Changed(state):
                self._state_changed(state)

    def _prepare(self) -> wire.Prepare:
        return wire.Prepare(
            job=self.name,
            generation=1,
            path=self.request.path,
            function=self.request.function or "job",
            arguments=self.request.arguments,
            workers=len(self.engines),
        )

    def _send(self, worker: int, **message: Any) -> None:
        self.engines[worker].outgoing.put_nowait(wire.ToEngine(**message))

    def _state_changed(self, state: leader.State) -> None:
        now_s = time.monotonic()
        if state is leader.State.RUNNING:
            self._running_s = now_s
            self.view.starting_us = int((now_s - self._submitted_s) * 1e6)
        elif self.view.starting_us:
            self.view.running_us = int((now_s - self._running_s) * 1e6)
        failure = self.run.failure
        if failure is not None:
            self.view.failure.CopyFrom(
                wire.Failed(summary=failure.summary, traceback=failure.traceback, fault=failure.fault.value)
            )
            if failure.worker is not None:
                self.view.failed_worker = failure.worker
        if state.ended:
            for waiting in self.pushes.values():
                if not waiting.done():
                    waiting.set_result(f"the job has ended: it is {state.value}")

    # -- what engines say ----------------------------------------------------------------------------------------------

    async def engine_said(self, worker: int, message: wire.FromEngine) -> None:
        """Takes a message of an engine."""
        match message.WhichOneof("message"):
            case "built":
                self._built(message.built)
                stages = tuple(stage.name for stage in message.built.stages)
                await self.tell_leader(leader.Built(worker, message.built.fingerprint, stages))
            case "finished":
                await self.tell_leader(leader.Finished(worker))
            case "failed":
                await self.tell_leader(leader.Failed(worker, _failure(worker, message.failed)))
            case "status":
                self.view.workers[worker].CopyFrom(message.status)
                await self.notify()
            case "output":
                self.outputs.append(message.output)
                await self.notify()
            case "pushed":
                waiting = self.pushes.pop(message.pushed.request, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.pushed.error)

    def _built(self, built: wire.Built) -> None:
        if not self.view.stages:
            self.view.stages.extend(built.stages)
            self.view.inputs.extend(built.inputs)
            self.view.outputs.extend(built.outputs)
            self.view.probes.extend(built.probes)

    async def notify(self) -> None:
        """Wakes whoever waits for news."""
        async with self.changed:
            self.changed.notify_all()

    # -- what clients ask ----------------------------------------------------------------------------------------------

    def snapshot(self) -> jobs_pb2.JobView:
        """The job as a client sees it."""
        state = self.run.state
        self.view.state = _STATES[state]
        if state is leader.State.RUNNING:
            self.view.running_us = int((time.monotonic() - self._running_s) * 1e6)
        copy = jobs_pb2.JobView()
        copy.CopyFrom(self.view)
        return copy

    async def cancel(self) -> None:
        """Ends the job at once."""
        await self.tell_leader(leader.Cancel())

    async def push(self, push: wire.Push) -> str:
        """Feeds a hand-fed input; returns why it was refused, or nothing."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.run.state is not leader.State.STARTING)
        if self.run.state.ended:
            return f"the job has ended: it is {self.run.state.value}"
        if push.input not in self.view.inputs:
            known = ", ".join(self.view.inputs) or "none"
            return f"the job has no hand-fed input {push.input!r}; it has: {known}"
        self._next_push += 1
        request = self._next_push
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.pushes[request] = answer
        numbered = wire.Push()
        numbered.CopyFrom(push)
        numbered.request = request
        # Every hand-fed input has one partition, and partition 0 of a source belongs to worker 0.
        self._send(0, push=numbered)
        return await answer


def _failure(worker: int, failed: wire.Failed) -> leader.Failure:
    return leader.Failure(leader.Fault(failed.fault), failed.summary, worker, failed.traceback)


class Agent(control_pb2_grpc.ControlServicer):
    """Owns the engines and the jobs.

    Args:
        workers: How many engines to keep ready.
        host: The interface to listen on.
    """

    def __init__(self, workers: int, host: str) -> None:
        self.workers = workers
        self.host = host
        self.jobs: dict[str, Job] = {}
        self.address = ""
        self._ready: list[Engine] = []
        self._by_token: dict[str, tuple[Engine, Job | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = grpc.aio.server(options=CHANNEL_OPTIONS)

    async def start(self, jobs_service: Any, port: int) -> None:
        """Listens, and starts engines, so that a job finds them warm.

        Raises:
            RuntimeError: The port is taken.
        """
        control_pb2_grpc.add_ControlServicer_to_server(self, self._server)
        jobs_service.register(self._server)
        self.address = f"{self.host}:{self._server.add_insecure_port(f'{self.host}:{port}')}"
        await self._server.start()
        for _ in range(self.workers):
            self._ready.append(await self._spawn(len(self._ready), self.workers))
        self._keep(self._tick())

    async def stop(self) -> None:
        """Ends all engines, then the server."""
        for job in self.jobs.values():
            await job.tell_leader(leader.Cancel())
        for engine, _ in self._by_token.values():
            engine.process.kill()
        await self._server.stop(0.2)
        for task in self._tasks:
            task.cancel()

    async def submit(self, request: jobs_pb2.SubmitRequest) -> Job:
        """Gives a job engines and starts it."""
        width = request.workers or self.workers
        engines = self._ready[:width]
        self._ready = self._ready[width:]
        while len(engines) < width:
            engines.append(await self._spawn(len(engines), width))
        name = f"job-{len(self.jobs) + 1}"
        job = self.jobs[name] = Job(name, request, engines)
        for engine in engines:
            self._by_token[engine.process.token] = (engine, job)
        for worker, engine in enumerate(engines):
            if engine.address:
                await job.tell_leader(leader.Attached(worker, engine.address))
        return job

    async def _spawn(self, worker: int, width: int) -> Engine:
        token = secrets.token_urlsafe(32)
        process = await EngineProcess.spawn(worker, token, self.address, self.host, threads_per_engine(width))
        engine = Engine(process)
        self._by_token[token] = (engine, None)
        self._keep(self._watch(engine))
        return engine

    async def _watch(self, engine: Engine) -> None:
        how = await engine.process.wait()
        _, job = self._by_token[engine.process.token]
        engine.outgoing.put_nowait(None)
        if job is not None:
            await job.tell_leader(leader.Exited(engine.process.worker, how))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for job in self.jobs.values():
                await job.tell_leader(leader.Tick())

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the Control service -------------------------------------------------------------------------------------------

    async def Attach(  # noqa: N802 - the name that the service has
        self, request_iterator: AsyncIterator[wire.FromEngine], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[wire.ToEngine]:
        """See `control.proto`."""
        first = await anext(request_iterator)
        known = self._by_token.get(first.hello.token)
        if known is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this agent has not started that engine")
        engine = known[0]
        engine.address = first.hello.address
        self._keep(self._listen(engine, request_iterator))
        job = self._by_token[engine.process.token][1]
        if job is not None:
            await job.tell_leader(leader.Attached(engine.process.worker, engine.address))
        while (message := await engine.outgoing.get()) is not None:
            yield message

    async def _listen(self, engine: Engine, messages: AsyncIterator[wire.FromEngine]) -> None:
        try:
            async for message in messages:
                job = self._by_token[engine.process.token][1]
                if job is not None:
                    await job.engine_said(engine.process.worker, message)
        except (grpc.RpcError, grpc.aio.UsageError, asyncio.CancelledError):
            # The end of the process is reported by whoever waits for it.
            return
