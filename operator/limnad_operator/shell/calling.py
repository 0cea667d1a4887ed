"""The API server for coroutines: each call in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from limnad_operator.api import Api
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


class ThreadedApi:
    """See `AsyncApi`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

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
