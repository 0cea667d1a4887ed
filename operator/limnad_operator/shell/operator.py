"""The operator: keeps the lease, watches, and looks at what is concerned."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from limnad_operator.api import Api, ApiError, Watched
from limnad_operator.lease import RENEW_S, Lease
from limnad_operator.queue import Queue
from limnad_operator.reconcile.plan import Object
from limnad_operator.shell.acting import Actor, Conflict, NotLeading
from limnad_operator.shell.calling import ThreadedApi
from limnad_operator.shell.leaders import GrpcLeaders
from limnad_operator.shell.measuring import Measures
from limnad_operator.shell.observing import Observer
from limnad_operator.shell.views import KINDS, SELECTORS, WATCHED, Cache, Key, worth_a_look

_LOG = logging.getLogger("limnad_operator")

T = TypeVar("T")

TASKS = 8
"""How many objects are looked at at a time."""

RETRY_S = 2.0
"""How long after a failure a list is tried again."""


class Operator:
    """One operator.

    Args:
        api: The API server.
        namespaces: Where it works.
        lease: Which says whether it may act.
        deployment: What runs it, if anything does: the lease is to go with it.
        resync_s: How often everything is listed and looked at anew.
        by_service: See `Observer`.
    """

    def __init__(
        self,
        api: Api,
        namespaces: Sequence[str],
        lease: Lease,
        *,
        deployment: str = "",
        resync_s: float,
        by_service: bool = False,
    ) -> None:
        self._api = api
        self._calls = ThreadedApi(api)
        self._namespaces = namespaces
        self._lease = lease
        self._deployment = deployment
        self._resync_s = resync_s
        self._cache = Cache()
        self._queue: Queue[Key] = Queue()
        self._woken = asyncio.Event()
        self._leaders = GrpcLeaders()
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(len(WATCHED) * len(namespaces), thread_name_prefix="watch")
        observer = Observer(self._calls, self._cache, self._leaders, by_service=by_service)
        self._actor = Actor(
            self._calls, self._cache, self._leaders, observer, identity=lease.identity, leads=self._leads
        )
        self.measures = Measures(self._cache, self._queue, self._leads)
        self.reached = False

    def _leads(self) -> bool:
        return self._lease.leads(time.monotonic())

    async def run(self) -> None:
        """Works until it is cancelled; then it gives the lease back."""
        tasks = [
            self._keep_lease(),
            *[self._follow(kind, namespace) for kind in WATCHED for namespace in self._namespaces],
            *[self._work() for _ in range(TASKS)],
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(task)
        finally:
            self._stopping.set()
            self._threads.shutdown(wait=False, cancel_futures=True)
            await self._give_back()
            await self._leaders.close()

    # -- the lease -----------------------------------------------------------------------------------------------------

    async def _keep_lease(self) -> None:
        led = False
        while True:
            try:
                await self._renew()
                self.reached = True
            except ApiError as error:
                _LOG.warning("the lease %s cannot be had: %s", self._lease.name, error)
            leads = self._leads()
            if leads != led:
                _LOG.info("%s %s", self._lease.identity, "acts" if leads else "acts no more")
                self._queue.clear()
                if leads:
                    self._look_at_all()
            led = leads
            await asyncio.sleep(RENEW_S)

    async def _renew(self) -> None:
        lease = self._lease
        if self._deployment and lease.owner is None:
            lease.owner = await self._own_deployment()
        there = await self._calls.get("Lease", lease.namespace, lease.name)
        began_s = time.monotonic()
        wanted = lease.wanted(there, began_s, time.time())
        if wanted is None:
            lease.lost()
            return
        try:
            await (self._calls.create(wanted) if there is None else self._calls.replace(wanted))
        except ApiError as error:
            if error.status != 409:
                raise
            return  # Another one was faster.
        lease.written(began_s)

    async def _own_deployment(self) -> Object | None:
        """As an owner reference; None: it cannot be had now, and the lease is no worse without."""
        with contextlib.suppress(ApiError):
            found = await self._calls.get("Deployment", self._lease.namespace, self._deployment)
            if found is not None:
                named = {"name": found["metadata"]["name"], "uid": found["metadata"]["uid"]}
                return {"apiVersion": "apps/v1", "kind": "Deployment", **named}
        return None

    async def _give_back(self) -> None:
        if not self._leads():
            return
        self._lease.lost()
        with contextlib.suppress(ApiError):
            there = await self._calls.get("Lease", self._lease.namespace, self._lease.name)
            if there is not None and there["spec"].get("holderIdentity") == self._lease.identity:
                await self._calls.replace(self._lease.released(there))

    # -- watching ------------------------------------------------------------------------------------------------------

    async def _follow(self, kind: str, namespace: str) -> None:
        """Lists and watches a kind, again and again."""
        selector = SELECTORS.get(kind, "")
        while True:
            try:
                listed = await self._in_thread(lambda: self._api.list(kind, namespace, selector))
                self._seen(kind, self._cache.fill(kind, namespace, listed))
                await self._watch(kind, namespace, listed.version, selector)
            except ApiError as error:
                if error.status == 403:
                    self._cache.forbidden[kind, namespace] = error.message
                if error.status != 410:
                    _LOG.warning("%s in %s cannot be watched: %s", kind, namespace, error)
                    await asyncio.sleep(RETRY_S)

    async def _watch(self, kind: str, namespace: str, version: str, selector: str) -> None:
        """Goes on from one watch to the next until it is time to list anew."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < self._resync_s:
            version = await self._watch_once(kind, namespace, version, selector)

    async def _watch_once(self, kind: str, namespace: str, version: str, selector: str) -> str:
        """One watch, which another thread reads; from where to go on."""
        news: asyncio.Queue[Watched | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                for event in self._api.watch(kind, namespace, version, selector):
                    loop.call_soon_threadsafe(news.put_nowait, event)
                    if self._stopping.is_set():
                        return
            finally:
                with contextlib.suppress(RuntimeError):  # The loop is closed.
                    loop.call_soon_threadsafe(news.put_nowait, None)

        reading = loop.run_in_executor(self._threads, read)
        latest = version
        while (event := await news.get()) is not None:
            latest = event.object["metadata"].get("resourceVersion", latest)
            if event.type != "BOOKMARK":
                self._changed(kind, event)
        await reading
        return latest

    def _changed(self, kind: str, event: Watched) -> None:
        object_ = {"kind": kind, **event.object}
        before = self._cache.put(kind, object_, deleted=event.type == "DELETED")
        if event.type == "DELETED" or worth_a_look(kind, before, object_):
            self._seen(kind, [object_])

    def _seen(self, kind: str, objects: Sequence[Object]) -> None:
        now_s = time.monotonic()
        for object_ in objects:
            for key in self._cache.concerned(kind, object_):
                self._queue.add(key, now_s)
        self._woken.set()

    def _look_at_all(self) -> None:
        for namespace in self._namespaces:
            for kind in KINDS:
                self._seen(kind, list(self._cache.all(kind, namespace)))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            key = await self._next()
            if not self._leads():
                self._queue.done(key, time.monotonic())
            elif not self._cache.complete(key.namespace):
                self._queue.done(key, time.monotonic(), RETRY_S)
            else:
                await self._look(key)

    async def _next(self) -> Key:
        while True:
            now_s = time.monotonic()
            key = self._queue.take(now_s)
            if key is not None:
                return key
            due_s = self._queue.next_s()
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due_s is None else max(0.0, due_s - now_s)):
                    await self._woken.wait()

    async def _look(self, key: Key) -> None:
        began_s = time.monotonic()
        try:
            again_s = await self._actor.look(key)
        except Conflict:
            self._queue.failed(key, time.monotonic())
        except NotLeading:
            self._queue.done(key, time.monotonic())
        except ApiError as error:
            self.measures.failed(key.kind)
            pause_s = self._queue.failed(key, time.monotonic())
            _LOG.warning("%s %s/%s: %s; again in %g s", *key, error, pause_s)
        except Exception:  # noqa: BLE001 - a fault at one object must not end the work at others
            self.measures.failed(key.kind)
            pause_s = self._queue.failed(key, time.monotonic())
            _LOG.exception("%s %s/%s: a fault of the operator; again in %g s", *key, pause_s)
        else:
            self._queue.done(key, time.monotonic(), again_s)
        self.measures.looked(key.kind, time.monotonic() - began_s)
        self._woken.set()
