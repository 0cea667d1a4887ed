"""The leader's hosts and their engines: which there are, what they are told, and what becomes of them.

    agent ──Register──> HostLink ──spawn, kill──> host            engine ──Attach──> Engine ──> its job

The leader's own host is one of them, linked by a function call instead of a stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import grpc

from limnad.cluster import leader
from limnad.cluster.placement import HostLoad, place, usable
from limnad.timely.progress import Accumulation
from limnad_proto.messages import NoMessage, first_message
from limnad_proto.v1 import control_pb2, control_pb2_grpc, hosts_pb2_grpc
from limnad_proto.v1 import hosts_pb2 as wire
from limnad_worker.archives import Archives, read_pieces
from limnad_worker.logs import Printed

if TYPE_CHECKING:
    from limnad_worker.job import Job

    Context = grpc.aio.ServicerContext[Any, Any]

_LOG = logging.getLogger("limnad_worker.hosts")

LAST_WORDS_S = 1.0
"""How long an engine whose line is gone may take to end by itself."""

ATTACH_S = 120.0
"""How long an engine may take from its start until it has attached: half a second on a quiet machine."""

MAX_AGENTS = 1 << 16
"""More than any cluster has."""

GATHER_S = 10.0
"""How long after its own start a leader waits for the agents that are expected before it starts jobs without them: an
agent is there in a second, a pod in some."""

_HUNG_UP = (grpc.RpcError, grpc.aio.UsageError, asyncio.CancelledError)
"""What reading a stream raises when it is gone; the last one is also what a task gets that is to end."""


def _check_cancelled() -> None:
    """Raises if it is this task that is to end: it must not do then what is done about a host that is gone."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Engine:
    """An engine as the leader sees it.

    Attributes:
        number: By which its host knows it.
        token: The secret by which its process proves to be it.
        host: Where it lives.
        address: Where its peers reach it; empty until it has attached.
        outgoing: What it is to be told.
        job: Whose it is; None: it waits to be taken.
        worker: Which worker of its job it is.
        generation: In which generation.
        alive: Whether nothing is known of its end.
    """

    def __init__(self, host: HostLink) -> None:
        # Random, so that late news of an earlier leader's engine concerns none of this one's.
        self.number = secrets.randbits(63)
        self.token = secrets.token_urlsafe(32)
        self.host = host
        self.address = ""
        self.outgoing: asyncio.Queue[control_pb2.ToEngine | None] = asyncio.Queue()
        self.job: Job | None = None
        self.worker = 0
        self.generation = 0
        self.alive = True

    def kill(self) -> None:
        """Ends its process at once."""
        if self.alive:
            self.host.tell(wire.ToHost(kill=wire.KillEngine(engine=self.number)))


class HostLink:
    """A host as the leader sees it.

    Args:
        info: What its agent has said of it.
        tell: Tells it something.

    Attributes:
        engines: All of its engines that live, by number.
        ready: Those that wait to be taken.
        leaving: Whether it is about to go.
    """

    def __init__(self, info: wire.HostInfo, tell: Callable[[wire.ToHost], None]) -> None:
        self.info = info
        self.tell = tell
        self.engines: dict[int, Engine] = {}
        self.ready: list[Engine] = []
        self.leaving = False

    def load(self) -> HostLoad:
        """As placement sees it."""
        busy = sum(engine.job is not None for engine in self.engines.values())
        return HostLoad(self.info.uid, self.info.index, self.info.slots, busy, self.info.build, self.leaving)

    @property
    def jobs(self) -> set[Job]:
        """The jobs that have engines here."""
        return {engine.job for engine in self.engines.values() if engine.job is not None}


class Hosts(hosts_pb2_grpc.HostsServicer, control_pb2_grpc.ControlServicer):
    """All hosts and engines of a leader.

    Args:
        host: Where others reach the leader's own processes.
        build: What the leader runs; engines of one generation are of one build.
        uid: Of the leader's process.
        expected: How many agents there are to be.
        warm: How many warm engines a new host begins with: a start takes half a second, taking one over nothing.
        spares: How many are kept there beside those that work.
        gather_s: How long to wait for those agents before jobs are started without them.
        progress: How jobs that do not say it gather their progress updates.
        coordinator: The address of one that all jobs share; empty: each has its own.
        shared_paths: Whether a job may be named by a path that all agents can read, instead of an archive.

    Attributes:
        succeeds: Whether it is decided in a store who leads: then nobody else may have this leader's jobs.
    """

    def __init__(
        self,
        *,
        host: str,
        build: str,
        uid: str,
        expected: int,
        warm: int,
        spares: int,
        gather_s: float = GATHER_S,
        progress: Accumulation = Accumulation.LOCAL,
        coordinator: str = "",
        shared_paths: bool = False,
    ) -> None:
        self.host = host
        self.progress = progress
        self.coordinator = coordinator
        self.shared_paths = shared_paths
        self._build = build
        self._welcome = wire.Welcome(uid=uid)
        self._open = False
        self._expected = expected
        self._limit = MAX_AGENTS
        self._warm = warm
        self._spares = spares
        self._links: dict[str, HostLink] = {}
        self._by_token: dict[str, Engine] = {}
        self._changed = asyncio.Condition()
        self._patient_until_s = time.monotonic() + gather_s
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_leaving: Callable[[HostLink], Coroutine[Any, Any, None]] | None = None
        self.check_lead: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.succeeds = False
        self.archives: Archives | None = None

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something until `stop`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("something in the background has failed", exc_info=error)

    def stop(self) -> None:
        """Ends what `keep` runs."""
        for task in self._tasks:
            task.cancel()

    def open(self, term: int) -> None:
        """Lets agents in: this leader leads, in that term."""
        self._welcome.term = term
        self._open = True

    @property
    def links(self) -> list[HostLink]:
        """The hosts that are there, by index."""
        return sorted(self._links.values(), key=lambda link: link.info.index)

    # -- hosts ---------------------------------------------------------------------------------------------------------

    async def add(self, link: HostLink) -> None:
        """A host is there."""
        self._links[link.info.uid] = link
        _LOG.info("agent %d at %s is there, with %d slots", link.info.index, link.info.address, link.info.slots)
        self._keep_spares(link, self._warm)
        if len(self._usable()) >= self._expected:
            self._patient_until_s = time.monotonic()  # Who is lost from now on is not waited for.
        async with self._changed:
            self._changed.notify_all()

    async def lose(self, link: HostLink, why: str) -> None:
        """A host is gone, and its engines with it."""
        if self._links.get(link.info.uid) is not link:
            return
        del self._links[link.info.uid]
        _LOG.warning("agent %d at %s is lost: %s", link.info.index, link.info.address, why)
        for engine in list(link.engines.values()):
            engine.kill()
            await self._gone(engine, f"was lost with agent {link.info.index} at {link.info.address}: {why}")

    async def heard(self, link: HostLink, message: wire.FromHost) -> None:
        """A host says something."""
        match message.WhichOneof("message"):
            case "exited" if message.exited.engine in link.engines:
                await self._gone(link.engines[message.exited.engine], message.exited.how)
            case "log" if message.log.engine in link.engines:
                engine = link.engines[message.log.engine]
                if engine.job is not None:
                    engine.job.log.add(Printed(engine.generation, engine.worker, message.log.text))
            case "leaving":
                link.leaving = True
                self.keep(self._let_leave(link))

    async def _let_leave(self, link: HostLink) -> None:
        if self.on_leaving is not None:
            await self.on_leaving(link)
        link.tell(wire.ToHost(release=wire.Release()))

    async def Register(  # noqa: N802 - the name that the service has
        self, request_iterator: AsyncIterator[wire.FromHost], context: Context
    ) -> AsyncIterator[wire.ToHost]:
        """See `hosts.proto`."""
        first = await first_message(request_iterator, context)
        if not self._open:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the leader has not got hold of its store yet")
        if any(link.info.index == first.info.index for link in self._links.values()):
            # The process that was there may be dead already, which is known in some seconds; or there are two of them.
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"agent {first.info.index} is there already")
        outgoing: asyncio.Queue[wire.ToHost | None] = asyncio.Queue()
        link = HostLink(first.info, outgoing.put_nowait)
        yield wire.ToHost(welcome=self._welcome)
        # First of all: whoever hangs up while it is added must be found to have done so.
        self.keep(self._listen(link, request_iterator, outgoing))
        await self.add(link)
        while (message := await outgoing.get()) is not None:
            yield message

    async def _listen(
        self, link: HostLink, requests: AsyncIterator[wire.FromHost], outgoing: asyncio.Queue[wire.ToHost | None]
    ) -> None:
        why = "it has hung up"
        try:
            async for message in requests:
                await self.heard(link, message)
        except _HUNG_UP:
            _check_cancelled()
            why = "it does not answer any more"
        except NoMessage as error:
            why = str(error)
        await self.lose(link, why)
        outgoing.put_nowait(None)

    # -- engines -------------------------------------------------------------------------------------------------------

    async def gathered(self) -> int:
        """Waits until all expected agents are there, or as long as there is patience; how many slots there are."""
        async with self._changed:
            while not self._enough:
                left_s = self._patient_until_s - time.monotonic()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s if left_s > 0 else None):
                        await self._changed.wait()
        return sum(host.slots for host in self._usable())

    @property
    def expected(self) -> int:
        """How many agents there are to be."""
        return self._expected

    async def resize(self, agents: int) -> None:
        """Has so many agents be waited for, and takes no engines from those of higher indexes any more."""
        self._expected = self._limit = agents
        async with self._changed:
            self._changed.notify_all()

    async def complete(self) -> None:
        """Waits until all expected agents are there, however long that takes."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._usable()) >= self._expected)

    @property
    def _enough(self) -> bool:
        there = len(self._usable())
        return there >= self._expected or (there > 0 and time.monotonic() >= self._patient_until_s)

    def _usable(self) -> list[HostLoad]:
        loads = [link.load() for link in self._links.values() if link.info.index < self._limit]
        return usable(loads, self._build)

    async def check(self) -> None:
        """Makes sure that the leader leads still.

        Raises:
            Deposed: It does not.
            StoreError: That cannot be found out now.
        """
        if self.check_lead is not None:
            await self.check_lead()

    async def take(self, job: Job, count: int) -> list[Engine]:
        """Engines that nobody else has, by worker."""
        await self.gathered()
        engines: list[Engine] = []
        for worker, uid in enumerate(place(count, self._usable())):
            link = self._links[uid]
            engine = link.ready.pop(0) if link.ready else self._spawn(link)
            engine.job, engine.worker, engine.generation = job, worker, job.generation
            engines.append(engine)
        for link in {engine.host for engine in engines}:
            self._keep_spares(link, max(self._spares, int(job.survives_losses)))
        return engines

    def _keep_spares(self, link: HostLink, count: int) -> None:
        while len(link.ready) < count:
            link.ready.append(self._spawn(link))

    def _spawn(self, link: HostLink) -> Engine:
        engine = Engine(link)
        link.engines[engine.number] = self._by_token[engine.token] = engine
        link.tell(wire.ToHost(spawn=wire.SpawnEngine(engine=engine.number, token=engine.token)))
        self.keep(self._expect(engine))
        return engine

    async def _expect(self, engine: Engine) -> None:
        """Gives up an engine that does not attach: nothing else would tell that its process was stopped before."""
        await asyncio.sleep(ATTACH_S)
        if not engine.address:
            engine.kill()

    async def _gone(self, engine: Engine, how: str) -> None:
        engine.alive = False
        self._by_token.pop(engine.token, None)
        engine.host.engines.pop(engine.number, None)
        engine.outgoing.put_nowait(None)
        if engine in engine.host.ready:
            engine.host.ready.remove(engine)
        if engine.job is not None:
            try:
                await engine.job.engine_event(engine, lambda worker: leader.Exited(worker, how))
            except Exception:  # noqa: BLE001 - whatever it is, other jobs must hear of theirs all the same
                _LOG.exception("job %s: the loss of an engine could not be taken", engine.job.name)

    async def Attach(  # noqa: N802
        self, request_iterator: AsyncIterator[control_pb2.FromEngine], context: Context
    ) -> AsyncIterator[control_pb2.ToEngine]:
        """See `control.proto`."""
        first = await first_message(request_iterator, context)
        engine = self._by_token.get(first.hello.token)
        if engine is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this leader has not asked for that engine")
            raise AssertionError("abort raises")
        address = engine.address = first.hello.address
        self.keep(self._listen_to_engine(engine, request_iterator))
        if engine.job is not None:
            await engine.job.engine_event(engine, lambda worker: leader.Attached(worker, address))
        while (message := await engine.outgoing.get()) is not None:
            yield message

    async def FetchArchive(  # noqa: N802
        self, request: control_pb2.FetchArchiveRequest, context: Context
    ) -> AsyncIterator[control_pb2.ArchivePiece]:
        """See `control.proto`."""
        if request.token not in self._by_token:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this leader has not asked for that engine")
        file = await self.archives.find(request.archive) if self.archives is not None else None
        if file is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no archive {request.archive}")
            raise AssertionError("abort raises")
        for piece in read_pieces(file):
            yield control_pb2.ArchivePiece(data=piece)

    async def _listen_to_engine(self, engine: Engine, requests: AsyncIterator[control_pb2.FromEngine]) -> None:
        try:
            async for message in requests:
                if engine.job is not None:
                    await engine.job.engine_said(engine, message)
        except (*_HUNG_UP, NoMessage):
            _check_cancelled()
        except Exception:
            engine.kill()  # What it says cannot be taken: nobody hears it any more, and its job must not wait for it.
            raise
        # Either it ends now by itself, or it is stopped or cut off: then it must not come back.
        await asyncio.sleep(LAST_WORDS_S)
        engine.kill()
