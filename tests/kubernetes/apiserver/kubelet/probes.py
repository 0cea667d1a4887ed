"""Probes: whether a container has started, lives, and is ready."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.kubernetes.apiserver.kubelet.network import Forwards, Network, stop_listening
from tests.kubernetes.apiserver.kubelet.process import Process
from tests.kubernetes.apiserver.objects import Object


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked.

    Attributes:
        container: As the pod describes it.
        address: The pod's.
        process: What runs.
        folder: For a socket, which gRPC needs.
    """

    container: Object
    address: str
    process: Process
    folder: Path


async def probe(network: Network, forwards: Forwards, target: Target, spec: Object) -> str:
    """Asks once: what is wrong; empty: nothing."""
    timeout_s = float(spec.get("timeoutSeconds", 1))
    try:
        async with asyncio.timeout(timeout_s):
            if "exec" in spec:
                code, said = await target.process.run_inside(spec["exec"]["command"], timeout_s)
                return said.strip() or f"exit code {code}" if code else ""
            if "httpGet" in spec:
                return await _http(network, target, spec["httpGet"])
            if "tcpSocket" in spec:
                _, writer = await network.connect(target.address, _port(target, spec["tcpSocket"]["port"]))
                writer.close()
                return ""
            return await _grpc(forwards, target, spec["grpc"], timeout_s)
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return f"dial tcp {target.address}: {error}"


def _port(target: Target, port: int | str) -> int:
    """By number, or by the name that the container gives it."""
    for each in target.container.get("ports") or []:
        if each.get("name") == port:
            return int(each["containerPort"])
    return int(port)


async def _http(network: Network, target: Target, spec: Object) -> str:
    port = _port(target, spec["port"])
    reader, writer = await network.connect(target.address, port)
    try:
        if spec.get("scheme") == "HTTPS":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            await writer.start_tls(context)
        headers = "".join(f"{each['name']}: {each['value']}\r\n" for each in spec.get("httpHeaders") or [])
        request = f"GET {spec.get('path', '/')} HTTP/1.0\r\nHost: {target.address}:{port}\r\n{headers}\r\n"
        writer.write(request.encode())
        status = (await reader.readline()).split()
    finally:
        writer.close()
    code = int(status[1]) if len(status) > 1 else 0
    return "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"


async def _grpc(forwards: Forwards, target: Target, spec: Object, timeout_s: float) -> str:
    path = target.folder / f"probe-{spec['port']}"
    path.unlink(missing_ok=True)
    server = await forwards.to_path(lambda: (target.address, int(spec["port"])), path)
    try:
        await server.start_serving()
        return await asyncio.to_thread(_ask, path, spec.get("service") or "", timeout_s)
    finally:
        await stop_listening(server)


def _ask(path: Path, service: str, timeout_s: float) -> str:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(request, timeout=timeout_s)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    serving = health_pb2.HealthCheckResponse.SERVING
    return "" if answer.status == serving else f"service unhealthy (responded with {answer.status})"


class Prober:
    """Asks for one container again and again, and keeps what came out.

    Args:
        ask: Asks once: what is wrong.
        container: As the pod describes it.
        changed: Called with kind and words when a probe fails, or when readiness has changed.
    """

    def __init__(
        self, ask: Callable[[Object], Awaitable[str]], container: Object, changed: Callable[[str, str], None]
    ) -> None:
        self._ask = ask
        self._container = container
        self._changed = changed
        self.started = "startupProbe" not in container
        self.ready = self.started and "readinessProbe" not in container
        self.dead = asyncio.Event()

    async def run(self) -> None:
        """Until the container is dead, or the task is cancelled."""
        if "startupProbe" in self._container:
            if not await self._until_started(self._container["startupProbe"]):
                self.dead.set()
                return
            self.started = True
            self.ready = "readinessProbe" not in self._container
            self._changed("", "")
        await asyncio.gather(self._readiness(), self._liveness())

    async def _until_started(self, spec: Object) -> bool:
        await asyncio.sleep(spec.get("initialDelaySeconds", 0))
        for _ in range(spec.get("failureThreshold", 3)):
            if not (wrong := await self._ask(spec)):
                return True
            self._changed("Startup", wrong)
            await asyncio.sleep(spec.get("periodSeconds", 10))
        return False

    async def _readiness(self) -> None:
        spec = self._container.get("readinessProbe")
        if spec is None:
            return
        await asyncio.sleep(spec.get("initialDelaySeconds", 0))
        failed = succeeded = 0
        while True:
            wrong = await self._ask(spec)
            failed, succeeded = (failed + 1, 0) if wrong else (0, succeeded + 1)
            ready = self.ready
            if succeeded >= spec.get("successThreshold", 1):
                ready = True
            elif failed >= spec.get("failureThreshold", 3):
                ready = False
            if wrong or ready != self.ready:
                self.ready = ready
                self._changed("Readiness" if wrong else "", wrong)
            # A container that has just started is asked often: kubelets do so too.
            await asyncio.sleep(spec.get("periodSeconds", 10) if self.ready or failed > 20 else 0.5)

    async def _liveness(self) -> None:
        spec = self._container.get("livenessProbe")
        if spec is None:
            return
        await asyncio.sleep(spec.get("initialDelaySeconds", 0))
        failed = 0
        while failed < spec.get("failureThreshold", 3):
            wrong = await self._ask(spec)
            failed = failed + 1 if wrong else 0
            if wrong:
                self._changed("Liveness", wrong)
            await asyncio.sleep(spec.get("periodSeconds", 10))
        self.dead.set()
