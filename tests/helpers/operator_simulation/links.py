"""What lies between one process of the operator and all that it talks to: time, and loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from limnad_operator.api import CALL_S, ApiError, Listed, Watched
from limnad_operator.reconcile import Call, LeaderSeen
from limnad_operator.reconcile.plan import Object
from limnad_operator.shell.leaders import CALL_S as LEADER_CALL_S
from limnad_operator.shell.leaders import LOOK_S, Credentials, Unreachable
from tests.helpers.operator_simulation.checks import Checks
from tests.helpers.operator_simulation.leaders import Leaders
from tests.helpers.operator_simulation.server import Server, plain, selected
from tests.helpers.operator_simulation.weather import Weather

T = TypeVar("T")


class Link:
    """Of one process.

    Attributes:
        alive: Whether the process is; what it has sent before its end is on its way nevertheless.
    """

    def __init__(self, identity: str, loop: asyncio.AbstractEventLoop, weather: Weather, checks: Checks) -> None:
        self.alive = True
        self.identity = identity
        self.loop = loop
        self.weather = weather
        self.checks = checks
        self._waiting: set[Callable[[], None]] = set()

    def reset(self) -> None:
        """All that waits for an answer learns that there will be none."""
        for give_up in list(self._waiting):
            give_up()

    async def call(
        self,
        begin: Callable[[asyncio.Future[T]], None],
        limit_s: float,
        late: Callable[[str], Exception],
        *,
        changes: bool = False,
    ) -> T:
        """Sends a request, and waits for its answer for so long. With ``changes`` it is one that changes something."""
        if not self.alive:
            raise late("this process is dead")
        if changes:
            self.checks.acting(self.identity)
        answer: asyncio.Future[T] = self.loop.create_future()
        done: asyncio.Future[T] = self.loop.create_future()

        def give_up() -> None:
            if not answer.done():
                self.weather.losses += 1
                answer.set_exception(late(f"no answer within {limit_s:g} s"))

        def arrives() -> None:
            if not self.weather.chance(self.weather.lost):
                begin(done)

        def comes_back(done: asyncio.Future[T]) -> None:
            error = done.exception()
            if self.weather.chance(self.weather.lost):
                self.weather.losses += 1
                error = late("the connection broke")
            self.loop.call_later(self.weather.travel_s(), _settle, answer, done, error)

        done.add_done_callback(comes_back)
        self.loop.call_later(self.weather.travel_s(), arrives)
        timer = self.loop.call_later(limit_s, give_up)
        self._waiting.add(give_up)
        try:
            return await answer
        finally:
            timer.cancel()
            self._waiting.discard(give_up)


def _settle(answer: asyncio.Future[T], done: asyncio.Future[T], error: BaseException | None) -> None:
    """The answer has come, if anybody waits for it still."""
    if answer.done():
        return
    if error is None:
        answer.set_result(done.result())
    else:
        answer.set_exception(error)


class ServerLink:
    """See `AsyncApi`."""

    def __init__(self, link: Link, server: Server) -> None:
        self._link = link
        self._server = server

    async def _call(self, do: Callable[[], T], *, kind: str = "Lease") -> T:
        def begin(done: asyncio.Future[T]) -> None:
            try:
                if self._server.down:
                    raise ApiError(503, "the API server is starting")
                done.set_result(do())
            except ApiError as error:
                done.set_exception(error)

        return await self._link.call(begin, CALL_S, lambda why: ApiError(0, why), changes=kind != "Lease")

    async def list(self, kind: str, namespace: str, selector: str = "") -> Listed:
        """See `AsyncApi`."""
        items, version = await self._call(lambda: self._server.listed(kind, selector))
        return Listed(items, version)

    async def watch(self, kind: str, namespace: str, version: str, selector: str = "") -> AsyncIterator[Watched]:
        """See `AsyncApi`: in order, late, and not for ever."""
        link, weather, server = self._link, self._link.weather, self._server
        position, last_s = int(version), 0.0
        if weather.chance(weather.expired):
            server.forget()
        ends_s = link.loop.time() + weather.between(20, 60)
        while link.loop.time() < ends_s:
            if not link.alive or server.down:
                await asyncio.sleep(0.1)
                raise ApiError(0, "the watch broke off")
            if events := server.since(kind, position):
                event = events[0]
                last_s = max(last_s, event.at_s + weather.watch_lag_s())
                await asyncio.sleep(last_s - link.loop.time())
                if weather.chance(weather.broken):
                    raise ApiError(0, "the watch broke off")
                position = event.version
                if selected(event.object, selector):
                    yield Watched(event.type, plain(event.object))
                continue
            try:
                async with asyncio.timeout_at(ends_s):
                    await server.news(kind).wait()
            except TimeoutError:
                break
        # Not at the end of a list that is empty: a bookmark says how far it has come.
        yield Watched("BOOKMARK", {"metadata": {"resourceVersion": str(position)}})

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """See `AsyncApi`."""
        return await self._call(lambda: self._server.get(kind, name))

    async def create(self, manifest: Object) -> Object:
        """See `AsyncApi`."""
        return await self._call(lambda: self._server.create(manifest), kind=manifest["kind"])

    async def replace(self, manifest: Object, *, status: bool = False) -> Object:
        """See `AsyncApi`."""
        return await self._call(lambda: self._server.replace(manifest, status=status), kind=manifest["kind"])

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, grace_s: int | None = None) -> None:
        """See `AsyncApi`; that it is gone is no error."""
        try:
            await self._call(lambda: self._delete(kind, name, uid, grace_s), kind=kind)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def _delete(self, kind: str, name: str, uid: str, grace_s: int | None) -> None:
        there = self._server.there(kind, name)
        if there is not None and there["metadata"]["uid"] == uid:
            self._link.checks.deleting(there)
        self._server.delete(kind, name, uid, grace_s)

    def close(self) -> None:
        """See `AsyncApi`."""


class LeaderLink:
    """See `limnad_operator.shell.leaders.Leaders`."""

    def __init__(self, link: Link, leaders: Leaders) -> None:
        self._link = link
        self._leaders = leaders

    async def look(self, address: str, credentials: Credentials) -> LeaderSeen:
        """See `Leaders`."""

        def begin(done: asyncio.Future[LeaderSeen]) -> None:
            try:
                done.set_result(self._leaders.look(address))
            except Unreachable as error:
                done.set_exception(error)

        try:
            return await self._link.call(begin, LOOK_S, Unreachable)
        except Unreachable as error:
            return LeaderSeen(address, str(error))

    async def ask(self, address: str, credentials: Credentials, call: Call) -> Any:
        """See `Leaders`."""

        def begin(done: asyncio.Future[Any]) -> None:
            self._leaders.ask(address, call, done)

        return await self._link.call(begin, LEADER_CALL_S, Unreachable, changes=True)

    async def close(self) -> None:
        """See `Leaders`."""
