"""The client for programs with an event loop: the same client, each call in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, Self, TypeVar

from limnad.client.agents import ClusterStatus
from limnad.client.channels import Tls
from limnad.client.client import Client, Job
from limnad.client.inputs import PATIENCE_S, Input
from limnad.client.status import CheckpointInfo, JobStatus

P = ParamSpec("P")
T = TypeVar("T")

AHEAD = 16
"""How many items a stream is read ahead of who takes them."""


class AsyncClient:
    """See `limnad.Client`: the same methods, to be awaited. What they raise is the same."""

    def __init__(
        self,
        address: str,
        token: str | None = None,
        tls: str | Tls | None = None,
        *,
        token_file: str | None = None,
        insecure: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._client = Client(address, token, tls, token_file=token_file, insecure=insecure, patience_s=patience_s)

    async def submit(self, path: str, function: str = "job", **options: Any) -> AsyncJob:
        """See `Client.submit`."""
        return AsyncJob(await in_thread(self._client.submit, path, function, **options))

    async def job(self, name: str) -> AsyncJob:
        """See `Client.job`."""
        return AsyncJob(await in_thread(self._client.job, name))

    async def jobs(self) -> list[JobStatus]:
        """See `Client.jobs`."""
        return await in_thread(self._client.jobs)

    async def cluster(self, wait_s: float | None = None) -> ClusterStatus:
        """See `Client.cluster`."""
        return await in_thread(self._client.cluster, wait_s)

    async def close(self) -> None:
        """See `Client.close`; whoever still watches or subscribes gets a `ClusterError`."""
        await in_thread(self._client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


class AsyncJob:
    """See `limnad.client.Job`."""

    def __init__(self, job: Job) -> None:
        self.name = job.name
        self._job = job

    def watch(self) -> AsyncIterator[JobStatus]:
        """See `Job.watch`."""
        return iterated(self._job.watch)

    def outputs(self, *names: str, from_epochs: Mapping[str, int] | None = None) -> AsyncIterator[tuple[str, int, Any]]:
        """See `Job.outputs`."""
        return iterated(lambda: self._job.outputs(*names, from_epochs=from_epochs))

    def subscribe(self, output: str) -> AsyncIterator[tuple[int, Any]]:
        """See `Job.subscribe`."""
        return iterated(lambda: self._job.subscribe(output))

    def logs(self, *, follow: bool = False) -> AsyncIterator[tuple[int, str]]:
        """See `Job.logs`."""
        return iterated(lambda: self._job.logs(follow=follow))

    def input(self, name: str, producer: str | None = None) -> AsyncInput:
        """See `Job.input`."""
        return AsyncInput(self._job.input(name, producer))

    async def status(self) -> JobStatus:
        """See `Job.status`."""
        return await in_thread(self._job.status)

    async def wait(self) -> JobStatus:
        """See `Job.wait`."""
        return await in_thread(self._job.wait)

    async def wait_for_probe(self, probe: str, epoch: int) -> None:
        """See `Job.wait_for_probe`."""
        await in_thread(self._job.wait_for_probe, probe, epoch)

    async def checkpoint(self) -> int:
        """See `Job.checkpoint`."""
        return await in_thread(self._job.checkpoint)

    async def checkpoints(self) -> list[CheckpointInfo]:
        """See `Job.checkpoints`."""
        return await in_thread(self._job.checkpoints)

    async def restore(self, checkpoint: int | None = None, workers: int | None = None) -> None:
        """See `Job.restore`."""
        await in_thread(self._job.restore, checkpoint, workers)

    async def rescale(self, workers: int) -> None:
        """See `Job.rescale`."""
        await in_thread(self._job.rescale, workers)

    async def drain(self) -> None:
        """See `Job.drain`."""
        await in_thread(self._job.drain)

    async def cancel(self) -> None:
        """See `Job.cancel`."""
        await in_thread(self._job.cancel)


class AsyncInput:
    """See `limnad.client.Input`."""

    def __init__(self, into: Input) -> None:
        self._into = into

    async def on_next(self, batch: Any) -> None:
        """See `Input.on_next`."""
        await in_thread(self._into.on_next, batch)

    async def on_all(self, batches: Iterable[Any]) -> int:
        """See `Input.on_all`."""
        return await in_thread(self._into.on_all, batches)

    async def advance_to(self, epoch: int) -> None:
        """See `Input.advance_to`."""
        await in_thread(self._into.advance_to, epoch)

    async def close(self) -> None:
        """See `Input.close`."""
        await in_thread(self._into.close)

    async def last_sequence(self) -> int:
        """See `Input.last_sequence`."""
        return await in_thread(lambda: self._into.last_sequence)


async def in_thread(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Makes a call in a thread of its own: one that waits for ever must not hold up the others, as in a pool it would.

    A call that is cancelled goes on there, and its answer is dropped.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = call(*arguments, **options)
        except BaseException as problem:  # noqa: BLE001 - it is raised where the call is awaited
            error = problem
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await answer


async def iterated(start: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """What an iterator gives, which a thread of its own reads."""
    loop = asyncio.get_running_loop()
    room = threading.Semaphore(AHEAD)
    items: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
    stopped = False

    def tell(item: tuple[T] | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(items.put_nowait, item)

    def run() -> None:
        try:
            with contextlib.closing(start()) as source:  # type: ignore[type-var]
                for item in source:
                    room.acquire()
                    if stopped:
                        return
                    tell((item,))
        except BaseException as problem:  # noqa: BLE001 - it is raised where the items are awaited
            tell(problem)
        else:
            tell(None)

    threading.Thread(target=run, daemon=True).start()
    try:
        while (item := await items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item[0]
    finally:
        stopped = True
        room.release()
