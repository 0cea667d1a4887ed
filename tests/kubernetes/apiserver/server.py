"""A running API server: a thread with an event loop that serves HTTPS on loopback."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Self

import trustme
import yaml
from aiohttp import web

from tests.kubernetes.apiserver import crds
from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.controllers.collecting import Collector, Definitions, Namespaces
from tests.kubernetes.apiserver.controllers.controller import Controller
from tests.kubernetes.apiserver.faults import Fault, Faults
from tests.kubernetes.apiserver.http import Handler

NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
CONTROLLERS: Final[tuple[Callable[[Api], Controller], ...]] = (Collector, Namespaces, Definitions)


class ApiServer:
    """Serves from entering until leaving.

    Attributes:
        url: Where.
        kubeconfig: A file that kubectl, Helm and every client take.
        faults: What is to go wrong.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="limnad-kubernetes-"))
        self._authority = trustme.CA()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="api server", daemon=True)
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._error: BaseException | None = None
        self.token = secrets.token_urlsafe()
        self.kubeconfig = self._folder / "kubeconfig"
        self.url = ""
        self.faults = Faults()
        self.api = Api()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        shutil.rmtree(self._folder)

    # --------------------------------------------------------------------------------------------------- for tests

    def fault(self, fault: Fault) -> Fault:
        """From now on it happens; `clear_faults` ends it."""
        self.do(lambda: self.faults.add(fault))
        return fault

    def clear_faults(self) -> None:
        """All goes well again; what hangs goes on hanging."""
        self.do(self.faults.clear)

    def forget(self) -> None:
        """Forgets all changes: whoever watches or pages on from before is answered 410."""
        self.do(self.api.store.forget)

    def do(self, action: Callable[[], Any]) -> Any:
        """Runs something in the server's thread."""

        async def run() -> Any:
            return action()

        return self.wait_for(run())

    def wait_for(self, work: Awaitable[Any]) -> Any:
        """Runs a coroutine in the server's loop."""

        async def run() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    # --------------------------------------------------------------------------------------------------- its thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - whoever enters is to hear of it, whatever it is
            self._error = error
            self._ready.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        crds.watch_definitions(self.api)
        tasks = [asyncio.ensure_future(make(self.api).run()) for make in CONTROLLERS]
        await asyncio.sleep(0)  # They listen from now on.
        namespaces = self.api.resources.find("", "v1", "namespaces")
        assert namespaces is not None
        for name in NAMESPACES:
            self.api.create(namespaces, "", {"metadata": {"name": name}})
        handler = Handler(self.api, self.faults, {self.token}, _no_logs)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", handler.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc").configure_cert(context)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"https://{host}:{port}"
        self._write_kubeconfig()
        self._ready.set()
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await handler.close()
        await runner.cleanup()

    def _write_kubeconfig(self) -> None:
        certificate = self._folder / "ca.crt"
        self._authority.cert_pem.write_to_path(certificate)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": {"server": self.url, "certificate-authority": str(certificate)}}],
            "users": [{"name": "tests", "user": {"token": self.token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests", "namespace": "default"}}],
            "current-context": "tests",
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))


async def _no_logs(*_: object) -> AsyncIterator[bytes]:
    """Without a kubelet nothing is printed."""
    nothing: tuple[bytes, ...] = ()
    for each in nothing:
        yield each
