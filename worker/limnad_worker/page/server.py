"""Serves the page: static files, JSON, and server-sent events.

    GET /                          the page itself, which holds no data; so are its files
    GET /api/jobs                  the list                 GET /api/events              the same, whenever it changes
    GET /api/jobs/NAME             a job                    GET /api/jobs/NAME/events    likewise

What is under ``/api`` needs the token, if there is one: a browser that opens a page cannot send a header, so the page
is open and asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol

from aiohttp import web

from limnad_proto.loopback import is_loopback
from limnad_proto.v1 import jobs_pb2
from limnad_worker.page.content import Content, details, summary

INTERVAL_S = 0.5
"""How often a reader is told what has changed: as often as a number can be read."""

SILENCE_S = 5.0
"""After how long without a change it is told that the leader is there; the page takes thrice that for a lost leader."""

MAX_READERS = 64
"""How many follow events at once: each costs a look at the jobs twice a second."""

CLOSE_S = 1.0
"""How long a reader that is slow may take to hear that this was the end."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class NotYet(Exception):
    """Jobs cannot be told now, and may be soon; says why."""


class Jobs(Protocol):
    """Where the page finds what it shows."""

    def all(self) -> Iterable[jobs_pb2.JobView]:
        """All jobs that there are, the newest first.

        Raises:
            NotYet: See there.
        """

    def one(self, name: str) -> jobs_pb2.JobView:
        """One job.

        Raises:
            NotYet: See there.
            KeyError: There is no such job; says so.
        """


class Page:
    """The page of one leader.

    Args:
        jobs: Its jobs.
        authorised: Whether a bearer token opens the data; None: no token is asked for, which is for loopback only.
        exposed: Ask for none beyond loopback either: somebody has said so.

    Attributes:
        url: Where it is, once it listens.
    """

    def __init__(
        self,
        jobs: Jobs,
        authorised: Callable[[str], bool] | None = None,
        *,
        exposed: bool = False,
    ) -> None:
        self._jobs = jobs
        self._exposed = exposed
        self._authorised = authorised
        self._stopping = asyncio.Event()
        self._readers = 0
        self._host = ""
        self.url = ""
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/api/jobs", self._list),
                web.get("/api/events", self._list_events),
                web.get("/api/jobs/{job}", self._job),
                web.get("/api/jobs/{job}/events", self._job_events),
                web.get("/{file:.*}", self._file),
            ]
        )
        self._files = {path.relative_to(_STATIC).as_posix(): path.read_bytes() for path in _STATIC.rglob("*.*")}
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_S, handle_signals=False)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listens.

        Args:
            host: The interface.
            port: 0: any.
            tls: Serve over TLS.

        Raises:
            ValueError: The interface is not loopback, and there is no token.
            OSError: The port is taken.
        """
        if self._authorised is None and not self._exposed and not is_loopback(host):
            raise ValueError(f"the page would be open to all who reach {host}: let it listen on loopback, 127.0.0.1")
        self._host = host
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        self.url = f"{'https' if tls else 'http'}://{_bracketed(host)}:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        """Tells readers how things ended, then hangs up."""
        self._stopping.set()
        await self._runner.cleanup()

    # -- who may read --------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._admit(request)
            response = await handler(request)
        except web.HTTPException as refusal:
            response = _json({"error": refusal.text or refusal.reason}, refusal.status)
        if not response.prepared:
            response.headers.update(HEADERS)
            if response.status == web.HTTPUnauthorized.status_code:
                response.headers["WWW-Authenticate"] = 'Bearer realm="limnad"'
        return response

    def _admit(self, request: web.Request) -> None:
        if self._authorised is None and self._exposed:
            return
        if self._authorised is None:
            # Another site's name may be made to lead here; a browser would let that site's scripts read the answers.
            named = request.url.host or ""
            if named != self._host and not is_loopback(named):
                raise web.HTTPMisdirectedRequest(text=f"this page is that of {self._host}, not of {named}")
        elif request.path.startswith("/api/"):
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._authorised(token.strip()):
                raise web.HTTPUnauthorized(text="this needs the cluster's token, as: Authorization: Bearer TOKEN")

    # -- answers -------------------------------------------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"] or "index.html"
        if name not in self._files:
            raise web.HTTPNotFound(text=f"there is no {request.path} here")
        suffix = Path(name).suffix
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def _list(self, request: web.Request) -> web.Response:
        return _json(_now(self._content(None)))

    async def _job(self, request: web.Request) -> web.Response:
        return _json(_now(self._content(request.match_info["job"])))

    async def _list_events(self, request: web.Request) -> web.StreamResponse:
        return await self._follow(request, None)

    async def _job_events(self, request: web.Request) -> web.StreamResponse:
        return await self._follow(request, request.match_info["job"])

    def _content(self, job: str | None) -> Content:
        """The list, or one job.

        Raises:
            HTTPNotFound: There is no such job.
            HTTPServiceUnavailable: That is not known yet.
        """
        try:
            if job is None:
                return {"jobs": [summary(view) for view in self._jobs.all()]}
            return details(self._jobs.one(job))
        except KeyError as error:
            raise web.HTTPNotFound(text=str(error.args[0])) from None
        except NotYet as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from None

    # -- events --------------------------------------------------------------------------------------------------------

    async def _follow(self, request: web.Request, job: str | None) -> web.StreamResponse:
        content = self._content(job)
        if self._readers >= MAX_READERS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_READERS} others follow this leader already: try again later")
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream"})
        self._readers += 1
        try:
            await response.prepare(request)
            with contextlib.suppress(ConnectionError, web.HTTPException):
                await self._tell(response, job, content)
        finally:
            self._readers -= 1
        return response

    async def _tell(self, response: web.StreamResponse, job: str | None, content: Content) -> None:
        told: Content = {}
        told_s = time.monotonic()
        while True:
            last = self._stopping.is_set()
            if content != told:
                await response.write(_event("content", _now(content)))
                told, told_s = content, time.monotonic()
            elif time.monotonic() - told_s >= SILENCE_S:
                await response.write(b": nothing new\n\n")
                told_s = time.monotonic()
            if last:
                await response.write(_event("end", {}))
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), INTERVAL_S)
            content = self._content(job)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _now(content: Content) -> Content:
    """With the leader's clock: rates are taken by it, and a browser's own may be wrong."""
    return content | {"now_s": time.time()}


def _json(content: Content, status: int = 200) -> web.Response:
    return web.json_response(content, status=status)


def _event(name: str, content: Content) -> bytes:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n".encode()
