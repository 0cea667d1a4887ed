"""A running API server: a thread with an event loop that serves HTTPS on loopback."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
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
from tests.kubernetes.apiserver.kubelet.cluster import PORT, Cluster, obstacle
from tests.kubernetes.apiserver.kubelet.images import Image, Images
from tests.kubernetes.apiserver.kubelet.network import GATEWAY

NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
CONTROLLERS: Final[tuple[Callable[[Api], Controller], ...]] = (Collector, Namespaces, Definitions)


class ApiServer:
    """Serves from entering until leaving.

    Args:
        nodes: Their names; none: objects are kept, and no pod is ever made or run.
        images: What can be pulled, by patterns of names; ``limnad`` is this checkout.

    Attributes:
        url: Where.
        kubeconfig: A file that kubectl, Helm and every client take.
        faults: What is to go wrong.
        handler: What answers; to be used in the server's thread (`do`).
    """

    def __init__(self, *, nodes: Sequence[str] = (), images: Mapping[str, Image] | None = None) -> None:
        if nodes and (why := obstacle()):
            raise RuntimeError(why)
        self._names = list(nodes)
        self.images = Images({"limnad(-operator)?": Image.of_this_checkout(), **(images or {})})
        self._cluster: Cluster | None = None
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

    # ------------------------------------------------------------------------------------------------ pods and nodes

    @property
    def cluster(self) -> Cluster:
        """What runs pods; to be used in the server's thread (`do`)."""
        assert self._cluster is not None, "a server without nodes runs no pods"
        return self._cluster

    def forward(self, namespace: str, pod: str, port: int) -> str:
        """A port of loopback that is passed on to a pod, whichever runs under that name: ``127.0.0.1:40123``."""

        def where() -> tuple[str, int] | None:
            try:
                return self.cluster.pod(namespace, pod).address, port
            except LookupError:
                return None

        host, own = self.wait_for(self.cluster.forwards.to_port(where))
        return f"{host}:{own}"

    def vanish(self, node: str, *, frozen: bool = False, cut: bool = False) -> None:
        """A node is heard of no more. Its pods go on, stand still, or are cut off from all others."""
        self.do(lambda: self.cluster.vanish(node, frozen=frozen, cut=cut))

    def come_back(self, node: str) -> None:
        """It is heard of again."""
        self.do(self.cluster.nodes[node].come_back)

    def pid(self, namespace: str, pod: str) -> int:
        """The first process of a pod's first container, as this machine numbers it; 0: it does not run."""
        process = self.do(lambda: next(self.cluster.pod(namespace, pod).containers).process)
        return process.pid if process is not None else 0

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
        certificate = self._folder / "ca.crt"
        self._authority.cert_pem.write_to_path(certificate)
        if self._names:
            credentials = {"token": self.token.encode(), "ca.crt": certificate.read_bytes()}
            self._cluster = Cluster(self.api, self._names, self.images, self._folder, credentials)
        logs = self._cluster.logs if self._cluster else _no_logs
        handler = self.handler = Handler(self.api, self.faults, {self.token}, logs)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", handler.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "localhost", GATEWAY, "kubernetes.default.svc").configure_cert(context)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        if self._cluster:
            inside = web.SockSite(runner, self._cluster.network.listener(GATEWAY, PORT), ssl_context=context)
            await inside.start()
            await self._cluster.start()
        host, port = runner.addresses[0][:2]
        self.url = f"https://{host}:{port}"
        self._write_kubeconfig()
        self._ready.set()
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await handler.close()
        if self._cluster:
            await self._cluster.close()
        await runner.cleanup()

    def _write_kubeconfig(self) -> None:
        certificate = self._folder / "ca.crt"
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
