"""The agent: starts engines, leads them through a job, and serves its clients. It never runs user code.

It is an asyncio shell around `limnad.cluster.leader`: gRPC messages and process exits become events, the leader's
effects become messages and signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import grpc

from limnad.cluster import leader
from limnad.store.opening import parse
from limnad_proto.channels import CHANNEL_OPTIONS
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import control_pb2_grpc, jobs_pb2
from limnad_worker.engines import Engine
from limnad_worker.feeding import Refused
from limnad_worker.job import Job
from limnad_worker.processes import EngineProcess, threads_per_engine
from limnad_worker.tracing import from_environment
from limnad_worker.vault import KEEP, Vault

LAST_WORDS_S = 1.0
"""How long an engine whose line is gone may take to end by itself."""

SPARES = 1
"""How many warm engines wait for a job that can lose one: a start takes half a second, taking one over nothing."""

TICK_S = 0.1
"""How often the leader is told that time has passed."""


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
        self.tracer = from_environment()
        self._ready: list[Engine] = []
        self._by_token: dict[str, Engine] = {}
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
            self._ready.append(await self._spawn(self.workers))
        self.keep(self._tick())

    async def stop(self) -> None:
        """Ends all engines, then the server."""
        for job in self.jobs.values():
            await job.cancel()
        for engine in self._by_token.values():
            engine.process.kill()
        await self._server.stop(0.2)
        for task in self._tasks:
            task.cancel()
        if self.tracer is not None:
            self.tracer.flush()

    async def submit(self, request: jobs_pb2.SubmitRequest, traceparent: str = "") -> Job:
        """Starts a job; the client's ``traceparent``, if it has one, is where its traces begin.

        Raises:
            Refused: Its store holds checkpoints already, and it is not to go on from them.
            StoreError: Its store cannot be opened.
        """
        vault = await self._open_vault(request) if request.store else None
        name = f"job-{len(self.jobs) + 1}"
        trace = self.tracer.submission(traceparent, {"limnad.job": name}) if self.tracer is not None else None
        job = self.jobs[name] = Job(name, request, request.workers or self.workers, self, vault, trace)
        self.keep(job.begin())
        return job

    async def _open_vault(self, request: jobs_pb2.SubmitRequest) -> Vault:
        space = request.name or Path(request.path).stem
        vault = await asyncio.to_thread(Vault, request.store, space, request.keep or KEEP)
        if not request.resume and await vault.in_use():
            await vault.close()
            shown = parse(request.store).shown
            raise Refused(
                f"{shown} holds checkpoints or logged inputs of the job {space!r} already: go on from them "
                "with --resume, "
                f"delete them (limnad checkpoints delete --store {shown} {space}), or choose another --name"
            )
        return vault

    async def take(self, job: Job, count: int) -> list[Engine]:
        """See `limnad_worker.job.Engines`."""
        engines = [engine for engine in self._ready[:count] if engine.process.alive]
        self._ready = self._ready[count:]
        while len(engines) < count:
            engines.append(await self._spawn(count))
        for engine in engines:
            engine.job = job
        if job.survives_losses:
            self.keep(self._keep_spare(count))
        return engines

    async def _keep_spare(self, width: int) -> None:
        """A warm engine waits for a job that may lose one: it has imported what an engine needs."""
        while len(self._ready) < SPARES:
            self._ready.append(await self._spawn(width))

    async def _spawn(self, width: int) -> Engine:
        token = secrets.token_urlsafe(32)
        process = await EngineProcess.spawn(token, self.address, self.host, threads_per_engine(width))
        engine = Engine(process)
        self._by_token[token] = engine
        self.keep(self._watch(engine))
        return engine

    async def _watch(self, engine: Engine) -> None:
        how = await engine.process.wait()
        self._by_token.pop(engine.process.token, None)
        engine.outgoing.put_nowait(None)
        if engine.job is not None:
            await engine.job.engine_event(engine, lambda worker: leader.Exited(worker, how))
        elif engine in self._ready:
            self._ready.remove(engine)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for job in list(self.jobs.values()):
                await job.tick()

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """See `limnad_worker.job.Engines`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the Control service -------------------------------------------------------------------------------------------

    async def Attach(  # noqa: N802 - the name that the service has
        self, request_iterator: AsyncIterator[wire.FromEngine], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[wire.ToEngine]:
        """See `control.proto`."""
        first = await anext(request_iterator)
        engine = self._by_token.get(first.hello.token)
        if engine is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this agent has not started that engine")
            raise AssertionError("abort raises")
        address = engine.address = first.hello.address
        self.keep(self._listen(engine, request_iterator))
        if engine.job is not None:
            await engine.job.engine_event(engine, lambda worker: leader.Attached(worker, address))
        while (message := await engine.outgoing.get()) is not None:
            yield message

    async def _listen(self, engine: Engine, requests: AsyncIterator[wire.FromEngine]) -> None:
        with contextlib.suppress(grpc.RpcError, grpc.aio.UsageError, asyncio.CancelledError):
            async for message in requests:
                if engine.job is not None:
                    await engine.job.engine_said(engine, message)
        # Either it ends now by itself, or it is stopped or cut off: then it must not come back.
        await asyncio.sleep(LAST_WORDS_S)
        engine.process.kill()
