"""The operator: keeps the lease, watches, and looks at what is concerned."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Sequence

from limnad_operator.api import ApiError, Watched
from limnad_operator.lease import RENEW_S, Lease
from limnad_operator.queue import Queue
from limnad_operator.reconcile.plan import Object
from limnad_operator.shell.acting import Actor, Conflict, NotLeading
from limnad_operator.shell.calling import WatchedApi
from limnad_operator.shell.leaders import Leaders
from limnad_operator.shell.measuring import Measures
from limnad_operator.shell.observing import Observer
from limnad_operator.shell.views import KINDS, SELECTORS, WATCHED, Cache, Key, worth_a_look

_LOG = logging.getLogger("limnad_operator")

TASKS = 8
"""How many objects are looked at at a time."""

RETRY_S = 2.0
"""How long after a failure a list is tried again."""


class Operator:
    """One operator.

    Args:
        api: The API server.
        leaders: The clusters' leaders.
        namespaces: Where it works.
        lease: Which says whether it may act.
        deployment: What runs it, if anything does: the lease is to go with it.
        resync_s: How often everything is listed and looked at anew.
        by_service: See `Observer`.
        clock_s: What the lease and pauses are measured with: it never goes back, and the loop's sleeps are by it.
        wall_s: Unix time.
    """

    def __init__(
        self,
        api: WatchedApi,
        leaders: Leaders,
        namespaces: Sequence[str],
        lease: Lease,
        *,
        deployment: str = "",
        resync_s: float,
        by_service: bool = False,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._lease = lease
        self._deployment = deployment
        self._resync_s = resync_s
        self.cache = Cache()
        self._queue: Queue[Key] = Queue()
        self._woken = asyncio.Event()
        self._leaders = leaders
        self._clock_s = clock_s
        self._wall_s = wall_s
        observer = Observer(api, self.cache, leaders, by_service=by_service)
        self._actor = Actor(
            api, self.cache, leaders, observer, identity=lease.identity, leads=self._leads, wall_s=wall_s
        )
        self.measures = Measures(self.cache, self._queue, self._leads)
        self.reached = False
        self._took_over = asyncio.Event()
        self._caught_up = False
        self._missed = False

    def _leads(self) -> bool:
        return self._lease.leads(self._clock_s())

    async def run(self) -> None:
        """Works until it is cancelled; then it gives the lease back."""
        tasks = [
            self._keep_lease(),
            self._catch_up(),
            *[self._follow(kind, namespace) for kind in WATCHED for namespace in self._namespaces],
            *[self._work() for _ in range(TASKS)],
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(task)
        finally:
            self._api.close()
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
                self._caught_up = False
                if leads:
                    self._took_over.set()
            elif leads and self._missed:  # For a moment it did not know that it leads.
                self._look_at_all()
            led = leads
            await asyncio.sleep(RENEW_S)

    async def _catch_up(self) -> None:
        """Whenever it takes over, learns all that the one before has done, before it does anything itself.

        Its watches may be far behind that. What is older than what was listed is no news when they come to it.
        """
        while True:
            await self._took_over.wait()
            self._took_over.clear()
            try:
                # Not a TaskGroup: one that is cancelled while something in it fails forgets that it was.
                places = itertools.product(WATCHED, self._namespaces)
                await asyncio.gather(*[self._list_if_it_may(kind, namespace) for kind, namespace in places])
            except ApiError as error:
                _LOG.warning("what there is cannot be listed: %s", error)
                await asyncio.sleep(RETRY_S)
                self._took_over.set()
            else:
                if not self._took_over.is_set():
                    self._caught_up = True
                    self._look_at_all()

    async def _renew(self) -> None:
        lease = self._lease
        if self._deployment and lease.owner is None:
            lease.owner = await self._own_deployment()
        there = await self._api.get("Lease", lease.namespace, lease.name)
        began_s = self._clock_s()
        wanted = lease.wanted(there, began_s, self._wall_s())
        if wanted is None:
            lease.lost()
            return
        try:
            await (self._api.create(wanted) if there is None else self._api.replace(wanted))
        except ApiError as error:
            if error.status != 409:
                raise
            return  # Another one was faster.
        lease.written(began_s)

    async def _own_deployment(self) -> Object | None:
        """As an owner reference; None: it cannot be had now, and the lease is no worse without."""
        with contextlib.suppress(ApiError):
            found = await self._api.get("Deployment", self._lease.namespace, self._deployment)
            if found is not None:
                named = {"name": found["metadata"]["name"], "uid": found["metadata"]["uid"]}
                return {"apiVersion": "apps/v1", "kind": "Deployment", **named}
        return None

    async def _give_back(self) -> None:
        if not self._leads():
            return
        self._lease.lost()
        with contextlib.suppress(ApiError):
            there = await self._api.get("Lease", self._lease.namespace, self._lease.name)
            if there is not None and there["spec"].get("holderIdentity") == self._lease.identity:
                await self._api.replace(self._lease.released(there))

    # -- watching ------------------------------------------------------------------------------------------------------

    async def _follow(self, kind: str, namespace: str) -> None:
        """Lists and watches a kind, again and again."""
        while True:
            try:
                await self._watch(kind, namespace, await self._list(kind, namespace), SELECTORS.get(kind, ""))
            except ApiError as error:
                if error.status != 410:
                    _LOG.warning("%s in %s cannot be watched: %s", kind, namespace, error)
                    await asyncio.sleep(RETRY_S)

    async def _list(self, kind: str, namespace: str) -> str:
        """Learns all of a kind; from where a watch goes on."""
        try:
            listed = await self._api.list(kind, namespace, SELECTORS.get(kind, ""))
        except ApiError as error:
            if error.status == 403:
                self.cache.forbidden[kind, namespace] = error.message
            raise
        self._seen(kind, self.cache.fill(kind, namespace, listed))
        return listed.version

    async def _list_if_it_may(self, kind: str, namespace: str) -> None:
        try:
            await self._list(kind, namespace)
        except ApiError as error:
            if error.status != 403:
                raise

    async def _watch(self, kind: str, namespace: str, version: str, selector: str) -> None:
        """Goes on from one watch to the next until it is time to list anew."""
        began_s = self._clock_s()
        while self._clock_s() - began_s < self._resync_s:
            version = await self._watch_once(kind, namespace, version, selector)

    async def _watch_once(self, kind: str, namespace: str, version: str, selector: str) -> str:
        """One watch; from where to go on."""
        latest = version
        async for event in self._api.watch(kind, namespace, version, selector):
            latest = event.object["metadata"].get("resourceVersion", latest)
            if event.type != "BOOKMARK":
                self._changed(kind, event)
        return latest

    def _changed(self, kind: str, event: Watched) -> None:
        object_ = {"kind": kind, **event.object}
        before = self.cache.put(kind, object_, deleted=event.type == "DELETED")
        if event.type == "DELETED" or worth_a_look(kind, before, object_):
            self._seen(kind, [object_])

    def _seen(self, kind: str, objects: Sequence[Object]) -> None:
        now_s = self._clock_s()
        for object_ in objects:
            for key in self.cache.concerned(kind, object_):
                self._queue.add(key, now_s)
        self._woken.set()

    def _look_at_all(self) -> None:
        self._missed = False
        for namespace in self._namespaces:
            for kind in KINDS:
                self._seen(kind, list(self.cache.all(kind, namespace)))

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            key = await self._next()
            if not self._leads():
                self._missed = True
                self._queue.done(key, self._clock_s())
            elif not (self._caught_up and self.cache.complete(key.namespace)):
                self._queue.done(key, self._clock_s(), RETRY_S)
            else:
                await self._look(key)

    async def _next(self) -> Key:
        while True:
            now_s = self._clock_s()
            key = self._queue.take(now_s)
            if key is not None:
                return key
            due_s = self._queue.next_s()
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due_s is None else max(0.0, due_s - now_s)):
                    await self._woken.wait()

    async def _look(self, key: Key) -> None:
        began_s = self._clock_s()
        try:
            again_s = await self._actor.look(key)
        except Conflict:
            self._queue.failed(key, self._clock_s())
        except NotLeading:
            self._missed = True
            self._queue.done(key, self._clock_s())
        except ApiError as error:
            self.measures.failed(key.kind)
            pause_s = self._queue.failed(key, self._clock_s())
            _LOG.warning("%s %s/%s: %s; again in %g s", *key, error, pause_s)
        except Exception:  # noqa: BLE001 - a fault at one object must not end the work at others
            self.measures.failed(key.kind)
            pause_s = self._queue.failed(key, self._clock_s())
            _LOG.exception("%s %s/%s: a fault of the operator; again in %g s", *key, pause_s)
        else:
            self._queue.done(key, self._clock_s(), again_s)
        self.measures.looked(key.kind, self._clock_s() - began_s)
        self._woken.set()
