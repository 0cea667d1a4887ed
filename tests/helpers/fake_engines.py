"""One job of a leader with engines that are none: each says what it is told to say, and no process is started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

import msgspec

from limnad.cluster.records import PartRecord
from limnad.timely.progress import Accumulation
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker.hosts import Hosts
from limnad_worker.job import Job
from limnad_worker.vault import Vault

TICK_S = 0.01
"""How often such a job is told that time has passed."""


class FakeEngine:
    """An engine that builds, runs and stores whatever it is asked to, until it is killed.

    Args:
        job: Whose it is.
        worker: Which one.
        storing: Called with each checkpoint's number before its part is durable; what it raises says why it is not.

    Attributes:
        alive: Whether it was not killed.
        heard: What it was told, by the messages' names.
        published: How many epochs of each output it has put out.
    """

    def __init__(self, job: Job, worker: int, storing: Callable[[int], Awaitable[None]]) -> None:
        self.address = f"engine:{worker}"
        self.outgoing: asyncio.Queue[wire.ToEngine] = asyncio.Queue()
        self.alive = True
        self.heard: list[str] = []
        self.published: dict[str, int] = {}
        self._job, self._worker, self._storing = job, worker, storing

    def kill(self) -> None:
        """Ends it."""
        self.alive = False

    async def live(self) -> None:
        """Hears and answers, one after the other."""
        while self.alive:
            message = await self.outgoing.get()
            self.heard.append(str(message.WhichOneof("message")))
            match message.WhichOneof("message"):
                case "prepare":
                    await self.say(built=wire.Built(fingerprint="f", graph="g"))
                case "start":
                    await self.say(status=wire.Status())
                case "begin_checkpoint":
                    await self._store(message.begin_checkpoint.checkpoint)
                case "checkpoint_committed":
                    number = message.checkpoint_committed.checkpoint
                    await self.say(released=wire.Released(checkpoint=number))

    async def _store(self, number: int) -> None:
        try:
            await self._storing(number)
        except OSError as error:
            await self.say(not_stored=wire.NotStored(checkpoint=number, reason=str(error)))
            return
        published = dict(self.published)
        part = PartRecord(self._worker, self._job.workers, self._job.generation, 0, [], [], [], {}, [], {})
        await self.say(stored=wire.Stored(checkpoint=number, part=msgspec.msgpack.encode(part), published=published))

    async def publish(self, name: str, payload: bytes) -> None:
        """Puts out the next epoch of an output."""
        epoch = self.published.get(name, 0)
        self.published[name] = epoch + 1
        await self.say(output=wire.Output(name=name, epoch=epoch, payload=payload))

    async def say(self, **message: Any) -> None:
        """Tells its leader something."""
        if self.alive:
            await self._job.engine_said(cast(Any, self), wire.FromEngine(**message))


class FakeHosts:
    """Gives jobs as many engines as they want.

    Attributes:
        engines: All that there ever were.
        storing: See `FakeEngine`; to be changed at any time.
        check: Raises if the leader leads no more; to be changed at any time.
        succeeds: See `Hosts`.
        failures: What went wrong in the background.
    """

    host, coordinator, progress = "", "", Accumulation.LOCAL

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []
        self.storing: Callable[[int], Awaitable[None]] = _at_once
        self.check: Callable[[], Awaitable[None]] = _done
        self.succeeds = True
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Hosts.keep`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def gathered(self) -> int:
        """See `Hosts.gathered`."""
        return 1

    async def take(self, job: Job, count: int) -> list[FakeEngine]:
        """See `Hosts.take`."""

        async def storing(number: int) -> None:
            await self.storing(number)

        engines = [FakeEngine(job, worker, storing) for worker in range(count)]
        self.engines += engines
        for engine in engines:
            self.keep(engine.live())
        return engines

    @property
    def alive(self) -> list[FakeEngine]:
        """Those that were not killed."""
        return [engine for engine in self.engines if engine.alive]

    async def stop(self) -> None:
        """Ends all that goes on in the background."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _at_once(_: int) -> None:
    pass


async def _done() -> None:
    pass


def run_job(
    vault: Vault, test: Callable[[Job, FakeHosts], Awaitable[None]], timeout_s: float = 10.0, **request: Any
) -> None:
    """Runs a job with that store, on one worker if nothing else is said, and a test beside it."""

    async def run() -> None:
        hosts = FakeHosts()
        job = Job("job", jobs_pb2.SubmitRequest(path="job.py", **{"workers": 1, **request}), cast(Hosts, hosts), vault)
        hosts.keep(_tick(job))
        try:
            async with asyncio.timeout(timeout_s):
                await job.begin()
                await until(job, lambda: job.is_running)
                await test(job, hosts)
        finally:
            await hosts.stop()
        assert not hosts.failures

    asyncio.run(run())


async def until(job: Job, holds: Callable[[], bool]) -> None:
    """Waits until something holds of a job."""
    async with job.changed:
        await job.changed.wait_for(holds)


async def _tick(job: Job) -> None:
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(TICK_S)
            await job.tick()
            await job.notify()
