"""The API server for coroutines: each call in a thread, and each watch."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from limnad_operator.api import Api, Listed, Watched
from limnad_operator.reconcile.plan import Object

T = TypeVar("T")

THREADS = 16


class AsyncApi(Protocol):
    """See `limnad_operator.api.Api`, of which these are the calls that do not last."""

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """See `Api.get`."""

    async def create(self, manifest: Object) -> Object:
        """See `Api.create`."""

    async def replace(self, manifest: Object, *, status: bool = False) -> Object:
        """See `Api.replace`."""

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, grace_s: int | None = None) -> None:
        """See `Api.delete`."""


class WatchedApi(AsyncApi, Protocol):
    """The rest of it, too."""

    async def list(self, kind: str, namespace: str, selector: str = "") -> Listed:
        """See `Api.list`."""

    def watch(self, kind: str, namespace: str, version: str, selector: str = "") -> AsyncIterator[Watched]:
        """See `Api.watch`."""

    def close(self) -> None:
        """Hangs up: no watch says anything any more."""


class ThreadedApi:
    """See `WatchedApi`.

    Args:
        api: What blocks.
        watches: How many watches there are at a time: each has a thread to itself, all the time.
    """

    def __init__(self, api: Api, watches: int) -> None:
        self._api = api
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
        self._watching = ThreadPoolExecutor(watches, thread_name_prefix="watch")
        self._closed = threading.Event()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def list(self, kind: str, namespace: str, selector: str = "") -> Listed:
        """See `WatchedApi`."""
        return await self._run(lambda: self._api.list(kind, namespace, selector))

    async def watch(self, kind: str, namespace: str, version: str, selector: str = "") -> AsyncIterator[Watched]:
        """See `WatchedApi`."""
        news: asyncio.Queue[Watched | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                for event in self._api.watch(kind, namespace, version, selector):
                    loop.call_soon_threadsafe(news.put_nowait, event)
                    if self._closed.is_set():
                        return
            finally:
                with contextlib.suppress(RuntimeError):  # The loop is closed.
                    loop.call_soon_threadsafe(news.put_nowait, None)

        reading = loop.run_in_executor(self._watching, read)
        while (event := await news.get()) is not None:
            yield event
        await reading

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """See `AsyncApi`."""
        return await self._run(lambda: self._api.get(kind, namespace, name))

    async def create(self, manifest: Object) -> Object:
        """See `AsyncApi`."""
        return await self._run(lambda: self._api.create(manifest))

    async def replace(self, manifest: Object, *, status: bool = False) -> Object:
        """See `AsyncApi`."""
        return await self._run(lambda: self._api.replace(manifest, status=status))

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, grace_s: int | None = None) -> None:
        """See `AsyncApi`."""
        await self._run(lambda: self._api.delete(kind, namespace, name, uid=uid, grace_s=grace_s))

    def close(self) -> None:
        """See `WatchedApi`."""
        self._closed.set()
        self._watching.shutdown(wait=False, cancel_futures=True)
